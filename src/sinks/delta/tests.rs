//! Tables on real folders: what two generations and others do to a log.

use super::*;
use crate::job::plan::{Compression, OutputColumn, SinkFormat, SinkFrom};
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
        delta: true,
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
            }],
        }],
    }
}

fn open(root: &Path, tag: &str) -> Table {
    Table::open(root, "ventas", &plan(), tag).unwrap().unwrap()
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
        let old = std::time::SystemTime::now() - std::time::Duration::from_hours(31 * 24);
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
    checkpoint::write(&folder, 10, "gen-1").unwrap();
    assert!(!log::checkpoint_path(&folder, 10).exists());
    assert!(!folder.join(LOG).join("_last_checkpoint").exists());
}
