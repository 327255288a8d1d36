//! The one step that splits clean rows from refused ones.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use arrow_array::builder::StringBuilder;
use arrow_array::{
    ArrayRef, BinaryArray, BooleanArray, Int32Array, Int64Array, RecordBatch, RecordBatchOptions,
    StringArray, UInt64Array, new_null_array,
};
use arrow_cast::cast;
use arrow_schema::{ArrowError, DataType, Field, Schema, SchemaRef};
use arrow_select::filter::FilterBuilder;
use arrow_select::take::take;
use timely::container::CapacityContainerBuilder;
use timely::dataflow::channels::pact::Pipeline;
use timely::dataflow::operators::Capability;
use timely::dataflow::operators::generic::OutputBuilder;
use timely::dataflow::operators::generic::builder_rc::OperatorBuilder;
use timely::dataflow::{Stream, StreamVec};

use super::duplicates::place;
use super::messages;
use super::park::Parked;
use crate::checks::inputs_of_refused;
use crate::cluster::Run;
use crate::decode;
use crate::epoch::micros;
use crate::job::plan::{Missing, Plan, Then};
use crate::record::{
    Batch, Draft, Encoding, Epoch, Fault, Kind, Note, Origin, Place, Raw, RowCounts, Site, Stopped,
    file_column, position_columns,
};
use crate::sinks::kafka::gauge::Gauge;

/// What comes out of the split.
pub struct Split<'scope> {
    /// Rows without a fault: the columns that anything behind the split needs, named by their ids; where the job looks for
    /// duplicates, their places behind all ids.
    pub clean: Stream<'scope, Epoch, Batch>,
    /// Refused rows, as [`crate::job::tables::refused_columns`] describes them, named by their places in that table; where the plan
    /// keeps a quarantine, what it keeps besides (kind, bytes, header, encoding) stands behind. Where only a check asks for them they have no columns.
    pub refused: Stream<'scope, Epoch, Batch>,
    /// Of refused rows what checks count of them, named as in clean rows; behind all ids a column for each look-up that is true where the row was
    /// refused for want of its reference row. Nothing where no check asks.
    pub judged: Stream<'scope, Epoch, Batch>,
    /// Rows that wait for a reference row, with their epoch.
    pub parked: StreamVec<'scope, Epoch, (Epoch, Parked)>,
    /// How many rows of each kind this worker saw, of each epoch.
    pub notes: Stream<'scope, Epoch, Vec<Note>>,
}

/// Judges each row by all its faults, and lets go of the bytes it came from.
pub fn split<'scope>(drafts: Stream<'scope, Epoch, Draft>, run: &Arc<Run>) -> Split<'scope> {
    let mut builder = OperatorBuilder::new("validate:split".to_owned(), drafts.scope());
    let mut input = builder.new_input(drafts, Pipeline);
    let (clean_output, clean) = builder.new_output();
    let (refused_output, refused) = builder.new_output();
    let (notes_output, notes) = builder.new_output();
    let (parked_output, parked) = builder.new_output();
    let (judged_output, judged) = builder.new_output();
    let mut judged_output =
        OutputBuilder::<_, CapacityContainerBuilder<Batch>>::from(judged_output);
    let mut clean_output = OutputBuilder::<_, CapacityContainerBuilder<Batch>>::from(clean_output);
    let mut refused_output =
        OutputBuilder::<_, CapacityContainerBuilder<Batch>>::from(refused_output);
    let mut notes_output =
        OutputBuilder::<_, CapacityContainerBuilder<Vec<Note>>>::from(notes_output);
    let mut parked_output =
        OutputBuilder::<_, CapacityContainerBuilder<Vec<(Epoch, Parked)>>>::from(parked_output);
    let run = Arc::clone(run);
    let worker = clean.scope().index();
    builder.build(move |capabilities| {
        drop(capabilities);
        let mut of_epochs: BTreeMap<Epoch, (Capability<Epoch>, RowCounts)> = BTreeMap::new();
        let judge = Judge::new(&run);
        let mut counts = vec![RowCounts::default(); run.plan.sources.len()];
        let mut teller = run.progress.teller();
        let mut observed = run.observer.split_teller(worker);
        move |frontiers| {
            {
                let mut clean_output = clean_output.activate();
                let mut refused_output = refused_output.activate();
                input.for_each(|capability, draft| {
                    let draft = std::mem::take(draft);
                    let (source, epoch) = (draft.source, draft.epoch);
                    let mut of_draft = RowCounts::default();
                    let split = judge.split(draft, &mut of_draft);
                    counts[source].add(&of_draft);
                    let of_epoch = of_epochs.entry(epoch);
                    let (_, of_epoch) = of_epoch.or_insert_with(|| {
                        let held = capability.retain_least(NOTES).expect("drafts have a time");
                        (held, RowCounts::default())
                    });
                    of_epoch.add(&of_draft);
                    match split {
                        Ok(mut judged) => {
                            clean_output
                                .session(&capability)
                                .give_container(&mut judged.clean);
                            refused_output
                                .session(&capability)
                                .give_container(&mut judged.refused);
                            if !judged.counted.is_empty() {
                                let mut output = judged_output.activate();
                                output
                                    .session(&capability)
                                    .give_container(&mut judged.counted);
                            }
                            if !judged.parked.is_empty() {
                                let mut output = parked_output.activate();
                                let rows = judged.parked.into_iter();
                                output
                                    .session(&capability)
                                    .give_iterator(rows.map(|row| (epoch, row)));
                            }
                        }
                        Err(error) => run.fail(SplitError(error).into()),
                    }
                });
            }
            teller.tell(&counts);
            observed.tell(&counts, frontiers[0].frontier().as_option().copied());
            while let Some(entry) = of_epochs.first_entry()
                && !frontiers[0].less_equal(entry.key())
            {
                let (epoch, (capability, counts)) = entry.remove_entry();
                let note = Note::Rows { epoch, counts };
                notes_output.activate().session(&capability).give(note);
            }
        }
    });
    Split {
        clean,
        refused,
        judged,
        parked,
        notes,
    }
}

/// The output of notes among those of the operator.
const NOTES: usize = 2;

/// What became of a draft's rows.
struct Judged {
    clean: Batch,
    refused: Batch,
    /// What checks count of refused rows.
    counted: Batch,
    parked: Vec<Parked>,
}

/// Why the split failed: its arrays did not fit together, which is a bug of a step before it.
#[derive(Debug, thiserror::Error)]
#[error("the columns of a batch do not fit together")]
pub struct SplitError(#[source] pub(super) ArrowError);

/// How a row with faults ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum End {
    Clean,
    Parked,
    Dropped,
    Refused,
}

struct Judge {
    run: Arc<Run>,
    /// For each reason its precedence: those of `[job] reasons` first, by their order there.
    precedence: BTreeMap<Arc<str>, usize>,
    refused_schema: SchemaRef,
    /// Whether any sink takes refused rows; without one they are only counted.
    keep_refused: bool,
    /// Whether a check asks whether there are any: they come without columns then, where no sink takes them.
    tell_refused: bool,
    /// Id of the event time that windows go by.
    window_time: Option<usize>,
    /// Whether caudal keeps them itself, too: kind, bytes, header and encoding then stand behind the columns of the table.
    keeps_quarantine: bool,
    /// Ids of the columns that checks need of refused rows, where any asks.
    counted: Option<Vec<usize>>,
    /// What finds rows that are no messages of topics that take them.
    gauges: Vec<Gauge>,
}

impl Judge {
    fn new(run: &Arc<Run>) -> Self {
        let plan = &run.plan;
        let precedence = plan
            .reasons
            .iter()
            .enumerate()
            .map(|(rank, reason)| (Arc::clone(reason), rank))
            .collect();
        let columns = crate::job::tables::refused_columns(&plan.columns, &plan.sources);
        let mut types: Vec<DataType> = columns.into_iter().map(|column| column.data_type).collect();
        let keeps_quarantine = plan.keeps_quarantine();
        if keeps_quarantine {
            types.extend([
                DataType::Utf8,
                DataType::Binary,
                DataType::Binary,
                DataType::Utf8,
            ]);
        }
        let fields: Vec<Field> = types
            .into_iter()
            .enumerate()
            .map(|(place, data_type)| Field::new(place.to_string(), data_type, true))
            .collect();
        let keep_refused = plan
            .sinks
            .iter()
            .any(|sink| sink.from == crate::job::plan::SinkFrom::Refused);
        Self {
            tell_refused: plan.has_freshness(),
            run: Arc::clone(run),
            precedence,
            refused_schema: Arc::new(Schema::new(fields)),
            keep_refused,
            window_time: plan.windows.first().map(|window| window.event_time),
            keeps_quarantine,
            counted: inputs_of_refused(plan).map(|ids| {
                let columns = ids.into_iter();
                columns.filter(|id| *id < plan.columns.len()).collect()
            }),
            gauges: Gauge::all(plan),
        }
    }

    fn split(&self, mut draft: Draft, counts: &mut RowCounts) -> Result<Judged, ArrowError> {
        let plan = Arc::clone(&self.run.plan);
        let mut faults = std::mem::take(&mut draft.faults);
        Fault::sort(&mut faults);
        if !self.gauges.is_empty() {
            let now = || self.run.now_of(draft.epoch);
            messages::judge(&self.gauges, &plan, &draft, now, &mut faults);
        }
        let until = Self::until(&draft);
        match until {
            Some(_) => counts.released += count(draft.rows),
            None => counts.rows_in += count(draft.rows),
        }
        for (option, dropped) in draft.dropped.by_option() {
            counts.rows_in += dropped;
            counts.dropped += dropped;
            if dropped > 0 {
                *counts.dropped_by_rule.entry(option.to_owned()).or_default() += dropped;
            }
        }
        if draft.stripped > 0 {
            *counts
                .warned_by_rule
                .entry("on_nul".to_owned())
                .or_default() += draft.stripped;
        }
        for (column, what, values) in &draft.adjusted {
            let column = plan.columns[*column].name.clone();
            *counts
                .adjusted
                .entry((column, (*what).to_owned()))
                .or_default() += values;
        }
        let mut kept = (!faults.is_empty()).then(|| vec![true; draft.rows]);
        let mut refused: Vec<&[Fault]> = Vec::new();
        let mut parked: Vec<&[Fault]> = Vec::new();
        let may_park = self.may_park(&draft, until);
        for of_row in faults.chunk_by(|a, b| a.row == b.row) {
            match end(&plan, of_row, counts) {
                End::Clean => continue,
                End::Dropped => counts.dropped += 1,
                End::Parked if may_park => parked.push(of_row),
                End::Parked | End::Refused => refused.push(of_row),
            }
            kept.as_mut().expect("there are faults")[of_row[0].row] = false;
        }
        let mut stopped: BTreeMap<&str, (u64, usize)> = BTreeMap::new();
        for (rule, row) in faults.iter().filter_map(|fault| stops(&plan, fault)) {
            stopped.entry(rule).or_insert((0, row)).0 += 1;
        }
        for (rule, (rows, row)) in stopped {
            let format = &plan.sources[draft.source].format;
            let (_, first) = decode::raw_and_place(&draft, row, format);
            counts.stop(rule, Stopped { rows, first });
        }
        let clean = self.clean(&plan, &draft, kept)?;
        counts.clean += count(clean.len());
        counts.timeless += self.timeless(&clean);
        counts.refused += count(refused.len());
        let counted = match &self.counted {
            Some(ids) => counted(&plan, &draft, &refused, ids)?,
            None => Batch::default(),
        };
        let refused = self.refused(&plan, &draft, &refused, counts)?;
        counts.parked += count(parked.len());
        let parked = self.parked(&plan, &draft, &parked, until);
        Ok(Judged {
            clean,
            refused,
            counted,
            parked,
        })
    }

    fn clean(
        &self,
        plan: &Plan,
        draft: &Draft,
        kept: Option<Vec<bool>>,
    ) -> Result<Batch, ArrowError> {
        let all = kept
            .as_ref()
            .is_none_or(|kept| kept.iter().all(|kept| *kept));
        let filter = (!all).then(|| {
            FilterBuilder::new(&BooleanArray::from(kept.expect("not all are kept")))
                .optimize()
                .build()
        });
        let rows = filter
            .as_ref()
            .map_or(draft.rows, arrow_select::filter::FilterPredicate::count);
        let mut fields = Vec::new();
        let mut columns: Vec<ArrayRef> = Vec::new();
        for (id, column) in plan
            .columns
            .iter()
            .enumerate()
            .filter(|(id, _)| self.run.carried[*id])
        {
            let array = match (draft.columns.get(id).and_then(Option::as_ref), &filter) {
                (Some(array), Some(filter)) => filter.filter(array)?,
                (Some(array), None) => Arc::clone(array),
                (None, _) => new_null_array(&column.data_type, rows),
            };
            fields.push(Field::new(id.to_string(), array.data_type().clone(), true));
            columns.push(array);
        }
        // Behind all ids stands where the rows come from, as far as anybody asks for it. Duplicates are of jobs with an end, topics of others.
        let from = if !plan.duplicates.is_empty() {
            place::columns(draft)
        } else if plan.carries_positions() {
            let (file, _, bytes) = decode::lines_and_bytes(draft);
            position_columns(draft, file, bytes).to_vec()
        } else {
            Vec::new()
        };
        // The places of duplicates are taken away from the end again.
        let file = plan
            .carries_files()
            .then(|| (plan.file_column(), file_column(draft)));
        let from = (plan.columns.len()..).zip(from);
        for (id, array) in file.into_iter().chain(from) {
            let array = match &filter {
                Some(filter) => filter.filter(&array)?,
                None => array,
            };
            fields.push(Field::new(id.to_string(), array.data_type().clone(), true));
            columns.push(array);
        }
        let options = arrow_array::RecordBatchOptions::new().with_row_count(Some(rows));
        let batch =
            RecordBatch::try_new_with_options(Arc::new(Schema::new(fields)), columns, &options)?;
        Ok(Batch {
            rows: Some(batch),
            epoch: draft.epoch,
            lease: draft.lease.clone(),
        })
    }

    fn refused(
        &self,
        plan: &Plan,
        draft: &Draft,
        refused: &[&[Fault]],
        counts: &mut RowCounts,
    ) -> Result<Batch, ArrowError> {
        if refused.is_empty() {
            return Ok(Batch::default());
        }
        let chosen: Vec<&Fault> = refused
            .iter()
            .map(|faults| self.first(plan, faults))
            .collect();
        for fault in &chosen {
            *counts
                .refused_by_reason
                .entry(fault.reason.to_string())
                .or_default() += 1;
        }
        if !self.keep_refused {
            if !self.tell_refused {
                return Ok(Batch::default());
            }
            let options = RecordBatchOptions::new().with_row_count(Some(refused.len()));
            let none = Arc::new(Schema::empty());
            let rows = RecordBatch::try_new_with_options(none, Vec::new(), &options)?;
            return Ok(Batch::new(rows, draft.epoch));
        }
        let source = &plan.sources[draft.source];
        let numbers: Vec<usize> = refused.iter().map(|faults| faults[0].row).collect();
        let places = decode::raws_and_places(draft, &numbers, &source.format);
        let number = |value: u64| i64::try_from(value).expect("positions in files fit 63 bits");
        let rows = refused.len();
        let mut columns: Vec<ArrayRef> = vec![Arc::new(StringArray::from_iter_values(
            std::iter::repeat_n(&source.name, rows),
        ))];
        columns.extend(placed(draft, &places));
        let judged: [ArrayRef; 4] = [
            Arc::new(StringArray::from_iter_values(
                places.iter().map(|(raw, _)| raw),
            )),
            Arc::new(StringArray::from_iter_values(
                chosen.iter().map(|fault| &*fault.reason),
            )),
            reasons(plan, refused),
            Arc::new(Int64Array::from_value(number(draft.epoch), rows)),
        ];
        columns.extend(judged);
        let mut texts = decode::text_columns(draft, &numbers, &source.columns, &source.format);
        for (column, text) in source.columns.iter().zip(&mut texts) {
            if column.metadata.is_some()
                && let Some(Some(array)) = draft.columns.get(column.id)
            {
                let rows: UInt64Array = numbers.iter().map(|&row| count(row)).collect();
                *text = cast(&take(array, &rows, None)?, &DataType::Utf8)?;
            }
        }
        let names: Vec<&str> = source
            .columns
            .iter()
            .map(|column| column.name.as_str())
            .collect();
        for column in crate::job::tables::source_columns(&plan.columns, &plan.sources) {
            let place = names.iter().position(|name| *name == column);
            columns.push(place.map_or_else(
                || new_null_array(&DataType::Utf8, rows),
                |place| Arc::clone(&texts[place]),
            ));
        }
        if self.keeps_quarantine {
            let kind = kind(draft);
            let kept = decode::raw_bytes(draft, &numbers, &source.format, &source.columns, &texts);
            let (header, encoding) = match &draft.origin {
                Some(Origin::Text { chunk, .. }) => {
                    (chunk.header.record.as_slice(), chunk.header.encoding)
                }
                _ => (&[][..], Encoding::Utf8),
            };
            columns.push(Arc::new(StringArray::from(vec![kind.word(); rows])));
            columns.push(Arc::new(BinaryArray::from_iter_values(kept)));
            columns.push(Arc::new(BinaryArray::from(vec![header; rows])));
            columns.push(Arc::new(StringArray::from(vec![encoding.name(); rows])));
        }
        let batch = RecordBatch::try_new(Arc::clone(&self.refused_schema), columns)?;
        Ok(Batch {
            rows: Some(batch),
            epoch: draft.epoch,
            lease: draft.lease.clone(),
        })
    }

    /// Until when the rows of a draft wait that were read again.
    fn until(draft: &Draft) -> Option<i64> {
        match &draft.origin {
            Some(Origin::Text { chunk, .. }) => chunk.until,
            _ => None,
        }
    }

    /// Whether rows of a draft may wait, or wait on.
    fn may_park(&self, draft: &Draft, until: Option<i64>) -> bool {
        if self.run.resumed.is_none() {
            return false;
        }
        let sees = self.run.sees(draft.epoch);
        match until {
            Some(until) => sees.now < until,
            None => sees.may_park,
        }
    }

    /// Rows as they are parked.
    fn parked(
        &self,
        plan: &Plan,
        draft: &Draft,
        rows: &[&[Fault]],
        until: Option<i64>,
    ) -> Vec<Parked> {
        let Some(Origin::Text { chunk, .. }) = draft.origin.as_ref().filter(|_| !rows.is_empty())
        else {
            return Vec::new();
        };
        let source = &plan.sources[draft.source];
        let numbers: Vec<usize> = rows.iter().map(|faults| faults[0].row).collect();
        let places = decode::raws_and_places(draft, &numbers, &source.format);
        let texts = decode::raw_texts(draft, &numbers, &source.format);
        let messages = decode::messages_of_rows(draft);
        let now = self.run.now_of(draft.epoch);
        let each = rows.iter().zip(numbers).zip(places).zip(texts);
        let parked = each.map(|(((faults, number), (_, place)), text)| {
            let waits_for = faults.iter().filter_map(|fault| match fault.site {
                Site::Waits(lookup) => Some(&plan.lookups[lookup]),
                _ => None,
            });
            let patience = waits_for.clone().filter_map(|lookup| match lookup.missing {
                Missing::Wait { patience, .. } => Some(micros(patience)),
                _ => None,
            });
            let message = chunk.messages.as_ref();
            let of = |texts: &[Option<String>]| texts.get(messages[number]).cloned().flatten();
            Parked {
                source: source.name.clone(),
                file: PathBuf::clone(&chunk.file),
                line: place.line,
                byte: place.byte,
                followed: chunk.followed,
                message: message.map(|known| (known.topic.clone(), known.partition)),
                parts: message.map_or([None, None], |known| {
                    [of(&known.parts.keys), of(&known.parts.headers)]
                }),
                time: message.and_then(|known| *known.parts.timestamps.get(messages[number])?),
                header: Arc::clone(&chunk.header),
                raw: Raw(text),
                until: until
                    .unwrap_or_else(|| now.saturating_add(patience.min().unwrap_or_default())),
                waits_for: waits_for.map(|lookup| lookup.name.clone()).collect(),
            }
        });
        parked.collect()
    }

    /// How many clean rows no window takes, since they have no event time.
    fn timeless(&self, clean: &Batch) -> u64 {
        let (Some(time), Some(rows)) = (self.window_time, &clean.rows) else {
            return 0;
        };
        let column = rows.column_by_name(&time.to_string());
        count(column.map_or(0, |column| column.null_count()))
    }

    /// The fault whose reason comes first.
    fn first<'a>(&self, plan: &Plan, faults: &'a [Fault]) -> &'a Fault {
        let rank = |fault: &&Fault| {
            (
                self.precedence
                    .get(&fault.reason)
                    .copied()
                    .unwrap_or(usize::MAX),
                fault.site,
            )
        };
        faults
            .iter()
            .filter(|fault| refuses(plan, fault))
            .min_by_key(rank)
            .expect("a refused row has a fault that refuses")
    }
}

/// What checks count of refused rows: the columns of these ids as far as they could be read, and which look-ups had nothing for them. Rows whose
/// event time is faulty are in no window, as are those that came too late or are from the future.
fn counted(
    plan: &Plan,
    draft: &Draft,
    refused: &[&[Fault]],
    ids: &[usize],
) -> Result<Batch, ArrowError> {
    let event_time = plan.sources[draft.source].event_time;
    let has_time = |faults: &&&[Fault]| {
        let mut sites = faults.iter().map(|fault| fault.site);
        !sites.any(|site| matches!(site, Site::Column(id) if Some(id) == event_time))
    };
    let timed: Vec<&[Fault]> = refused.iter().filter(has_time).copied().collect();
    if timed.is_empty() {
        return Ok(Batch::default());
    }
    let numbers: UInt64Array = timed.iter().map(|faults| count(faults[0].row)).collect();
    let mut fields = Vec::new();
    let mut columns: Vec<ArrayRef> = Vec::new();
    for id in ids {
        let array = match draft.columns.get(*id).and_then(Option::as_ref) {
            Some(array) => take(array, &numbers, None)?,
            None => new_null_array(&plan.columns[*id].data_type, timed.len()),
        };
        fields.push(Field::new(id.to_string(), array.data_type().clone(), true));
        columns.push(array);
    }
    for lookup in 0..plan.lookups.len() {
        let is_missing = |fault: &Fault| matches!(fault.site, Site::Lookup(index) | Site::Waits(index) if index == lookup);
        let missing = timed.iter();
        let missing: BooleanArray = missing
            .map(|faults| faults.iter().any(is_missing).then_some(true))
            .collect();
        let id = plan.columns.len() + lookup;
        fields.push(Field::new(id.to_string(), DataType::Boolean, true));
        columns.push(Arc::new(missing));
    }
    let rows = RecordBatch::try_new(Arc::new(Schema::new(fields)), columns)?;
    Ok(Batch {
        rows: Some(rows),
        epoch: draft.epoch,
        lease: draft.lease.clone(),
    })
}

/// Where rows stand: file, line and byte, or topic, partition and offset.
fn placed(draft: &Draft, places: &[(String, Place)]) -> [ArrayRef; 6] {
    let number = |value: u64| i64::try_from(value).expect("positions fit 63 bits");
    let rows = places.len();
    let bytes: ArrayRef = Arc::new(Int64Array::from_iter_values(
        places.iter().map(|(_, place)| number(place.byte)),
    ));
    let text = || new_null_array(&DataType::Utf8, rows);
    let whole = || new_null_array(&DataType::Int64, rows);
    let messages = match &draft.origin {
        Some(Origin::Text { chunk, .. }) => chunk.messages.as_ref(),
        _ => None,
    };
    if let Some(messages) = messages {
        let topics = std::iter::repeat_n(&messages.topic, rows);
        let partitions = Int32Array::from_value(messages.partition, rows);
        return [
            text(),
            whole(),
            whole(),
            Arc::new(StringArray::from_iter_values(topics)),
            Arc::new(partitions),
            bytes,
        ];
    }
    [
        Arc::new(StringArray::from_iter_values(
            places.iter().map(|(_, place)| &place.file),
        )),
        Arc::new(Int64Array::from_iter_values(
            places.iter().map(|(_, place)| number(place.line)),
        )),
        bytes,
        text(),
        new_null_array(&DataType::Int32, rows),
        whole(),
    ]
}

/// How the row of these faults ends; counts what rules did.
fn end(plan: &Plan, faults: &[Fault], counts: &mut RowCounts) -> End {
    let mut end = End::Clean;
    let mut dropped_by = None;
    for fault in faults {
        let Site::Rule(index) = fault.site else {
            end = end.max(match fault.site {
                Site::Waits(_) => End::Parked,
                _ => End::Refused,
            });
            continue;
        };
        let rule = &plan.rules[index];
        match rule.then {
            Then::Refuse | Then::Stop => end = End::Refused,
            Then::Drop => {
                end = end.max(End::Dropped);
                dropped_by.get_or_insert(index);
            }
            Then::Warn => *counts.warned_by_rule.entry(rule.name.clone()).or_default() += 1,
        }
    }
    if let (End::Dropped, Some(index)) = (end, dropped_by) {
        *counts
            .dropped_by_rule
            .entry(plan.rules[index].name.clone())
            .or_default() += 1;
    }
    end
}

/// What of a draft's refused rows is kept.
fn kind(draft: &Draft) -> Kind {
    match &draft.origin {
        Some(Origin::Text { chunk, .. }) => match &chunk.broken {
            Some(_) if chunk.line == 0 && chunk.bytes.is_empty() => Kind::File,
            // Its first line is there, and may be a whole record under another job.
            Some((reason, _)) if reason == "unclosed_quote" => Kind::Record,
            Some(_) => Kind::Part,
            None => Kind::Record,
        },
        _ => Kind::Table,
    }
}

/// The rule that the fault breaks, where it stops the run, and the row.
fn stops<'a>(plan: &'a Plan, fault: &Fault) -> Option<(&'a str, usize)> {
    let Site::Rule(index) = fault.site else {
        return None;
    };
    let rule = &plan.rules[index];
    (rule.then == Then::Stop).then_some((rule.name.as_str(), fault.row))
}

/// All reasons of each row, as a JSON array of {at, reason, detail}.
fn reasons(plan: &Plan, refused: &[&[Fault]]) -> ArrayRef {
    let mut builder = StringBuilder::new();
    for faults in refused {
        let list: Vec<serde_json::Value> = faults
            .iter()
            .filter(|fault| refuses(plan, fault))
            .map(|fault| serde_json::json!({ "at": site(plan, fault.site), "reason": &*fault.reason, "detail": fault.detail }))
            .collect();
        builder.append_value(serde_json::Value::Array(list).to_string());
    }
    Arc::new(builder.finish())
}

/// Whether this fault makes its row refused.
fn refuses(plan: &Plan, fault: &Fault) -> bool {
    match fault.site {
        Site::Rule(index) => matches!(plan.rules[index].then, Then::Refuse | Then::Stop),
        _ => true,
    }
}

/// How a site is named to people.
fn site(plan: &Plan, site: Site) -> String {
    match site {
        Site::Record => "record".to_owned(),
        Site::Column(id) => format!("column {}", plan.columns[id].name),
        Site::Lookup(index) | Site::Waits(index) => format!("lookups.{}", plan.lookups[index].name),
        // An output column that is worked out is named after its place already.
        Site::Derived(index) if plan.derived[index].name.contains('.') => {
            plan.derived[index].name.clone()
        }
        Site::Derived(index) => format!("derive.{}", plan.derived[index].name),
        Site::Rule(index) => format!("rules.{}", plan.rules[index].name),
        Site::Sink(index) => format!("sinks.{}", plan.sinks[index].name),
    }
}

fn count(rows: usize) -> u64 {
    u64::try_from(rows).expect("a number of rows fits 64 bits")
}
