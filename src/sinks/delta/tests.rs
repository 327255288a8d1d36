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
