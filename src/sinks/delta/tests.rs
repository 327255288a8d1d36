//! Tables on real folders: what two generations and others do to a log.

use super::*;
use crate::job::plan::{DeltaPlan, OutputColumn, SinkFrom};
use crate::sinks::chain::Added;
use crate::sinks::publish::ManifestFile;
use crate::transform::Compiler;

fn plan() -> SinkPlan {
    let column = |name: &str, text: &str| OutputColumn {
        name: name.to_owned(),
        expression: Compiler::new(&[], chrono_tz::Tz::UTC)
            .compile(text)
            .unwrap(),
    };
    SinkPlan {
        name: "rows".to_owned(),
        from: SinkFrom::Rows,
        to: SinkTo::Files {
            path: "rows".into(),
            partition_by: Vec::new(),
        },
        format: SinkFormat::Parquet(Compression::Zstd),
        delta: Some(DeltaPlan::default()),
        columns: vec![
            column("id", "1"),
            column("amount", "cast(1 as decimal(9,2))"),
        ],
    }
}

fn manifest(to: Epoch, rows: u64) -> Manifest {
    Manifest {
        format: 1,
        number: to + 1,
        job: "ventas".to_owned(),
        generation: 1,
        staged: None,
        commit: None,
        from: None,
        to: Some(to),
        summary: Value::Null,
        checkpoint: Value::Null,
        folders: std::collections::BTreeSet::new(),
        sinks: vec![Added {
            sink: "rows".to_owned(),
            path: "rows".to_owned(),
            files: vec![ManifestFile {
                path: format!("part-1-{to}-0-0.parquet"),
                rows,
                bytes: 100,
                checksum: None,
            }],
        }],
    }
}

fn open(root: &Path, tag: &str) -> Table {
    let generation = tag.strip_prefix("gen-").unwrap().parse().unwrap();
    Table::open(root, "ventas", &plan(), generation)
        .unwrap()
        .unwrap()
}

/// The files that the table holds, by its log.
fn files(root: &Path) -> Vec<String> {
    let mut versions: Vec<PathBuf> = fs::read_dir(root.join("rows").join(LOG))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    versions.sort();
    let mut files = Vec::new();
    for path in versions {
        for line in fs::read_to_string(path).unwrap().lines() {
            let action: Value = serde_json::from_str(line).unwrap();
            if let Some(path) = action["add"]["path"].as_str() {
                files.push(path.to_owned());
            }
        }
    }
    files
}

#[test]
fn a_commit_is_in_the_log_once_whoever_adds_it() {
    let root = tempfile::tempdir().unwrap();
    let mut old = open(root.path(), "gen-1");
    old.commit(&manifest(0, 0)).unwrap();
    old.commit(&manifest(10, 5)).unwrap();
    let mut new = open(root.path(), "gen-2");
    assert_eq!((new.newest, new.to), (Some(1), Some(10)));
    // Both add the same commit, and the old one wakes up later with one that is older than what is there.
    old.commit(&manifest(20, 5)).unwrap();
    new.commit(&manifest(20, 5)).unwrap();
    new.commit(&manifest(30, 5)).unwrap();
    old.commit(&manifest(30, 5)).unwrap();
    old.commit(&manifest(20, 5)).unwrap();
    let wanted = [10, 20, 30].map(|to| format!("part-1-{to}-0-0.parquet"));
    assert_eq!(files(root.path()), wanted);
    assert_eq!(new.newest, Some(3));
}

#[test]
fn what_others_add_is_gone_on_from_and_what_they_ask_is_heeded() {
    let root = tempfile::tempdir().unwrap();
    let mut table = open(root.path(), "gen-1");
    table.commit(&manifest(0, 0)).unwrap();
    table.commit(&manifest(10, 5)).unwrap();
    let write = |version: u64, action: Value| {
        let path = version_path(&root.path().join("rows"), version);
        fs::write(path, format!("{action}\n")).unwrap();
    };
    write(2, json!({ "txn": { "appId": "other", "version": 99 } }));
    table.commit(&manifest(20, 5)).unwrap();
    assert_eq!((table.newest, table.to), (Some(3), Some(20)));
    write(
        4,
        json!({ "protocol": { "minReaderVersion": 3, "minWriterVersion": 7 } }),
    );
    let error = table.commit(&manifest(30, 5)).unwrap_err();
    insta::assert_snapshot!(
        error.to_string().replace(&root.path().display().to_string(), "ROOT"),
        @r"
    sinks.rows: ROOT/rows/_delta_log/00000000000000000004.json: the table asks for reader version 3 and writer version 7; this build writes 1 and 2
      expected: a table that this sink alone adds rows to, by versions that this build keeps to
      now: the job ends; what is committed stays, and is added to the table when it can be
      hint: give the sink another folder, or make the table anew without the features that were added
    "
    );
    let mut metadata = table.metadata.clone();
    metadata["schemaString"] = json!("other");
    write(4, json!({ "metaData": metadata }));
    let error = table.commit(&manifest(30, 5)).unwrap_err();
    assert!(
        error
            .to_string()
            .contains("the table's schemaString is \"other\""),
        "{error}"
    );
    assert_eq!(files(root.path()).len(), 2);
}

/// What a table is by its log alone, whatever checkpoints there are.
fn by_versions(folder: &Path, version: u64) -> log::State {
    let aside = tempfile::tempdir().unwrap();
    let copy = aside.path().join(LOG);
    fs::create_dir(&copy).unwrap();
    for entry in fs::read_dir(folder.join(LOG)).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_some_and(|end| end == "json") {
            fs::copy(&path, copy.join(path.file_name().unwrap())).unwrap();
        }
    }
    let mut state = log::State::at(aside.path(), version).unwrap();
    // A checkpoint says of no file that it was a change.
    for action in state.added.values_mut().chain(state.removed.values_mut()) {
        action["dataChange"] = json!(false);
    }
    state
}

/// A table's state without members that are null: a checkpoint has all that there may be.
fn without_nulls(mut state: log::State) -> log::State {
    fn strip(value: &mut Value) {
        if let Some(members) = value.as_object_mut() {
            // But for a map's values.
            members.retain(|name, value| name == "day" || !value.is_null());
            members.values_mut().for_each(strip);
        }
    }
    let added = state.added.values_mut().chain(state.removed.values_mut());
    let others = state.transactions.values_mut();
    let others = others
        .chain(state.metadata.as_mut())
        .chain(state.protocol.as_mut());
    added.chain(others).for_each(strip);
    state
}

#[test]
fn each_tenth_version_has_a_checkpoint_that_says_what_the_versions_do() {
    let root = tempfile::tempdir().unwrap();
    let folder = root.path().join("rows");
    let mut table = open(root.path(), "gen-1");
    for to in 0..=25 {
        table.commit(&manifest(to, 5)).unwrap();
        if table.newest == Some(6) {
            // Another writer's: a file goes for two, with values of partitions that our own has none of.
            let now = crate::epoch::wall_time() / 1000;
            let add = json!({ "add": {
                "path": "day=__HIVE_DEFAULT_PARTITION__/a%20b.parquet", "partitionValues": { "day": null, "zone": "a b" },
                "size": 7, "modificationTime": 5, "dataChange": false, "stats": "{\"numRecords\":2}", "tags": { "by": "other" },
            } });
            let remove = |path: &str, at: i64| {
                json!({ "remove": {
                    "path": path, "deletionTimestamp": at, "dataChange": false,
                    "extendedFileMetadata": true, "partitionValues": {}, "size": 100,
                } })
            };
            let gone = [
                remove("part-1-2-0-0.parquet", now),
                remove("part%2D1-3-0-0.parquet", 1),
            ];
            let lines = [
                add,
                gone[0].clone(),
                gone[1].clone(),
                json!({ "txn": { "appId": "other", "version": 9 } }),
            ];
            let lines: Vec<String> = lines.iter().map(Value::to_string).collect();
            fs::write(version_path(&folder, 7), lines.join("\n")).unwrap();
        }
        table.join();
    }
    assert_eq!(table.newest, Some(26));
    let told = fs::read(folder.join(LOG).join("_last_checkpoint")).unwrap();
    let told: Value = serde_json::from_slice(&told).unwrap();
    assert_eq!(told["version"], 20);
    for version in [10, 20] {
        let mut wanted = by_versions(&folder, version);
        assert!(!wanted.added.contains_key("part-1-3-0-0.parquet"));
        assert!(
            wanted.removed.remove("part-1-3-0-0.parquet").is_some(),
            "older than what is told of"
        );
        let path = log::checkpoint_path(&folder, version);
        let only = tempfile::tempdir().unwrap();
        fs::create_dir(only.path().join(LOG)).unwrap();
        fs::copy(&path, log::checkpoint_path(only.path(), version)).unwrap();
        let found = log::State::at(only.path(), version).unwrap();
        assert_eq!(without_nulls(found), without_nulls(wanted));
    }
    let at_20 = log::State::at(&folder, 20).unwrap();
    let rows = at_20.added.len() + at_20.removed.len() + at_20.transactions.len() + 2;
    assert_eq!(told["size"], rows);
    assert_eq!(at_20.removed.len(), 1);
    assert!(fs::read_dir(folder.join(LOG)).unwrap().count() == 27 + 2 + 1);
}

#[test]
fn old_versions_go_below_an_old_checkpoint_and_no_newer_one_does() {
    let root = tempfile::tempdir().unwrap();
    let folder = root.path().join("rows");
    let mut table = open(root.path(), "gen-1");
    let age = |path: &Path| {
        let now = u64::try_from(crate::epoch::wall_time()).unwrap();
        let age = std::time::Duration::from_hours(31 * 24);
        let old = std::time::UNIX_EPOCH + std::time::Duration::from_micros(now) - age;
        fs::File::options()
            .append(true)
            .open(path)
            .unwrap()
            .set_modified(old)
            .unwrap();
    };
    for to in 0..=35 {
        table.commit(&manifest(to, 5)).unwrap();
        table.join();
        if table.newest == Some(29) {
            for version in 0..=25 {
                age(&version_path(&folder, version));
            }
            for version in [10, 20] {
                age(&log::checkpoint_path(&folder, version));
            }
        }
    }
    let names = entries(&folder.join(LOG)).unwrap();
    let mut versions: Vec<u64> = names.iter().filter_map(|name| version_of(name)).collect();
    versions.sort_unstable();
    assert_eq!(versions, (20..=35).collect::<Vec<_>>());
    let mut checkpoints: Vec<u64> = names
        .iter()
        .filter_map(|name| log::checkpoint_of(name))
        .collect();
    checkpoints.sort_unstable();
    assert_eq!(checkpoints, [20, 30]);
    assert_eq!(log::State::at(&folder, 35).unwrap().added.len(), 36);
    // Whoever begins now finds how far the table is.
    assert_eq!(open(root.path(), "gen-2").to, Some(35));
}

#[test]
fn a_table_that_others_ask_more_of_gets_no_checkpoint() {
    let root = tempfile::tempdir().unwrap();
    let folder = root.path().join("rows");
    let mut table = open(root.path(), "gen-1");
    for to in 0..=9 {
        table.commit(&manifest(to, 5)).unwrap();
    }
    let asks = json!({ "protocol": { "minReaderVersion": 3, "minWriterVersion": 7, "readerFeatures": ["v2Checkpoint"] } });
    fs::write(version_path(&folder, 10), format!("{asks}\n")).unwrap();
    table.care_for(10);
    table.join();
    assert!(!log::checkpoint_path(&folder, 10).exists());
    assert!(!folder.join(LOG).join("_last_checkpoint").exists());
}

/// The folder of a partition whose value is spelled in two ways.
const ZONE: &str = "zone=a%2Fb";

/// Writes a file of these ids, and gives it as a manifest has it.
fn written(root: &Path, name: &str, ids: &[i64]) -> ManifestFile {
    use arrow_array::{Int64Array, RecordBatch};
    let folder = root.join("rows").join(ZONE);
    fs::create_dir_all(&folder).unwrap();
    let ids: std::sync::Arc<dyn arrow_array::Array> =
        std::sync::Arc::new(Int64Array::from(ids.to_vec()));
    let rows = ids.len();
    let batch = RecordBatch::try_from_iter([("id", ids)]).unwrap();
    let path = folder.join(name);
    let file = fs::File::create(&path).unwrap();
    let mut writer = parquet::arrow::ArrowWriter::try_new(file, batch.schema(), None).unwrap();
    writer.write(&batch).unwrap();
    writer.close().unwrap();
    ManifestFile {
        path: format!("{ZONE}/{name}"),
        rows: u64::try_from(rows).unwrap(),
        bytes: fs::metadata(&path).unwrap().len(),
        checksum: None,
    }
}

/// A table with files that can be merged.
struct Filled {
    root: tempfile::TempDir,
    table: Table,
    next: i64,
}

impl Filled {
    /// With so many files of one row.
    fn new(files: usize) -> Self {
        let root = tempfile::tempdir().unwrap();
        let mut plan = plan();
        plan.to = SinkTo::Files {
            path: "rows".into(),
            partition_by: vec![0],
        };
        plan.columns.insert(
            0,
            OutputColumn {
                name: "zone".to_owned(),
                expression: Compiler::new(&[], chrono_tz::Tz::UTC)
                    .compile("'a/b'")
                    .unwrap(),
            },
        );
        let table = Table::open(root.path(), "ventas", &plan, 1)
            .unwrap()
            .unwrap();
        let mut filled = Self {
            root,
            table,
            next: 0,
        };
        for _ in 0..files {
            filled.commit();
        }
        filled
    }

    /// One more file.
    fn commit(&mut self) {
        let to = u64::try_from(self.next).unwrap();
        let mut manifest = manifest(to, 1);
        let file = written(
            self.root.path(),
            &format!("part-1-{to}-0-0.parquet"),
            &[self.next],
        );
        manifest.sinks[0].files = vec![file];
        self.table.commit(&manifest).unwrap();
        self.table.join();
        self.next += 1;
    }

    fn folder(&self) -> PathBuf {
        self.root.path().join("rows")
    }

    fn merger(&self, generation: u64) -> Merger {
        Merger {
            folder: self.folder(),
            app: self.table.app.clone(),
            generation,
            tag: format!("gen-{generation}-care"),
            keep: std::time::Duration::ZERO,
            codec: Codec::ZSTD(ZstdLevel::default()),
        }
    }

    fn state(&self) -> State {
        let mut state = State::default();
        state.advance(&self.folder()).unwrap();
        state
    }

    /// The ids that readers see.
    fn ids(&self) -> Vec<i64> {
        use arrow_array::cast::AsArray;
        let mut ids = Vec::new();
        for (path, added) in self.state().added {
            let file = fs::File::open(self.folder().join(&path)).unwrap();
            assert_eq!(
                file.metadata().unwrap().len(),
                added["size"].as_u64().unwrap()
            );
            assert_eq!(added["partitionValues"], json!({ "zone": "a/b" }));
            let reader =
                parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder::try_new(file);
            let mut rows = 0;
            for batch in reader.unwrap().build().unwrap() {
                let batch = batch.unwrap();
                rows += batch.num_rows();
                let found = batch
                    .column(0)
                    .as_primitive::<arrow_array::types::Int64Type>();
                ids.extend(found.values());
            }
            assert_eq!(added["stats"], json!({ "numRecords": rows }).to_string());
        }
        ids.sort_unstable();
        ids
    }

    /// The files that are there, whatever the log says of them.
    fn there(&self, begins: &str) -> usize {
        let names = entries(&self.folder().join(ZONE)).unwrap();
        names.iter().filter(|name| name.starts_with(begins)).count()
    }

    fn all(&self) -> Vec<i64> {
        (0..self.next).collect()
    }
}

#[test]
fn many_small_files_become_one_and_go_when_readers_have_had_their_time() {
    let is_over = AtomicBool::new(false);
    let mut filled = Filled::new(merge::MANY - 1);
    let merger = filled.merger(1);
    merger.merge(filled.state(), &is_over).unwrap();
    assert_eq!(filled.there("merged-"), 0, "there are not many yet");
    filled.commit();
    // A commit comes between the look at the log and the merge.
    let state = filled.state();
    filled.commit();
    merger.merge(state, &is_over).unwrap();
    let state = filled.state();
    assert_eq!((state.added.len(), state.removed.len()), (2, merge::MANY));
    assert_eq!(filled.ids(), filled.all());
    assert_eq!(
        filled.there("part-"),
        merge::MANY + 1,
        "readers may read them still"
    );
    // The job goes on behind it, and a life that begins finds how far the table is.
    filled.commit();
    let reopened = open(filled.root.path(), "gen-2");
    assert_eq!(
        (reopened.to, reopened.newest),
        (filled.table.to, filled.table.newest)
    );
    std::thread::sleep(std::time::Duration::from_millis(2));
    merger.clear(&filled.state()).unwrap();
    assert_eq!((filled.there("part-"), filled.there("merged-")), (2, 1));
    assert_eq!(filled.ids(), filled.all());
    // Once a life a version fences; all is there again by the log from a checkpoint.
    checkpoint::write(&filled.folder(), &filled.state(), merger.keep, "gen-1").unwrap();
    for _ in 0..merge::MANY {
        filled.commit();
    }
    merger.merge(filled.state(), &is_over).unwrap();
    assert_eq!(filled.state().added.len(), 1);
    assert_eq!(filled.ids(), filled.all());
}

#[test]
fn what_others_merge_or_take_away_is_left_to_them() {
    let filled = Filled::new(merge::MANY);
    let state = filled.state();
    let version = state.version.unwrap();
    let gone = format!("{}/part-1-7-0-0.parquet", actions::uri(ZONE));
    let remove = json!({ "remove": { "path": gone, "deletionTimestamp": 1, "dataChange": true } });
    fs::write(
        version_path(&filled.folder(), version + 1),
        format!("{remove}\n"),
    )
    .unwrap();
    filled
        .merger(1)
        .merge(state, &AtomicBool::new(false))
        .unwrap();
    assert_eq!(filled.there("merged-"), 0);
    assert_eq!(
        filled.state().version,
        Some(version + 2),
        "only the fence was put"
    );
    let mut left = filled.all();
    left.remove(7);
    assert_eq!(filled.ids(), left);
}

#[test]
fn an_older_generation_that_wakes_up_merges_nothing_and_what_it_left_is_removed() {
    let is_over = AtomicBool::new(false);
    let mut filled = Filled::new(merge::MANY);
    let old = filled.merger(1);
    old.merge(filled.state(), &is_over).unwrap();
    for _ in 0..merge::MANY {
        filled.commit();
    }
    // What the old one looked at; and what it had rewritten when it was killed, beside a file of the newer one and a stranger's.
    let seen = filled.state();
    let folder = filled.folder().join(ZONE);
    for name in [
        "merged-00000001-9-0.parquet",
        "merged-00000002-9-9.parquet",
        "merged-notes.txt",
    ] {
        fs::write(folder.join(name), "half").unwrap();
    }
    let new = filled.merger(2);
    new.merge(filled.state(), &is_over).unwrap();
    assert!(!folder.join("merged-00000001-9-0.parquet").exists());
    assert!(folder.join("merged-00000002-9-9.parquet").exists());
    assert!(folder.join("merged-notes.txt").exists());
    assert_eq!(
        filled.there("merged-00000001"),
        1,
        "what is in the table stays"
    );
    let before = filled.state();
    old.merge(seen, &is_over).unwrap();
    assert_eq!(filled.state(), before);
    assert_eq!(filled.there("merged-00000001"), 1);
    assert_eq!(filled.ids(), filled.all());
}

#[test]
fn a_merge_that_is_to_end_leaves_nothing() {
    let filled = Filled::new(merge::MANY);
    let before = filled.state();
    filled
        .merger(1)
        .merge(filled.state(), &AtomicBool::new(true))
        .unwrap();
    assert_eq!(filled.there("merged-"), 0);
    assert_eq!(filled.state().added, before.added);
}
