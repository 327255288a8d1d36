//! Refused rows fed again, from what the last run kept of them.
//!
//! ```text
//! kept rows ──> as many of one file as a chunk takes, side by side, each with its own place ──> decode, as ever
//! ```
//!
//! A record is read again from the bytes that were kept, under the header that its file had and by the columns that the job has now. A
//! file that was refused whole is read again itself. Of a record that was too long only the beginning is there: it is refused
//! again. Rows of columnar files have no bytes, and end the replay.

use std::collections::VecDeque;
use std::fs::File;
use std::io::BufReader;
use std::path::PathBuf;
use std::sync::Arc;

use super::files::{SourceError, io};
use crate::decode::{Cutter, bind_header};
use crate::job::plan::{Format, LineEnd, Plan};
use crate::record::{
    Chunk, Dropped, Encoding, Framing, HeaderBinding, Kept, KeptHeader, KeptLines, Kind,
    RecordPlace,
};

/// How messages name what is read.
const OWNER: &str = "quarantine";

/// What comes next of the kept rows.
pub(super) enum Next {
    /// Rows.
    Chunk(Box<Chunk>),
    /// A file that is read again as a whole.
    File {
        /// Index of its source.
        source: usize,
        /// It.
        path: PathBuf,
    },
}

/// Kept rows that are being read.
pub(super) struct Replay {
    plan: Arc<Plan>,
    files: VecDeque<PathBuf>,
    open: Option<(PathBuf, KeptLines<BufReader<File>>)>,
    /// Read, and not yet given out.
    ahead: Option<(Kept, KeptHeader)>,
    /// The header that was bound last, by source.
    bound: Option<(usize, KeptHeader, Arc<HeaderBinding>)>,
}

impl std::fmt::Debug for Replay {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Replay")
            .field("files", &self.files)
            .finish_non_exhaustive()
    }
}

impl Replay {
    /// Reads the rows kept in these files, one after the other.
    pub(super) fn new(plan: &Arc<Plan>, files: Vec<PathBuf>) -> Self {
        Self {
            plan: Arc::clone(plan),
            files: files.into(),
            open: None,
            ahead: None,
            bound: None,
        }
    }

    /// The next piece of about `bytes`; `None` at the end.
    pub(super) fn next(&mut self, bytes: usize) -> Result<Option<Next>, SourceError> {
        let Some((first, header)) = self.take()? else {
            return Ok(None);
        };
        let source = self.source(&first)?;
        if first.kind == Kind::File {
            let path = PathBuf::from(&first.file);
            return Ok(Some(Next::File { source, path }));
        }
        let format = self.plan.sources[source].format.clone();
        if first.kind == Kind::Table || !matches!(format, Format::Csv(_) | Format::Json(_)) {
            return Err(SourceError::Replay {
                place: place(&first),
                problem: "a row of a columnar file has no bytes that could be read again"
                    .to_owned(),
                hint: "run the job without --replay: it reads the file",
            });
        }
        let binding = self.bind(source, &first, &header)?;
        let mut chunk = Chunk {
            number: 0,
            source,
            file: Arc::new(PathBuf::from(&first.file)),
            bytes: Vec::new(),
            offset: first.byte,
            line: first.line,
            header: binding,
            epoch: 0,
            broken: None,
            places: Vec::new(),
            followed: None,
            messages: None,
            dropped: Dropped::default(),
            until: None,
            lease: None,
        };
        let mut cutter = Cutter::new(&format);
        let encoding = chunk.header.encoding;
        let is_json = matches!(format, Format::Json(_));
        if is_json && first.kind == Kind::Record && has_line_ends(&first) {
            let mut binding = HeaderBinding::clone(&chunk.header);
            binding.framing = Framing::Whole;
            chunk.header = Arc::new(binding);
            chunk.bytes = encoding.text(first.raw.0);
            return Ok(Some(Next::Chunk(Box::new(chunk))));
        }
        let Some(record) = whole(&first, encoding, &format, &mut cutter) else {
            let (reason, words) = broken(&first);
            chunk.broken = Some((reason.into(), words));
            chunk.bytes = encoding.text(first.raw.0);
            return Ok(Some(Next::Chunk(Box::new(chunk))));
        };
        add(&mut chunk, &first, record);
        while chunk.bytes.len() < bytes
            && let Some((next, next_header)) = self.take()?
        {
            let goes_with = (&next.source, &next.file, &next_header)
                == (&first.source, &first.file, &header)
                && next.kind == Kind::Record;
            let record = whole(&next, encoding, &format, &mut cutter).filter(|_| goes_with);
            let Some(record) = record else {
                self.ahead = Some((next, next_header));
                break;
            };
            add(&mut chunk, &next, record);
        }
        Ok(Some(Next::Chunk(Box::new(chunk))))
    }

    /// The next row with its header.
    fn take(&mut self) -> Result<Option<(Kept, KeptHeader)>, SourceError> {
        if let Some(ahead) = self.ahead.take() {
            return Ok(Some(ahead));
        }
        loop {
            if self.open.is_none() {
                let Some(path) = self.files.pop_front() else {
                    return Ok(None);
                };
                let file =
                    File::open(&path).map_err(|error| io(OWNER, &path, "opened", 0, error))?;
                self.open = Some((path, KeptLines::new(BufReader::new(file))));
            }
            let (path, lines) = self.open.as_mut().expect("opened above");
            let read = lines.next_row();
            match read.map_err(|error| io(OWNER, path, "read", 0, error))? {
                Some(row) => return Ok(Some((row, lines.header().clone()))),
                None => self.open = None,
            }
        }
    }

    fn source(&self, kept: &Kept) -> Result<usize, SourceError> {
        let found = self
            .plan
            .sources
            .iter()
            .position(|source| source.name == kept.source);
        found.ok_or_else(|| SourceError::Replay {
            place: place(kept),
            problem: format!("the job has no source {:?} any more", kept.source),
            hint: "give the source its name back, or run the job without --replay",
        })
    }

    /// Binds the header that a row's file had to the columns that its source has now.
    fn bind(
        &mut self,
        source: usize,
        kept: &Kept,
        header: &KeptHeader,
    ) -> Result<Arc<HeaderBinding>, SourceError> {
        if let Some((of, bound, binding)) = &self.bound
            && *of == source
            && bound == header
        {
            return Ok(Arc::clone(binding));
        }
        let from = &self.plan.sources[source];
        let encoding = Encoding::by_label(&header.encoding).unwrap_or_default();
        let record = &header.record.0;
        let binding =
            match &from.format {
                Format::Csv(options) => bind_header(&from.columns, options, encoding, record)
                    .map_err(|error| SourceError::Header {
                        owner: super::feed::owner(from),
                        path: PathBuf::from(&kept.file),
                        line: kept.line,
                        code: error.code(),
                        message: error.to_string(),
                    })?,
                _ => HeaderBinding {
                    framing: Framing::Lines,
                    encoding,
                    record: Vec::new(),
                    fields: 0,
                    column_of_field: Vec::new(),
                },
            };
        let binding = Arc::new(binding);
        self.bound = Some((source, header.clone(), Arc::clone(&binding)));
        Ok(binding)
    }
}

/// The bytes of a row with a line end, where nothing is open at their end: they can stand before others.
fn whole(kept: &Kept, encoding: Encoding, format: &Format, cutter: &mut Cutter) -> Option<Vec<u8>> {
    if kept.kind != Kind::Record {
        return None;
    }
    let mut record = encoding.text(kept.raw.0.clone());
    if matches!(format, Format::Json(_)) && (record.trim_ascii().is_empty() || has_line_ends(kept))
    {
        return None;
    }
    record.push(match format {
        Format::Csv(options) if options.line_end == LineEnd::Cr => b'\r',
        _ => b'\n',
    });
    cutter.are_whole(&record).then_some(record)
}

/// Whether a record is written over several lines.
fn has_line_ends(kept: &Kept) -> bool {
    memchr::memchr2(b'\n', b'\r', &kept.raw.0).is_some()
}

fn add(chunk: &mut Chunk, kept: &Kept, record: Vec<u8>) {
    chunk.places.push(RecordPlace {
        start: chunk.bytes.len(),
        line: kept.line,
        byte: kept.byte,
    });
    chunk.bytes.extend(record);
}

/// Why bytes that can't be read as a record are refused again: as they were.
fn broken(kept: &Kept) -> (String, String) {
    let (reason, words) = match kept.reasons.first() {
        // A part, or an element of an array that is missing.
        Some(first) if kept.kind == Kind::Part || kept.raw.0.is_empty() => {
            (first.reason.as_str(), first.detail.as_str())
        }
        _ => (
            "unclosed_quote",
            "a quote opens a field and is never closed",
        ),
    };
    (reason.to_owned(), words.to_owned())
}

fn place(kept: &Kept) -> String {
    let Kept {
        file, line, byte, ..
    } = kept;
    if *line > 0 {
        format!("{file} line {line} (byte {byte})")
    } else {
        format!("{file} row {byte}")
    }
}
