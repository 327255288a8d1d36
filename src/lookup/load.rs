//! Reading reference files whole, with every row checked, before any sale is read.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use arrow_array::cast::AsArray;
use arrow_array::{Array, ArrayRef, BooleanArray, RecordBatch, StringArray};
use arrow_row::{RowConverter, SortField};
use arrow_schema::{ArrowError, Field, Schema, SchemaRef};
use arrow_select::concat::concat_batches;
use arrow_select::filter::filter_record_batch;
use hashbrown::HashMap;
use hashbrown::hash_map::Entry;

use super::block::{Block, BlockBuilder};
use super::layout::Layout;
use super::rows::Rows;
use super::topic::Topic;
use crate::cluster::exchange;
use crate::decode::debezium::{Change, Effect, Order};
use crate::decode::{self, Decoder};
use crate::job::plan::{Aliases, Duplicates, Fold, Format, LookupPlan, Transport, Unpivot};
use crate::record::{Chunk, Draft, Fault, Origin};
use crate::sources::{SourceError, TableFile, TextFile, expand, told_missing};
use crate::transform::text;

/// Bytes of reference text decoded at a time.
const CHUNK_BYTES: usize = 1 << 20;

/// Faulty reference rows that are told one by one; the others are counted.
const TOLD_ROWS: usize = 5;

/// What the world did to a look-up.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LookupError {
    /// Its files could not be read.
    #[error(transparent)]
    Source(#[from] SourceError),
    /// Two different reference rows have one key.
    #[error(
        "lookups.{lookup}: two rows have the key {key}\n  first: {first}\n  again: {again}\n  expected: one row a key (and valid_from)\n  now: the run stops; nothing of it is visible\n  hint: duplicates = \"newest\" with order_by takes the newest one, duplicates = \"reject\" none"
    )]
    Duplicate {
        /// The look-up.
        lookup: String,
        /// The key, as text.
        key: String,
        /// Place of the first row.
        first: String,
        /// Place of the second row.
        again: String,
    },
    /// Arrow could not encode its rows.
    #[error("lookups.{lookup}: its rows could not be encoded")]
    Encode {
        /// The look-up.
        lookup: String,
        /// Why.
        #[source]
        source: ArrowError,
    },
}

/// A look-up's rows, ready to become a collection.
#[derive(Debug, Clone, Default)]
pub struct Loaded {
    pub(super) pieces: Vec<Piece>,
    /// What was wrong with rows that were left out, for people.
    pub warnings: Vec<String>,
}

/// Encoded rows; several a key only in as-of look-ups.
#[derive(Debug, Clone)]
pub(super) struct Piece {
    pub(super) block: Block,
    /// The bin of each row's key, which says who owns the row where the look-up is partitioned.
    pub(super) bins: Vec<u8>,
}

/// Cuts encoded rows into pieces; each comes with the hash of its key.
pub(super) fn pieces<'a>(rows: impl Iterator<Item = (&'a [u8], u64)>) -> Vec<Piece> {
    let mut pieces = Pieces::default();
    for (row, hash) in rows {
        pieces.push(row, hash);
    }
    pieces.finish()
}

/// Encoded rows while they are cut into pieces.
#[derive(Debug, Default)]
pub(super) struct Pieces {
    cut: Vec<Piece>,
    block: BlockBuilder,
    bins: Vec<u8>,
}

impl Pieces {
    /// Adds a row, with the hash of its key.
    pub(super) fn push(&mut self, row: &[u8], hash: u64) {
        self.block.push(row);
        let bin = u8::try_from(exchange::bin(hash));
        self.bins.push(bin.expect("there are 256 bins"));
        if self.block.is_full() {
            self.cut();
        }
    }

    /// All pieces.
    pub(super) fn finish(mut self) -> Vec<Piece> {
        self.cut();
        self.cut
    }

    fn cut(&mut self) {
        let bins = std::mem::take(&mut self.bins);
        let block = self.block.take();
        self.cut.extend(block.map(|block| Piece { block, bins }));
    }
}

impl Loaded {
    /// Number of rows.
    pub fn rows(&self) -> usize {
        self.pieces.iter().map(|piece| piece.block.len()).sum()
    }

    /// Bytes of the rows as they are encoded.
    pub fn bytes(&self) -> usize {
        self.pieces.iter().map(|piece| piece.block.bytes()).sum()
    }
}

/// The Arrow schema of a look-up's reference columns.
pub(super) fn schema(plan: &LookupPlan) -> SchemaRef {
    let fields: Vec<_> = plan
        .reference
        .iter()
        .map(|column| Field::new(&column.name, column.column_type.data_type(), true))
        .collect();
    Arc::new(Schema::new(fields))
}

/// Reads the look-up's files, or its topics to their end.
///
/// A reference row that can't be read, or has a null key or validity, is left out and told; two rows of one key end the run
/// unless the look-up says which one counts. Of changes (`debezium`) the last one of each key counts. `None` where `over` said, between
/// two pieces of a file, that nobody wants the rows any more. Cost: the whole table in memory, twice for a moment, and its text.
pub fn load(
    plan: &LookupPlan,
    patience: Duration,
    over: &dyn Fn() -> bool,
) -> Result<Option<Loaded>, LookupError> {
    if let Transport::Kafka(kafka) = &plan.transport {
        let Some((_, rows, applied)) = Topic::whole(plan, kafka, patience, over)? else {
            return Ok(None);
        };
        let mut loaded = rows.loaded(plan).map_err(|source| encode(plan, source))?;
        loaded.warnings = applied.warnings(plan);
        return Ok(Some(loaded));
    }
    let Some(table) = read_files(plan, over)? else {
        return Ok(None);
    };
    Ok(Some(table.loaded()))
}

/// The rows of files, for look-ups that are held against later ones.
pub(super) struct ReadRows {
    pub(super) rows: Rows,
    /// What is to be told.
    pub(super) warnings: Vec<String>,
    /// Rows that were left out.
    pub(super) left_out: u64,
}

/// As [`load`], for look-ups of files in continuous jobs.
pub(super) fn load_rows(
    plan: &LookupPlan,
    over: &dyn Fn() -> bool,
) -> Result<Option<ReadRows>, LookupError> {
    let Some(table) = read_files(plan, over)? else {
        return Ok(None);
    };
    let chosen = table.chosen.iter();
    let rows = chosen.map(|row| {
        let [identity, bytes] = [&table.identities, &table.rows];
        (identity.row(*row).data(), bytes.row(*row).data())
    });
    Ok(Some(ReadRows {
        rows: rows.collect(),
        warnings: table.warnings,
        left_out: table.left_out,
    }))
}

/// What is said where Arrow could not encode rows.
pub(super) fn encode(plan: &LookupPlan, source: ArrowError) -> LookupError {
    LookupError::Encode {
        lookup: plan.name.clone(),
        source,
    }
}

fn read_files(plan: &LookupPlan, over: &dyn Fn() -> bool) -> Result<Option<Table>, LookupError> {
    let mut reading = Reading::new(plan);
    let Transport::Files { paths, .. } = &plan.transport else {
        return reading.finish().map(Some).map_err(|error| error.of(plan));
    };
    let owner = format!("lookups.{}", plan.name);
    for path in expand(&owner, paths, &mut reading.told_of_files)? {
        let ended = match &plan.format {
            Format::Parquet | Format::Arrow | Format::Avro => {
                reading.read_table(&owner, &path, over)?
            }
            Format::Csv(_) | Format::Json(_) | Format::Debezium | Format::AvroMessages { .. } => {
                reading.read_text(&owner, &path, over)?
            }
        };
        if !ended {
            return Ok(None);
        }
    }
    reading.finish().map(Some).map_err(|error| error.of(plan))
}

/// All rows that were read, and which of them count.
struct Table {
    /// The key's columns, as they are.
    keys: Vec<ArrayRef>,
    /// What tells rows apart.
    identities: arrow_row::Rows,
    rows: arrow_row::Rows,
    chosen: Vec<usize>,
    warnings: Vec<String>,
    left_out: u64,
}

impl Table {
    fn loaded(self) -> Loaded {
        let Self {
            keys,
            rows,
            chosen,
            warnings,
            ..
        } = self;
        let hashes = exchange::hash_rows(&keys, rows.num_rows());
        let chosen = chosen.into_iter();
        let pieces = pieces(chosen.map(|row| (rows.row(row).data(), hashes[row])));
        Loaded { pieces, warnings }
    }
}

enum Finish {
    Arrow(ArrowError),
    Duplicate {
        key: String,
        first: String,
        again: String,
    },
}

impl Finish {
    fn of(self, plan: &LookupPlan) -> LookupError {
        let lookup = plan.name.clone();
        match self {
            Self::Arrow(source) => LookupError::Encode { lookup, source },
            Self::Duplicate { key, first, again } => LookupError::Duplicate {
                lookup,
                key,
                first,
                again,
            },
        }
    }
}

impl From<ArrowError> for Finish {
    fn from(error: ArrowError) -> Self {
        Self::Arrow(error)
    }
}

/// Rows that were read from messages: each says itself whether it counts.
pub(super) struct Read {
    /// The rows.
    pub(super) all: RecordBatch,
    /// For each its chunk, and its row in that.
    pub(super) from: Vec<(usize, usize)>,
    /// What each of them does, where the format tells changes.
    pub(super) changes: Vec<Change>,
    /// Where all rows were deleted: chunk and row, and the order of that.
    pub(super) truncated: Vec<((usize, usize), Order)>,
    /// Rows that were left out.
    pub(super) left_out: u64,
    /// Some of them, for people.
    pub(super) told: Vec<String>,
}

pub(super) struct Reading<'a> {
    plan: &'a LookupPlan,
    decoder: Decoder,
    drafts: Vec<Draft>,
    /// Reference rows so far, each with the draft and row it came from.
    batches: Vec<RecordBatch>,
    from: Vec<(usize, usize)>,
    /// What each of them does, where the format tells changes.
    changes: Vec<Change>,
    /// Where all rows were deleted: draft and row, and the order of that.
    truncated: Vec<((usize, usize), Order)>,
    told: Vec<String>,
    left_out: usize,
    /// What is to be told of files as a whole.
    told_of_files: Vec<String>,
    /// Values read otherwise than written, by column and what was done.
    adjusted: BTreeMap<(usize, &'static str), u64>,
}

impl<'a> Reading<'a> {
    pub(super) fn new(plan: &'a LookupPlan) -> Self {
        Self {
            plan,
            decoder: Decoder::new(&plan.columns, &plan.format, plan.columns.len()),
            drafts: Vec::new(),
            batches: Vec::new(),
            from: Vec::new(),
            changes: Vec::new(),
            truncated: Vec::new(),
            told: Vec::new(),
            left_out: 0,
            told_of_files: Vec::new(),
            adjusted: BTreeMap::new(),
        }
    }

    /// Reads a chunk; gives what `of_rows` says of its rows.
    pub(super) fn take_chunk<T>(
        &mut self,
        chunk: Arc<Chunk>,
        of_rows: impl Fn(&Draft) -> T,
    ) -> Result<T, ArrowError> {
        let draft = self.decoder.decode(chunk);
        let said = of_rows(&draft);
        self.take(draft)?;
        Ok(said)
    }

    /// All rows of the chunks that were taken.
    pub(super) fn read(self) -> Result<Read, ArrowError> {
        Ok(Read {
            all: concat_batches(&schema(self.plan), &self.batches)?,
            from: self.from,
            changes: self.changes,
            truncated: self.truncated,
            left_out: u64::try_from(self.left_out).expect("a number of rows fits"),
            told: self.told,
        })
    }

    /// Reads a file to its end; false where it was given up before.
    fn read_text(
        &mut self,
        owner: &str,
        path: &Path,
        over: &dyn Fn() -> bool,
    ) -> Result<bool, LookupError> {
        let mut file =
            TextFile::open(owner, 0, path, &self.plan.format, &self.plan.columns, false)?;
        self.told_of_files.extend(file.lacks());
        while let Some(chunk) = file.next(CHUNK_BYTES, &mut None)? {
            let draft = self.decoder.decode(Arc::new(chunk));
            self.take(draft)
                .map_err(|source| encode(self.plan, source))?;
            if over() {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// As [`Self::read_text`].
    fn read_table(
        &mut self,
        owner: &str,
        path: &Path,
        over: &dyn Fn() -> bool,
    ) -> Result<bool, LookupError> {
        let file = Arc::new(PathBuf::from(path));
        let plan = self.plan;
        let opened = TableFile::open(owner, path, &plan.format, &plan.columns, false)?;
        for (column, near) in &opened.bound.missing {
            self.told_of_files
                .push(told_missing(owner, path, column, near.as_deref()));
        }
        opened.read(
            owner,
            path,
            &plan.format,
            &plan.columns,
            |first_row, batch| {
                let draft = self
                    .decoder
                    .decode_table(batch, Arc::clone(&file), first_row, 0, 0);
                self.take(draft).map_err(|source| encode(plan, source))?;
                Ok(!over())
            },
        )
    }

    /// Keeps the good rows of a draft.
    fn take(&mut self, mut draft: Draft) -> Result<(), ArrowError> {
        let number = self.drafts.len();
        for (column, what, values) in &draft.adjusted {
            *self.adjusted.entry((*column, what)).or_default() += values;
        }
        let mut good = vec![true; draft.rows];
        let changes = self.decoder.take_changes();
        for fault in &draft.faults {
            if std::mem::replace(&mut good[fault.row], false) {
                self.tell(&draft, fault.row, &describe(fault));
            }
        }
        for (row, change) in changes.iter().enumerate() {
            if change.effect == Effect::Truncate && std::mem::replace(&mut good[row], false) {
                self.truncated.push(((number, row), change.order.clone()));
            }
        }
        let columns: Vec<ArrayRef> = draft
            .columns
            .iter()
            .map(|column| {
                text::to_plain(
                    column
                        .as_ref()
                        .expect("the decoder fills every column of a look-up"),
                )
            })
            .collect();
        // A piece, and the column that makes no row where it is null.
        let pieces: Vec<(Vec<ArrayRef>, Option<usize>)> =
            match (&self.plan.unpivot, &self.plan.aliases) {
                (Some(unpivot), _) => unpivoted(self.plan, unpivot, &columns)?
                    .into_iter()
                    .map(|columns| {
                        let value = columns.len() - 1;
                        (columns, Some(value))
                    })
                    .collect(),
                (None, Some(aliases)) => spellings(aliases, self.plan.fold, &columns),
                (None, None) => vec![(columns, None)],
            };
        for (columns, value_column) in pieces {
            let present = self.present(&columns, value_column, &mut good, &draft);
            let batch = RecordBatch::try_new(schema(self.plan), columns)?;
            self.from.extend(
                (0..draft.rows)
                    .filter(|row| present[*row])
                    .map(|row| (number, row)),
            );
            let changes = changes.iter().enumerate().filter(|(row, _)| present[*row]);
            self.changes
                .extend(changes.map(|(_, change)| change.clone()));
            self.batches
                .push(filter_record_batch(&batch, &BooleanArray::from(present))?);
        }
        // Only the places of rows are asked for from now on.
        draft.columns = Vec::new();
        if let Some(Origin::Table { batch, .. }) = &mut draft.origin {
            *batch = RecordBatch::new_empty(batch.schema());
        }
        self.drafts.push(draft);
        Ok(())
    }

    /// Which rows are good and have a value, a key and a validity.
    fn present(
        &mut self,
        columns: &[ArrayRef],
        value_column: Option<usize>,
        good: &mut [bool],
        draft: &Draft,
    ) -> Vec<bool> {
        let needed = self.plan.on.iter().map(|(position, _)| *position);
        let needed: Vec<usize> = needed
            .chain(self.plan.validity.iter().map(|validity| validity.from))
            .collect();
        (0..good.len())
            .map(|row| {
                if !good[row] || value_column.is_some_and(|column| columns[column].is_null(row)) {
                    return false;
                }
                if let Some(position) = needed
                    .iter()
                    .find(|position| columns[**position].is_null(row))
                {
                    good[row] = false;
                    let what = format!(
                        "column {} is null, but it is part of the key",
                        self.plan.reference[*position].name
                    );
                    self.tell(draft, row, &what);
                    return false;
                }
                true
            })
            .collect()
    }

    fn tell(&mut self, draft: &Draft, row: usize, what: &str) {
        self.left_out += 1;
        if self.told.len() < TOLD_ROWS {
            self.told.push(format!(
                "lookups.{}: {}: {what}; the reference row is left out",
                self.plan.name,
                place(draft, row, &self.plan.format)
            ));
        }
    }

    fn finish(mut self) -> Result<Table, Finish> {
        let all = concat_batches(&schema(self.plan), &self.batches)?;
        self.batches = Vec::new();
        let layout = Layout::new(self.plan)?;
        let keys = self.plan.on.iter();
        let keys: Vec<ArrayRef> = keys
            .map(|(position, _)| Arc::clone(all.column(*position)))
            .collect();
        let keys = super::fold::folded(keys, self.plan.fold);
        let identities = layout.identities(self.plan, &keys, all.columns())?;
        let rows = layout.encode(all.columns())?;
        let mut kept: HashMap<&[u8], usize> = HashMap::with_capacity(all.num_rows());
        // Rows of keys that stand twice and so count for nothing.
        let mut rejections: Vec<String> = Vec::new();
        let mut rejected: BTreeSet<usize> = BTreeSet::new();
        for row in (0..all.num_rows()).filter(|row| !self.is_truncated(*row)) {
            match kept.entry(identities.row(row).data()) {
                Entry::Vacant(entry) => {
                    entry.insert(row);
                }
                Entry::Occupied(mut entry) => {
                    let before = *entry.get();
                    if let (Some(earlier), Some(later)) =
                        (self.changes.get(before), self.changes.get(row))
                    {
                        if later.order.is_after(&earlier.order) {
                            entry.insert(row);
                        }
                        continue;
                    }
                    match self.plan.duplicates {
                        _ if rows.row(before) == rows.row(row) => {}
                        Duplicates::Newest(position) => {
                            if newer(all.column(position), before, row)? {
                                entry.insert(row);
                            }
                        }
                        Duplicates::Refuse => return Err(self.duplicate(&all, before, row)),
                        Duplicates::Reject => {
                            // The first of the key stands for all of them.
                            if rejected.insert(before)
                                && let Finish::Duplicate { key, first, again } =
                                    self.duplicate(&all, before, row)
                            {
                                rejections.push(format!(
                                    "lookups.{}: two rows have the key {key}: {first} and {again}; rows with it find nothing (duplicate_key)",
                                    self.plan.name
                                ));
                            }
                        }
                    }
                }
            }
        }
        let is_gone = |row: &usize| {
            let change = self.changes.get(*row);
            change.is_some_and(|change| change.effect == Effect::Delete)
        };
        let mut chosen: Vec<usize> = kept
            .into_values()
            .filter(|row| !rejected.contains(row) && !is_gone(row))
            .collect();
        chosen.sort_unstable();
        let mut warnings = std::mem::take(&mut self.told_of_files);
        let told = self.told.len();
        warnings.append(&mut self.told);
        if self.left_out > told {
            let more = self.left_out - told;
            warnings.push(format!(
                "lookups.{}: {more} more reference rows were left out",
                self.plan.name
            ));
        }
        let more = rejections.len().saturating_sub(TOLD_ROWS);
        rejections.truncate(TOLD_ROWS);
        warnings.append(&mut rejections);
        if more > 0 {
            warnings.push(format!(
                "lookups.{}: {more} more keys stand twice and find nothing",
                self.plan.name
            ));
        }
        for ((column, what), values) in &self.adjusted {
            warnings.push(format!(
                "lookups.{}: column {}: {values} {what}",
                self.plan.name, self.plan.columns[*column].name
            ));
        }
        Ok(Table {
            keys,
            identities,
            rows,
            chosen,
            warnings,
            left_out: u64::try_from(self.left_out).expect("a number of rows fits"),
        })
    }

    /// Whether all rows were deleted after this one.
    fn is_truncated(&self, row: usize) -> bool {
        let Some(change) = self.changes.get(row) else {
            return false;
        };
        self.truncated.iter().any(|(place, order)| {
            if *place > self.from[row] {
                order.is_after(&change.order)
            } else {
                !change.order.is_after(order)
            }
        })
    }

    fn duplicate(&self, all: &RecordBatch, first: usize, again: usize) -> Finish {
        let key = self.plan.on.iter().map(|(position, _)| {
            let name = &self.plan.reference[*position].name;
            let [value, before] =
                [again, first].map(|row| super::missing::show(all.column(*position), row));
            if value == before {
                format!("{name} = {value}")
            } else {
                format!("{name} = {before}, folded as {value} is")
            }
        });
        let place = |row: usize| {
            let (draft, row) = self.from[row];
            place(&self.drafts[draft], row, &self.plan.format)
        };
        Finish::Duplicate {
            key: key.collect::<Vec<_>>().join(", "),
            first: place(first),
            again: place(again),
        }
    }
}

/// Makes a piece of the spellings in `of`, then one of the first of each list, of the second, and so on; a list's end is null.
fn spellings(
    aliases: &Aliases,
    fold: Option<Fold>,
    columns: &[ArrayRef],
) -> Vec<(Vec<ArrayRef>, Option<usize>)> {
    let own = columns[aliases.of].as_string::<i32>();
    let lists = columns[aliases.column].as_string::<i32>();
    let compared = |text: &str| match fold {
        Some(fold) => super::fold::text(text, fold).into_owned(),
        None => text.to_owned(),
    };
    // Spellings of one row that are one to the look-up are one.
    let of_row = |(own, list): (Option<&str>, Option<&str>)| -> Vec<String> {
        let mut seen: Vec<String> = own.map(compared).into_iter().collect();
        let listed = list.unwrap_or_default().split(aliases.separator.as_str());
        listed
            .map(str::trim)
            .filter(|spelling| !spelling.is_empty())
            .filter(|spelling| {
                let compared = compared(spelling);
                let is_new = !seen.contains(&compared);
                if is_new {
                    seen.push(compared);
                }
                is_new
            })
            .map(str::to_owned)
            .collect()
    };
    let listed: Vec<Vec<String>> = own.iter().zip(lists).map(of_row).collect();
    let longest = listed.iter().map(Vec::len).max().unwrap_or(0);
    let with = |spellings: ArrayRef| {
        let mut piece = columns.to_vec();
        piece[aliases.column] = spellings;
        piece
    };
    let mut pieces = vec![(with(Arc::clone(&columns[aliases.of])), None)];
    for place in 0..longest {
        let nth: StringArray = listed
            .iter()
            .map(|spellings| spellings.get(place))
            .collect();
        pieces.push((with(Arc::new(nth)), Some(aliases.column)));
    }
    pieces
}

/// Turns wide rows into tall ones: one piece for each turned column, each with as many rows as the draft.
fn unpivoted(
    plan: &LookupPlan,
    unpivot: &Unpivot,
    columns: &[ArrayRef],
) -> Result<Vec<Vec<ArrayRef>>, ArrowError> {
    let rows = columns.first().map_or(0, arrow_array::Array::len);
    let value_type = plan
        .reference
        .last()
        .expect("an unpivoted look-up has a value column")
        .column_type
        .data_type();
    unpivot
        .turn
        .iter()
        .map(|turned| {
            let name = plan.columns[*turned].name.as_str();
            let mut piece: Vec<ArrayRef> = unpivot
                .keep
                .iter()
                .map(|kept| Arc::clone(&columns[*kept]))
                .collect();
            piece.push(Arc::new(StringArray::from_iter_values(
                std::iter::repeat_n(name, rows),
            )));
            piece.push(arrow_cast::cast(&columns[*turned], &value_type)?);
            Ok(piece)
        })
        .collect()
}

/// Whether the later row is the newer one: its value is not null and not smaller.
fn newer(column: &ArrayRef, before: usize, row: usize) -> Result<bool, ArrowError> {
    let converter = RowConverter::new(vec![SortField::new(column.data_type().clone())])?;
    let pair = arrow_select::concat::concat(&[&column.slice(before, 1), &column.slice(row, 1)])?;
    let rows = converter.convert_columns(&[pair])?;
    Ok(rows.row(1) >= rows.row(0))
}

fn describe(fault: &Fault) -> String {
    format!("{} ({})", fault.detail, fault.reason)
}

/// Where a reference row stands, for people.
fn place(draft: &Draft, row: usize, format: &Format) -> String {
    decode::raw_and_place(draft, row, format).1.to_string()
}
