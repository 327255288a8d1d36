//! What a receiver is told, whatever order verdicts come in and whenever a life ends.

use std::time::Duration;

use proptest::prelude::*;

use super::*;
use crate::alerts::watch::BadRow;
use crate::job::plan::Receiver;

const MINUTE: i64 = 60_000_000;

fn plan() -> AlertsPlan {
    AlertsPlan {
        name: "hook".to_owned(),
        to: Receiver::Log,
        checks: None,
        warns: true,
        group_by: vec!["segment".to_owned()],
        after: 1,
        max_age: Duration::from_hours(1),
        settle: Duration::from_mins(5),
        timeout: Duration::from_secs(1),
        retry: Duration::from_secs(1),
    }
}

fn row(check: usize, segment: usize, minute: i64, status: &str) -> BadRow {
    BadRow {
        check: format!("check_{check}"),
        segment: format!("region={segment}"),
        window: Some((minute * MINUTE, (minute + 1) * MINUTE)),
        status: status.to_owned(),
        value: None,
        expected: None,
        epoch: u64::try_from(minute).unwrap(),
        now: (minute + 1) * MINUTE,
        is_past: false,
    }
}

fn value(change: &Change, word: &str) -> String {
    match word {
        "segment" => change.about.1.clone(),
        other => panic!("{other}"),
    }
}

fn turns(changes: &[Change]) -> Vec<(Turn, Condition)> {
    let each = changes.iter();
    each.map(|change| (change.turn, change.alert.condition))
        .collect()
}

#[test]
fn a_region_that_is_silent_in_twenty_checks_is_one_message() {
    let mut watch = Watch::default();
    for check in 0..20 {
        watch.take(&row(check, 5, 0, "fail"));
    }
    let told = Told::default();
    let changes = told.difference(&bad_for(&plan(), &watch, &told), None);
    let messages = groups(changes, &plan().group_by, false, value);
    assert_eq!(messages.len(), 1);
    let (common, changes) = &messages[0];
    let segment = ("segment".to_owned(), "region=5".to_owned());
    assert_eq!((common, changes.len()), (&vec![segment], 20));
}

#[test]
fn many_groups_at_once_are_one_message_and_a_message_is_bounded() {
    let at_once = |segments: usize, is_one: bool| -> Vec<usize> {
        let mut watch = Watch::default();
        for segment in 0..segments {
            watch.take(&row(0, segment, 0, "fail"));
        }
        let told = Told::default();
        let changes = told.difference(&bad_for(&plan(), &watch, &told), None);
        let messages = groups(changes, &plan().group_by, is_one, value);
        messages.iter().map(|(_, changes)| changes.len()).collect()
    };
    assert_eq!(at_once(10, false), [1; 10]);
    assert_eq!(at_once(3, true), [3]);
    assert_eq!(at_once(11, false), [11]);
    assert_eq!(at_once(2_500, false), [1_000, 1_000, 500]);
}

#[test]
fn another_condition_is_another_alert() {
    let (mut watch, mut told) = (Watch::default(), Told::default());
    let mut step = |minute: i64, status: &str| {
        watch.take(&row(0, 0, minute, status));
        let changes = told.difference(&bad_for(&plan(), &watch, &told), None);
        told.apply(&changes, 1, minute * MINUTE);
        turns(&changes)
    };
    assert_eq!(step(1, "warn"), [(Turn::Opened, Condition::Warn)]);
    assert_eq!(step(2, "warn"), []);
    assert_eq!(
        step(3, "fail"),
        [
            (Turn::Resolved, Condition::Warn),
            (Turn::Opened, Condition::Fail)
        ]
    );
    assert_eq!(step(4, "too_few"), []);
    assert_eq!(step(5, "pass"), [(Turn::Resolved, Condition::Fail)]);
    assert_eq!(step(6, "pass"), []);
}

#[test]
fn what_does_not_last_is_not_bad_enough_or_is_history_opens_nothing() {
    let of = |plan: &AlertsPlan, rows: &[BadRow]| {
        let mut watch = Watch::default();
        for row in rows {
            watch.take(row);
        }
        bad_for(plan, &watch, &Told::default()).len()
    };
    let two = AlertsPlan { after: 2, ..plan() };
    let first = row(0, 0, 1, "fail");
    assert_eq!(of(&two, std::slice::from_ref(&first)), 0);
    assert_eq!(of(&two, &[first.clone(), row(0, 0, 3, "warn")]), 1);
    assert_eq!(
        of(
            &two,
            &[first.clone(), row(0, 0, 2, "pass"), row(0, 0, 3, "fail")]
        ),
        0
    );
    let silent = BadRow {
        window: None,
        ..first.clone()
    };
    assert_eq!(of(&two, &[silent]), 1);
    let severe = AlertsPlan {
        warns: false,
        ..plan()
    };
    assert_eq!(of(&severe, &[row(0, 0, 1, "warn")]), 0);
    assert_eq!(of(&severe, &[row(0, 0, 1, "overflow")]), 1);
    let others = AlertsPlan {
        checks: Some(vec!["check_7".to_owned()]),
        ..plan()
    };
    assert_eq!(of(&others, std::slice::from_ref(&first)), 0);
    // It ended an hour and a minute before it was judged.
    let old = BadRow {
        now: first.now + 61 * MINUTE,
        ..first
    };
    assert_eq!(of(&plan(), &[old]), 0);
}

#[test]
fn who_is_reminded_is_told_of_what_is_open_still() {
    let (mut watch, mut told) = (Watch::default(), Told::default());
    watch.take(&row(0, 0, 1, "fail"));
    let changes = told.difference(&bad_for(&plan(), &watch, &told), None);
    told.apply(&changes, 1, 100);
    watch.take(&row(0, 0, 2, "fail"));
    let bad = bad_for(&plan(), &watch, &told);
    assert_eq!(told.difference(&bad, Some(99)), []);
    let changes = told.difference(&bad, Some(100));
    assert_eq!(turns(&changes), [(Turn::Still, Condition::Fail)]);
    // It is the one that was opened, by its id.
    let opened = told.open[&changes[0].about]
        .alert
        .id("job", &changes[0].about);
    assert_eq!(changes[0].alert.id("job", &changes[0].about), opened);
    told.apply(&changes, 2, 200);
    assert_eq!(told.difference(&bad, Some(100)), []);
}

#[test]
fn what_is_known_comes_back() {
    let (mut watch, mut told) = (Watch::default(), Told::default());
    watch.take(&row(0, 0, 1, "fail"));
    let changes = told.difference(&bad_for(&plan(), &watch, &told), None);
    told.apply(&changes, 7, 100);
    let bytes = serde_json::to_vec(&told).unwrap();
    assert_eq!(serde_json::from_slice::<Told>(&bytes).unwrap(), told);
}

/// A step of a job: verdicts of one epoch, and what happens then.
#[derive(Debug, Clone)]
struct Step {
    verdicts: Vec<(usize, usize, usize)>,
    /// Whether the receiver answers.
    answers: bool,
    /// Whether the job dies, and goes on from so many steps ago; what was told is known.
    dies: Option<usize>,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let verdicts = prop::collection::vec((0..2_usize, 0..3_usize, 0..4_usize), 0..4);
    let step = (
        verdicts,
        any::<bool>(),
        prop::option::weighted(0.2, 0..4_usize),
    );
    let step = step.prop_map(|(verdicts, answers, dies)| Step {
        verdicts,
        answers,
        dies,
    });
    prop::collection::vec(step, 1..24)
}

proptest! {
    /// A job that dies and goes on from an older checkpoint, with a receiver that is away at times, tells what one tells that runs through with
    /// the same answers; and what the receiver was told adds up to what is bad.
    #[test]
    fn a_job_that_dies_tells_what_one_tells_that_does_not(steps in steps()) {
        let statuses = ["pass", "warn", "fail", "too_few"];
        let run = |with_deaths: bool| -> Vec<Vec<Change>> {
            let mut checkpoints = vec![Watch::default()];
            let mut told = Told::default();
            let mut messages = Vec::new();
            let mut known: BTreeMap<About, Condition> = BTreeMap::new();
            let mut at = 0;
            // Each death is died once.
            let mut deaths: Vec<Option<usize>> = steps.iter().map(|step| step.dies).collect();
            while at < steps.len() {
                let step = &steps[at];
                let epoch = u64::try_from(at).unwrap() + 1;
                let minute = i64::try_from(at).unwrap();
                let mut watch = checkpoints[at].clone();
                for (check, segment, status) in &step.verdicts {
                    watch.take(&row(*check, *segment, minute, statuses[*status]));
                }
                watch.commit((epoch, minute * MINUTE), true, MINUTE);
                checkpoints.truncate(at + 1);
                checkpoints.push(watch.clone());
                at += 1;
                // Nothing is told before it is as far as the life that told last.
                if step.answers && epoch >= told.epoch {
                    let bad = bad_for(&plan(), &watch, &told);
                    let changes = told.difference(&bad, None);
                    // What is known is written down with what was told.
                    if !changes.is_empty() {
                        told.apply(&changes, epoch, minute);
                    }
                    for change in &changes {
                        let condition = change.alert.condition;
                        let before = match change.turn {
                            Turn::Opened => known.insert(change.about.clone(), condition),
                            _ => known.remove(&change.about),
                        };
                        let wanted = (change.turn != Turn::Opened).then_some(condition);
                        assert_is(before, wanted);
                    }
                    let is_bad: BTreeMap<About, Condition> = bad
                        .into_iter()
                        .map(|(about, alert)| (about, alert.condition))
                        .collect();
                    assert_eq!(known, is_bad);
                    if !changes.is_empty() {
                        messages.push(changes);
                    }
                }
                if with_deaths && let Some(back) = deaths[at - 1].take() {
                    at = at.saturating_sub(back);
                }
            }
            messages
        };
        prop_assert_eq!(run(true), run(false));
    }
}

/// An alert is opened where none is open, and else is the one that is.
fn assert_is(before: Option<Condition>, wanted: Option<Condition>) {
    assert_eq!(
        before, wanted,
        "an alert was opened twice, or resolved without being open"
    );
}
