//! Every named fail point of a continuous job, each at least once.
//!
//! A chapter is a launch with up to four points armed: each life of it ends at the first of them that it comes to, and the next one has
//! to deal with what that left behind. The first chapters are those of a job that was never there.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use caudal::fault::POINTS;

use super::PATIENCE;
use super::draw::Draw;
use super::job::{Job, Launch};
use super::relay::Relay;

/// Points by the launches that come to them, in this order.
const CHAPTERS: &[&[&str]] = &[
    &["claim:1", "begin what was claimed:1", "make folders:1"],
    &[
        "stage a file without rows:1",
        "choose a checkpoint:1",
        "look for partitions:1",
    ],
    &[
        "look at topics:1",
        "load look-ups:1",
        "write down the plan:1",
    ],
    &["go on behind the plan:1", "copy rows of a look-up:1"],
    &["tell the others to begin:1", "follow:1", "fence a shard:1"],
    &["read progress:1", "open an epoch:1"],
    &[
        "close an epoch:3",
        "answer for an epoch:5",
        "bind an epoch:4",
    ],
    &[
        "tell of a bound epoch:6",
        "write down bindings:3",
        "go on behind bindings:4",
    ],
    &[
        "begin a transaction:2",
        "send messages:3",
        "send progress:2",
    ],
    &["commit a transaction:3", "go on behind a transaction:2"],
    &[
        "begin an interval:2",
        "seal files:3",
        "seal a file:2",
        "remove what was staged:1",
    ],
    &["tell of sealed files:2", "write state:2", "tell of state:3"],
    &["fold state:1", "write folded state:2"],
    &["use folded state:2"],
    &["name a file:5", "sync the name of a file:7", "read state:1"],
    &[
        "commit:2",
        "write down a checkpoint:1",
        "go on behind a checkpoint:2",
    ],
    &[
        "sync staged files:1",
        "write a manifest:2",
        "put a manifest:3",
        "remove what was not put:1",
    ],
    &[
        "look for a fold:2",
        "make a visible folder:3",
        "show a file:3",
        "roll forward:1",
    ],
    &[
        "sync visible folders:1",
        "remove the staged folder:2",
        "add to a Delta table:2",
        "compact:2",
    ],
    &[
        "raise the base:1",
        "delete below the base:1",
        "tidy up state:2",
        "remove old state:1",
    ],
    // Those of a cluster that is away.
    &["hold an epoch:2", HELD],
    // Those of each tenth commit.
    &["fold a table's log:1", "write a table's checkpoint:1"],
    &[
        "put a table's checkpoint:1",
        "tell of a table's checkpoint:1",
        "clear a table's log:1",
    ],
    // Those of each tenth with fifty small files.
    &["fence merges of a table:1", "merge small files:1"],
    &["put a merge:1", "go on behind a merge:1"],
    // Those after the wish for an end.
    &[END],
    &["go on behind the end:1"],
    // Those at the manifests whose numbers are whole thousands.
    &["write a fold:1"],
    &["put a fold:1"],
    &["remove a folded manifest:3"],
];

/// Chapters before whose end no job may be there whole.
const FIRST: usize = 3;

const END: &str = "write down the end:1";

const HELD: &str = "remove what was held:1";

/// Epochs of shards that are held before the cluster is there again.
const HOLDS: usize = 8;

/// Manifests in a fold.
const FOLD: u64 = 1000;

/// Visits all of them; the job runs in the end. It comes to its brokers through `relays`; `brokers` are where they are without.
pub(crate) fn visit(
    job: &Job,
    marks: &Path,
    draw: &mut Draw,
    (relays, brokers): (&[Relay], &str),
) -> Launch {
    let mut launch: Option<Launch> = None;
    let mut seen: BTreeSet<String> = BTreeSet::new();
    for (number, chapter) in CHAPTERS.iter().enumerate() {
        let points: Vec<&str> = chapter
            .iter()
            .map(|armed| armed.split(':').next().unwrap())
            .collect();
        let holds = chapter.contains(&HELD);
        if let Some(mut before) = launch.take() {
            if holds || draw.next(2) == 0 {
                before.stop(job);
            } else {
                before.kill();
            }
        }
        if holds {
            job.hold(brokers);
        }
        if points[0].contains(" fold") {
            lengthen(job);
        }
        // `follow` is of the second process.
        let shape = (2 + draw.next(2), 1 + draw.next(2));
        let started = Launch::start_armed(job, shape, Some((&chapter.join(","), marks)));
        if points[0].ends_with("the end") {
            job.await_commit_after(None, PATIENCE);
            job.ask_to_stop();
        }
        let cut = |is_cut| relays.iter().for_each(|relay| relay.cut(is_cut));
        if holds {
            let committed = job.committed();
            job.await_commit_after(committed, PATIENCE);
            cut(true);
        }
        for point in points {
            if HELD.starts_with(point) {
                // Another life holds, too, which has never seen the cluster.
                job.await_held(|held| held >= HOLDS, PATIENCE);
                cut(false);
            }
            let process = job.await_file(&marks.join(point), PATIENCE);
            println!("process {process} ended where it was about to {point}");
            seen.insert(point.to_owned());
        }
        launch = Some(started);
        if let Some(mut first) = launch.take_if(|_| number < FIRST) {
            // The next life would go too far. Behind the third that ended it waits for half a second.
            first.kill();
            continue;
        }
        let committed = job.committed();
        job.await_commit_after(committed, PATIENCE);
        if holds {
            job.await_held(|held| held == 0, PATIENCE);
        }
    }
    let all: BTreeSet<String> = POINTS.iter().map(|point| (*point).to_owned()).collect();
    assert_eq!(seen, all, "a point is in no chapter");
    launch.unwrap()
}

/// Makes the chain of manifests of a job that rests so long that it is folded soon, by what a generation that takes over puts.
fn lengthen(job: &Job) {
    let folder = job.path("out/_caudal/manifest");
    let number = |name: String| name.strip_suffix(".json")?.parse::<u64>().ok();
    let names = fs::read_dir(&folder).unwrap();
    let names = names.map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let newest = names.filter_map(number).max().unwrap();
    let path = |number: u64| folder.join(format!("{number:08}.json"));
    let text = fs::read_to_string(path(newest)).unwrap();
    let mut manifest: serde_json::Value = serde_json::from_str(&text).unwrap();
    manifest["staged"] = serde_json::Value::Null;
    manifest["from"] = manifest["to"].clone();
    manifest["sinks"] = serde_json::json!([]);
    // The claim of the next life and a commit or two still fit before the number at which it is folded.
    let upto = (newest + 4).div_ceil(FOLD).max(2) * FOLD - 3;
    for number in newest + 1..=upto {
        manifest["number"] = number.into();
        fs::write(path(number), format!("{manifest}\n")).unwrap();
    }
}
