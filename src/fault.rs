//! Named fail points: where the fault suite ends a process, or lets it stand still, between any two changes of the disk.
//!
//! ```text
//! CAUDAL_FAULT_AT="put a manifest:2,show a file:1:hold"    the second time there it ends; the first time there it stands still
//! CAUDAL_FAULT_MARKS=marks                                 a file is made there, named by the point, as it strikes
//! ```
//!
//! For tests alone, and nothing that users meet. A process ends as by SIGKILL: nothing is unwound, flushed or told. One that stands still
//! has had SIGSTOP; SIGCONT lets it go on. A point whose mark is there strikes no more, so that the next life of the job lives, and so that
//! a test knows what was struck; without the folder of marks it strikes in every process that comes to it.
//!
//! Cost: the variables are read once, when a run begins. Points stand where an epoch, a file or a record is begun or ended, never where
//! rows pass, and each is one load of an atomic where nothing is armed.

use std::fs::{self, File};
use std::io::Write;
use std::path::PathBuf;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};

use rustix::process::{Signal, getpid, kill_process};

/// The variable that arms points.
pub const AT: &str = "CAUDAL_FAULT_AT";

/// The variable that names the folder of marks.
pub const MARKS: &str = "CAUDAL_FAULT_MARKS";

/// Every point of a continuous job, in the order in which a job that is started, commits and is ended comes to them first. What each is
/// about to do is its name.
pub const POINTS: &[&str] = &[
    // A life begins.
    "claim",
    "begin what was claimed",
    "make folders",
    "roll forward",
    "remove what was staged",
    "remove what was not put",
    "stage a file without rows",
    "choose a checkpoint",
    "look for partitions",
    "look at topics",
    "load look-ups",
    "write down the plan",
    "go on behind the plan",
    "copy rows of a look-up",
    "tell the others to begin",
    "follow",
    "read state",
    "fence a shard",
    "read progress",
    // Epochs.
    "open an epoch",
    "close an epoch",
    "answer for an epoch",
    "bind an epoch",
    "tell of a bound epoch",
    "write down bindings",
    "go on behind bindings",
    // A transaction of a shard.
    "begin a transaction",
    "send messages",
    "send progress",
    "commit a transaction",
    "go on behind a transaction",
    // A cluster that is away.
    "hold an epoch",
    "remove what was held",
    // What every worker does at a checkpoint.
    "begin an interval",
    "seal files",
    "seal a file",
    "tell of sealed files",
    "write state",
    "tell of state",
    "fold state",
    "write folded state",
    "use folded state",
    // A commit.
    "commit",
    "write down a checkpoint",
    "go on behind a checkpoint",
    "name a file",
    "sync the name of a file",
    "sync staged files",
    "write a manifest",
    "put a manifest",
    "look for a fold",
    "make a visible folder",
    "show a file",
    "sync visible folders",
    "remove the staged folder",
    "add to a Delta table",
    "fold a table's log",
    "write a table's checkpoint",
    "put a table's checkpoint",
    "tell of a table's checkpoint",
    "clear a table's log",
    "fence merges of a table",
    "merge small files",
    "put a merge",
    "go on behind a merge",
    "write a fold",
    "put a fold",
    "remove a folded manifest",
    // Behind it.
    "compact",
    "raise the base",
    "delete below the base",
    "tidy up state",
    "remove old state",
    // A life ends in good order.
    "write down the end",
    "go on behind the end",
];

/// What happens to the process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum What {
    /// It ends.
    End,
    /// It stands still.
    Hold,
}

#[derive(Debug)]
struct Armed {
    point: &'static str,
    /// At which time it strikes, from 1.
    nth: u64,
    what: What,
    came: AtomicU64,
}

#[derive(Debug)]
struct Plan {
    armed: Vec<Armed>,
    marks: Option<PathBuf>,
}

static PLAN: OnceLock<Plan> = OnceLock::new();

/// Reads the variables, once in a process.
///
/// Errors: in words, where what is asked for can't be.
pub(crate) fn arm() -> Result<(), String> {
    let Ok(text) = std::env::var(AT) else {
        return Ok(());
    };
    let armed = read(&text)?;
    let marks = std::env::var_os(MARKS).map(PathBuf::from);
    PLAN.get_or_init(|| Plan { armed, marks });
    Ok(())
}

fn read(text: &str) -> Result<Vec<Armed>, String> {
    text.split(',').map(read_one).collect()
}

fn read_one(text: &str) -> Result<Armed, String> {
    let wrong = |problem: &str| {
        format!(
            "{AT}: {text:?} {problem}\n  expected: POINT:N or POINT:N:hold, with commas between several\n  now: nothing was started\n  hint: points are {}",
            POINTS.join(", ")
        )
    };
    let mut parts = text.split(':');
    let name = parts.next().unwrap_or_default();
    let point = POINTS.iter().find(|point| **point == name);
    let point = *point.ok_or_else(|| wrong("begins with no point"))?;
    let nth = parts.next().and_then(|nth| nth.parse().ok());
    let nth = nth.filter(|nth| *nth > 0);
    let nth = nth.ok_or_else(|| wrong("does not say at which time, from 1"))?;
    let what = match (parts.next(), parts.next()) {
        (None, _) => What::End,
        (Some("hold"), None) => What::Hold,
        _ => return Err(wrong("ends with what is not known")),
    };
    Ok(Armed {
        point,
        nth,
        what,
        came: AtomicU64::new(0),
    })
}

/// Says that this process comes to a point, one of [`POINTS`].
pub(crate) fn at(point: &'static str) {
    if let Some(plan) = PLAN.get() {
        plan.come(point);
    }
}

impl Plan {
    #[cold]
    fn come(&self, point: &str) {
        for armed in self.armed.iter().filter(|armed| armed.point == point) {
            let came = armed.came.fetch_add(1, Ordering::AcqRel) + 1;
            if came == armed.nth && self.mark(point) {
                strike(armed.what);
            }
        }
    }

    /// Whether the point strikes: of all processes that come to it, and in all lives, one does.
    fn mark(&self, point: &str) -> bool {
        let Some(marks) = &self.marks else {
            return true;
        };
        // The process's number is whole in it when the mark is there.
        let own = std::process::id();
        let (own_file, mark) = (marks.join(format!(".{point}.{own}")), marks.join(point));
        let written = File::create(&own_file).and_then(|mut file| write!(file, "{own}"));
        written
            .and_then(|()| fs::hard_link(&own_file, mark))
            .is_ok()
    }
}

fn strike(what: What) {
    let signal = match what {
        What::End => Signal::KILL,
        What::Hold => Signal::STOP,
    };
    // It is delivered before this returns, or as soon as another thread of the process is looked at.
    if kill_process(getpid(), signal).is_err() {
        std::process::abort();
    }
    if what == What::End {
        loop {
            std::thread::park();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::path::Path;

    use super::*;

    #[test]
    fn points_are_named_once_and_stand_somewhere() {
        let mut text = String::new();
        let mut folders = vec![Path::new(env!("CARGO_MANIFEST_DIR")).join("src")];
        while let Some(folder) = folders.pop() {
            for entry in fs::read_dir(folder).unwrap() {
                let path = entry.unwrap().path();
                if path.is_dir() {
                    folders.push(path);
                } else if !path.ends_with("tests.rs") && !path.ends_with("src/fault.rs") {
                    text.push_str(&fs::read_to_string(&path).unwrap());
                }
            }
        }
        for call in ["fault::at(\"", "steps.at(\""] {
            for rest in text.split(call).skip(1) {
                let named = rest.split('"').next().unwrap();
                assert!(POINTS.contains(&named), "{named} is in no list");
            }
        }
        let known: BTreeSet<&str> = POINTS.iter().copied().collect();
        assert_eq!(known.len(), POINTS.len(), "two points have one name");
        for point in POINTS {
            assert!(
                text.contains(&format!("\"{point}\"")),
                "{point} stands nowhere"
            );
        }
    }

    #[test]
    fn what_is_armed_is_read_or_said_to_be_wrong() {
        let armed = read("claim:1,put a manifest:22:hold").unwrap();
        assert_eq!(armed.len(), 2);
        assert_eq!((armed[1].point, armed[1].nth), ("put a manifest", 22));
        assert_eq!((armed[0].what, armed[1].what), (What::End, What::Hold));
        for (text, problem) in [
            ("", "begins with no point"),
            ("clam:1", "begins with no point"),
            ("claim", "does not say at which time, from 1"),
            ("claim:0", "does not say at which time, from 1"),
            ("claim:1:hold:1", "ends with what is not known"),
            ("claim:1,claim:1:die", "ends with what is not known"),
        ] {
            let told = read(text).unwrap_err();
            assert!(told.contains(problem), "{told}");
            assert!(
                told.starts_with(AT) && told.contains("write a fold"),
                "{told}"
            );
        }
    }

    #[test]
    fn a_mark_lets_a_point_strike_once() {
        let folder = tempfile::tempdir().unwrap();
        let plan = Plan {
            armed: read("claim:1").unwrap(),
            marks: Some(folder.path().to_path_buf()),
        };
        assert!(plan.mark("claim"));
        assert!(!plan.mark("claim"));
        let mark = fs::read_to_string(folder.path().join("claim")).unwrap();
        assert_eq!(mark, std::process::id().to_string());
        assert!(plan.mark("commit"));
    }
}
