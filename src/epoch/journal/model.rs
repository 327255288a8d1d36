//! Two generations, driven through every interleaving of their calls to the store, each put and delete being done and answered, done
//! and not answered, or not done.
//!
//! A life of a process is a function of its store's answers. So it needs no thread: to take a step it is run from its beginning with
//! the answers that it had, and one more call is made on the shared objects; what it asks then is not answered, which ends that run of
//! it. A process that crashes is one that takes no further step, and every state is looked at: so all crashes are covered. States with
//! equal objects and equal answers of both lives are explored once, and the ways through them counted.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Mutex;

use super::tests::{bound, checkpoint, claim, plan};
use super::*;
use crate::epoch::Binding;

type Objects = BTreeMap<String, Arc<[u8]>>;

/// What the store holds, and every record that ever counted: put at or above the base.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
struct World {
    objects: Objects,
    log: BTreeMap<u64, Arc<[u8]>>,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
enum Answer {
    Put(bool),
    Deleted,
    Found(Option<Arc<[u8]>>),
    Names(Vec<String>),
    /// Of a put or delete that was done or not.
    Failed,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fate {
    Answered,
    Unanswered,
    NotDone,
}

/// The store of one life, for one step.
#[derive(Debug)]
struct Double(Mutex<Step>);

#[derive(Debug)]
struct Step {
    world: Arc<World>,
    answers: Vec<Arc<Answer>>,
    /// Answers that this run of the life has had.
    had: usize,
    fate: Fate,
    /// The new answer, and whether it is that of a put or delete.
    new: Option<(Answer, bool)>,
    /// Whether more was asked.
    cut: bool,
}

impl Double {
    fn new(world: &Arc<World>, answers: &[Arc<Answer>], fate: Fate) -> Arc<Self> {
        Arc::new(Self(Mutex::new(Step {
            world: Arc::clone(world),
            answers: answers.to_vec(),
            had: 0,
            fate,
            new: None,
            cut: false,
        })))
    }

    /// Answers a call: as before, or by `act`, which also gives the objects where it changes them.
    fn call(
        &self,
        writes: bool,
        act: impl FnOnce(&World) -> (Answer, Option<World>),
    ) -> Option<Answer> {
        let step = &mut *self.0.lock().unwrap();
        if let Some(answer) = step.answers.get(step.had) {
            step.had += 1;
            return Some((**answer).clone());
        }
        if step.new.is_some() {
            step.cut = true;
            return None;
        }
        let (mut answer, changed) = act(&step.world);
        if let Some(changed) = changed.filter(|_| step.fate != Fate::NotDone) {
            step.world = Arc::new(changed);
        }
        if writes && step.fate != Fate::Answered {
            answer = Answer::Failed;
        }
        step.new = Some((answer.clone(), writes));
        Some(answer)
    }

    fn calls(&self) -> usize {
        let step = self.0.lock().unwrap();
        step.had + usize::from(step.new.is_some())
    }
}

fn failed() -> JournalError {
    JournalError::Store {
        place: "model".to_owned(),
        doing: "waiting",
        source: "no answer".into(),
    }
}

impl Store for Double {
    fn put_if_absent(&self, name: &str, bytes: &[u8]) -> Result<bool, JournalError> {
        let put = |world: &World| {
            let free = !world.objects.contains_key(name);
            (Answer::Put(free), free.then(|| world.with(name, bytes)))
        };
        match self.call(true, put) {
            Some(Answer::Put(put)) => Ok(put),
            _ => Err(failed()),
        }
    }

    fn get(&self, name: &str) -> Result<Option<Vec<u8>>, JournalError> {
        let get = |world: &World| (Answer::Found(world.objects.get(name).cloned()), None);
        match self.call(false, get) {
            Some(Answer::Found(found)) => Ok(found.map(|bytes| bytes.to_vec())),
            _ => Err(failed()),
        }
    }

    fn list(&self, folder: &str) -> Result<Vec<String>, JournalError> {
        let list = |world: &World| {
            let inner = |name: &String| Some(name.strip_prefix(folder)?.strip_prefix('/')?.into());
            let names = world.objects.keys().filter_map(inner).collect();
            (Answer::Names(names), None)
        };
        match self.call(false, list) {
            Some(Answer::Names(names)) => Ok(names),
            _ => Err(failed()),
        }
    }

    fn delete(&self, name: &str) -> Result<(), JournalError> {
        let delete = |world: &World| {
            let mut changed = world.clone();
            let there = changed.objects.remove(name).is_some();
            (Answer::Deleted, there.then_some(changed))
        };
        match self.call(true, delete) {
            Some(Answer::Deleted) => Ok(()),
            _ => Err(failed()),
        }
    }

    fn place(&self, name: &str) -> String {
        name.to_owned()
    }
}

/// What a life did.
#[derive(Debug)]
enum Event {
    Claimed(Box<History>),
    Appended(u64, Box<Record>),
    Compacted,
    Fenced {
        own: u64,
        by: u64,
        place: String,
    },
    /// The store did not answer twice.
    GivenUp,
}

/// What a generation does once it has claimed.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Act {
    Tell,
    Bind,
    Checkpoint,
    /// Of the epoch before the newest.
    Late,
    Compact,
}

/// Tells the job, binds two epochs, which the first's checkpoint comes behind, and compacts.
const WHOLE: Script = &[
    Act::Tell,
    Act::Bind,
    Act::Bind,
    Act::Late,
    Act::Checkpoint,
    Act::Compact,
];

type Script = &'static [Act];

/// Where a life stands between its steps.
#[derive(Debug)]
enum Phase {
    Begins,
    Opened(Box<History>),
    Runs {
        journal: Box<Journal>,
        newest: Epoch,
        acts: Script,
    },
    Over,
}

impl Phase {
    /// One step with a store; nothing of it counts where the store is cut.
    fn run(&self, double: &Arc<Double>, nonce: &str, script: Script) -> (Phase, Option<Event>) {
        let store: Arc<dyn Store> = Arc::<Double>::clone(double);
        match self {
            Phase::Begins => match Journal::open(store) {
                Ok(opened) => (Phase::Opened(Box::new(opened.history)), None),
                Err(error) => given_up(&error),
            },
            Phase::Opened(history) => {
                let history = History::clone(history);
                match (Opened { store, history }).claim(claim(nonce)) {
                    Ok((journal, history)) => {
                        let runs = Phase::Runs {
                            journal: Box::new(journal),
                            newest: history.newest_epoch().unwrap_or(0),
                            acts: script,
                        };
                        (runs, Some(Event::Claimed(Box::new(history))))
                    }
                    Err(error) => given_up(&error),
                }
            }
            Phase::Runs {
                journal,
                newest,
                acts,
            } => {
                let mut journal = Box::new(Journal {
                    store,
                    generation: journal.generation,
                    index: journal.index.clone(),
                    claim: journal.claim.clone(),
                    plan: journal.plan.clone(),
                    unsettled: journal.unsettled.clone(),
                    fenced: journal.fenced,
                });
                let newest = newest + u64::from(acts[0] == Act::Bind);
                let event = act(&mut journal, double, newest, acts[0]);
                let goes_on = matches!(event, Event::Appended(..) | Event::Compacted);
                let acts = &acts[1..];
                let phase = if goes_on && !acts.is_empty() {
                    Phase::Runs {
                        journal,
                        newest,
                        acts,
                    }
                } else {
                    Phase::Over
                };
                (phase, Some(event))
            }
            Phase::Over => unreachable!("it is over"),
        }
    }

    /// Equal for two lives that will do the same from here on, with the same answers.
    fn signature(&self, nonce: &str) -> String {
        match self {
            Phase::Over => String::new(),
            Phase::Begins | Phase::Opened(_) => format!("{nonce} {self:?}"),
            Phase::Runs {
                journal,
                newest,
                acts,
            } => {
                let Journal {
                    store: _,
                    generation,
                    index,
                    claim,
                    plan,
                    unsettled,
                    fenced,
                } = &**journal;
                let of_journal = (generation, index, claim, plan, unsettled, fenced);
                format!("{of_journal:?} {newest} {acts:?}")
            }
        }
    }
}

fn given_up(error: &JournalError) -> (Phase, Option<Event>) {
    assert!(matches!(error, JournalError::Store { .. }), "{error}");
    (Phase::Over, Some(Event::GivenUp))
}

/// A step of a generation. What the store does not answer is asked once more; then the process ends.
fn act(journal: &mut Journal, store: &Double, newest: Epoch, act: Act) -> Event {
    let generation = journal.generation();
    let record = match act {
        Act::Tell => Some(Record::Plan(plan())),
        Act::Bind => Some(Record::Bindings(vec![bound(newest, generation)])),
        Act::Checkpoint => Some(checkpoint(newest, generation)),
        Act::Late => Some(checkpoint(newest - 1, generation)),
        Act::Compact => None,
    };
    let mut once = || {
        if let Some(record) = &record {
            return journal.append(record.clone());
        }
        let calls = store.calls();
        journal.compact(newest)?;
        if store.calls() == calls {
            // Nothing to do; but a step has a call.
            newest_base(store)?;
        }
        Ok(())
    };
    let done = match once() {
        Err(JournalError::Store { .. }) => once(),
        done => done,
    };
    match done {
        Ok(()) => record.map_or(Event::Compacted, |record| {
            Event::Appended(generation, Box::new(record))
        }),
        Err(JournalError::Fenced { own, by, place }) => {
            let calls = store.calls();
            let again = journal.append(Record::Plan(plan()));
            assert!(matches!(again, Err(JournalError::Fenced { .. })));
            let again = journal.raise_base(1_000);
            assert!(matches!(again, Err(JournalError::Fenced { .. })));
            assert_eq!(store.calls(), calls, "a fenced process asked the store");
            Event::Fenced { own, by, place }
        }
        Err(JournalError::Store { .. }) => Event::GivenUp,
        Err(other) => panic!("{other}"),
    }
}

impl World {
    fn with(&self, name: &str, bytes: &[u8]) -> Self {
        let mut changed = self.clone();
        changed.objects.insert(name.to_owned(), Arc::from(bytes));
        if let Some(number) = number_of(name)
            && number >= self.base()
        {
            let before = changed.log.insert(number, Arc::from(bytes));
            assert_eq!(before, None, "record {number} was written twice");
        }
        changed
    }

    fn base(&self) -> u64 {
        let bases = self
            .objects
            .keys()
            .filter_map(|it| it.strip_prefix("base/"));
        bases.map(|base| base.parse().unwrap()).max().unwrap_or(1)
    }

    /// The records that count, in order.
    fn durable(&self) -> Vec<Entry> {
        let base = self.base();
        let record = |(name, bytes): (&String, _)| Some((number_of(name)?, bytes));
        let records = self.objects.iter().filter_map(record);
        let records = records.filter(|(number, _)| *number >= base);
        let store = Double::new(&Arc::default(), &[], Fate::Answered);
        let read = |(number, bytes): (u64, &Arc<[u8]>)| decode(&*store, number, bytes).unwrap();
        records.map(read).collect()
    }
}

fn number_of(name: &str) -> Option<u64> {
    let number = name.strip_prefix("journal/")?.strip_suffix(".json")?;
    Some(number.parse().unwrap())
}

/// Holds for every world.
fn check_world(world: &Arc<World>) {
    let (base, entries) = (world.base(), world.durable());
    for (number, entry) in (base..).zip(&entries) {
        assert_eq!(entry.number, number, "a record is missing");
    }
    for pair in entries.windows(2) {
        let claims = matches!(pair[1].record, Record::Claim(_));
        let (before, behind) = (pair[0].generation, pair[1].generation);
        assert!(
            behind == before || claims && behind == before + 1,
            "generation {behind} follows {before}"
        );
    }
    // What counts was never changed, and is there down to the base.
    let counting = world
        .log
        .range(base..)
        .map(|(number, bytes)| (record_name(*number), bytes));
    for (name, bytes) in counting {
        assert_eq!(world.objects.get(&name), Some(bytes), "{name}");
    }
    let said = fold_again(base, &entries);
    let checkpoint = |bytes: &&Arc<[u8]>| bytes.windows(13).any(|it| it == b"{\"checkpoint\"");
    let written = world.log.values().filter(checkpoint).count();
    assert!(said.checkpoints.len() >= written.min(2), "{entries:?}");
    assert_eq!(said, open(world), "{entries:?}");
    // A life that begins now claims the next generation and does all it has to do.
    let (after, _) = alone(world, Life::new("later", WHOLE), 0);
    assert_eq!(open(&after).generation, said.generation + 1);
    assert!(after.objects.len() <= MOST_KEPT, "{after:?}");
}

/// Objects after compaction: one base; a plan, a claim, a binding and a checkpoint an epoch for two epochs, both again before the
/// compaction that would lose them, and as many for what two generations wrote in between.
const MOST_KEPT: usize = 16;

/// A life to whose store all is answered, until `left` acts are left to do.
fn alone(world: &Arc<World>, mut life: Life, left: usize) -> (Arc<World>, Life) {
    let mut world = Arc::clone(world);
    loop {
        match &*life.phase {
            Phase::Over => return (world, life),
            Phase::Runs { acts, .. } if acts.len() == left => return (world, life),
            _ => {}
        }
        let next = life.step(&world, Fate::Answered);
        check_step(&world, &next.world, next.event.as_ref());
        let fine = |event: &Event| !matches!(event, Event::Fenced { .. } | Event::GivenUp);
        assert!(next.event.as_ref().is_none_or(fine));
        (life, world) = (next.life, next.world);
    }
}

/// What the records say, worked out in another way.
#[derive(Debug, PartialEq)]
struct Said {
    generation: u64,
    claim: Option<Claim>,
    plan: Option<PlanText>,
    checkpoints: Vec<Epoch>,
    bindings: Vec<Binding>,
    is_new: bool,
}

fn fold_again(base: u64, entries: &[Entry]) -> Said {
    let newest_first = || entries.iter().rev().map(|entry| &entry.record);
    let bindings: Vec<Binding> = entries
        .iter()
        .filter_map(|entry| match &entry.record {
            Record::Bindings(bindings) => Some(bindings.clone()),
            _ => None,
        })
        .flatten()
        .collect();
    let written: Vec<Epoch> = newest_first()
        .filter_map(|record| match record {
            Record::Checkpoint(checkpoint) => Some(checkpoint.epoch),
            _ => None,
        })
        .collect();
    let bound: HashSet<Epoch> = bindings.iter().map(|binding| binding.epoch).collect();
    let newest = bound.iter().chain(&written).copied().max().unwrap_or(0);
    let usable = |epoch: &Epoch| (epoch + 1..=newest).all(|behind| bound.contains(&behind));
    let checkpoints: Vec<Epoch> = written.into_iter().filter(usable).collect();
    let oldest = checkpoints.iter().min().copied().unwrap_or(0);
    // Nothing was compacted yet: all of it.
    let oldest = if base > 1 { oldest } else { 0 };
    let needed = bindings.into_iter().filter(|it| it.epoch > oldest);
    Said {
        generation: entries.last().map_or(0, |entry| entry.generation),
        claim: newest_first().find_map(|record| match record {
            Record::Claim(claim) => Some(claim.clone()),
            _ => None,
        }),
        plan: newest_first().find_map(|record| match record {
            Record::Plan(plan) => Some(plan.clone()),
            _ => None,
        }),
        checkpoints,
        bindings: needed.collect(),
        is_new: base == 1 && entries.is_empty(),
    }
}

/// What a process finds that starts now.
fn open(world: &Arc<World>) -> Said {
    let mut answers = Vec::new();
    loop {
        let store = Double::new(world, &answers, Fate::Answered);
        let opened = Journal::open(Arc::<Double>::clone(&store));
        let step = store.0.lock().unwrap();
        if step.cut {
            answers.push(Arc::new(step.new.clone().unwrap().0));
            continue;
        }
        let history = opened.unwrap().history;
        let epochs: Vec<Epoch> = history.bindings.iter().map(|it| it.epoch).collect();
        for pair in epochs.windows(2) {
            assert_eq!(pair[0] + 1, pair[1], "a binding is missing");
        }
        if let (Some(first), Some(oldest)) = (epochs.first(), history.checkpoints.last()) {
            // What was never compacted is there from the beginning: the one checkpoint there is may be one that nobody can use.
            let wanted = if history.index.base > 1 {
                oldest.epoch + 1
            } else {
                1
            };
            assert_eq!(*first, wanted);
        }
        return Said {
            is_new: history.is_new(),
            generation: history.generation,
            claim: history.claim,
            plan: history.plan,
            checkpoints: history.checkpoints.iter().map(|it| it.epoch).collect(),
            bindings: history.bindings.into(),
        };
    }
}

/// Holds for each step.
fn check_step(before: &World, after: &World, event: Option<&Event>) {
    assert!(after.base() >= before.base(), "the base fell");
    match event {
        Some(Event::Appended(generation, record)) => {
            let is_it = |(number, bytes): (&u64, &Arc<[u8]>)| {
                encode(*number, *generation, record) == **bytes
            };
            assert!(after.log.iter().any(is_it), "not there: {record:?}");
        }
        Some(Event::Claimed(history)) => {
            let (own, newest) = (history.generation, after.durable());
            assert!(newest.last().is_some_and(|it| it.generation >= own));
        }
        _ => {}
    }
}

#[derive(Debug, Clone)]
struct Life {
    nonce: &'static str,
    script: Script,
    phase: Arc<Phase>,
    /// Since it came to this phase.
    answers: Vec<Arc<Answer>>,
}

/// What one call of a life to its store leads to.
struct Next {
    life: Life,
    world: Arc<World>,
    /// Of the phase that it ended.
    event: Option<Event>,
    writes: bool,
    failed: bool,
}

impl Life {
    fn new(nonce: &'static str, script: Script) -> Self {
        Self {
            nonce,
            script,
            phase: Arc::new(Phase::Begins),
            answers: vec![],
        }
    }

    fn step(&self, world: &Arc<World>, fate: Fate) -> Next {
        let mut life = self.clone();
        let store = Double::new(world, &self.answers, fate);
        let (phase, mut event) = self.phase.run(&store, self.nonce, self.script);
        let step = store.0.lock().unwrap();
        let (answer, writes) = step.new.clone().expect("every phase asks");
        let failed = answer == Answer::Failed;
        if step.cut {
            life.answers.push(Arc::new(answer));
            event = None;
        } else {
            life.answers.clear();
            life.phase = Arc::new(phase);
        }
        Next {
            life,
            world: Arc::clone(&step.world),
            event,
            writes,
            failed,
        }
    }
}

/// What was met on the ways, so that a test can tell that it met everything.
#[derive(Debug, Default)]
struct Met {
    fenced_by_claim: usize,
    fenced_by_base: usize,
    compacted: usize,
    given_up: usize,
}

#[derive(Debug, Default)]
struct Explorer {
    /// How many puts and deletes may fail, of both lives together.
    faults: usize,
    met: Met,
    answers: HashMap<Arc<Answer>, u32>,
    phases: HashMap<String, u32>,
    worlds: HashMap<Arc<World>, u32>,
    /// Ways to the end from each state.
    ways: HashMap<Key, u128>,
}

/// Objects, and of each life where it stands and its answers since; faults so far.
type Key = (u32, [(u32, Vec<u32>); 2], usize);

#[derive(Debug, Clone)]
struct State {
    world: Arc<World>,
    lives: [Life; 2],
    /// Numbers of the objects and of the phases.
    ids: (u32, [u32; 2]),
    faults: usize,
}

fn intern<T: Eq + std::hash::Hash>(ids: &mut HashMap<T, u32>, value: T) -> u32 {
    let new = u32::try_from(ids.len()).unwrap();
    *ids.entry(value).or_insert(new)
}

impl Explorer {
    /// All ways of two lives; gives how many.
    fn explore_all(&mut self, world: &Arc<World>, lives: [Life; 2]) -> u128 {
        let phases = [0, 1].map(|who| self.phase_id(&lives[who]));
        let state = State {
            ids: (self.world_id(world), phases),
            world: Arc::clone(world),
            lives,
            faults: 0,
        };
        self.explore(&state)
    }

    fn explore(&mut self, state: &State) -> u128 {
        let key = self.key(state);
        if let Some(ways) = self.ways.get(&key) {
            return *ways;
        }
        let alive = [0, 1]
            .into_iter()
            .filter(|who| !matches!(*state.lives[*who].phase, Phase::Over));
        let alive: Vec<usize> = alive.collect();
        let mut ways = u128::from(alive.is_empty());
        for who in alive {
            let (answered, writes) = self.step(state, who, Fate::Answered);
            ways += self.explore(&answered);
            if writes && state.faults < self.faults {
                for fate in [Fate::Unanswered, Fate::NotDone] {
                    let (failed, _) = self.step(state, who, fate);
                    ways += self.explore(&failed);
                }
            }
        }
        self.ways.insert(key, ways);
        ways
    }

    fn step(&mut self, state: &State, who: usize, fate: Fate) -> (State, bool) {
        let next = state.lives[who].step(&state.world, fate);
        check_step(&state.world, &next.world, next.event.as_ref());
        self.meet(&next);
        let mut after = state.clone();
        if !Arc::ptr_eq(&after.world, &next.world) {
            after.ids.0 = self.world_id(&next.world);
        }
        if !Arc::ptr_eq(&after.lives[who].phase, &next.life.phase) {
            after.ids.1[who] = self.phase_id(&next.life);
        }
        after.world = next.world;
        after.lives[who] = next.life;
        after.faults += usize::from(next.failed);
        (after, next.writes)
    }

    fn meet(&mut self, next: &Next) {
        match &next.event {
            Some(Event::Fenced { own, by, place }) => {
                assert!(own < by, "generation {own} is fenced by {by}");
                let below = *place < record_name(next.world.base());
                self.met.fenced_by_base += usize::from(below);
                self.met.fenced_by_claim += usize::from(!below);
            }
            Some(Event::Compacted) => self.met.compacted += 1,
            Some(Event::GivenUp) => self.met.given_up += 1,
            _ => {}
        }
    }

    fn world_id(&mut self, world: &Arc<World>) -> u32 {
        if !self.worlds.contains_key(world) {
            check_world(world);
        }
        intern(&mut self.worlds, Arc::clone(world))
    }

    fn phase_id(&mut self, life: &Life) -> u32 {
        intern(&mut self.phases, life.phase.signature(life.nonce))
    }

    fn key(&mut self, state: &State) -> Key {
        let life = |who: usize| {
            let answers = state.lives[who].answers.iter().map(Arc::clone);
            let answers = answers.map(|it| intern(&mut self.answers, it)).collect();
            (state.ids.1[who], answers)
        };
        (state.ids.0, [0, 1].map(life), state.faults)
    }
}

/// What the first life has done when the second begins.
type Start = (Arc<World>, Life);

#[test]
fn journal_holds_through_all_interleavings_of_two_generations() {
    use Act::*;
    let new = Arc::<World>::default();
    let begins = |script| (Arc::clone(&new), Life::new("a", script));
    let runs = |script: Script, left| alone(&new, Life::new("a", script), left);
    // Faults, how far the first life has come, what the second one does, and the ways through both.
    let cases: [(usize, Start, Script, u128); 5] = [
        (0, begins(WHOLE), WHOLE, 4_790_196_389_799_208_630),
        (2, begins(&[Tell]), &[Tell], 8_451_152),
        (
            1,
            runs(WHOLE, 3),
            &[Checkpoint, Checkpoint, Compact],
            2_949_532_573_048_888,
        ),
        (2, runs(WHOLE, 1), &[Bind], 380_747_259_755),
        (2, runs(WHOLE, 1), &[Compact], 784_367_878_991),
    ];
    let mut met = Met::default();
    let (mut all_found, mut expected) = (Vec::new(), Vec::new());
    for (faults, (world, first), second, ways) in cases {
        let mut explorer = Explorer {
            faults,
            met,
            ..Explorer::default()
        };
        let found = explorer.explore_all(&world, [first, Life::new("b", second)]);
        let states = explorer.ways.len();
        println!("{faults} faults, then {second:?}: {found} ways, {states} states");
        all_found.push(found);
        expected.push(ways);
        met = explorer.met;
    }
    assert_eq!(all_found, expected);
    println!("{met:?}");
    let all = [
        met.fenced_by_claim,
        met.fenced_by_base,
        met.compacted,
        met.given_up,
    ];
    assert!(all.iter().all(|times| *times > 0), "{met:?}");
}
