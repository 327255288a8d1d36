//! Files against the manifests that have them.

use std::fs::{self, File};
use std::path::Path;

use parquet::file::reader::{FileReader, SerializedFileReader};

use super::{Committed, Line, Verified};
use crate::cli::numbers::{grouped, rows};
use crate::job::plan::{Plan, SinkPlan, SinkTo};
use crate::sinks::{ManifestFile, checksum};

/// A file as it was written down.
pub(super) struct Wanted {
    /// Below the output root.
    path: String,
    bytes: u64,
    rows: u64,
    /// Of its bytes; former builds made none.
    checksum: Option<u32>,
}

impl Wanted {
    /// One of a sink's folder.
    pub(super) fn new(folder: &str, file: &ManifestFile) -> Self {
        Self {
            path: format!("{folder}/{}", file.path),
            bytes: file.bytes,
            rows: file.rows,
            checksum: file.checksum,
        }
    }
}

/// Holds files against the folders, sink by sink.
pub(super) fn verify(plan: &Plan, commits: &[Committed]) -> Vec<Verified> {
    let of_files = |sink: &&SinkPlan| matches!(sink.to, SinkTo::Files { .. });
    let sinks = plan.sinks.iter().filter(of_files);
    sinks.map(|sink| of_sink(plan, sink, commits)).collect()
}

/// What was found so far of a sink.
#[derive(Default)]
struct Found {
    good: u64,
    good_rows: u64,
    wanted: usize,
    /// Files that are not there, of a table whose small files are merged.
    gone: u64,
    /// Files of which no checksum was written down.
    unsummed: u64,
    differences: Vec<String>,
    epochs: Vec<Line>,
}

fn of_sink(plan: &Plan, sink: &SinkPlan, commits: &[Committed]) -> Verified {
    let mut found = Found::default();
    for commit in commits {
        found.take(plan, sink, commit);
    }
    let mut notes = Vec::new();
    if found.gone > 0 {
        notes.push(format!(
            "{} files were put into larger ones of the table, or taken away by its tools",
            grouped(found.gone)
        ));
    }
    if found.unsummed > 0 {
        notes.push(format!(
            "{} files were written without a checksum: their size is looked at, and the rows of Parquet files",
            grouped(found.unsummed)
        ));
    }
    Verified {
        name: sink.name.clone(),
        good: format!(
            "{} of {} files are as they were committed: {}",
            grouped(found.good),
            found.wanted,
            rows(found.good_rows)
        ),
        differences: found.differences,
        notes,
        epochs: found.epochs,
    }
}

impl Found {
    fn take(&mut self, plan: &Plan, sink: &SinkPlan, commit: &Committed) {
        let files = commit.files.get(&sink.name).map_or(&[][..], Vec::as_slice);
        let said = commit.said.files.iter().find(|of| of.sink == sink.name);
        let said = said.map_or(&[][..], |said| &said.epochs);
        let before = self.differences.len();
        let (mut sum, mut here, mut written) = (0, 0, 0);
        for file in files {
            self.wanted += 1;
            self.unsummed += u64::from(file.checksum.is_none());
            written += file.rows;
            match differs(&plan.output.join(&file.path), file) {
                Ok(None) => {
                    self.good += 1;
                    here += file.rows;
                    sum += u64::from(file.checksum.unwrap_or(0));
                }
                Ok(Some(words)) => self.differ(commit, &format!("{}: {words}", file.path)),
                // Small files of a table are put together and taken away, by its tools or by the job.
                Err(()) if sink.delta.is_some() => self.gone += 1,
                Err(()) => self.differ(commit, &format!("{}: it is not there", file.path)),
            }
        }
        self.good_rows += here;
        let by_epoch: u64 = said.iter().map(|of| of.counted.messages).sum();
        if !said.is_empty() && by_epoch != written {
            let words = format!(
                "its files had {}, and its epochs {}",
                rows(written),
                grouped(by_epoch)
            );
            self.differ(commit, &words);
        }
        if let Some((from, to)) = commit.epochs
            && !files.is_empty()
        {
            self.epochs.push(Line {
                first: from + 1,
                last: to,
                found: here,
                sum,
                files: Some(files.len()),
                parts: said
                    .iter()
                    .map(|of| (of.first, of.last, of.counted.messages))
                    .collect(),
                is_good: self.differences.len() == before,
            });
        }
    }

    fn differ(&mut self, commit: &Committed, words: &str) {
        self.differences.push(format!("{}{words}", commit.words()));
    }
}

/// In what a file is another than was committed. Errors: it is not there.
fn differs(path: &Path, wanted: &Wanted) -> Result<Option<String>, ()> {
    let bytes = fs::metadata(path).map_err(drop)?.len();
    if bytes != wanted.bytes {
        return Ok(Some(format!(
            "it has {bytes} bytes, committed were {}",
            wanted.bytes
        )));
    }
    if let Some(committed) = wanted.checksum {
        return Ok(match File::open(path).and_then(checksum) {
            Ok(found) if found == committed => None,
            Ok(found) => Some(format!(
                "it has other bytes than were committed: their checksum is {found:08x}, and was {committed:08x}"
            )),
            Err(error) => Some(error.to_string()),
        });
    }
    if path
        .extension()
        .is_none_or(|extension| extension != "parquet")
    {
        return Ok(None);
    }
    let rows = File::open(path)
        .map_err(|error| error.to_string())
        .and_then(|file| {
            let reader = SerializedFileReader::new(file).map_err(|error| error.to_string())?;
            Ok(reader.metadata().file_metadata().num_rows())
        });
    Ok(match rows {
        Ok(rows) if u64::try_from(rows) == Ok(wanted.rows) => None,
        Ok(rows) => Some(format!(
            "it has {rows} rows, committed were {}",
            wanted.rows
        )),
        Err(problem) => Some(problem),
    })
}
