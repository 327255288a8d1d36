//! Segments that come, go silent and come back, held against a walk over all of them.

use std::collections::BTreeMap;

use arrow_cast::display::{ArrayFormatter, FormatOptions};
use proptest::prelude::*;

use super::*;
use crate::checks::inputs::Input;
use crate::checks::layout::{SegmentColumn, StatisticInput};
use crate::checks::windows::Windows;
use crate::job::plan::{AggregateFunction, timestamp_type};

const MINUTE: i64 = 60_000_000;

/// Per region, of timestamps.
fn layout() -> Arc<Layout> {
    let segment = SegmentColumn {
        id: 0,
        name: "region".into(),
        data_type: DataType::Utf8,
        nullable: true,
    };
    layout_of(vec![segment])
}

fn layout_of(segment: Vec<SegmentColumn>) -> Arc<Layout> {
    let data_type = timestamp_type();
    let newest = StatisticInput {
        name: "newest".into(),
        function: AggregateFunction::Max,
        argument: Some((Input::Column(1), data_type.clone())),
        filter: None,
        data_type,
    };
    let layout = Layout::new("alive".into(), segment, 1, Windows::Whole, &[newest]);
    Arc::new(layout)
}

fn of(name: &str) -> Segment {
    Segment(Box::new([Value::Text(name.into())]))
}

/// Rows whose newest event is at a time, or of which none has one.
fn rows(newest: Option<i64>) -> Partial {
    let newest = newest.map_or(Value::Null, Value::Int);
    Partial {
        rows: 1,
        accumulators: Box::new([Accumulator::Greatest(newest)]),
    }
}

fn limits() -> Freshness {
    Freshness::by_limits(Some(10 * MINUTE), Some(30 * MINUTE))
}

/// Segment, status, value, reason.
fn lines(verdicts: &RecordBatch) -> Vec<String> {
    let options = FormatOptions::new().with_null("-");
    let columns = ["segment", "status", "value", "reason"].map(|name| {
        let column = verdicts.column_by_name(name).unwrap();
        ArrayFormatter::try_new(column, &options).unwrap()
    });
    (0..verdicts.num_rows())
        .map(|row| {
            columns
                .each_ref()
                .map(|column| column.value(row).to_string())
                .join(" ")
        })
        .collect()
}

fn saved(lives: &Lives) -> Vec<u8> {
    let mut bytes = Vec::new();
    lives.save(&mut bytes).unwrap();
    bytes
}

/// The same state, from its bytes.
fn again(lives: &Lives) -> Lives {
    let bytes = saved(lives);
    let mut again = Lives::new(Arc::clone(&lives.layout), lives.rule.clone());
    again.load(&bytes).unwrap();
    assert_eq!(saved(&again), bytes);
    for (segment, life) in &lives.known {
        // A look-up's rows are read anew.
        if life.expected > 0 && !segment.0.is_empty() {
            again.expect((**segment).clone(), life.expected);
        }
    }
    again
}

const NONE: [&str; 0] = [];

#[test]
fn a_segment_appears_goes_silent_fails_and_comes_back() {
    let mut lives = Lives::new(layout(), limits());
    assert_eq!(lines(&lives.judge(0, None)), NONE);
    lives.apply(of("mx"), &rows(Some(MINUTE)), 1, MINUTE);
    lives.apply(of("es"), &rows(Some(0)), 1, MINUTE);
    let both = [
        "region=es pass 60.0 appeared",
        "region=mx pass 0.0 appeared",
    ];
    assert_eq!(lines(&lives.judge(MINUTE, None)), both);
    assert_eq!(lines(&lives.judge(10 * MINUTE, None)), NONE);
    assert_eq!(
        lines(&lives.judge(10 * MINUTE + 1, None)),
        ["region=es warn 600.000001 silent"]
    );
    assert_eq!(
        lines(&lives.judge(11 * MINUTE + 1, None)),
        ["region=mx warn 600.000001 silent"]
    );
    // Rows come, of events that were old before.
    lives.apply(of("mx"), &rows(Some(MINUTE)), 2, 11 * MINUTE + 2);
    assert_eq!(
        lines(&lives.judge(11 * MINUTE + 2, None)),
        ["region=mx warn 600.000002 late"]
    );
    lives.apply(of("es"), &rows(Some(12 * MINUTE)), 2, 12 * MINUTE);
    assert_eq!(
        lines(&lives.judge(12 * MINUTE, None)),
        ["region=es pass 0.0 back"]
    );
    // Both limits at once: the worse one alone.
    let silent = [
        "region=es fail 3480.0 silent",
        "region=mx fail 4140.0 silent",
    ];
    assert_eq!(lines(&lives.judge(70 * MINUTE, None)), silent);
    assert_eq!(lines(&lives.judge(i64::MAX, None)), NONE);
}

#[test]
fn an_age_of_nothing_is_a_value_and_passes() {
    let mut lives = Lives::new(layout(), limits());
    lives.apply(of("es"), &rows(Some(5)), 1, 5);
    assert_eq!(lines(&lives.close(Some(5))), ["region=es pass 0.0 -"]);
}

#[test]
fn what_is_expected_and_never_comes_is_as_old_as_the_check() {
    let mut lives = Lives::new(layout(), limits());
    lives.expect(of("es"), 2);
    lives.expect(of("mx"), 1);
    assert_eq!(lines(&lives.judge(5 * MINUTE, None)), NONE);
    lives.apply(of("mx"), &rows(Some(15 * MINUTE)), 2, 15 * MINUTE);
    assert_eq!(
        lines(&lives.judge(15 * MINUTE, None)),
        ["region=mx pass 0.0 appeared"]
    );
    let mut lives = again(&lives);
    assert_eq!(
        lines(&lives.judge(15 * MINUTE + 1, None)),
        ["region=es warn 600.000001 never_came"]
    );
    // One of two rows that expect it went.
    lives.expect(of("es"), -1);
    assert_eq!(lines(&lives.judge(16 * MINUTE, None)), NONE);
    lives.expect(of("es"), -1);
    lives.expect(of("mx"), -1);
    // What never came is gone with the last of them; what came is a segment as others are.
    assert_eq!(
        lines(&lives.judge(17 * MINUTE, None)),
        ["region=es retired 720.0 retired"]
    );
    assert_eq!(lives.len(), 1);
    let mut lives = Lives::new(layout(), limits());
    lives.expect(of("es"), 1);
    lives.apply(of("mx"), &rows(Some(0)), 1, 0);
    let bounded = [
        "region=es fail - never_came",
        "region=mx fail 2400.0 silent",
    ];
    assert_eq!(lines(&lives.close(Some(40 * MINUTE))), bounded);
}

#[test]
fn a_segment_retires_once_and_appears_anew() {
    let rule = Freshness {
        retire_after: Some(60 * MINUTE),
        ..limits()
    };
    let mut lives = Lives::new(layout(), rule);
    lives.expect(of("mx"), 1);
    for name in ["es", "mx"] {
        lives.apply(of(name), &rows(Some(0)), 1, 0);
    }
    lives.judge(0, None);
    assert_eq!(lines(&lives.judge(60 * MINUTE, None)).len(), 2);
    let mut lives = again(&lives);
    assert_eq!(
        lines(&lives.judge(60 * MINUTE + 1, None)),
        ["region=es retired 3600.000001 retired"]
    );
    // What is expected does not retire.
    assert_eq!(lives.len(), 1);
    lives.apply(of("es"), &rows(Some(90 * MINUTE)), 9, 90 * MINUTE);
    assert_eq!(
        lines(&lives.judge(90 * MINUTE, None)),
        ["region=es pass 0.0 appeared"]
    );
    let mut bounded = Lives::new(layout(), lives.rule.clone());
    bounded.apply(of("es"), &rows(Some(0)), 1, 0);
    bounded.apply(of("mx"), &rows(Some(61 * MINUTE)), 1, 0);
    let closed = lines(&bounded.close(None));
    assert_eq!(
        closed,
        ["region=es retired 3660.0 retired", "region=mx pass 0.0 -"]
    );
}

#[test]
fn rows_without_a_time_fail_by_event_and_arrive() {
    let mut lives = Lives::new(layout(), limits());
    lives.apply(of("es"), &rows(None), 1, 0);
    assert_eq!(
        lines(&lives.judge(0, None)),
        ["region=es fail - no_event_time"]
    );
    lives.apply(of("es"), &rows(Some(MINUTE)), 2, MINUTE);
    assert_eq!(
        lines(&lives.judge(MINUTE, None)),
        ["region=es pass 0.0 back"]
    );
    let rule = Freshness {
        on: FreshnessOn::Arrival,
        ..limits()
    };
    let mut lives = Lives::new(layout(), rule);
    lives.apply(of("es"), &rows(None), 1, 0);
    assert_eq!(
        lines(&lives.judge(0, None)),
        ["region=es pass 0.0 appeared"]
    );
    assert_eq!(
        lines(&lives.judge(10 * MINUTE + 1, None)),
        ["region=es warn 600.000001 silent"]
    );
    assert_eq!(lines(&lives.close(None)), ["region=es pass 0.0 -"]);
}

#[test]
fn refused_rows_are_arrivals_of_all_rows_and_of_no_segment() {
    let refused = Partial {
        rows: 3,
        accumulators: Box::default(),
    };
    let mut lives = Lives::new(layout_of(Vec::new()), limits());
    lives.apply(Segment::default(), &refused, 1, 0);
    assert_eq!(lines(&lives.close(None)), [" fail - no_event_time"]);
    let mut lives = Lives::new(layout(), limits());
    lives.apply(Segment::default(), &refused, 1, 0);
    assert_eq!(lines(&lives.close(None)), ["* fail - no_event_time"]);
    // All rows are one segment, which is expected always.
    let mut lives = Lives::new(layout_of(Vec::new()), limits());
    assert_eq!(lines(&lives.close(None)), [" fail - never_came"]);
}

#[test]
fn more_segments_than_are_kept_are_told_and_harm_none_that_are() {
    let rule = Freshness {
        max_segments: 2,
        retire_after: Some(60 * MINUTE),
        ..limits()
    };
    let mut lives = Lives::new(layout(), rule);
    for name in ["a", "b", "c"] {
        lives.apply(of(name), &rows(Some(0)), 1, 0);
    }
    let told = [
        "* too_many_segments - -",
        "region=a pass 0.0 appeared",
        "region=b pass 0.0 appeared",
    ];
    assert_eq!(lines(&lives.judge(0, None)), told);
    lives.apply(of("c"), &rows(Some(MINUTE)), 2, MINUTE);
    lives.apply(of("b"), &rows(Some(MINUTE)), 2, MINUTE);
    assert_eq!(lines(&lives.judge(MINUTE, None)), NONE);
    let mut lives = again(&lives);
    // There is room when one has retired.
    assert_eq!(lines(&lives.judge(60 * MINUTE + 1, None)).len(), 2);
    assert_eq!(
        lines(&lives.judge(60 * MINUTE + 2, None)),
        ["* pass 0.0 back"]
    );
    lives.apply(of("c"), &rows(Some(61 * MINUTE)), 3, 61 * MINUTE);
    assert_eq!(
        lines(&lives.judge(61 * MINUTE, None)),
        ["region=c pass 0.0 appeared"]
    );
    let mut bounded = Lives::new(layout(), lives.rule.clone());
    for name in ["c", "b", "a"] {
        bounded.apply(of(name), &rows(Some(0)), 1, 0);
    }
    assert_eq!(lines(&bounded.close(None)), ["* too_many_segments - -"]);
}

/// That all was read until then, and why not more.
fn lag(read_until: Option<i64>, is_source: bool) -> Lag {
    Lag {
        read_until,
        is_source,
        uncommitted_since: None,
    }
}

#[test]
fn no_sales_a_stalled_source_and_a_slow_job_are_told_apart() {
    let mut lives = Lives::new(layout(), limits());
    lives.apply(of("es"), &rows(Some(0)), 1, 0);
    lives.judge(0, None);
    // Nothing is known after minute 5: the segment is not silent, and the source is told when that is too long ago.
    let stalled = lag(Some(5 * MINUTE), true);
    assert_eq!(lines(&lives.judge(12 * MINUTE, Some(&stalled))), NONE);
    assert_eq!(
        lines(&lives.judge(16 * MINUTE, Some(&stalled))),
        ["* warn 660.0 source_stalled"]
    );
    let mut lives = again(&lives);
    // It answers, and there is much to read.
    let slow = lag(Some(5 * MINUTE), false);
    assert_eq!(
        lines(&lives.judge(17 * MINUTE, Some(&slow))),
        ["* warn 720.0 job_slow"]
    );
    assert_eq!(
        lines(&lives.judge(36 * MINUTE, Some(&slow))),
        ["* fail 1860.0 job_slow"]
    );
    // What is read says that it was silent.
    let read = lag(Some(11 * MINUTE), false);
    let told = ["* warn 1560.0 job_slow", "region=es warn 660.0 silent"];
    assert_eq!(lines(&lives.judge(37 * MINUTE, Some(&read))), told);
    let told = ["* pass 0.0 back", "region=es fail 2280.0 silent"];
    assert_eq!(lines(&lives.judge(38 * MINUTE, None)), told);
    let commit = Lag {
        uncommitted_since: Some(38 * MINUTE),
        ..lag(Some(50 * MINUTE), false)
    };
    assert_eq!(
        lines(&lives.judge(50 * MINUTE, Some(&commit))),
        ["* warn 720.0 commit_slow"]
    );
}

#[test]
fn nothing_is_judged_before_anything_is_known_and_time_never_goes_back() {
    let mut lives = Lives::new(layout(), limits());
    // Rows of the past are read.
    lives.apply(of("es"), &rows(Some(0)), 1, 900 * MINUTE);
    assert_eq!(
        lines(&lives.judge(900 * MINUTE, Some(&lag(None, false)))),
        NONE
    );
    let past = lag(Some(5 * MINUTE), false);
    assert_eq!(
        lines(&lives.judge(901 * MINUTE, Some(&past))),
        ["* fail 53760.0 job_slow", "region=es pass 300.0 appeared"]
    );
    assert_eq!(
        lines(&lives.judge(902 * MINUTE, None)),
        ["* pass 0.0 back", "region=es fail 54120.0 late"]
    );
    // A clock that was set back, and a partition of which less is known, take nothing back.
    let mut lives = again(&lives);
    assert_eq!(lines(&lives.judge(880 * MINUTE, None)), NONE);
    assert_eq!(
        lines(&lives.judge(902 * MINUTE, Some(&lag(None, false)))),
        NONE
    );
}

#[test]
fn a_segment_stands_once_among_those_that_wait() {
    // It comes and goes a thousand times before the far limit passes once.
    let mut lives = Lives::new(layout(), Freshness::by_limits(Some(1), Some(1_000_000)));
    for now in 0..1_000 {
        lives.apply(of("es"), &rows(Some(now * 10)), 1, now * 10);
        assert_eq!(lives.judge(now * 10, None).num_rows(), 1);
        assert_eq!(lives.judge(now * 10 + 5, None).num_rows(), 1);
        assert!(lives.deadlines.len() <= 1);
    }
}

#[test]
fn without_limits_it_tells_of_new_segments_alone() {
    let mut lives = Lives::new(layout(), Freshness::by_limits(None, None));
    lives.expect(of("mx"), 1);
    lives.apply(of("es"), &rows(Some(5)), 1, 5);
    assert_eq!(
        lines(&lives.judge(5, None)),
        ["region=es measured 0.0 appeared"]
    );
    assert_eq!(
        lines(&lives.judge(i64::MAX, Some(&lag(Some(6), true)))),
        NONE
    );
    assert_eq!(
        lines(&lives.close(None)),
        ["region=es measured 0.0 -", "region=mx no_data - never_came"]
    );
}

#[test]
fn state_of_something_else_is_refused_with_the_difference() {
    let lives = Lives::new(layout(), limits());
    let rule = Freshness {
        on: FreshnessOn::Arrival,
        ..limits()
    };
    let mut other = Lives::new(layout(), rule);
    let error = other.load(&saved(&lives)).unwrap_err().to_string();
    assert!(error.contains("freshness on event"), "{error}");
    assert!(error.contains("freshness on arrival"), "{error}");
}

/// One step of a random history: rows of segments with how far their events are from now, expectations, and how much time passes.
type Step = (
    Vec<(u8, Option<i64>)>,
    Vec<(u8, bool)>,
    i64,
    Option<i64>,
    bool,
);

fn step() -> impl Strategy<Value = Step> {
    (
        proptest::collection::vec((0..4_u8, proptest::option::weighted(0.8, -50..5_i64)), 0..4),
        proptest::collection::vec((0..4_u8, any::<bool>()), 0..2),
        0..40_i64,
        proptest::option::weighted(0.3, 0..60_i64),
        proptest::bool::weighted(0.2),
    )
}

/// What is known of a segment, without any order of time.
#[derive(Debug, Clone, Default)]
struct Known {
    newest: Option<i64>,
    arrived: Option<i64>,
    since: Option<i64>,
    expected: i64,
    said: Option<(&'static str, Option<&'static str>)>,
    told: bool,
}

proptest! {
    #[test]
    fn every_change_is_told_and_nothing_else(
        steps in proptest::collection::vec(step(), 1..30),
        warn_after in proptest::option::of(0..30_i64),
        more in proptest::option::of(0..30_i64),
        retire in proptest::option::of(61..90_i64),
        by_arrival in any::<bool>(),
    ) {
        let fail_after = more.map(|more| warn_after.unwrap_or(0) + more);
        let rule = Freshness {
            on: if by_arrival { FreshnessOn::Arrival } else { FreshnessOn::Event },
            retire_after: retire,
            ..Freshness::by_limits(warn_after, fail_after)
        };
        let mut lives = Lives::new(layout(), rule);
        let mut known: BTreeMap<String, Known> = BTreeMap::new();
        let (mut now, mut until) = (1_000, i64::MIN);
        for (epoch, (came, expects, passed, behind, cut)) in (1..).zip(steps) {
            for (name, ahead) in came {
                let name = name.to_string();
                lives.apply(of(&name), &rows(ahead.map(|ahead| now + ahead)), epoch, now);
                let own = known.entry(name).or_default();
                own.newest = own.newest.max(ahead.map(|ahead| now + ahead));
                own.arrived = Some(now);
            }
            for (name, comes) in expects {
                let name = name.to_string();
                let own = known.entry(name.clone()).or_default();
                let rows = if comes { 1 } else { -own.expected.signum() };
                own.expected += rows;
                lives.expect(of(&name), rows);
            }
            now += passed;
            until = until.max(behind.map_or(now, |behind| now - behind));
            let lag = behind.map(|behind| self::lag(Some(now - behind), false));
            let mut expected = Vec::new();
            known.retain(|name, own| {
                let since = *own.since.get_or_insert(now);
                let by = if by_arrival { own.arrived } else { own.newest };
                let beyond = |from: i64, limit: Option<i64>| limit.is_some_and(|limit| until - from > limit);
                let status = |from: i64| match () {
                    () if beyond(from, fail_after) => "fail",
                    () if beyond(from, warn_after) => "warn",
                    () if warn_after.or(fail_after).is_none() => "measured",
                    () => "pass",
                };
                let last = by.or(own.arrived).unwrap_or(since);
                let (status, reason) = if own.expected <= 0 && (beyond(last, retire) || own.arrived.is_none()) {
                    ("retired", Some("retired"))
                } else if let Some(by) = by {
                    let status = status(by);
                    let first = warn_after.into_iter().chain(fail_after).min();
                    let late = !by_arrival && own.arrived.is_some_and(|arrived| {
                        first.is_some_and(|first| arrived - by > first) && !beyond(arrived, first)
                    });
                    let bad = matches!(status, "warn" | "fail");
                    (status, bad.then_some(if late { "late" } else { "silent" }))
                } else if own.arrived.is_some() {
                    let worst = if fail_after.is_some() { "fail" } else if warn_after.is_some() { "warn" } else { "no_data" };
                    (worst, Some("no_event_time"))
                } else {
                    let status = status(since);
                    (status, matches!(status, "warn" | "fail").then_some("never_came"))
                };
                let is_gone = status == "retired";
                let is_news = own.said.map_or(own.arrived.is_some() || reason.is_some(), |said| said != (status, reason));
                if is_news && (!is_gone || own.said.is_some() || own.arrived.is_some()) {
                    let why = match reason {
                        Some(reason) => reason,
                        None if own.arrived.is_none() => "-",
                        None if own.told => "back",
                        None => "appeared",
                    };
                    expected.push(format!("region={name} {status} {why}"));
                    own.said = Some((status, reason));
                }
                own.told |= own.arrived.is_some();
                !is_gone
            });
            let told = lines(&lives.judge(now, lag.as_ref())).into_iter();
            // Without the value, and without what is said of all.
            let told: Vec<String> = told
                .filter(|line| !line.starts_with('*'))
                .map(|line| {
                    let words: Vec<&str> = line.split(' ').collect();
                    format!("{} {} {}", words[0], words[1], words[3])
                })
                .collect();
            prop_assert_eq!(told, expected);
            if cut {
                lives = again(&lives);
            }
        }
    }

    #[test]
    fn changed_bytes_are_refused_and_do_no_harm(places in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..4)) {
        let mut lives = Lives::new(layout(), limits());
        lives.apply(of("es"), &rows(Some(5)), 3, 9);
        lives.apply(of("mx"), &rows(None), 4, 9);
        lives.judge(20 * MINUTE, Some(&lag(Some(10), true)));
        let bytes = saved(&lives);
        let mut changed = bytes.clone();
        for (place, byte) in &places {
            changed[place.index(bytes.len())] = *byte;
        }
        let load = |bytes: &[u8]| Lives::new(layout(), limits()).load(bytes);
        if changed != bytes {
            prop_assert!(load(&changed).is_err());
        }
        // The same with a check value that agrees: whatever it is taken for, nothing panics.
        let content = changed.len() - 8;
        let check = crate::checks::tally::saved::form::check_of(&changed[..content]);
        changed[content..].copy_from_slice(&check.to_le_bytes());
        let _harmless = load(&changed);
    }
}
