//! Files that a life did not finish: readers meet none, and nothing of them is left.

use std::fs;
use std::path::{Path, PathBuf};

use super::job::{DEADLINE, Job, Running};
use super::{at, numbers, sale};
use crate::kafka::broker::Broker;

/// Where lives end: before a file's first byte, before its footer, before and behind its name, its manifest and its showing.
const POINTS: [&str; 8] = [
    "begin an interval",
    "seal files",
    "seal a file",
    "tell of sealed files",
    "name a file",
    "put a manifest",
    "show a file",
    "remove the staged folder",
];

/// All files below a folder.
fn files_below(folder: &Path) -> Vec<PathBuf> {
    let Ok(entries) = fs::read_dir(folder) else {
        return Vec::new();
    };
    let each = entries.map(|entry| entry.unwrap().path());
    each.flat_map(|path| {
        if path.is_dir() {
            files_below(&path)
        } else {
            vec![path]
        }
    })
    .collect()
}

/// Case O69: a life that ends anywhere between the first byte of a file and its showing leaves nothing that a reader meets; its rows are
/// written again, each once, by a life of another number of workers.
#[test]
fn a_life_that_ends_while_it_writes_leaves_whole_files_or_none() {
    let Some(broker) = Broker::shared() else {
        return;
    };
    let topic = broker.topic("unfinished", 2);
    let job = Job::new(broker, &topic);
    let marks = tempfile::tempdir().unwrap();
    let mut sent = 0;
    let mut more = || {
        let ids = sent..sent + 200;
        sent = ids.end;
        let each = ids.map(|id| sale(i32::try_from(id % 2).unwrap(), id, &at("12:00:00"), "1.00"));
        broker.send(&topic, each);
        sent
    };
    let mut before = Vec::new();
    for (point, workers) in POINTS.into_iter().zip([1, 2, 3].into_iter().cycle()) {
        let all = more();
        let armed = format!("{point}:1");
        let running = Running::start_armed_with(&job, &armed, marks.path(), workers);
        job.await_that(point, DEADLINE, |_| marks.path().join(point).exists());
        running.kill();
        // Every visible file is read whole: a broken one would fail here.
        let ids = numbers(&job.rows("rows"), "id");
        assert!(
            ids.windows(2).all(|two| two[0] < two[1]),
            "{point}: {ids:?}"
        );
        assert!(ids.last().is_none_or(|last| *last < all), "{point}");
        assert!(before.iter().all(|id| ids.contains(id)), "{point}");
        before = ids;
    }
    let all = more();
    let running = Running::start(&job, 2);
    job.await_rows(usize::try_from(all).unwrap());
    let summary = running.stop();
    assert_eq!(summary["rows"]["in"], all);
    let ids: Vec<i64> = (0..all).collect();
    assert_eq!(numbers(&job.rows("rows"), "id"), ids);
    let left = files_below(&job.path("out/_caudal/staged"));
    assert!(left.is_empty(), "{left:?}");
}
