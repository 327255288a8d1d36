//! A worker's look at a reference collection: the snapshot that containers of an epoch meet, and the operator in which they do.

use std::collections::{BTreeMap, VecDeque};
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use arrow_schema::ArrowError;
use differential_dataflow::operators::arrange::arrangement::Arranged;
use differential_dataflow::trace::cursor::CursorList;
use differential_dataflow::trace::{BatchCursor, Cursor, Navigable, Span, TraceReader};
use timely::Accountable;
use timely::container::CapacityContainerBuilder;
use timely::dataflow::Stream;
use timely::dataflow::channels::pact::{ParallelizationContract, Pipeline};
use timely::dataflow::operators::Capability;
use timely::dataflow::operators::generic::Operator;
use timely::progress::Antichain;
use timely::progress::frontier::AntichainRef;

use super::block::Row;
use super::collection::{Reference, Trace};
use super::patch::{Base, Snapshot, Version};
use crate::cluster::Run;
use crate::job::plan::LookupPlan;
use crate::record::Epoch;

/// Why a look-up could not be read: the engine's own rows did not decode.
#[derive(Debug, thiserror::Error)]
#[error("lookups.{lookup}: its rows could not be read back")]
pub struct EnrichError {
    lookup: String,
    #[source]
    source: ArrowError,
}

impl EnrichError {
    pub(super) fn new(plan: &LookupPlan, source: ArrowError) -> Self {
        let lookup = plan.name.clone();
        Self { lookup, source }
    }
}

/// The newest snapshot of a look-up that is whole on every worker: made by the first worker of a process that needs it, and
/// held by all of them.
#[derive(Default)]
pub struct Shared(Mutex<Option<Arc<Snapshot>>>);

impl fmt::Debug for Shared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Shared").finish_non_exhaustive()
    }
}

/// Lets containers of each epoch meet the look-up's rows as of the epoch before; they wait until these are complete.
///
/// The rows are those this worker has: all of them, or its share.
pub(super) fn meet<'scope, I, O, P>(
    input: Stream<'scope, Epoch, I>,
    pact: P,
    reference: &Reference<'scope>,
    run: &Arc<Run>,
    lookup: usize,
    name: &str,
    mut logic: impl FnMut(&Snapshot, I) -> Result<O, ArrowError> + 'static,
) -> Stream<'scope, Epoch, O>
where
    I: Accountable + Default + Clone + 'static,
    O: Accountable + Default + Clone + 'static,
    P: ParallelizationContract<Epoch, I>,
{
    let Arranged { stream, trace } = reference.arranged[lookup].clone();
    let worker = stream.scope().index();
    let mut view = View::new(Arc::clone(run), lookup, worker, trace);
    input.binary_frontier::<_, CapacityContainerBuilder<O>, _, _, _, _>(
        stream,
        pact,
        Pipeline,
        name,
        move |_, _| {
            let mut waiting: VecDeque<(Capability<Epoch>, I)> = VecDeque::new();
            move |(input, input_frontier), (changes, reference_frontier), output| {
                changes.for_each(|_, batches| view.note(batches));
                input.for_each(|capability, container| {
                    if let Some(capability) = capability.retain_least(output.output_index()) {
                        waiting.push_back((capability, std::mem::take(container)));
                    }
                });
                // What is of e meets what is complete through e - 1. Containers come in no order of epochs, so each is tried.
                let mut still = VecDeque::new();
                while let Some((capability, container)) = waiting.pop_front() {
                    if reference_frontier.less_than(capability.time()) {
                        still.push_back((capability, container));
                        continue;
                    }
                    let met = view.snapshot(*capability.time());
                    match met.and_then(|snapshot| logic(&snapshot, container)) {
                        Ok(mut met) => output.session(&capability).give_container(&mut met),
                        Err(source) => view.fail(source),
                    }
                }
                waiting = still;
                // Nothing older than the least outstanding epoch will be asked for again.
                let held = waiting.iter().map(|(capability, _)| *capability.time());
                let least = input_frontier.frontier().iter().copied().chain(held).min();
                view.forget_before(least);
            }
        },
    )
}

/// The state of the operator.
struct View {
    run: Arc<Run>,
    lookup: usize,
    worker: usize,
    trace: Trace,
    /// Whether changes are put over the rows there are; versions of a key in time stand together, and are made anew.
    is_patched: bool,
    /// Rows that came or went, by epoch, since the base of the snapshot that was made last; of the first change only its epoch.
    changes: BTreeMap<Epoch, Vec<Row>>,
    made: Option<Arc<Snapshot>>,
}

impl View {
    fn new(run: Arc<Run>, lookup: usize, worker: usize, mut trace: Trace) -> Self {
        // Batches may merge as they like; reading goes by time.
        trace.set_physical_compaction(AntichainRef::new(&[]));
        let is_patched = run.plan.lookups[lookup].validity.is_none();
        Self {
            is_patched,
            run,
            lookup,
            worker,
            trace,
            changes: BTreeMap::new(),
            made: None,
        }
    }

    /// Notes when which rows of new batches changed.
    fn note(&mut self, spans: &[Span<Epoch, <Trace as TraceReader>::Batch>]) {
        for batch in spans.iter().filter_map(|span| span.inner.as_ref()) {
            let mut cursor = batch.cursor();
            while cursor.key_valid(batch) {
                let row = cursor.key(batch);
                cursor.map_times(batch, |time, _| {
                    let rows = self.changes.entry(*time).or_default();
                    // The rows of the start are the first base.
                    if self.is_patched && *time > 0 {
                        rows.push(row.clone());
                    }
                });
                cursor.step_key(batch);
            }
        }
    }

    fn fail(&self, source: ArrowError) {
        let plan = &self.run.plan.lookups[self.lookup];
        self.run.fail(EnrichError::new(plan, source).into());
    }

    /// Lets the arrangement put together what is older than the epoch before `least`.
    fn forget_before(&mut self, least: Option<Epoch>) {
        match least {
            Some(epoch) => {
                let since = Antichain::from_elem(epoch.saturating_sub(1));
                self.trace.set_logical_compaction(since.borrow());
                // What the base holds, and all are behind, is not asked for again; the newest tells versions apart.
                let base = self.made.as_ref().and_then(|made| made.base.version);
                let behind = self
                    .changes
                    .range(..epoch)
                    .next_back()
                    .map(|(last, _)| *last);
                if let Some(first) = behind.min(base) {
                    self.changes = self.changes.split_off(&first);
                }
            }
            None => self.trace.set_logical_compaction(AntichainRef::new(&[])),
        }
    }

    /// The rows as those of `epoch` see them: with all changes before that epoch.
    fn snapshot(&mut self, epoch: Epoch) -> Result<Arc<Snapshot>, ArrowError> {
        let version: Version = self
            .changes
            .range(..epoch)
            .next_back()
            .map(|(last, _)| *last);
        if let Some(made) = self.made.as_ref().filter(|made| made.version == version) {
            return Ok(Arc::clone(made));
        }
        let snapshot = if self.run.partitioned[self.lookup] {
            let base = self.made.as_ref().map(|made| Arc::clone(&made.base));
            self.make(epoch, version, base)?
        } else {
            let run = Arc::clone(&self.run);
            let mut shared = run.shared[self.lookup]
                .0
                .lock()
                .unwrap_or_else(PoisonError::into_inner);
            match &*shared {
                Some(made) if made.version == version => Arc::clone(made),
                made => {
                    let base = made.as_ref().map(|made| Arc::clone(&made.base));
                    let snapshot = self.make(epoch, version, base)?;
                    *shared = Some(Arc::clone(&snapshot));
                    snapshot
                }
            }
        };
        let rows = snapshot.len();
        self.run
            .observer
            .reference_rows(self.lookup, self.worker, rows);
        self.made = Some(Arc::clone(&snapshot));
        Ok(snapshot)
    }

    /// Puts the rows that changed since `base` over it; where that is too old or would be too much, all rows are read.
    fn make(
        &mut self,
        epoch: Epoch,
        version: Version,
        base: Option<Arc<Base>>,
    ) -> Result<Arc<Snapshot>, ArrowError> {
        let plan = &self.run.plan.lookups[self.lookup];
        let needed = &self.run.needed[plan.first_column..][..plan.reference.len()];
        let known = self.made.as_ref().and_then(|made| made.base.version);
        // Rows are noted since the base of what this worker made last.
        let base = base.filter(|base| {
            self.is_patched
                && base.version.is_some()
                && known <= base.version
                && base.version < version
        });
        if let Some(base) = base {
            let since = base.version.map_or(0, |version| version + 1);
            let mut touched: Vec<&Row> = self
                .changes
                .range(since..epoch)
                .flat_map(|(_, rows)| rows)
                .collect();
            touched.sort_unstable();
            touched.dedup();
            if base.takes(touched.len()) {
                let now = present(&mut self.trace, epoch, &touched);
                return Snapshot::patched(plan, needed, version, base, &touched, &now)
                    .map(Arc::new);
            }
        }
        let rows = rows_before(&mut self.trace, epoch);
        Snapshot::new(plan, needed, version, &rows).map(Arc::new)
    }
}

/// Those of the rows, which are in order, that are in the arrangement as of the epoch before.
fn present(trace: &mut Trace, epoch: Epoch, rows: &[&Row]) -> Vec<Row> {
    let batches = trace
        .batches_through(AntichainRef::new(&[]))
        .expect("everything can be asked for with the empty frontier");
    let cursors: Vec<BatchCursor<Trace>> = batches.iter().map(Navigable::cursor).collect();
    let mut cursor = CursorList::new(cursors, &batches);
    let mut found = Vec::new();
    for row in rows {
        cursor.seek_key(&batches, row);
        if !cursor.key_valid(&batches) {
            break;
        }
        if cursor.key(&batches) != *row {
            continue;
        }
        let mut count = 0;
        cursor.map_times(&batches, |time, difference| {
            if *time < epoch {
                count += *difference;
            }
        });
        if count > 0 {
            found.push(Row::clone(row));
        }
    }
    found
}

/// The rows of the arrangement as of the epoch before, in order.
fn rows_before(trace: &mut Trace, epoch: Epoch) -> Vec<Row> {
    let batches = trace
        .batches_through(AntichainRef::new(&[]))
        .expect("everything can be asked for with the empty frontier");
    let mut rows = Vec::new();
    let cursors: Vec<BatchCursor<Trace>> = batches.iter().map(Navigable::cursor).collect();
    let mut cursor = CursorList::new(cursors, &batches);
    while cursor.key_valid(&batches) {
        let mut count = 0;
        cursor.map_times(&batches, |time, difference| {
            if *time < epoch {
                count += *difference;
            }
        });
        assert!(
            count >= 0,
            "a reference row was taken away more often than it was given: {count}"
        );
        if count > 0 {
            rows.push(cursor.key(&batches).clone());
        }
        cursor.step_key(&batches);
    }
    rows
}
