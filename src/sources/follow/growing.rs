//! The bytes of a file that goes on, as a reader of text takes them.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use super::super::files::SourceError;
use super::super::files::io as io_error;
use super::super::open::{Compression, first_bytes, unpack};
use super::super::text::{Followed, TextFile, is_waiting};
use super::find::{Id, Kind, id, kind};
use super::mark::Marker;
use crate::job::plan::{Format, Records};
use crate::record::{Encoding, HeaderBinding};

/// Where a file is opened, and how far it may be read.
pub(super) struct From<'a> {
    /// What was read of it.
    pub(super) marker: &'a Marker,
    /// Line number there.
    pub(super) line: u64,
    /// How its columns are bound, where that is known.
    pub(super) header: Option<&'a Arc<HeaderBinding>>,
    /// Where reading ends, in replay.
    pub(super) to: Option<u64>,
    /// Whether what is there now is all.
    pub(super) is_whole: bool,
}

/// A file that is being read.
pub(super) struct Open {
    /// The file itself, by which growth is seen.
    pub(super) file: File,
    pub(super) id: Id,
    pub(super) text: TextFile,
    /// Whether it is compressed: whole when it was opened.
    pub(super) is_packed: bool,
    /// Bytes that `text` has read and that are not behind the place yet.
    read: Arc<Mutex<Vec<u8>>>,
    ends: Arc<AtomicBool>,
}

impl Open {
    /// Opens a file at the place that `from` says; `None` where its beginning is not whole yet.
    pub(super) fn at(
        followed: &Followed<'_>,
        path: &Path,
        from: &From<'_>,
    ) -> Result<Option<Self>, SourceError> {
        let failed = |error| io_error(followed.owner, path, "read", 0, error);
        let file = match File::open(path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            opened => opened.map_err(|error| io_error(followed.owner, path, "opened", 0, error))?,
        };
        let Kind::Known(compression) = kind(path, &file).map_err(failed)? else {
            return Ok(None);
        };
        let is_packed = compression != Compression::None;
        let is_whole = from.is_whole || is_packed;
        let input = || -> io::Result<Box<dyn Read + Send>> {
            let mut file = file.try_clone()?;
            file.seek(SeekFrom::Start(0))?;
            unpack(file, compression)
        };
        let mut first = [0; 3];
        let length = if is_packed {
            super::super::open::read_full(input().map_err(failed)?.as_mut(), &mut first)
                .map_err(failed)?
        } else {
            let bytes = first_bytes(&file).map_err(failed)?;
            let length = bytes.len().min(3);
            first[..length].copy_from_slice(&bytes[..length]);
            length
        };
        let first = &first[..length];
        if !is_whole && may_become_a_mark(first) {
            return Ok(None);
        }
        let (encoding, mark) = Encoding::of_mark(first).unwrap_or((followed.format.encoding(), 0));
        let read = Arc::new(Mutex::new(first[..mark].to_vec()));
        let ends = Arc::new(AtomicBool::new(is_whole));
        let growing = |mut input: Box<dyn Read + Send>, at: u64, read| -> io::Result<_> {
            let skipped = io::copy(&mut (&mut input).take(at), &mut io::sink())?;
            let left = from.to.map(|to| to.saturating_sub(at));
            Ok((skipped == at).then(|| {
                Box::new(Growing {
                    input,
                    left,
                    ends: Arc::clone(&ends),
                    read,
                })
            }))
        };
        let at = from.marker.at();
        let mark = u64::try_from(mark).expect("a mark is short");
        let text = if at == 0 || !goes_by_lines(followed.format) {
            let input = input().and_then(|input| growing(input, mark, Arc::clone(&read)));
            let Some(input) = input.map_err(failed)? else {
                return Ok(None);
            };
            match TextFile::follow(followed, input, encoding, mark) {
                Ok(text) => text,
                Err(error) if is_waiting(&error) => return Ok(None),
                Err(error) => return Err(error),
            }
        } else {
            let header = if let Some(header) = from.header {
                Arc::clone(header)
            } else {
                // What is before the first record lies before the place: it is whole.
                let nobody = Arc::new(Mutex::new(Vec::new()));
                let input = input().and_then(|input| growing(input, mark, nobody));
                let Some(input) = input.map_err(failed)? else {
                    return Ok(None);
                };
                let beginning = TextFile::follow(followed, input, encoding, mark)?;
                Arc::clone(beginning.header())
            };
            read.lock().unwrap_or_else(PoisonError::into_inner).clear();
            let input = if is_packed {
                input().and_then(|input| growing(input, at, Arc::clone(&read)))
            } else {
                let seek = || -> io::Result<Box<dyn Read + Send>> {
                    let mut file = file.try_clone()?;
                    file.seek(SeekFrom::Start(at))?;
                    Ok(Box::new(file))
                };
                let left = from.to.map(|to| to.saturating_sub(at));
                seek().map(|input| {
                    Some(Box::new(Growing {
                        input,
                        left,
                        ends: Arc::clone(&ends),
                        read: Arc::clone(&read),
                    }))
                })
            };
            let Some(input) = input.map_err(failed)? else {
                return Ok(None);
            };
            TextFile::further(followed, input, &header, at, from.line)
        };
        let metadata = file.metadata().map_err(failed)?;
        Ok(Some(Self {
            file,
            id: id(&metadata),
            text,
            is_packed,
            read,
            ends,
        }))
    }

    /// Moves the mark up to where the text was given out.
    pub(super) fn advance(&self, marker: &mut Marker) {
        let mut read = self.read.lock().unwrap_or_else(PoisonError::into_inner);
        let given = self.text.position().0 - marker.at();
        let given = usize::try_from(given).expect("what was read is in memory");
        marker.push(&read[..given]);
        read.drain(..given);
    }

    /// Says that what is there now is all.
    pub(super) fn ends_here(&self) {
        self.ends.store(true, Ordering::Release);
    }
}

/// Whether reading can begin at any record; elements of an array are read from the array's beginning.
pub(super) fn goes_by_lines(format: &Format) -> bool {
    !matches!(format, Format::Json(options) if options.records != Records::Lines)
}

/// Whether more bytes may make a byte order mark of these.
fn may_become_a_mark(first: &[u8]) -> bool {
    matches!(first, [] | [0xEF | 0xFF | 0xFE] | [0xEF, 0xBB])
}

/// Bytes of a file, as far as they are there: where there are no more yet, reading would have to wait.
struct Growing {
    input: Box<dyn Read + Send>,
    /// How many may be read, in replay.
    left: Option<u64>,
    /// Whether the end that is there now is the end.
    ends: Arc<AtomicBool>,
    read: Arc<Mutex<Vec<u8>>>,
}

impl Read for Growing {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let most = match self.left {
            Some(left) => usize::try_from(left).map_or(into.len(), |left| left.min(into.len())),
            None => into.len(),
        };
        if most == 0 {
            return Ok(0);
        }
        let read = self.input.read(&mut into[..most])?;
        if read == 0 && (self.left.is_some() || !self.ends.load(Ordering::Acquire)) {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        if let Some(left) = &mut self.left {
            *left -= u64::try_from(read).expect("a length fits 64 bits");
        }
        let mut kept = self.read.lock().unwrap_or_else(PoisonError::into_inner);
        kept.extend_from_slice(&into[..read]);
        Ok(read)
    }
}
