//! The feed: all input of a bounded run in one order, cut into pieces that any worker of the process may take.

use std::collections::VecDeque;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::files::{SourceError, expand, expand_any, io};
use super::follow::{Delivered, Delivery, Read, ToRead};
use super::generate::{VENTAS_COLUMNS, VentasChunks, VentasText};
use super::replay::{Next, Replay};
use super::table::{Part, TableError, TableFile, TablePart, told_missing};
use super::text::{Followed, TextFile};
use crate::decode::Bound;
use crate::job::plan::{Format, OnBadFile, Plan, SourcePlan, Transport};
use crate::record::{Budget, Chunk, Dropped, Encoding, Epoch, Framing, HeaderBinding, Lease};

/// Things that are told of files: enough to see what kind of thing it is, and no more for a thousand files than for ten.
const MOST_TOLD: usize = 10;

/// The first epoch that holds rows.
const FIRST_EPOCH: Epoch = 1;

/// Bits for the number of a piece within one feed: more than a trillion of them.
const PIECES_BITS: u32 = 40;

/// All input of the run, shared by the workers of this process.
#[derive(Debug)]
pub struct Feed {
    plan: Arc<Plan>,
    budget: Arc<Budget>,
    state: Mutex<State>,
    epoch: AtomicU64,
    /// What people are to be told of files.
    told: Mutex<Vec<String>>,
    /// Bytes of all files as they lie on disk, for progress.
    pub total_bytes: u64,
    /// What earlier runs have read, where only what is new is read.
    delivery: Option<Arc<Delivery>>,
}

/// What one claim gives.
#[derive(Debug)]
pub enum Claim {
    /// Text records.
    Text {
        /// The records.
        chunk: Box<Chunk>,
        /// Whether the bytes lie in the file as they are here, so that another process can read them there.
        in_place: bool,
    },
    /// A part of a file of rows, which the caller reads.
    Part(TablePart),
    /// The budget is used up: ask again when rows have been staged.
    Full,
    /// There is no more input.
    Done,
}

#[derive(Debug)]
struct State {
    waiting: VecDeque<Input>,
    open: Option<Open>,
    given_bytes: u64,
    /// How many pieces were given out.
    given: u64,
    rows_left: Option<u64>,
}

#[derive(Debug)]
enum Input {
    Kept {
        files: Vec<PathBuf>,
    },
    File {
        source: usize,
        path: PathBuf,
        /// What was read of it by an earlier run.
        before: Option<Box<Delivered>>,
    },
    Generated {
        source: usize,
        rows: u64,
        seed: u64,
    },
}

#[derive(Debug)]
enum Open {
    Kept(Box<Replay>),
    Text {
        file: Box<TextFile>,
        has_rows: bool,
        before: Option<Box<Delivered>>,
    },
    Table {
        source: usize,
        file: Arc<PathBuf>,
        parts: std::vec::IntoIter<Part>,
    },
    Generated {
        source: usize,
        file: Arc<PathBuf>,
        header: Arc<HeaderBinding>,
        chunks: Box<VentasChunks>,
        offset: u64,
    },
}

impl Feed {
    /// Finds the files of the sources that are `taken`. Reads nothing yet; `limit` is the number of records after which input
    /// ends.
    pub fn new(
        plan: &Arc<Plan>,
        budget: &Arc<Budget>,
        limit: Option<u64>,
        taken: impl Fn(&SourcePlan) -> bool,
    ) -> Result<Self, SourceError> {
        Self::behind(plan, budget, limit, taken, None)
    }

    /// The same without what earlier runs have read.
    pub fn behind(
        plan: &Arc<Plan>,
        budget: &Arc<Budget>,
        limit: Option<u64>,
        taken: impl Fn(&SourcePlan) -> bool,
        delivery: Option<Arc<Delivery>>,
    ) -> Result<Self, SourceError> {
        let mut waiting = VecDeque::new();
        let mut total_bytes = 0;
        let mut told = Vec::new();
        for (source, from) in plan.sources.iter().enumerate() {
            if !taken(from) {
                continue;
            }
            match &from.transport {
                Transport::Files { paths, .. } => {
                    let owner = owner(from);
                    let paths = match &delivery {
                        // What was read may be gone, and what is new not be there yet.
                        Some(_) => expand_any(&owner, paths, &mut told)?,
                        None => expand(&owner, paths, &mut told)?,
                    };
                    for path in paths {
                        let metadata = std::fs::metadata(&path)
                            .map_err(|error| io(&owner, &path, "opened", 0, error))?;
                        let to_read = match &delivery {
                            Some(delivery) => delivery.judge(from, &path, &mut told)?,
                            None => ToRead::All,
                        };
                        let before = match to_read {
                            ToRead::Nothing => continue,
                            ToRead::All => None,
                            ToRead::Rest(before) => Some(before),
                        };
                        total_bytes += metadata.len();
                        waiting.push_back(Input::File {
                            source,
                            path,
                            before,
                        });
                    }
                }
                Transport::Generate { rows, seed } => {
                    waiting.push_back(Input::Generated {
                        source,
                        rows: *rows,
                        seed: *seed,
                    });
                }
                // Read by workers themselves (`kafka`, `follow`).
                Transport::Kafka(_) | Transport::Follow(_) => {}
            }
        }
        Ok(Self {
            plan: Arc::clone(plan),
            budget: Arc::clone(budget),
            state: Mutex::new(State {
                waiting,
                open: None,
                given_bytes: 0,
                given: 0,
                rows_left: limit,
            }),
            epoch: AtomicU64::new(FIRST_EPOCH),
            told: Mutex::new(told),
            total_bytes,
            delivery,
        })
    }

    /// What people are to be told of files: folders that are not read, optional columns that are not there. A few only.
    pub fn told(&self) -> Vec<String> {
        self.lock_told().clone()
    }

    fn lock_told(&self) -> MutexGuard<'_, Vec<String>> {
        self.told.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The rows that an earlier run refused and kept in `files`, fed again.
    pub fn again(
        plan: &Arc<Plan>,
        budget: &Arc<Budget>,
        files: Vec<PathBuf>,
    ) -> Result<Self, SourceError> {
        let mut feed = Self::new(plan, budget, None, |_| false)?;
        for path in &files {
            let metadata = std::fs::metadata(path)
                .map_err(|error| io("quarantine", path, "opened", 0, error))?;
            feed.total_bytes += metadata.len();
        }
        let state = feed.state.get_mut().unwrap_or_else(PoisonError::into_inner);
        state.waiting.push_back(Input::Kept { files });
        Ok(feed)
    }

    /// The same as input that the process of this index has to itself: its pieces follow those of all processes before it, and
    /// those that all share.
    #[must_use]
    pub fn of_process(mut self, index: usize) -> Self {
        let before = length(index + 1) << PIECES_BITS;
        let state = self.state.get_mut();
        state.unwrap_or_else(PoisonError::into_inner).given = before;
        self
    }

    /// The earliest epoch that a later claim may give rows for.
    pub fn epoch(&self) -> Epoch {
        self.epoch.load(Ordering::Acquire)
    }

    /// Tells once for each source and column how its files differ from it; of later files with the same difference
    /// nothing is told.
    fn tell(&self, owner: &str, path: &Path, bound: &Bound) {
        let mut all = self.lock_told();
        for (column, near) in &bound.missing {
            let told = told_missing(owner, path, column, near.as_deref());
            let same = format!("{owner}: column \"{column}\" ");
            if !all.iter().any(|known| known.starts_with(&same)) {
                all.push(told);
            }
        }
        if !bound.extra.is_empty() {
            tracing::info!(
                action = "columns-unread",
                owner,
                file = %path.display(),
                columns = bound.extra.join(", "),
                "columns of the file that the job does not name are not read"
            );
        }
    }

    /// Takes the next piece. Cost: reads and scans about one chunk under the lock.
    pub fn claim(&self) -> Result<Claim, SourceError> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let bytes = u64::try_from(self.plan.chunk_bytes).expect("a chunk's size fits 64 bits");
        let Some(lease) = self.budget.take(bytes) else {
            return Ok(Claim::Full);
        };
        loop {
            if state.rows_left == Some(0) {
                state.open = None;
                state.waiting.clear();
            }
            if state.open.is_none() {
                let Some(input) = state.waiting.pop_front() else {
                    return Ok(Claim::Done);
                };
                match self.open(&input) {
                    Ok(open) => state.open = Some(open),
                    Err(error) => return self.bad_file(&mut state, &input, error, &lease),
                }
            }
            let epoch = FIRST_EPOCH + state.given_bytes / self.plan.epoch_bytes;
            self.epoch.store(epoch, Ordering::Release);
            let State {
                waiting,
                open,
                rows_left,
                given_bytes,
                given: pieces,
                ..
            } = &mut *state;
            let number = *pieces;
            let given = match open.as_mut().expect("opened above") {
                Open::Kept(kept) => match kept.next(self.plan.chunk_bytes)? {
                    Some(Next::Chunk(mut chunk)) => {
                        lease.grow_to(length(chunk.bytes.len()));
                        *given_bytes += length(chunk.bytes.len());
                        chunk.number = number;
                        chunk.epoch = epoch;
                        chunk.lease = Some(Arc::clone(&lease));
                        Some(Claim::Text {
                            chunk,
                            in_place: false,
                        })
                    }
                    Some(Next::File { source, path }) => {
                        waiting.push_back(Input::File {
                            source,
                            path,
                            before: None,
                        });
                        continue;
                    }
                    None => None,
                },
                Open::Text { file, has_rows, .. } => file
                    .next(self.plan.chunk_bytes, rows_left)?
                    .map(|mut chunk| {
                        *has_rows = true;
                        lease.grow_to(length(chunk.bytes.len()));
                        *given_bytes += length(chunk.bytes.len());
                        chunk.number = number;
                        chunk.epoch = epoch;
                        chunk.lease = Some(Arc::clone(&lease));
                        Claim::Text {
                            chunk: Box::new(chunk),
                            in_place: file.is_plain(),
                        }
                    }),
                Open::Table {
                    source,
                    file,
                    parts,
                } => parts.next().map(|mut part| {
                    part.rows = rows_left.map_or(part.rows, |left| left.min(part.rows));
                    if let Some(left) = rows_left {
                        *left -= part.rows;
                    }
                    *given_bytes += part.rows * part.row_bytes;
                    Claim::Part(TablePart {
                        number,
                        source: *source,
                        file: Arc::clone(file),
                        part,
                        epoch,
                    })
                }),
                Open::Generated {
                    source,
                    file,
                    header,
                    chunks,
                    offset,
                } => chunks
                    .next_chunk(self.plan.chunk_bytes, rows_left.unwrap_or(u64::MAX))
                    .map(|(bytes, first_row)| {
                        if let Some(left) = rows_left {
                            *left -= chunks.position() - first_row;
                        }
                        let start = *offset;
                        *offset += length(bytes.len());
                        *given_bytes += length(bytes.len());
                        let chunk = Box::new(Chunk {
                            places: Vec::new(),
                            followed: None,
                            messages: None,
                            until: None,
                            number,
                            source: *source,
                            file: Arc::clone(file),
                            bytes,
                            offset: start,
                            line: first_row + 1,
                            header: Arc::clone(header),
                            epoch,
                            broken: None,
                            dropped: Dropped::default(),
                            lease: Some(Arc::clone(&lease)),
                        });
                        Claim::Text {
                            chunk,
                            in_place: false,
                        }
                    }),
            };
            if let Some(claim) = given {
                *pieces += 1;
                return Ok(claim);
            }
            let open = state.open.take();
            self.was_read(open.as_ref());
        }
    }

    /// Remembers what was read to its end, where later runs read only what is new.
    fn was_read(&self, open: Option<&Open>) {
        let Some(delivery) = &self.delivery else {
            return;
        };
        let (source, path, end, has_rows, before) = match open {
            Some(Open::Text {
                file,
                has_rows,
                before,
            }) => {
                let (source, path) = file.of();
                let format = &self.plan.sources[source].format;
                // Lines that are taken away from the end are read, too.
                let skips = matches!(format, Format::Csv(options) if options.skip_last > 0);
                let end = (!skips).then(|| file.position());
                (source, path, end, *has_rows, before.clone())
            }
            Some(Open::Table { source, file, .. }) => (*source, file, None, true, None),
            _ => return,
        };
        delivery.was_read(Read {
            source: self.plan.sources[source].name.clone(),
            path: path.to_path_buf(),
            end,
            has_rows,
            before,
        });
    }

    fn open(&self, input: &Input) -> Result<Open, SourceError> {
        let mut before = None;
        let (source, path) = match input {
            Input::Kept { files } => {
                let replay = Replay::new(&self.plan, files.clone());
                return Ok(Open::Kept(Box::new(replay)));
            }
            Input::Generated { source, rows, seed } => {
                let from = &self.plan.sources[*source];
                let place = |name: &&str| {
                    from.columns
                        .iter()
                        .position(|column| column.header == *name)
                };
                let text = match from.format {
                    Format::Json(_) => VentasText::Json,
                    _ => VentasText::Csv,
                };
                return Ok(Open::Generated {
                    source: *source,
                    file: Arc::new(PathBuf::from("generated")),
                    header: Arc::new(HeaderBinding {
                        framing: Framing::OfSource,
                        encoding: Encoding::Utf8,
                        record: VENTAS_COLUMNS.join(",").into_bytes(),
                        fields: VENTAS_COLUMNS.len(),
                        column_of_field: VENTAS_COLUMNS.iter().map(place).collect(),
                    }),
                    chunks: Box::new(VentasChunks::new(*rows, *seed, text)),
                    offset: 0,
                });
            }
            Input::File {
                source,
                path,
                before: of_file,
            } => {
                before.clone_from(of_file);
                (*source, path)
            }
        };
        let from = &self.plan.sources[source];
        match &from.format {
            Format::Parquet | Format::Arrow | Format::Avro => {
                let verify = self.plan.on_bad_file == OnBadFile::Refuse;
                let opened =
                    TableFile::open(&owner(from), path, &from.format, &from.columns, verify)?;
                self.tell(&owner(from), path, &opened.bound);
                Ok(Open::Table {
                    source,
                    file: Arc::new(path.clone()),
                    parts: opened.parts.into_iter(),
                })
            }
            Format::Csv(_) | Format::Json(_) | Format::Debezium | Format::AvroMessages { .. } => {
                let verify = self.plan.on_bad_file == OnBadFile::Refuse;
                let mut file = TextFile::open(
                    &owner(from),
                    source,
                    path,
                    &from.format,
                    &from.columns,
                    verify,
                )?;
                let mut told = self.lock_told();
                if told.len() < MOST_TOLD {
                    told.extend(file.lacks());
                }
                drop(told);
                if let Some(before) = &before {
                    let followed = Followed {
                        owner: &owner(from),
                        source,
                        path: &Arc::new(path.clone()),
                        format: &from.format,
                        columns: &from.columns,
                    };
                    file = before.open(&followed, &file)?;
                }
                Ok(Open::Text {
                    file: Box::new(file),
                    has_rows: before.is_some(),
                    before,
                })
            }
        }
    }

    /// A file that can't be read stops the run, or is refused whole: one row in, one refused, with the file as its place.
    fn bad_file(
        &self,
        state: &mut State,
        input: &Input,
        error: SourceError,
        lease: &Arc<Lease>,
    ) -> Result<Claim, SourceError> {
        let (Input::File { source, path, .. }, OnBadFile::Refuse) = (input, self.plan.on_bad_file)
        else {
            return Err(error);
        };
        let (code, message) = match &error {
            SourceError::Header { code, message, .. } => (*code, message.clone()),
            SourceError::Table {
                source: TableError::Changed,
                ..
            } => return Err(error),
            SourceError::Table { source, .. } => ("bad_file", source.to_string()),
            SourceError::Io {
                source,
                action: "decompressed",
                ..
            } => ("bad_compression", source.to_string()),
            _ => return Err(error),
        };
        if let Some(left) = &mut state.rows_left {
            *left -= 1;
        }
        if let Some(delivery) = &self.delivery {
            delivery.was_read(Read {
                source: self.plan.sources[*source].name.clone(),
                path: path.clone(),
                end: None,
                has_rows: false,
                before: None,
            });
        }
        let epoch = FIRST_EPOCH + state.given_bytes / self.plan.epoch_bytes;
        let number = state.given;
        state.given += 1;
        let chunk = Box::new(Chunk {
            places: Vec::new(),
            followed: None,
            messages: None,
            until: None,
            number,
            source: *source,
            file: Arc::new(path.clone()),
            bytes: Vec::new(),
            offset: 0,
            line: 0,
            header: Arc::new(HeaderBinding {
                framing: Framing::OfSource,
                encoding: Encoding::Utf8,
                record: Vec::new(),
                fields: 0,
                column_of_field: Vec::new(),
            }),
            epoch,
            broken: Some((code.into(), message)),
            dropped: Dropped::default(),
            lease: Some(Arc::clone(lease)),
        });
        Ok(Claim::Text {
            chunk,
            in_place: false,
        })
    }
}

/// How messages name a source.
pub(super) fn owner(source: &SourcePlan) -> String {
    format!("sources.{}", source.name)
}

/// A length in memory as a number of bytes.
pub(super) fn length(bytes: usize) -> u64 {
    u64::try_from(bytes).expect("a length in memory fits 64 bits")
}
