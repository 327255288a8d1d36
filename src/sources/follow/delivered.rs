//! What runs of a job with an end have read before (`rerun = "new_files"`): a run reads files that are new, and the rest of those that
//! have grown.
//!
//! What was read stands in the manifest that makes its rows visible: there is no moment at which one is there without the other. A file
//! is known as a followed one is, by what it holds. One whose inode, size and time are as they were is not opened.

use std::fs::File;
use std::io::{self, Seek, SeekFrom};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use serde::{Deserialize, Serialize};

use super::super::files::SourceError;
use super::super::files::io as io_error;
use super::super::open::{Compression, unpack};
use super::super::text::{Followed, TextFile};
use super::discover::Looked;
use super::find::{Fit, Id, Kind, Seen, fits, kind};
use super::growing::goes_by_lines;
use super::lines::is_cut;
use super::mark::Marker;
use crate::epoch::FileMark;
use crate::job::plan::{Format, SourcePlan};

/// A file that was read by a run whose rows are visible.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(in crate::sources) struct Delivered {
    /// Name of its source.
    source: String,
    /// Its path, when it was seen last.
    path: String,
    /// Bytes of it on the disk.
    stored: u64,
    /// When it was written last, in nanoseconds since 1970.
    written: i64,
    /// Whether rows were read of it; else it was refused whole, or has a header alone.
    has_rows: bool,
    /// What was read; `size` is up to where.
    mark: FileMark,
}

/// How a file differs from what was read of it.
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum DeliveredError {
    /// It holds other bytes.
    #[error(
        "{owner}: {} was read by an earlier run up to byte {at}, and holds other bytes now ({size} of them)\n  expected: files that are left as they are, or grow\n  now: nothing was read\n  hint: give what is new a file of its own; a run with rerun = \"replace\" reads all files and replaces what is visible", path.display()
    )]
    Changed {
        /// The source.
        owner: String,
        /// The file.
        path: PathBuf,
        /// Up to where it was read.
        at: u64,
        /// Bytes in it now.
        size: u64,
    },
    /// It goes on where no record ends.
    #[error(
        "{owner}: {} goes on behind byte {at} in the middle of what an earlier run read as its end\n  expected: {expected}\n  now: the run stops; nothing of it is visible\n  hint: give files their name when they are whole; a run with rerun = \"replace\" reads all files and replaces what is visible", path.display()
    )]
    WentOn {
        /// The source.
        owner: String,
        /// The file.
        path: PathBuf,
        /// Up to where it was read.
        at: u64,
        /// What could stand there.
        expected: &'static str,
    },
}

/// What is to be read of a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::sources) enum ToRead {
    /// Nothing.
    Nothing,
    /// All of it.
    All,
    /// What stands behind what was read.
    Rest(Box<Delivered>),
}

/// What was read before, and what this run reads.
#[derive(Debug)]
pub struct Delivery {
    before: Vec<Delivered>,
    read: Mutex<Vec<Read>>,
}

/// A file that was read in this run.
#[derive(Debug)]
pub(in crate::sources) struct Read {
    /// Name of its source.
    pub(in crate::sources) source: String,
    /// Where it is.
    pub(in crate::sources) path: PathBuf,
    /// Up to where it was read, and the line there; `None`: to its end.
    pub(in crate::sources) end: Option<(u64, u64)>,
    /// Whether it gave rows.
    pub(in crate::sources) has_rows: bool,
    /// What was read of it before.
    pub(in crate::sources) before: Option<Box<Delivered>>,
}

impl Delivery {
    /// Goes on from what the newest manifest says; `None` where no run has kept such a list, and all files are new.
    pub fn new(said: Option<&serde_json::Value>) -> Arc<Self> {
        let before = said.and_then(|said| serde_json::from_value(said.clone()).ok());
        Arc::new(Self {
            before: before.unwrap_or_default(),
            read: Mutex::default(),
        })
    }

    /// What is to be read of a file that was found. `told` takes words about files that are not read.
    pub(in crate::sources) fn judge(
        &self,
        source: &SourcePlan,
        path: &Path,
        told: &mut Vec<String>,
    ) -> Result<ToRead, SourceError> {
        let owner = super::super::feed::owner(source);
        let Some(seen) = Seen::at(path) else {
            return Ok(ToRead::All);
        };
        let of_source = || {
            self.before
                .iter()
                .filter(|known| known.source == source.name)
        };
        let is_same = |known: &&Delivered| Id::of(&known.mark) == seen.id;
        if let Some(known) = of_source().find(is_same) {
            if known.stands_as(&seen) {
                return Ok(ToRead::Nothing);
            }
            let fit = fits(&seen, known.mark.size, &known.mark);
            return match fit.map_err(|error| io_error(&owner, path, "read", 0, error))? {
                Fit::Is(_) => Ok(known.rest(&owner, &seen, source)?),
                Fit::NotYet => Ok(ToRead::All),
                Fit::IsNot => Err(DeliveredError::Changed {
                    owner,
                    path: path.to_owned(),
                    at: known.mark.size,
                    size: seen.size,
                }
                .into()),
            };
        }
        let Ok(Some(looked)) = Looked::at(&seen) else {
            return Ok(ToRead::All);
        };
        let mut best: Option<&Delivered> = None;
        for known in of_source().filter(|known| known.has_rows) {
            let at = known.mark.size;
            if !looked.begins_like(at, known.mark.head)
                || !matches!(fits(&seen, at, &known.mark), Ok(Fit::Is(_)))
            {
                continue;
            }
            let is_there =
                Seen::at(Path::new(&known.path)).is_some_and(|seen| seen.id == Id::of(&known.mark));
            if !is_there && best.is_none_or(|best| best.mark.size < at) {
                best = Some(known);
            }
            if is_there && looked.length == at {
                told.push(format!(
                    "{owner}: {} holds the same as {}, which was read, and is not read",
                    path.display(),
                    known.path
                ));
                return Ok(ToRead::Nothing);
            }
        }
        match best {
            Some(known) => known.rest(&owner, &seen, source),
            None => Ok(ToRead::All),
        }
    }

    /// Says that a file was read.
    pub(in crate::sources) fn was_read(&self, file: Read) {
        let mut read = self.read.lock().unwrap_or_else(PoisonError::into_inner);
        read.push(file);
    }

    /// Whether this run has read nothing.
    pub fn is_idle(&self) -> bool {
        let read = self.read.lock().unwrap_or_else(PoisonError::into_inner);
        read.is_empty()
    }

    /// All that is read when this run is visible, for its manifest. Cost: what this run has read is read once more, and summed.
    pub fn after(&self) -> Result<serde_json::Value, SourceError> {
        let read = self.read.lock().unwrap_or_else(PoisonError::into_inner);
        let mut all = self.before.clone();
        for file in read.iter() {
            let owner = format!("sources.{}", file.source);
            let failed = |error| io_error(&owner, &file.path, "read", 0, error);
            let known = file.mark().map_err(failed)?;
            all.retain(|before| {
                let is_it = Id::of(&before.mark) == Id::of(&known.mark)
                    || file.before.as_deref() == Some(before);
                before.source != known.source || !is_it
            });
            all.push(known);
        }
        Ok(serde_json::to_value(all).expect("it is JSON"))
    }
}

impl Delivered {
    fn stands_as(&self, seen: &Seen) -> bool {
        self.stored == seen.size && i128::from(self.written) == seen.written
    }

    /// What is to be read of a file that begins with what was read.
    fn rest(&self, owner: &str, seen: &Seen, source: &SourcePlan) -> Result<ToRead, SourceError> {
        let Some(looked) = Looked::at(seen).unwrap_or(None).filter(|_| self.has_rows) else {
            return Ok(ToRead::All);
        };
        if looked.length <= self.mark.size {
            return Ok(ToRead::Nothing);
        }
        let (is_rest, expected) = match &source.format {
            Format::Csv(options) if options.skip_last > 0 => {
                (false, "nothing: `skip_last` takes lines away from its end")
            }
            Format::Csv(_) | Format::Json(_) if goes_by_lines(&source.format) => (true, ""),
            _ => (false, "nothing: files of this format are whole"),
        };
        if is_rest {
            return Ok(ToRead::Rest(Box::new(self.clone())));
        }
        Err(DeliveredError::WentOn {
            owner: owner.to_owned(),
            path: seen.path.clone(),
            at: self.mark.size,
            expected,
        }
        .into())
    }

    /// Opens a file behind what was read of it; `whole` is the same file, opened at its beginning.
    pub(in crate::sources) fn open(
        &self,
        followed: &Followed<'_>,
        whole: &TextFile,
    ) -> Result<TextFile, SourceError> {
        let path = followed.path;
        let at = self.mark.size;
        let failed = |error| io_error(followed.owner, path, "read", at, error);
        let mut file = File::open(path.as_path()).map_err(failed)?;
        let Kind::Known(compression) = kind(path, &file).map_err(failed)? else {
            return Err(failed(io::ErrorKind::UnexpectedEof.into()));
        };
        let mut next = [0; 2];
        let is_plain = compression == Compression::None;
        let input: Box<dyn io::Read + Send> = if is_plain {
            let read = file.read_at(&mut next, at).map_err(failed)?;
            let before = Marker::of_file(&file, at, &self.mark).map_err(failed)?;
            let before = before.ok_or_else(|| failed(io::ErrorKind::InvalidData.into()))?;
            if is_cut(before.seam(), &next[..read], whole.header().encoding) {
                return Err(DeliveredError::WentOn {
                    owner: followed.owner.to_owned(),
                    path: path.to_path_buf(),
                    at,
                    expected: "a line end there",
                }
                .into());
            }
            file.seek(SeekFrom::Start(at)).map_err(failed)?;
            Box::new(file)
        } else {
            let mut input = unpack(file, compression).map_err(failed)?;
            io::copy(&mut io::Read::take(&mut input, at), &mut io::sink()).map_err(failed)?;
            input
        };
        let rest = TextFile::further(followed, input, whole.header(), at, self.mark.line);
        Ok(rest.with_an_end(is_plain))
    }
}

impl Read {
    /// By what it is known from now on.
    fn mark(&self) -> io::Result<Delivered> {
        let path = &self.path;
        let seen = Seen::at(path).ok_or(io::ErrorKind::NotFound)?;
        let mut marker = Marker::new();
        if self.has_rows {
            let file = File::open(path)?;
            let compression = match kind(path, &file)? {
                Kind::Known(compression) => compression,
                Kind::Unknown => Compression::None,
            };
            let mut input = unpack(file, compression)?;
            let to = self.end.map_or(u64::MAX, |(at, _)| at);
            marker.pass(input.as_mut(), to)?;
        }
        let line = self.end.map_or(0, |(_, line)| line);
        Ok(Delivered {
            source: self.source.clone(),
            path: path.to_string_lossy().into_owned(),
            stored: seen.size,
            written: i64::try_from(seen.written).unwrap_or_default(),
            has_rows: self.has_rows,
            mark: marker.mark(seen.id, marker.at(), line),
        })
    }
}
