//! One file through the engine's reader and decoder, and what must hold of it.

use std::sync::Arc;
use std::time::{Duration, Instant};

use arrow_cast::display::{ArrayFormatter, FormatOptions};
use caudal::cluster::Run;
use caudal::cluster::outcome::RunOptions;
use caudal::decode;
use caudal::epoch;
use caudal::job::document::Document;
use caudal::job::plan::Plan;
use caudal::job::resolve::resolve;
use caudal::record::{Budget, Draft};
use caudal::sources::{self, Feed};
use timely::WorkerConfig;
use timely::communication::allocator::{Allocator, thread::Thread};
use timely::dataflow::channels::pact::Pipeline;
use timely::dataflow::operators::Operator;
use timely::dataflow::operators::probe;
use timely::worker::Worker;

/// A small file takes microseconds; whatever takes so long hangs.
const DEADLINE: Duration = Duration::from_secs(20);

/// What is done with each file.
pub(super) trait Check {
    /// What messages call it.
    fn name(&self) -> &str;
    /// Reads the file; panics where something does not hold.
    fn check(&self, bytes: &[u8]);
}

/// A format, read with chunks of two sizes.
pub(super) struct Target {
    name: String,
    places: bool,
    folder: tempfile::TempDir,
    plans: [Arc<Plan>; 2],
}

/// What became of a file.
#[derive(Debug, PartialEq, Eq, Default)]
struct Outcome {
    rows: Vec<Row>,
    dropped: u64,
    /// Why reading it failed.
    failed: Option<String>,
}

#[derive(Debug, PartialEq, Eq)]
struct Row {
    values: Vec<String>,
    faults: Vec<String>,
    raw: String,
    line: u64,
    byte: u64,
}

impl Target {
    /// A source with these options and columns.
    pub(super) fn new(name: &str, source: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let plan = |chunk: &str| {
            let text = format!(
                "format = 1\n[job]\nname = \"fuzz\"\noutput = \"out\"\nchunk = \"{chunk}\"\nin_flight = \"1 GiB\"\non_bad_file = \"refuse\"\n\
                 [sources.s]\nfiles = {{ paths = [\"input\"] }}\n{source}\n[sinks.rows]\nfiles = {{ path = \"rows\" }}\njson = {{}}\n"
            );
            let path = folder.path().join("job.toml");
            let plan = Document::parse(&path, text.into_bytes(), &|_| None)
                .and_then(|document| resolve(&document));
            Arc::new(plan.unwrap_or_else(|problems| panic!("{problems}")))
        };
        let plans = [plan("7 B"), plan("1 MiB")];
        Self {
            name: name.to_owned(),
            places: false,
            folder,
            plans,
        }
    }

    /// Each row has a place of its own in the bytes, which are the text.
    pub(super) fn with_places(mut self) -> Self {
        self.places = true;
        self
    }
}

impl Check for Target {
    fn name(&self) -> &str {
        &self.name
    }

    /// Reads the file in both ways and compares.
    fn check(&self, bytes: &[u8]) {
        let path = self.folder.path().join("input");
        std::fs::write(&path, bytes).unwrap();
        let [small, large] = self.plans.each_ref().map(outcome);
        assert_eq!(
            small, large,
            "{}: chunks of 7 bytes and of 1 MiB differ",
            self.name
        );
        // A mark or a magic number makes other bytes of the text.
        let marks: [&[u8]; 6] = [
            b"\x1F\x8B",
            b"\x28\xB5\x2F\xFD",
            b"BZh",
            b"\xFD7zXZ",
            b"\xFF\xFE",
            b"\xFE\xFF",
        ];
        if self.places && !marks.iter().any(|mark| bytes.starts_with(mark)) {
            places(&large.rows, bytes);
        }
    }
}

/// The raw bytes stand where they are said to, and rows don't overlap.
fn places(rows: &[Row], bytes: &[u8]) {
    let mut end = 0;
    for row in rows.iter().filter(|row| row.line > 0) {
        let start = usize::try_from(row.byte).unwrap();
        assert!(start >= end, "{row:?} begins before byte {end}");
        // A line ends with `\n`, `\r\n`, or `\r` alone.
        let before = &bytes[..start];
        let ends = (0..start).filter(|at| match before[*at] {
            b'\n' => true,
            b'\r' => bytes.get(at + 1) != Some(&b'\n'),
            _ => false,
        });
        let line = 1 + ends.count();
        assert_eq!(row.line, u64::try_from(line).unwrap(), "{row:?}");
        // What is no UTF-8 is kept as `\xNN`; a long record is cut.
        if row.raw.is_ascii() && !row.raw.contains('\\') && row.raw.len() < 1024 {
            assert!(bytes[start..].starts_with(row.raw.as_bytes()), "{row:?}");
            end = start + row.raw.len();
        }
    }
}

fn outcome(plan: &Arc<Plan>) -> Outcome {
    let options = RunOptions::new(plan);
    let feed = match Feed::new(plan, &Budget::new(u64::MAX), None, |_| true) {
        Ok(feed) => feed,
        Err(error) => {
            return Outcome {
                failed: Some(error.to_string()),
                ..Outcome::default()
            };
        }
    };
    let run = Arc::new(Run::alone(plan, feed, Vec::new(), &options, 0));
    let mut worker = Worker::new(
        WorkerConfig::default(),
        Allocator::Thread(Thread::default()),
        None,
    );
    let (sender, drafts) = std::sync::mpsc::channel();
    worker.dataflow(|scope| {
        let passed = probe::Handle::new();
        let clock = epoch::clock(scope, &run, &passed);
        let local = epoch::Local::new();
        let pieces = sources::read(scope, &run, &passed, &clock.control, &local, None);
        let each = move |draft: &mut Draft| drop(sender.send(std::mem::take(draft)));
        decode::decode(pieces, &run).sink(Pipeline, "fuzz:gather", move |(input, _)| {
            input.for_each(|_, draft| each(draft));
        });
    });
    let began = Instant::now();
    while worker.has_dataflows() && !run.is_over() {
        worker.step();
        assert!(began.elapsed() < DEADLINE, "it hangs");
    }
    let mut outcome = Outcome {
        failed: run.fate.take_failure().map(|error| error.to_string()),
        ..Outcome::default()
    };
    if outcome.failed.is_some() {
        // How many rows came before is a matter of chunks.
        return outcome;
    }
    for draft in drafts.try_iter() {
        let dropped = draft.dropped.by_option();
        outcome.dropped += dropped.iter().map(|(_, count)| count).sum::<u64>();
        rows(&draft, plan, &mut outcome.rows);
    }
    outcome
}

fn rows(draft: &Draft, plan: &Plan, into: &mut Vec<Row>) {
    if draft.rows == 0 {
        return;
    }
    let options = FormatOptions::default().with_null("∅");
    let columns: Vec<ArrayFormatter<'_>> = draft
        .columns
        .iter()
        .flatten()
        .map(|column| ArrayFormatter::try_new(column, &options).unwrap())
        .collect();
    let all: Vec<usize> = (0..draft.rows).collect();
    let origins = decode::raws_and_places(draft, &all, &plan.sources[draft.source].format);
    for (row, (raw, place)) in origins.into_iter().enumerate() {
        let faults = draft.faults.iter().filter(|fault| fault.row == row);
        let mut faults: Vec<String> = faults
            .map(|fault| format!("{:?} {} {}", fault.site, fault.reason, fault.detail))
            .collect();
        faults.sort();
        into.push(Row {
            values: columns
                .iter()
                .map(|column| column.value(row).to_string())
                .collect(),
            faults,
            raw,
            line: place.line,
            byte: place.byte,
        });
    }
}
