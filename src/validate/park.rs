//! Rows that wait for their reference row (`missing = { then = "wait" }`): kept as they were read, and read again when the look-up
//! has changed or their time is over.
//!
//! ```text
//! read ──> decode ──> … ──> look-ups ──> rules ──> split ──> clean, refused
//!  ^                                                 │ rows whose only fault is that they found nothing
//!  └──────────── due: their look-up changed ──── park
//! ```
//!
//! A row that is read again goes the whole way again, in a later epoch, so that everything in it is of that epoch: it may be
//! late by then. It has been counted as read once.
//!
//! **Why the result does not depend on workers or timing.** A row that finds nothing in epoch p is parked in p. In epoch e those rows
//! parked before e are read again whose look-up changed in e − 1, or whose time is over by the wall time that e sees: both are in the
//! bindings. So that "parked before e" is known, a reader begins e when everything of e − 1 has been here; jobs in which nothing
//! waits don't. Whether rows may be parked at all (`max_parked`) goes by how many were parked two epochs before, in all.
//!
//! State: the rows, a file a worker; any worker may take any row.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::rc::Rc;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use timely::container::CapacityContainerBuilder;
use timely::dataflow::StreamVec;
use timely::dataflow::channels::pact::Pipeline;
use timely::dataflow::operators::Capability;
use timely::dataflow::operators::generic::OutputBuilder;
use timely::dataflow::operators::generic::builder_rc::OperatorBuilder;
use timely::scheduling::Activator;

use crate::cluster::exchange::hash_bytes;
use crate::cluster::{Run, RunError};
use crate::epoch::{Control, Opening, Part, Saving, saved};
use crate::job::plan::{Format, LineEnd, Missing};
use crate::record::{
    Chunk, Dropped, Epoch, Framing, HeaderBinding, MessageParts, Messages, Note, Raw, RecordPlace,
};

/// Name of the state.
const STATE: &str = "validate park";

/// A row that waits, as it was read.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Parked {
    /// Name of its source.
    pub source: String,
    /// Its file, or topic and partition.
    pub file: PathBuf,
    /// Its line there.
    pub line: u64,
    /// Its byte or offset there.
    pub byte: u64,
    /// Which file of this name it is, where files are followed.
    #[serde(default)]
    pub followed: Option<i32>,
    /// The topic and partition, where it is a message.
    pub message: Option<(String, i32)>,
    /// Key, headers and time of the message, where columns ask for them.
    pub parts: [Option<String>; 2],
    /// As `parts`.
    pub time: Option<i64>,
    /// How its file is bound.
    pub header: Arc<HeaderBinding>,
    /// Its text, without line end.
    pub raw: Raw,
    /// Wall time after which it waits no more, in microseconds since 1970.
    pub until: i64,
    /// Names of the look-ups that it waits for.
    pub waits_for: Vec<String>,
}

/// The rows that wait on one worker.
#[derive(Debug)]
pub struct Parking {
    rows: RefCell<Vec<Parked>>,
    /// Everything of the epochs through this one has been here.
    complete: Cell<Epoch>,
    reader: RefCell<Option<Activator>>,
}

impl Parking {
    /// That of this worker; `None` where no row of the job waits.
    pub fn new(run: &Run, worker: usize, peers: usize) -> Option<Rc<Self>> {
        let resumed = run.resumed.as_ref()?;
        let waits =
            |lookup: &crate::job::plan::LookupPlan| matches!(lookup.missing, Missing::Wait { .. });
        if !run.plan.lookups.iter().any(waits) {
            return None;
        }
        let rows = restore(run, worker, peers).unwrap_or_else(|error| {
            run.fail(error);
            Vec::new()
        });
        Some(Rc::new(Self {
            rows: RefCell::new(rows),
            complete: Cell::new(resumed.epoch),
            reader: RefCell::new(None),
        }))
    }

    /// Wakes this operator when an epoch is complete.
    pub fn wake(&self, reader: Activator) {
        *self.reader.borrow_mut() = Some(reader);
    }

    /// Whether everything of an epoch, and of those before it, has been here.
    pub fn is_complete(&self, epoch: Epoch) -> bool {
        self.complete.get() >= epoch
    }

    /// How many rows wait.
    pub fn count(&self) -> usize {
        self.rows.borrow().len()
    }

    /// Takes the rows that are read again: those that wait for one of these look-ups, or no longer at `now`.
    pub fn take_due(&self, run: &Run, changed: &[String], now: i64) -> Vec<Chunk> {
        let mut rows = self.rows.borrow_mut();
        let is_due = |row: &Parked| {
            row.until <= now || row.waits_for.iter().any(|name| changed.contains(name))
        };
        let (due, still): (Vec<_>, Vec<_>) = rows.drain(..).partition(is_due);
        *rows = still;
        chunks(run, due)
    }
}

/// Keeps rows that wait, and writes them at checkpoints.
pub fn park<'scope>(
    waiting: StreamVec<'scope, Epoch, (Epoch, Parked)>,
    control: &StreamVec<'scope, Epoch, Control>,
    run: &Arc<Run>,
    parking: Option<&Rc<Parking>>,
) -> StreamVec<'scope, Epoch, Note> {
    let worker = waiting.scope().index();
    let scope = waiting.scope();
    let mut builder = OperatorBuilder::new("validate:park".to_owned(), scope);
    let activator = scope
        .worker()
        .sync_activator_for(builder.operator_info().address.to_vec());
    let mut input = builder.new_input(waiting, Pipeline);
    let mut control = builder.new_input(control.clone(), Pipeline);
    let (notes_output, notes) = builder.new_output();
    let mut notes_output =
        OutputBuilder::<_, CapacityContainerBuilder<Vec<Note>>>::from(notes_output);
    let run = Arc::clone(run);
    let parking = parking.cloned();
    builder.build(move |capabilities| {
        drop(capabilities);
        let mut saving = Saving::new(&run, activator, None);
        let mut of_epochs: BTreeMap<Epoch, Vec<Parked>> = BTreeMap::new();
        let mut open: BTreeMap<Epoch, (Opening, Capability<Epoch>)> = BTreeMap::new();
        move |frontiers| {
            input.for_each(|_, rows| {
                for (epoch, row) in rows.drain(..) {
                    of_epochs.entry(epoch).or_default().push(row);
                }
            });
            control.for_each(|capability, said| {
                for control in said.drain(..) {
                    if let (Control::Open(opening), Some(_)) = (control, &parking) {
                        let held = capability.retain_least(0).expect("what is said has a time");
                        open.insert(opening.epoch, (opening, held));
                    }
                }
            });
            let Some(parking) = &parking else { return };
            while let Some(entry) = open.first_entry()
                && !frontiers
                    .iter()
                    .any(|frontier| frontier.less_equal(entry.key()))
            {
                let (epoch, (opening, capability)) = entry.remove_entry();
                let mut rows = parking.rows.borrow_mut();
                rows.extend(of_epochs.remove(&epoch).unwrap_or_default());
                if opening.checkpoint {
                    let name = format!("{STATE}-{worker}");
                    saving.write(capability, name, Part::Whole, written(&rows));
                }
                run.observer.parked(worker, rows.len());
                parking.complete.set(epoch);
                if let Some(reader) = &*parking.reader.borrow() {
                    reader.activate();
                }
            }
            saving.tell(&mut notes_output);
        }
    });
    notes
}

/// Rows as they are written, one a line.
fn written(rows: &[Parked]) -> Vec<u8> {
    let mut bytes = Vec::new();
    for row in rows {
        serde_json::to_writer(&mut bytes, row).expect("a row is JSON, and a Vec takes it");
        bytes.push(b'\n');
    }
    bytes
}

/// Reads the rows that all workers of the life before have written, and takes this worker's share.
fn restore(run: &Run, worker: usize, peers: usize) -> Result<Vec<Parked>, RunError> {
    let peers = u64::try_from(peers).expect("a number of workers fits");
    let mut mine = Vec::new();
    saved(run, STATE, |bytes| {
        let lines = bytes.split(|byte| *byte == b'\n');
        for line in lines.filter(|line| !line.is_empty()) {
            if usize::try_from(hash_bytes(line) % peers) == Ok(worker) {
                mine.push(serde_json::from_slice(line).map_err(|error| error.to_string())?);
            }
        }
        Ok(())
    })?;
    Ok(mine)
}

/// Rows as chunks: those of one file, bound alike and waiting until the same time, side by side.
fn chunks(run: &Run, rows: Vec<Parked>) -> Vec<Chunk> {
    let mut chunks: Vec<Chunk> = Vec::new();
    let mut before: Option<Parked> = None;
    for row in rows {
        let source = run.plan.sources.iter();
        let Some(source) = source.clone().position(|source| source.name == row.source) else {
            continue;
        };
        let end = line_end(&run.plan.sources[source].format);
        let is_whole = row.header.framing != Framing::OfSource
            && memchr::memchr2(b'\n', b'\r', &row.raw.0).is_some();
        let goes_with = |other: &Parked| {
            let of = |row: &Parked| {
                (
                    row.source.clone(),
                    row.file.clone(),
                    row.followed,
                    row.until,
                )
            };
            of(other) == of(&row) && other.header == row.header
        };
        let limit = run.plan.chunk_bytes;
        let has_room = |chunk: &Chunk| {
            chunk.header.framing != Framing::Whole && chunk.bytes.len() + row.raw.0.len() < limit
        };
        let joins = !is_whole
            && before.as_ref().is_some_and(goes_with)
            && chunks.last().is_some_and(has_room);
        if !joins {
            chunks.push(chunk(source, &row, is_whole));
        }
        let chunk = chunks.last_mut().expect("there is one");
        chunk.places.push(RecordPlace {
            start: chunk.bytes.len(),
            line: row.line,
            byte: row.byte,
        });
        chunk.bytes.extend_from_slice(&row.raw.0);
        if !is_whole {
            chunk.bytes.push(end);
        }
        if let Some(messages) = chunk.messages.as_mut().and_then(Arc::get_mut) {
            let [key, headers] = row.parts.clone();
            messages.parts.keys.push(key);
            messages.parts.headers.push(headers);
            messages.parts.timestamps.push(row.time);
        }
        before = Some(row);
    }
    chunks
}

fn line_end(format: &Format) -> u8 {
    match format {
        Format::Csv(options) if options.line_end == LineEnd::Cr => b'\r',
        _ => b'\n',
    }
}

fn chunk(source: usize, row: &Parked, is_whole: bool) -> Chunk {
    let mut header = Arc::clone(&row.header);
    let framing = match header.framing {
        Framing::OfSource => Framing::OfSource,
        Framing::Lines | Framing::Whole => {
            if is_whole {
                Framing::Whole
            } else {
                Framing::Lines
            }
        }
    };
    if header.framing != framing {
        header = Arc::new(HeaderBinding {
            framing,
            ..HeaderBinding::clone(&header)
        });
    }
    let message = row.message.as_ref();
    Chunk {
        number: 0,
        source,
        file: Arc::new(row.file.clone()),
        bytes: Vec::new(),
        offset: row.byte,
        line: row.line,
        header,
        epoch: 0,
        broken: None,
        dropped: Dropped::default(),
        places: Vec::new(),
        followed: row.followed,
        messages: message.map(|(topic, partition)| {
            Arc::new(Messages {
                topic: topic.clone(),
                partition: *partition,
                schemas: Vec::new(),
                parts: MessageParts::default(),
            })
        }),
        until: Some(row.until),
        lease: None,
    }
}
