//! Every step is stopped at, alone and against another generation, on real folders. Rows are numbers of epochs, so that what is
//! lost or there twice shows.

use std::path::Path;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread::JoinHandle;

use ::parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use arrow_array::{Int64Array, RecordBatch, StringArray};
use chrono_tz::Tz;
use serde_json::json;
use tempfile::TempDir;

use super::*;
use crate::job::plan::{Compression, Decimals, OutputColumn, SinkFormat, SinkFrom, SinkTo};
use crate::sinks::output::{entries, put_if_absent};
use crate::sinks::publish::{manifest_number, manifest_path};
use crate::sinks::{OutputRoot, SinkWriter, published};
use crate::transform::Compiler;

const JOB: &str = "ventas";

fn sink(name: &str, path: &str, format: SinkFormat, partition_by: Vec<usize>) -> SinkPlan {
    let column = |name: &str, text: &str| OutputColumn {
        name: name.to_owned(),
        expression: Compiler::new(&[], Tz::UTC).compile(text).unwrap(),
    };
    SinkPlan {
        delta: None,
        name: name.to_owned(),
        from: SinkFrom::Rows,
        to: SinkTo::Files {
            path: path.into(),
            partition_by,
        },
        format,
        columns: vec![column("epoch", "1"), column("day", "'x'")],
    }
}

fn sinks() -> Vec<SinkPlan> {
    vec![
        sink(
            "by day",
            "deep/a",
            SinkFormat::Json(Decimals::Number),
            vec![1],
        ),
        sink("b", "b", SinkFormat::Json(Decimals::Number), Vec::new()),
    ]
}

/// A folder in memory where there is such: thousands of runs sync some fifty times each.
fn folder() -> TempDir {
    let memory = Path::new("/dev/shm");
    let folder = tempfile::Builder::new();
    if memory.is_dir() {
        folder.tempdir_in(memory).unwrap()
    } else {
        folder.tempdir().unwrap()
    }
}

/// Two workers write the rows of (from, to].
fn write(plan: &SinkPlan, stage: &Path, from: Epoch, to: Epoch) -> Vec<StagedFile> {
    let mut files = Vec::new();
    for worker in 0..2 {
        let schema = output_schema(plan);
        let mut writer = SinkWriter::new(plan, &schema, stage, worker).unwrap();
        let epochs = (from + 1..=to).map(|epoch| i64::try_from(epoch).unwrap());
        let half = i64::try_from(worker).unwrap();
        let epochs: Vec<i64> = epochs.filter(|epoch| epoch % 2 == half).collect();
        let days: Vec<String> = epochs.iter().map(|epoch| (epoch / 4).to_string()).collect();
        let batch = RecordBatch::try_new(
            schema,
            vec![
                Arc::new(Int64Array::from(epochs)),
                Arc::new(StringArray::from(days)),
            ],
        );
        writer.write(&batch.unwrap()).unwrap();
        files.extend(writer.finish().unwrap());
    }
    files
}

fn commit(interval: u64, to: Epoch, files: Vec<StagedFile>) -> Commit {
    Commit {
        interval,
        to,
        files,
        summary: json!({"share": 0.1}),
        checkpoint: json!(to),
    }
}

/// Stages and commits two epochs.
fn go_on(chain: &mut Chain, interval: u64) -> Result<Manifest, SinkError> {
    let (from, mut files) = (chain.committed().unwrap(), Vec::new());
    for plan in &sinks() {
        chain.steps.at("stage")?;
        files.extend(write(plan, &chain.stage(interval), from, from + 2));
    }
    chain.commit(commit(interval, from + 2, files))
}

type Hook = Box<dyn FnMut(&'static str) -> Result<(), SinkError> + Send>;

/// A whole life: takes over and goes on until `until` is committed. The hook is told of every step.
fn live(
    root: &Path,
    generation: u64,
    until: Epoch,
    hook: Option<Hook>,
) -> Result<Chain, SinkError> {
    let sinks = sinks();
    let mut opened = Chain::open(root, JOB, &sinks)?;
    opened.steps.hook = hook;
    let mut chain = opened.take_over(generation)?;
    for interval in 1.. {
        if chain.committed().unwrap() >= until {
            break;
        }
        go_on(&mut chain, interval)?;
    }
    chain.steps.hook = None;
    Ok(chain)
}

/// An error at step number `stop`, once; the steps are told to `each`.
fn crash_at(stop: usize, mut each: impl FnMut(&'static str) + Send + 'static) -> Hook {
    let mut steps = 0;
    Box::new(move |step| {
        each(step);
        steps += 1;
        if steps == stop + 1 {
            let crash = std::io::Error::other("crash");
            return Err(SinkError::io(Path::new(""), step, crash));
        }
        Ok(())
    })
}

fn crashed(result: &Result<Chain, SinkError>) -> bool {
    match result {
        Ok(_) => false,
        Err(SinkError::Io { source, .. }) if source.to_string() == "crash" => true,
        Err(error) => panic!("{error}"),
    }
}

/// Visible files below a folder of the root, with their content.
fn walk(root: &Path, below: &str, found: &mut BTreeMap<String, String>) {
    for name in entries(&root.join(below)).unwrap() {
        let path = format!("{below}/{name}");
        if root.join(&path).is_dir() {
            walk(root, &path, found);
        } else {
            let content = fs::read_to_string(root.join(&path)).unwrap();
            assert!(found.insert(path, content).is_none());
        }
    }
}

fn visible(root: &Path) -> BTreeMap<String, String> {
    let mut found = BTreeMap::new();
    walk(root, "deep/a", &mut found);
    walk(root, "b", &mut found);
    found
}

/// What holds at any moment: manifests are dense and whole, and readers of folders see what is committed, or less.
fn check_any(root: &Path) -> (BTreeMap<String, u64>, BTreeMap<String, String>) {
    let mut before = (0, None);
    for manifest in manifests(root).unwrap() {
        let manifest = manifest.unwrap();
        assert!(manifest.generation >= before.0, "{manifest:?}");
        assert_eq!(manifest.from, before.1, "{manifest:?}");
        assert!(manifest.to >= manifest.from, "{manifest:?}");
        before = (manifest.generation, manifest.to);
    }
    let mut committed = BTreeMap::new();
    for file in files(root).unwrap() {
        let file = file.unwrap();
        let twice = committed.insert(file.path, file.bytes);
        assert_eq!(twice, None);
    }
    let visible = visible(root);
    for (path, content) in &visible {
        let bytes = u64::try_from(content.len()).unwrap();
        assert_eq!(committed.get(path), Some(&bytes), "{path}");
    }
    (committed, visible)
}

/// What holds when nothing is under way: all that is committed is visible, each epoch up to `to` once in every sink.
fn check_all(root: &Path, to: Epoch) {
    let (committed, visible) = check_any(root);
    assert!(
        committed.keys().eq(visible.keys()),
        "{committed:?}, {visible:?}"
    );
    assert_eq!(newest(root).unwrap().unwrap().to, Some(to));
    for sink in ["deep/a/", "b/"] {
        let of_sink = visible.iter().filter(|(path, _)| path.starts_with(sink));
        let mut epochs: Vec<Epoch> = of_sink
            .flat_map(|(_, content)| content.lines())
            .map(|line| {
                let row: serde_json::Value = serde_json::from_str(line).unwrap();
                row["epoch"].as_u64().unwrap()
            })
            .collect();
        epochs.sort_unstable();
        assert!(epochs.iter().copied().eq(1..=to), "{sink}: {epochs:?}");
    }
    let staged = entries(&root.join("_caudal/staged")).unwrap();
    assert!(staged.is_empty(), "{staged:?}");
}

#[test]
fn a_crash_at_any_step_loses_nothing_and_repeats_nothing() {
    let mut seen = BTreeSet::new();
    for history in [0, 8] {
        for stop in 0.. {
            let root = folder();
            if history > 0 {
                live(root.path(), 1, history, None).unwrap();
            }
            let (path, (tell, told)) = (root.path().to_path_buf(), channel());
            let hook = crash_at(stop, move |step| {
                check_any(&path);
                tell.send(step).unwrap();
            });
            let crash = crashed(&live(root.path(), 2, history + 6, Some(hook)));
            seen.extend(told.iter());
            check_any(root.path());
            live(root.path(), 3, history + 8, None).unwrap();
            check_all(root.path(), history + 8);
            if !crash {
                break;
            }
        }
    }
    // Every kind of step was stopped at, those of folding, too; two more stand where something is left to remove.
    assert_eq!(seen.len(), 14, "{seen:?}");
}

#[test]
fn crashes_at_any_two_steps_of_two_generations_do_neither() {
    let (tell, told) = channel();
    for first in 0.. {
        let mut crash = true;
        for second in 0.. {
            let root = folder();
            live(root.path(), 1, 8, None).unwrap();
            crash = crashed(&live(root.path(), 2, 10, Some(crash_at(first, |_| ()))));
            let tell = tell.clone();
            let hook = crash_at(second, move |step| tell.send(step).unwrap());
            let again = crashed(&live(root.path(), 5, 12, Some(hook)));
            live(root.path(), 6, 12, None).unwrap();
            check_all(root.path(), 12);
            if !again {
                break;
            }
        }
        if !crash {
            break;
        }
    }
    let seen: BTreeSet<&str> = told.try_iter().collect();
    for kind in ["remove what was staged", "remove what was not put"] {
        assert!(seen.contains(kind), "{seen:?}");
    }
}

/// A generation on a thread of its own that goes step by step.
struct Paced {
    go: Sender<()>,
    at: Receiver<()>,
    thread: JoinHandle<Result<Chain, SinkError>>,
}

impl Paced {
    fn start(root: &Path, generation: u64, until: Epoch) -> Self {
        let (go, may_go) = channel();
        let (tell, at) = channel();
        let root = root.to_path_buf();
        let hook: Hook = Box::new(move |_| {
            // Where nobody listens any more it runs to its end.
            if tell.send(()).is_ok() {
                may_go.recv().ok();
            }
            Ok(())
        });
        let thread = std::thread::spawn(move || live(&root, generation, until, Some(hook)));
        Self { go, at, thread }
    }

    /// Lets it do this many steps; `false` where it had fewer.
    fn steps(&self, steps: usize) -> bool {
        (0..steps).all(|_| self.at.recv().is_ok() && self.go.send(()).is_ok())
            && self.at.recv().is_ok()
    }

    fn end(self) -> Result<Chain, SinkError> {
        drop((self.go, self.at));
        self.thread.join().unwrap()
    }
}

#[test]
fn an_old_generation_that_goes_on_at_any_step_of_a_new_one_changes_nothing() {
    let (mut fenced, mut committed) = (0, 0);
    for old_steps in 0.. {
        let mut old_stands = true;
        for new_steps in 0.. {
            let root = folder();
            live(root.path(), 1, 8, None).unwrap();
            let old = Paced::start(root.path(), 2, 12);
            old_stands = old.steps(old_steps);
            let new = Paced::start(root.path(), 3, 14);
            let new_stands = new.steps(new_steps);
            let old = old.end();
            check_any(root.path());
            let new = new.end().unwrap();
            assert_eq!(new.committed(), Some(14));
            check_any(root.path());
            // What readers see is not changed by anything the old one does now.
            let before = check_any(root.path());
            match old {
                Ok(mut old) => {
                    let error = go_on(&mut old, 9).unwrap_err();
                    assert!(
                        matches!(error, SinkError::Fenced { newer: 3, .. }),
                        "{error}"
                    );
                    committed += 1;
                }
                Err(SinkError::Fenced { newer: 3, .. }) => fenced += 1,
                Err(error) => panic!("{old_steps}, {new_steps}: {error}"),
            }
            assert_eq!(check_any(root.path()), before);
            live(root.path(), 4, 14, None).unwrap();
            check_all(root.path(), 14);
            if !new_stands {
                break;
            }
        }
        if !old_stands {
            break;
        }
    }
    assert!(fenced > 100 && committed > 30, "{fenced}, {committed}");
}

#[test]
fn a_commit_and_a_take_over_may_be_tried_again_from_any_step() {
    for stop in 0.. {
        let root = folder();
        live(root.path(), 1, 10, None).unwrap();
        let sinks = sinks();
        let mut again = 0;
        let mut hook = Some(crash_at(stop, |_| ()));
        let mut chain = loop {
            let mut opened = Chain::open(root.path(), JOB, &sinks).unwrap();
            opened.steps.hook = hook.take();
            match opened.take_over(2) {
                Ok(chain) => break chain,
                Err(_) => again += 1,
            }
            assert!(again <= 1, "stop {stop}");
        };
        for interval in 1..=3 {
            let (from, mut files) = (chain.committed().unwrap(), Vec::new());
            for plan in &sinks {
                files.extend(write(plan, &chain.stage(interval), from, from + 2));
            }
            let next = commit(interval, from + 2, files);
            if chain.commit(next.clone()).is_err() {
                again += 1;
                chain.commit(next).unwrap();
            }
        }
        check_all(root.path(), 16);
        if again == 0 {
            break;
        }
    }
}

/// Calls `then` once, before a manifest is written to be put.
fn before_put(then: impl FnOnce() + Send + 'static) -> Hook {
    let mut then = Some(then);
    Box::new(move |step| {
        if step == "write a manifest"
            && let Some(then) = then.take()
        {
            then();
        }
        Ok(())
    })
}

#[test]
fn who_slept_while_names_were_freed_is_not_taken_for_the_newest() {
    let root = folder();
    let mut old = live(root.path(), 1, 4, None).unwrap();
    // A take-over sleeps while the old generation goes on; the number it had in mind is folded.
    let numbers = (old.newest().number, 40);
    let hook = before_put(move || {
        for interval in 1..=numbers.1 {
            go_on(&mut old, 10 + interval).unwrap();
        }
    });
    let mut slept = live(root.path(), 2, 84, Some(hook)).unwrap();
    assert_eq!(slept.newest().number, numbers.0 + numbers.1 + 1);
    check_all(root.path(), 84);

    // A commit sleeps while a newer generation goes on.
    let path = root.path().to_path_buf();
    slept.steps.hook = Some(before_put(move || {
        live(&path, 3, 120, None).unwrap();
    }));
    let number = slept.newest().number + 1;
    let error = go_on(&mut slept, 1).unwrap_err();
    assert!(
        matches!(error, SinkError::Fenced { newer: 3, .. }),
        "{error}"
    );
    // The name was free indeed, and what it holds now counts for nothing.
    assert!(manifest_path(root.path(), number).exists());
    check_any(root.path());
    live(root.path(), 4, 140, None).unwrap();
    assert!(!manifest_path(root.path(), number).exists());
    check_all(root.path(), 140);
    let names = entries(&root.path().join("_caudal/manifest")).unwrap();
    let singles = names
        .iter()
        .filter_map(|name| manifest_number(name))
        .count();
    assert!(singles <= 8, "{names:?}");
}

#[test]
fn a_reader_is_not_led_astray_by_a_fold_that_happens_meanwhile() {
    let root = folder();
    let mut chain = live(root.path(), 1, 12, None).unwrap();
    let last = chain.newest().number;
    for before in 0..=last {
        let mut reader = manifests(root.path()).unwrap();
        let read = |reader: &mut Manifests, numbers| {
            for number in numbers {
                assert_eq!(reader.next().unwrap().unwrap().number, number);
            }
        };
        read(&mut reader, 1..=before);
        for interval in 1..=4 {
            go_on(&mut chain, 100 * before + interval).unwrap();
        }
        read(&mut reader, before + 1..=last);
    }
    let missing = chain.newest().number - 1;
    fs::remove_file(manifest_path(root.path(), missing)).unwrap();
    let error = manifests(root.path()).unwrap().last().unwrap().unwrap_err();
    assert!(error.to_string().contains("missing"), "{error}");
}

#[test]
fn parquet_readers_find_columns_at_once_and_rows_with_each_commit() {
    let root = tempfile::tempdir().unwrap();
    let zstd = SinkFormat::Parquet(Compression::Zstd);
    let mut plans = vec![sink("rows", "rows", zstd.clone(), Vec::new())];
    let mut chain = Chain::open(root.path(), JOB, &plans)
        .unwrap()
        .take_over(7)
        .unwrap();
    assert_eq!(chain.committed(), Some(0));
    let rows = |folder: &str, name: &str| {
        let file = fs::File::open(root.path().join(folder).join(name)).unwrap();
        let reader = ParquetRecordBatchReaderBuilder::try_new(file).unwrap();
        let names: Vec<String> = reader
            .schema()
            .fields()
            .iter()
            .map(|f| f.name().clone())
            .collect();
        assert_eq!(names, ["epoch", "day"]);
        reader.metadata().file_metadata().num_rows()
    };
    assert_eq!(rows("rows", "part-7-0-0-0.parquet"), 0);
    let files = write(&plans[0], &chain.stage(1), 0, 3);
    let kept = chain.stage(1).join("sink=.quarantine");
    assert!(!kept.exists());
    chain.commit(commit(1, 3, files)).unwrap();
    // Epochs without rows are left out, or committed.
    chain.commit(commit(2, 5, Vec::new())).unwrap();
    let files = write(&plans[0], &chain.stage(3), 7, 9);
    let manifest = chain.commit(commit(3, 9, files)).unwrap();
    assert_eq!((manifest.from, manifest.to), (Some(5), Some(9)));
    assert_eq!(rows("rows", "part-7-3-0-0.parquet"), 1);
    assert_eq!(rows("rows", "part-7-3-1-0.parquet"), 2);
    assert_eq!(rows("rows", "part-7-9-1-0.parquet"), 1);

    // A sink that comes later shows its columns, too, and refused rows are kept beside it.
    plans.push(SinkPlan {
        delta: None,
        from: SinkFrom::Refused,
        ..sink("refused", "refused", zstd, Vec::new())
    });
    let opened = Chain::open(root.path(), JOB, &plans).unwrap();
    assert_eq!(
        (opened.committed(), opened.newest_generation()),
        (Some(9), Some(7))
    );
    let mut chain = opened.take_over(8).unwrap();
    assert_eq!(chain.committed(), Some(9));
    assert_eq!(rows("refused", "part-8-9-0-0.parquet"), 0);
    let kept = staged_folder(&chain.stage(1), QUARANTINE);
    fs::create_dir_all(&kept).unwrap();
    fs::write(kept.join("part-1.jsonl"), "{}\n").unwrap();
    let file = StagedFile {
        sink: QUARANTINE.to_owned(),
        path: "part-1.jsonl".to_owned(),
        rows: 1,
        bytes: 3,
        checksum: None,
    };
    chain.commit(commit(1, 11, vec![file])).unwrap();
    assert!(
        root.path()
            .join("_caudal/quarantine/part-8-11-1.jsonl")
            .exists()
    );
}

#[test]
fn runs_that_end_and_continuous_jobs_do_not_share_a_root() {
    let root = tempfile::tempdir().unwrap();
    let sinks = sinks();
    // A run that is there, and has not committed.
    let mut run = OutputRoot::open(root.path(), JOB, &sinks).unwrap();
    let opened = Chain::open(root.path(), JOB, &sinks).unwrap();
    let error = opened.take_over(1).unwrap_err();
    assert!(matches!(error, SinkError::Locked { .. }), "{error}");
    let staging = run.stage().unwrap();
    let files: Vec<StagedFile> = sinks
        .iter()
        .flat_map(|plan| write(plan, &staging.folder, 0, 2))
        .collect();
    run.publish(&staging, &sinks, files, json!(null)).unwrap();
    drop(run);
    let error = Chain::open(root.path(), JOB, &sinks).unwrap_err();
    assert!(matches!(error, SinkError::OtherKind { .. }), "{error}");
    assert!(error.to_string().contains("another folder"), "{error}");

    let root = tempfile::tempdir().unwrap();
    live(root.path(), 1, 2, None).unwrap();
    let error = OutputRoot::open(root.path(), JOB, &sinks).unwrap_err();
    assert!(matches!(error, SinkError::OtherKind { .. }), "{error}");
    let error = published(root.path()).unwrap_err();
    assert!(
        error
            .to_string()
            .contains("was written by a continuous job"),
        "{error}"
    );
    let error = Chain::open(root.path(), "other", &sinks).unwrap_err();
    assert!(matches!(error, SinkError::ForeignRoot { .. }), "{error}");
    check_all(root.path(), 2);
}

#[test]
fn what_was_touched_from_outside_is_told_of_and_not_guessed_about() {
    let root = tempfile::tempdir().unwrap();
    let sinks = sinks();
    let mut chain = live(root.path(), 1, 2, None).unwrap();
    // A file that its writer's machine has not brought here whole is found before the commit.
    let mut files = write(&sinks[1], &chain.stage(8), 2, 4);
    files[0].bytes += 1;
    let error = chain.commit(commit(8, 4, files)).unwrap_err();
    assert!(matches!(error, SinkError::Staged { .. }), "{error}");
    assert_eq!(newest(root.path()).unwrap().unwrap().to, Some(2));

    // What was shown may be taken away.
    let shown = root.path().join("b/part-1-2-0-0.jsonl");
    fs::remove_file(&shown).unwrap();
    let mut chain = live(root.path(), 2, 2, None).unwrap();
    // What was not, may not.
    let mut steps = 0;
    chain.steps.hook = Some(Box::new(move |step| {
        steps += usize::from(step == "show a file");
        match steps {
            2 => Err(SinkError::io(
                Path::new(""),
                step,
                std::io::Error::other("crash"),
            )),
            _ => Ok(()),
        }
    }));
    go_on(&mut chain, 1).unwrap_err();
    let stage = chain.stage(1);
    let lost = &newest(root.path()).unwrap().unwrap().sinks[1].files[0];
    assert!(lost.path.starts_with("day="), "{lost:?}");
    fs::remove_dir_all(stage.join("sink=by day")).unwrap();
    let error = live(root.path(), 3, 4, None).unwrap_err();
    assert!(matches!(error, SinkError::Lost { .. }), "{error}");
    let text = error.to_string();
    assert!(
        text.contains(&lost.path) && text.contains("gen-00000002-00000001"),
        "{text}"
    );
    // The way out that it tells of.
    fs::remove_dir_all(stage).unwrap();
    live(root.path(), 4, 4, None).unwrap();

    // A folder that holds what no commit has put there is not for a new sink.
    fs::create_dir_all(root.path().join("c")).unwrap();
    fs::write(root.path().join("c/mine.txt"), "x").unwrap();
    let other = [sink(
        "c",
        "c",
        SinkFormat::Json(Decimals::Number),
        Vec::new(),
    )];
    let error = Chain::open(root.path(), JOB, &other).unwrap_err();
    assert!(matches!(error, SinkError::ForeignFolder { .. }), "{error}");
    // A broken manifest is named.
    let path = manifest_path(root.path(), 99);
    assert!(put_if_absent(&path, b"{", "test").unwrap());
    let error = Chain::open(root.path(), JOB, &sinks).unwrap_err();
    assert!(error.to_string().contains("00000099.json"), "{error}");
}
