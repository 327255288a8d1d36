//! Records, histories and the store on a real folder.

use std::collections::{BTreeMap, VecDeque};
use std::fs;
use std::path::Path;
use std::sync::Mutex;
use std::sync::atomic::AtomicU32;
use std::sync::atomic::Ordering::SeqCst;

use super::*;
use crate::epoch::{Binding, Checkpoint, CheckpointId, Lag, Moved, Partition};

pub(super) fn claim(nonce: &str) -> Claim {
    Claim {
        processes: 1,
        workers: 2,
        address: None,
        nonce: nonce.to_owned(),
    }
}

pub(super) fn plan() -> PlanText {
    PlanText {
        text: "[job]\nname = \"ventas\"\n".to_owned(),
        hash: u64::MAX,
        build: "0.1.0".to_owned(),
        replay: 1,
        identities: BTreeMap::from([("orders".to_owned(), "cluster 7".to_owned())]),
        since: 3,
    }
}

/// Epoch 3, 6, 9 … are empty.
pub(super) fn bound(epoch: Epoch, generation: u64) -> Binding {
    let at = i64::try_from(epoch).unwrap();
    let moved = Moved {
        partition: Partition {
            source: "orders".to_owned(),
            topic: "sales".to_owned(),
            partition: 3,
        },
        from: 10 * at,
        to: 10 * at + 10,
        newest: Some(at),
        caught_up: true,
        file: None,
    };
    Binding {
        epoch,
        generation,
        now: 1_000_000 * at,
        watermark: Some(at / 4),
        moved: if epoch.is_multiple_of(3) {
            vec![]
        } else {
            vec![moved]
        },
        references: vec![],
        parked: 0,
        lag: None,
    }
}

pub(super) fn checkpoint(epoch: Epoch, generation: u64) -> Record {
    let bound = bound(epoch, generation);
    Record::Checkpoint(Checkpoint {
        epoch,
        generation,
        now: bound.now,
        watermark: bound.watermark,
        partitions: bound.moved,
        state: vec![],
        references: vec![],
        changed: vec![],
        parked: 0,
        lag: None,
        shards: Vec::new(),
        kept: Vec::new(),
        is_alone: false,
        totals: serde_json::json!({"rows_in": 10 * epoch}),
    })
}

fn local(folder: &Path) -> Arc<dyn Store> {
    Arc::new(LocalStore::open(folder).unwrap())
}

fn claimed(folder: &Path, nonce: &str) -> (Journal, History) {
    let opened = Journal::open(local(folder)).unwrap();
    opened.claim(claim(nonce)).unwrap()
}

/// Epochs up to `last`, with a checkpoint of each tenth that is there three epochs later, compacted.
fn run(journal: &mut Journal, first: Epoch, last: Epoch) {
    let generation = journal.generation();
    journal.append(Record::Plan(plan())).unwrap();
    for epoch in first..=last {
        if epoch > first + 3 {
            go_on(journal, epoch);
        } else {
            let bindings = vec![bound(epoch, generation)];
            journal.append(Record::Bindings(bindings)).unwrap();
        }
    }
}

/// One more epoch.
fn go_on(journal: &mut Journal, epoch: Epoch) {
    let generation = journal.generation();
    let bindings = vec![bound(epoch, generation)];
    journal.append(Record::Bindings(bindings)).unwrap();
    if epoch % 10 == 3 {
        journal.append(checkpoint(epoch - 3, generation)).unwrap();
        journal.compact(epoch - 13).unwrap();
    }
}

fn names(folder: &Path) -> Vec<String> {
    let mut names = Vec::new();
    for inner in ["base", "journal", "probe"] {
        let found = local(folder).list(inner).unwrap();
        names.extend(found.iter().map(|name| format!("{inner}/{name}")));
    }
    names.sort();
    names
}

#[test]
fn a_folder_stays_small_and_gives_all_back_that_recovery_needs() {
    let root = tempfile::tempdir().unwrap();
    let folder = root.path().join("out/_caudal/state");
    let mut epoch = 0;
    for generation in 1..=3 {
        let (mut journal, history) = claimed(&folder, &generation.to_string());
        assert_eq!(journal.generation(), generation);
        assert_eq!(history.newest_epoch(), (epoch > 0).then_some(epoch));
        run(&mut journal, epoch + 1, epoch + 57);
        epoch += 57;
        // 30 epochs and three checkpoints at most, plan and claim twice, the base.
        assert!(names(&folder).len() < 40, "{:?}", names(&folder));
    }
    let history = Journal::open(local(&folder)).unwrap().history;
    assert_eq!(history.generation, 3);
    assert_eq!(history.claim, Some(claim("3")));
    assert_eq!(history.plan, Some(plan()));
    assert_eq!(history.newest_epoch(), Some(171));
    let epochs: Vec<Epoch> = history.checkpoints.iter().map(|it| it.epoch).collect();
    assert_eq!(epochs, [160, 150]);
    let expected: VecDeque<Binding> = (151..=171).map(|epoch| bound(epoch, 3)).collect();
    assert_eq!(history.bindings, expected);
    assert!(!history.is_new());
}

/// A checkpoint beside which the ones of these epochs are kept.
fn beside(epoch: Epoch, kept: &[Epoch], is_alone: bool) -> Record {
    let Record::Checkpoint(mut checkpoint) = checkpoint(epoch, 1) else {
        unreachable!("it is one");
    };
    let id = |epoch: &Epoch| CheckpointId {
        epoch: *epoch,
        generation: 1,
    };
    checkpoint.kept = kept.iter().map(id).collect();
    checkpoint.is_alone = is_alone;
    Record::Checkpoint(checkpoint)
}

#[test]
fn what_a_checkpoint_falls_back_to_is_kept_with_the_bindings_behind_it() {
    let root = tempfile::tempdir().unwrap();
    let (mut journal, _) = claimed(root.path(), "a");
    journal.append(Record::Plan(plan())).unwrap();
    let steps: [(&[Epoch], bool, Epoch); 7] = [
        // All bindings are there as long as the beginning is fallen back to.
        (&[], true, 1),
        (&[1], true, 1),
        (&[1, 2], true, 1),
        (&[1, 3], false, 2),
        (&[1, 3, 4], false, 2),
        (&[4, 5], false, 5),
        (&[5, 6], false, 6),
    ];
    for (epoch, (kept, is_alone, first)) in (1..).zip(steps) {
        let bindings = vec![bound(epoch, 1)];
        journal.append(Record::Bindings(bindings)).unwrap();
        journal.append(beside(epoch, kept, is_alone)).unwrap();
        let may_begin_anew = journal.compact(epoch).unwrap();
        assert_eq!(may_begin_anew, is_alone, "{epoch}");
        let history = Journal::open(local(root.path())).unwrap().history;
        let epochs = history.bindings.iter().map(|it| it.epoch);
        assert!(epochs.eq(first..=epoch), "{epoch}: {:?}", history.bindings);
        for kept in kept {
            let found = history.checkpoints.iter().any(|it| it.epoch == *kept);
            assert!(found, "{epoch}: {kept} is not there");
        }
    }
    // Not before all targets have what the newest holds.
    let bindings = vec![bound(8, 1)];
    journal.append(Record::Bindings(bindings)).unwrap();
    journal.append(beside(8, &[7], false)).unwrap();
    journal.compact(7).unwrap();
    let history = Journal::open(local(root.path())).unwrap().history;
    assert_eq!(history.bindings.front().map(|it| it.epoch), Some(6));
}

#[test]
fn a_first_checkpoint_that_nothing_followed_takes_no_binding_away() {
    let root = tempfile::tempdir().unwrap();
    let (mut journal, _) = claimed(root.path(), "first");
    journal.append(Record::Plan(plan())).unwrap();
    let bindings = (0..=5).map(|epoch| bound(epoch, 1)).collect();
    journal.append(Record::Bindings(bindings)).unwrap();
    // The process ends here, before the manifest that would make the checkpoint count.
    journal.append(checkpoint(4, 1)).unwrap();
    let history = Journal::open(local(root.path())).unwrap().history;
    assert_eq!(history.checkpoints.len(), 1);
    let epochs: Vec<Epoch> = history.bindings.iter().map(|it| it.epoch).collect();
    assert_eq!(epochs, [0, 1, 2, 3, 4, 5]);
}

#[test]
fn two_lives_meet_in_a_folder() {
    let root = tempfile::tempdir().unwrap();
    let (mut old, _) = claimed(root.path(), "old");
    run(&mut old, 1, 3);
    let (mut new, history) = claimed(root.path(), "new");
    assert_eq!((new.generation(), history.bindings.len()), (2, 3));
    let error = old
        .append(Record::Bindings(vec![bound(4, 1)]))
        .unwrap_err()
        .to_string();
    let error = error.replace(&root.path().display().to_string(), "STATE");
    insta::assert_snapshot!(error, @r"
    STATE/journal/00000006.json: this process belongs to generation 1; generation 2 has taken over
      now: the process ends; what it has not committed is read again by generation 2
      hint: start a job once; where two are wanted, give each its own state and output
    ");
    run(&mut new, 4, 5);
    let drained = Drained {
        epoch: 5,
        processes: 3,
        workers: 2,
    };
    new.append(Record::Drained(drained.clone())).unwrap();
    let read = || Journal::open(local(root.path())).unwrap().history;
    assert!(read().has_ended());
    let (mut next, history) = claimed(root.path(), "next");
    // The next life goes on where the one before ended, and has not ended itself.
    assert_eq!(history.drained, Some(drained));
    assert!(!read().has_ended());
    next.append(Record::Bindings(vec![bound(6, 3)])).unwrap();
    assert_eq!(read().drained, None);
}

#[test]
fn a_run_of_empty_epochs_is_written_as_its_walls() {
    let empty = |epoch| Binding {
        moved: vec![],
        watermark: None,
        ..bound(epoch, 1)
    };
    let mut bindings: Vec<Binding> = (1..=500).map(empty).collect();
    bindings[100] = bound(101, 1);
    for (index, binding) in (0..).zip(&mut bindings[200..260]) {
        binding.lag = Some(Lag {
            read_until: (index != 5).then_some(200 + index),
            is_source: index > 20,
            uncommitted_since: (index == 50).then_some(7),
        });
    }
    bindings[300].watermark = Some(7);
    bindings[400].parked = 3;
    let record = Record::Bindings(bindings);
    let bytes = encode(1, 1, &record);
    assert!(bytes.len() < 8_000, "{}", bytes.len());
    let root = tempfile::tempdir().unwrap();
    let read = decode(&*local(root.path()), 1, &bytes).unwrap();
    assert_eq!(read.record, record);
    let short = String::from_utf8(bytes)
        .unwrap()
        .replace("\"first\":1,", "\"first\":2,");
    let error = decode(&*local(root.path()), 1, short.as_bytes()).unwrap_err();
    assert!(error.to_string().contains("number of walls"), "{error}");
}

#[test]
fn every_record_that_is_damaged_is_named() {
    let root = tempfile::tempdir().unwrap();
    let (mut journal, _) = claimed(root.path(), "a");
    run(&mut journal, 1, 44);
    let (base, last) = (journal.index.base, journal.index.next - 1);
    let opens = || Journal::open(local(root.path())).map(|opened| opened.history);
    let whole = opens().unwrap();
    for number in base..=last {
        let path = root.path().join(record_name(number));
        let content = fs::read_to_string(&path).unwrap();
        let other = content.replace(&format!("\"number\":{number}"), "\"number\":7000");
        let unknown = content.replace("\"record\":{\"", "\"record\":{\"un");
        let older = content.replace("\"generation\":1", "\"generation\":0");
        for damaged in [
            "",
            "{}",
            &content[..content.len() / 2],
            &other,
            &unknown,
            &older,
        ] {
            fs::write(&path, damaged).unwrap();
            let error = opens().unwrap_err();
            let JournalError::Unreadable { place, .. } = &error else {
                panic!("{error}");
            };
            // A generation that falls is seen at the record behind, where the first one counts.
            let behind = root.path().join(record_name(number + 1));
            let places = [path.display().to_string(), behind.display().to_string()];
            assert!(places.contains(place), "{error}");
        }
        fs::write(&path, content.replace("\"format\":1", "\"format\":2")).unwrap();
        let error = opens().unwrap_err();
        assert!(
            matches!(error, JournalError::Newer { found: 2, .. }),
            "{error}"
        );
        // Members that a later version adds are skipped.
        let more = content.replace("\"record\":{", "\"more\":1,\"record\":{");
        fs::write(&path, more).unwrap();
        assert_eq!(opens().unwrap(), whole);
        fs::remove_file(&path).unwrap();
        match opens() {
            Err(JournalError::Gap { place, .. }) => assert_eq!(place, path.display().to_string()),
            // Without the last one the rest is a journal, too.
            other => assert!(number == last && other.is_ok(), "{other:?}"),
        }
        fs::write(&path, content).unwrap();
        assert_eq!(opens().unwrap(), whole);
    }
    // Names that nobody gave are nobody's.
    fs::write(root.path().join("journal/notes.txt"), "x").unwrap();
    fs::write(root.path().join("journal/9.json"), "x").unwrap();
    assert_eq!(opens().unwrap(), whole);
    fs::remove_dir_all(root.path().join("journal")).unwrap();
    let error = opens().unwrap_err();
    assert!(matches!(error, JournalError::Incomplete { .. }), "{error}");
    fs::remove_dir_all(root.path().join("base")).unwrap();
    assert!(opens().unwrap().is_new());
}

#[test]
fn what_cannot_follow_is_refused() {
    let root = tempfile::tempdir().unwrap();
    let (mut journal, _) = claimed(root.path(), "a");
    run(&mut journal, 1, 4);
    let number = journal.index.next;
    let problem = |record| {
        let generation = 1;
        let entry = Entry {
            number,
            generation,
            record,
        };
        journal.index.fits(&entry).unwrap_err()
    };
    let left_out = problem(Record::Bindings(vec![bound(6, 1)]));
    assert!(left_out.contains("binds epoch 6"), "{left_out}");
    let foreign = problem(Record::Bindings(vec![bound(5, 2)]));
    assert!(foreign.contains("of generation 2"), "{foreign}");
    assert!(problem(Record::Bindings(vec![])).contains("no binding"));
    assert!(problem(checkpoint(5, 1)).contains("unbound"));
    assert!(problem(checkpoint(4, 2)).contains("generation 2"));
    let drained = Drained {
        epoch: 3,
        processes: 1,
        workers: 1,
    };
    assert!(problem(Record::Drained(drained)).contains("not 4"));
}

/// A store that takes every put, like a bucket that does not know `If-None-Match`.
#[derive(Debug)]
struct Careless(LocalStore, bool);

impl Store for Careless {
    fn put_if_absent(&self, name: &str, bytes: &[u8]) -> Result<bool, JournalError> {
        self.0.delete(name)?;
        let put = self.0.put_if_absent(name, bytes)?;
        Ok(put && self.1)
    }
    fn get(&self, name: &str) -> Result<Option<Vec<u8>>, JournalError> {
        self.0.get(name)
    }
    fn list(&self, folder: &str) -> Result<Vec<String>, JournalError> {
        self.0.list(folder)
    }
    fn delete(&self, name: &str) -> Result<(), JournalError> {
        self.0.delete(name)
    }
    fn place(&self, name: &str) -> String {
        self.0.place(name)
    }
}

#[test]
fn a_store_that_replaces_is_refused() {
    let root = tempfile::tempdir().unwrap();
    let store = || LocalStore::open(root.path()).unwrap();
    for _ in 0..2 {
        probe(&store()).unwrap();
    }
    assert_eq!(names(root.path()), ["probe/put-if-absent"]);
    for says in [true, false] {
        let error = probe(&Careless(store(), says)).unwrap_err();
        assert!(
            matches!(error, JournalError::NotExclusive { .. }),
            "{error}"
        );
    }
}

#[test]
fn messages_say_where_what_and_what_to_do() {
    let root = tempfile::tempdir().unwrap();
    let (mut journal, _) = claimed(root.path(), "a");
    run(&mut journal, 1, 44);
    let told = |name: &str, content: Option<&str>| {
        let path = root.path().join(name);
        let before = fs::read(&path).unwrap();
        match content {
            Some(content) => fs::write(&path, content).unwrap(),
            None => fs::remove_file(&path).unwrap(),
        }
        let error = Journal::open(local(root.path())).unwrap_err().to_string();
        fs::write(&path, before).unwrap();
        error.replace(&root.path().display().to_string(), "STATE")
    };
    let base = journal.index.base;
    let newer = r#"{"format":9,"number":1,"generation":1}"#;
    let messages = [
        told(&record_name(base), Some("{")),
        told(&record_name(base + 1), Some(newer)),
        told(&record_name(base + 1), None),
        probe(&Careless(LocalStore::open(root.path()).unwrap(), true))
            .unwrap_err()
            .to_string()
            .replace(&root.path().display().to_string(), "STATE"),
    ];
    insta::assert_snapshot!(messages.join("\n"), @r"
    STATE/journal/00000037.json: can't be read: EOF while parsing an object at line 1 column 1
      expected: a record as caudal writes it; records are never changed
      now: nothing was changed
      hint: restore the state folder as it was, whole
    STATE/journal/00000038.json: has format 9
      expected: format 1 or an older one
      now: nothing was changed
      hint: run the job with the version of caudal that wrote it, or a newer one
    STATE/journal/00000038.json: is not there, but journal/00000054.json is
      expected: every record from the base on
      now: nothing was changed
      hint: restore the state folder as it was, whole
    STATE/probe/put-if-absent: was put twice, and the second put was not refused
      expected: a store in which a name that is there is never replaced
      now: nothing was started
      hint: set [job] state to a folder on another file system, or to a bucket that honours If-None-Match
    ");
}

/// A store that is slow: whenever two objects are read, its job has gone on by an epoch.
#[derive(Debug)]
struct Slow {
    store: Arc<dyn Store>,
    job: Mutex<(Journal, Epoch)>,
    reads: AtomicU32,
}

impl Store for Slow {
    fn put_if_absent(&self, _: &str, _: &[u8]) -> Result<bool, JournalError> {
        unreachable!("it is read only")
    }
    fn get(&self, name: &str) -> Result<Option<Vec<u8>>, JournalError> {
        let reads = self.reads.fetch_add(1, SeqCst) + 1;
        assert!(reads < 1000, "the reader never comes to an end");
        if reads.is_multiple_of(2) {
            let (journal, epoch) = &mut *self.job.lock().unwrap();
            *epoch += 1;
            go_on(journal, *epoch);
        }
        self.store.get(name)
    }
    fn list(&self, folder: &str) -> Result<Vec<String>, JournalError> {
        self.store.list(folder)
    }
    fn delete(&self, _: &str) -> Result<(), JournalError> {
        unreachable!("it is read only")
    }
    fn place(&self, name: &str) -> String {
        self.store.place(name)
    }
}

#[test]
fn who_reads_slower_than_the_job_compacts_comes_to_an_end() {
    let root = tempfile::tempdir().unwrap();
    let (mut journal, _) = claimed(root.path(), "a");
    run(&mut journal, 1, 55);
    let before = Journal::open(local(root.path())).unwrap().history;
    let slow = Slow {
        store: local(root.path()),
        job: Mutex::new((journal, 55)),
        reads: AtomicU32::new(0),
    };
    let history = Journal::open(Arc::new(slow)).unwrap().history;
    assert!(history.index.base > before.index.base, "it was compacted");
    let newest = history.newest_epoch().unwrap();
    assert!(newest > 55, "{newest}");
    let epochs = history.bindings.iter().map(|it| it.epoch);
    let oldest = history.checkpoints.last().unwrap().epoch;
    assert!(epochs.eq(oldest + 1..=newest), "{:?}", history.bindings);
    assert_eq!(history.plan, before.plan);
}

/// A store that does not answer some puts, which are done or not.
#[derive(Debug)]
struct Flaky {
    store: LocalStore,
    /// Puts that still fail.
    left: AtomicU32,
    done: bool,
}

impl Store for Flaky {
    fn put_if_absent(&self, name: &str, bytes: &[u8]) -> Result<bool, JournalError> {
        let fails = |left: u32| left.checked_sub(1);
        if self.left.fetch_update(SeqCst, SeqCst, fails).is_err() {
            return self.store.put_if_absent(name, bytes);
        }
        if self.done {
            self.store.put_if_absent(name, bytes)?;
        }
        Err(JournalError::Store {
            place: self.place(name),
            doing: "putting",
            source: "no answer".into(),
        })
    }
    fn get(&self, name: &str) -> Result<Option<Vec<u8>>, JournalError> {
        self.store.get(name)
    }
    fn list(&self, folder: &str) -> Result<Vec<String>, JournalError> {
        self.store.list(folder)
    }
    fn delete(&self, name: &str) -> Result<(), JournalError> {
        self.store.delete(name)
    }
    fn place(&self, name: &str) -> String {
        self.store.place(name)
    }
}

#[test]
fn a_record_whose_put_gave_no_answer_stands_before_the_next() {
    for (done, fails, again) in [true, false]
        .into_iter()
        .flat_map(|done| (0..6).map(move |fails| (done, fails)))
        .flat_map(|(done, fails)| [(done, fails, true), (done, fails, false)])
    {
        let root = tempfile::tempdir().unwrap();
        let (_, history) = claimed(root.path(), "a");
        let flaky = Arc::new(Flaky {
            store: LocalStore::open(root.path()).unwrap(),
            left: AtomicU32::new(0),
            done,
        });
        let store: Arc<dyn Store> = Arc::<Flaky>::clone(&flaky);
        let (mut journal, _) = Opened { store, history }.claim(claim("b")).unwrap();
        flaky.left.store(fails, SeqCst);
        let first = Record::Bindings(vec![bound(1, 2)]);
        let second = Record::Bindings(vec![bound(2, 2)]);
        // Two tries a call.
        assert_eq!(journal.append(first.clone()).is_ok(), fails < 2);
        if again && fails >= 2 {
            assert_eq!(journal.append(first.clone()).is_ok(), fails < 4);
        }
        let mut tries = (0..4).map(|_| journal.append(second.clone()));
        assert!(tries.any(|done| done.is_ok()), "never done");
        let history = Journal::open(local(root.path())).unwrap().history;
        let epochs: Vec<Epoch> = history.bindings.iter().map(|it| it.epoch).collect();
        assert_eq!(epochs, [1, 2], "done {done}, {fails} fail, again {again}");
    }
}
