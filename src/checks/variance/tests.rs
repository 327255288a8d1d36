//! Figures worked out by hand, and by Python's `statistics`.

#![expect(
    clippy::unreadable_literal,
    reason = "numbers as the other program printed them"
)]

use proptest::prelude::*;

use super::*;

const HOUR: i64 = 3_600_000_000;
const DAYS: Windows = Windows::Days(1, Tz::Europe__Madrid);

fn hours(rule: VarianceRule) -> Variance {
    Variance::new(rule, Windows::Fixed(HOUR), Tz::Europe__Madrid)
}

fn days(rule: VarianceRule) -> Variance {
    Variance::new(rule, DAYS, Tz::Europe__Madrid)
}

/// Start of the local day of a date.
fn day(date: &str) -> i64 {
    let noon = format!("{date}T12:00:00Z");
    let noon = DateTime::parse_from_rfc3339(&noon).unwrap();
    DAYS.start(DAYS.number(noon.timestamp_micros()))
}

/// Judges windows that follow each other without a gap.
fn judge_all(check: &Variance, statistics: &[f64]) -> Vec<Judged> {
    let mut baseline = Baseline::default();
    let windows = statistics.iter().zip(0..);
    windows
        .map(|(statistic, number)| check.judge(Some(*statistic), number * HOUR, &mut baseline))
        .collect()
}

/// The value of a statistic against others.
fn value(rule: VarianceRule, history: &[f64], statistic: f64) -> Option<f64> {
    let starts = (0..).map(|number| number * HOUR);
    let mut baseline = Baseline::of(None, starts.zip(history.iter().copied()));
    let start = i64::try_from(history.len()).unwrap() * HOUR;
    hours(rule)
        .judge(Some(statistic), start, &mut baseline)
        .value
}

fn by(method: Method) -> VarianceRule {
    VarianceRule {
        method,
        ..VarianceRule::z(100)
    }
}

fn statuses(judged: &[Judged]) -> Vec<Status> {
    judged.iter().map(|judged| judged.status).collect()
}

#[test]
fn z_agrees_with_the_handbook_formula() {
    // Mean 5 and sample sd √(32/7) of the textbook set (NIST 1.3.5.6's formulas).
    let history = [2.0, 4.0, 4.0, 4.0, 5.0, 5.0, 7.0, 9.0];
    let sd = (32.0_f64 / 7.0).sqrt();
    for (statistic, expected) in [(5.0, 0.0), (5.0 + sd, 1.0), (5.0 - 2.0 * sd, -2.0)] {
        let z = value(by(Method::Z), &history, statistic).unwrap();
        assert!((z - expected).abs() < 1e-12);
    }
}

#[test]
fn methods_agree_with_figures_by_hand() {
    let history = [2.0, 4.0, 4.0, 4.0, 6.0, 6.0, 7.0, 9.0];
    let cases = [
        // Median 5; deviations 3, 1, 1, 1, 1, 1, 2, 4.
        (Method::Mad, 9.0, 0.6745 * 4.0),
        (Method::Mad, 1.0, 0.6745 * -4.0),
        // Mean 5.25.
        (Method::Relative, 10.5, 1.0),
        (Method::Relative, 0.0, -1.0),
        (Method::Range, 9.0, 0.0),
        (Method::Range, 2.0, 0.0),
        (Method::Range, 12.5, 0.5),
        (Method::Range, -5.0, -1.0),
    ];
    for (method, statistic, expected) in cases {
        let value = value(by(method), &history, statistic);
        assert_eq!(value, Some(expected), "{method:?} of {statistic}");
    }
    let shrinking = value(by(Method::Relative), &[-4.0, -6.0], -10.0);
    assert_eq!(shrinking, Some(-1.0), "less than a negative mean is less");
}

/// Statistics, the one under test, and its z, modified z, relative deviation and excess.
type Reckoned = (&'static [f64], f64, [f64; 4]);

/// By Python 3.11's `statistics`: `(x - mean(p)) / stdev(p)`, `0.6745 * (x - m) / median(abs(a - m) for a in p)` with `m = median(p)`,
/// `(x - mean(p)) / abs(mean(p))`, and `(x - max(p)) / (max(p) - min(p))` above or `(x - min(p)) / (max(p) - min(p))` below.
const RECKONED: [Reckoned; 6] = [
    (
        &[99.75, 76.62],
        89.19,
        [
            0.061447670998052505,
            0.05861413748378703,
            0.011396496002721499,
            0.0,
        ],
    ),
    (
        &[139.08, 119.25, 126.69],
        71.55,
        [
            -5.66911318413803,
            -4.998915322580647,
            -0.4424964936886396,
            -2.4054462934947036,
        ],
    ),
    (
        &[1030.066, 1017.829, 992.471, 984.886, 1042.648],
        590.93,
        [
            -17.241234465518268,
            -11.601731556468852,
            -0.41698731229897984,
            -6.820331705965867,
        ],
    ),
    (
        &[10.0, 7.0, 6.0, 2.0, 10.0, 19.0, 19.0, 13.0],
        11.75,
        [0.1655211777204736, 0.33725, 0.09302325581395349, 0.0],
    ),
    (
        &[
            1061.349, 1077.641, 1048.561, 1050.096, 1021.308, 969.058, 1052.881, 1002.131, 996.281,
            962.594, 1061.084, 894.449, 1046.137,
        ],
        1400.93,
        [
            7.319005400709368,
            9.638240706432017,
            0.3751647025688694,
            1.7647550111358563,
        ],
    ),
    (
        &[
            52.82, 37.02, 12.19, 25.3, 40.54, 18.93, 4.49, 20.73, 12.56, 25.88, 3.58, 15.15, 3.82,
            22.0, 9.18, 18.44, 7.03, 4.56, 12.42, 33.7, 19.98, 3.9, 8.26, 3.81, 4.03, 15.59, 56.74,
            12.76, 3.77, 57.0,
        ],
        74.1,
        [
            3.4409837016814415,
            4.301993902439024,
            2.926313186619096,
            0.3201048296518157,
        ],
    ),
];

#[test]
fn methods_agree_with_another_program() {
    let methods = [Method::Z, Method::Mad, Method::Relative, Method::Range];
    for (history, statistic, expected) in RECKONED {
        for (method, expected) in methods.into_iter().zip(expected) {
            let value = value(by(method), history, statistic).unwrap();
            let off = (value - expected).abs();
            assert!(
                off <= 1e-12 * expected.abs(),
                "{method:?}: {value} {expected}"
            );
        }
    }
}

proptest! {
    #[test]
    fn a_value_within_its_own_baseline_is_at_most_what_the_formula_allows(
        history in prop::collection::vec(-1e6..1e6_f64, 2..30)
    ) {
        // With the window under test among n, |z| ≤ (n − 1)/√n (Shiffler, 1988): a limit of 3 could not be passed by ten windows.
        let n = f64::from(u32::try_from(history.len()).unwrap());
        for one in &history {
            if let Some(z) = value(by(Method::Z), &history, *one) {
                prop_assert!(z.abs() <= (n - 1.0) / n.sqrt() + 1e-9);
            }
        }
    }

    #[test]
    fn values_do_not_depend_on_order_scale_or_sign(
        history in prop::collection::vec(-1000..1000_i32, 2..20), statistic in -2000..2000_i32
    ) {
        // Whole numbers, so that sums are exact in every order, and a power of two, so that scaling is.
        let real = |sign: f64| history.iter().map(|one| f64::from(*one) * sign).collect::<Vec<f64>>();
        let mut sorted = real(1.0);
        sorted.sort_unstable_by(f64::total_cmp);
        for method in [Method::Z, Method::Mad, Method::Relative, Method::Range] {
            let plain = value(by(method), &real(1.0), f64::from(statistic));
            let close = |other: Option<f64>, sign: f64| match (plain, other) {
                (Some(plain), Some(other)) => (plain * sign - other).abs() <= 1e-9 * plain.abs().max(1.0),
                (plain, other) => plain == other,
            };
            prop_assert!(close(value(by(method), &sorted, f64::from(statistic)), 1.0));
            prop_assert!(close(value(by(method), &real(4.0), 4.0 * f64::from(statistic)), 1.0));
            prop_assert!(close(value(by(method), &real(-1.0), -f64::from(statistic)), -1.0));
        }
    }
}

#[test]
fn z_needs_two_windows_that_differ() {
    let judged = judge_all(&hours(VarianceRule::z(10)), &[5.0, 5.0, 5.0, 6.0, 7.0]);
    let values: Vec<Option<f64>> = judged.iter().map(|judged| judged.value).collect();
    assert_eq!(values[..4], [None, None, None, None]);
    assert!(values[4].is_some());
    assert_eq!(
        statuses(&judged),
        [
            Status::WarmingUp,
            Status::WarmingUp,
            Status::NoBaseline,
            Status::NoBaseline,
            Status::Measured
        ]
    );
}

#[test]
fn equal_windows_whose_mean_rounds_have_no_scale() {
    assert_eq!(value(by(Method::Z), &[0.1; 6], 0.2), None);
}

#[test]
fn a_floor_keeps_flat_history_from_spamming_and_from_going_mute() {
    // Twenty windows of 100, then 101, then 0: at least 5, at least a tenth of 100.
    let mut statistics = vec![100.0; 20];
    statistics.extend([101.0, 0.0]);
    for (method, fail_beyond, expected) in [
        (Method::Z, 3.0, [0.1, -10.0 - 1.0 / 210.0]),
        (Method::Mad, 3.5, [0.06745, -6.745]),
        (Method::Range, 1.0, [0.1, -9.950_248_756_218_905]),
    ] {
        let rule = VarianceRule {
            method,
            fail_beyond: Some(fail_beyond),
            floor_absolute: 5.0,
            floor_relative: 0.1,
            ..VarianceRule::z(20)
        };
        let judged = judge_all(&hours(rule.clone()), &statistics);
        assert_eq!(judged[20].status, Status::Pass, "{method:?}");
        assert_eq!(judged[21].status, Status::Fail, "{method:?}");
        assert!((2..20).all(|window| judged[window].value == Some(0.0)));
        let values = [20, 21].map(|window: usize| judged[window].value.unwrap());
        assert!(
            (values[0] - expected[0]).abs() < 1e-12,
            "{method:?}: {values:?}"
        );
        if method == Method::Mad {
            assert!((values[1] - expected[1]).abs() < 1e-12, "{values:?}");
        }
        let without = VarianceRule {
            floor_absolute: 0.0,
            floor_relative: 0.0,
            ..rule
        };
        let judged = judge_all(&hours(without), &statistics);
        assert_eq!(judged[20].status, Status::NoBaseline, "{method:?}");
    }
}

#[test]
fn a_jump_does_not_raise_the_mean_that_it_is_held_against() {
    // Mean 100 and sd 2 of the first three: z is 12.5.
    let rule = VarianceRule {
        fail_beyond: Some(2.0),
        min_history: 3,
        ..VarianceRule::z(10)
    };
    let jump = [100.0, 102.0, 98.0, 125.0];
    let judged = judge_all(&hours(rule.clone()), &jump);
    let last = &judged[3];
    assert_eq!((last.status, last.value), (Status::Fail, Some(12.5)));
    assert_eq!(last.baseline, Some(100.0));
    let rule = VarianceRule {
        min_history: 4,
        ..rule
    };
    assert_eq!(judge_all(&hours(rule), &jump)[3].status, Status::WarmingUp);
}

#[test]
fn only_the_last_windows_count() {
    let judged = judge_all(&hours(VarianceRule::z(2)), &[1_000.0, 1.0, 3.0, 2.0]);
    assert_eq!(judged[3].value, Some(0.0));
}

#[test]
fn failed_windows_leave_the_baseline_and_warned_ones_stay() {
    let check = hours(VarianceRule {
        warn_beyond: Some(2.0),
        fail_beyond: Some(3.0),
        ..VarianceRule::z(10)
    });
    let judged = judge_all(&check, &[1.0, 3.0, 100.0, 100.0, 2.0]);
    assert_eq!(judged[2].status, Status::Fail);
    assert_eq!(judged[3].value, judged[2].value);
    assert_eq!(
        (judged[4].status, judged[4].value),
        (Status::Pass, Some(0.0))
    );
    assert_eq!(
        (judged[2].expected.as_deref(), judged[4].expected.as_deref()),
        (Some("|z| <= 3"), Some("|z| <= 2"))
    );
    // z = 2.12 is between both, and moves the mean.
    let judged = judge_all(&check, &[1.0, 3.0, 5.0, 3.0]);
    assert_eq!(judged[2].status, Status::Warn);
    assert_eq!(judged[3].value, Some(0.0));
}

#[test]
fn only_the_direction_that_is_asked_for_is_judged() {
    let cases = [
        (
            Direction::Up,
            Status::Fail,
            Status::Pass,
            "deviation <= 0.5",
        ),
        (
            Direction::Down,
            Status::Pass,
            Status::Fail,
            "deviation >= -0.5",
        ),
        (
            Direction::Both,
            Status::Fail,
            Status::Fail,
            "|deviation| <= 0.5",
        ),
    ];
    for (direction, up, down, expected) in cases {
        let check = hours(VarianceRule {
            direction,
            fail_beyond: Some(0.5),
            ..by(Method::Relative)
        });
        for (last, status) in [(16.0, up), (4.0, down)] {
            let judged = judge_all(&check, &[10.0, 10.0, last]);
            assert_eq!(judged[2].status, status, "{direction:?} {last}");
            assert_eq!(judged[2].expected.as_deref(), Some(expected));
        }
    }
}

#[test]
fn short_history_holds_back_the_verdict_and_never_the_value() {
    let check = hours(VarianceRule {
        fail_beyond: Some(3.0),
        min_history: 3,
        ..VarianceRule::z(10)
    });
    let judged = judge_all(&check, &[1.0, 3.0, 100.0]);
    assert_eq!(judged[2].status, Status::WarmingUp);
    assert!(judged[2].value.unwrap() > 3.0);
}

#[test]
fn windows_without_a_number_change_nothing_and_endless_ones_are_no_numbers() {
    let check = hours(VarianceRule::z(10));
    let mut baseline = Baseline::default();
    for (statistic, number) in [(1.0, 0), (3.0, 1)] {
        check.judge(Some(statistic), number * HOUR, &mut baseline);
    }
    let kept = baseline.clone();
    let judged = check.judge(None, 2 * HOUR, &mut baseline);
    assert_eq!((judged.status, judged.value), (Status::NoData, None));
    for endless in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY] {
        let judged = check.judge(Some(endless), 2 * HOUR, &mut baseline);
        assert_eq!((judged.status, judged.value), (Status::Overflow, None));
    }
    check.pass(2 * HOUR, &mut baseline);
    assert_eq!(baseline, kept);
    // What is too far for a double is as far as a double goes.
    let far = value(by(Method::Z), &[0.0, f64::MIN_POSITIVE], 1e300);
    assert!(far.is_none_or(f64::is_finite), "{far:?}");
    let far = value(by(Method::Relative), &[1e-300], 1e300);
    assert_eq!(far, Some(f64::MAX));
}

#[test]
fn by_the_calendar_windows_without_rows_are_nothing_or_zero() {
    // Rows in hours 0, 1, 4 and 5; hour 6 is compared with 2 to 5, hour 2 with 0 and 1.
    let of = |empty| {
        hours(VarianceRule {
            against: Against::Calendar(4, empty),
            min_history: 1,
            ..by(Method::Relative)
        })
    };
    let means = |check: &Variance| -> Vec<Option<f64>> {
        let mut baseline = Baseline::default();
        let windows = [
            (0, 8.0),
            (1, 4.0),
            (4, 6.0),
            (5, 2.0),
            (6, 1.0),
            (20, 1.0),
            (21, 1.0),
        ];
        windows
            .map(|(hour, statistic)| {
                let judged = check.judge(Some(statistic), hour * HOUR, &mut baseline);
                judged.baseline
            })
            .to_vec()
    };
    // 20 has nothing in the four hours before it: four zeros, or nothing at all. No zeros stand before the first window.
    assert_eq!(
        means(&of(Empty::Zero)),
        [
            None,
            Some(8.0),
            Some(3.0),
            Some(2.5),
            Some(2.0),
            Some(0.0),
            Some(0.25)
        ]
    );
    assert_eq!(
        means(&of(Empty::Skip)),
        [
            None,
            Some(8.0),
            Some(6.0),
            Some(5.0),
            Some(4.0),
            None,
            Some(1.0)
        ]
    );
}

#[test]
fn windows_that_failed_or_have_no_number_are_not_taken_for_empty_ones() {
    let check = hours(VarianceRule {
        against: Against::Calendar(10, Empty::Zero),
        fail_beyond: Some(1.0),
        ..by(Method::Relative)
    });
    let mut baseline = Baseline::default();
    check.judge(Some(2.0), 0, &mut baseline);
    check.judge(Some(2.0), HOUR, &mut baseline);
    let judged = check.judge(Some(100.0), 2 * HOUR, &mut baseline);
    assert_eq!(judged.status, Status::Fail);
    check.pass(3 * HOUR, &mut baseline);
    check.judge(None, 4 * HOUR, &mut baseline);
    let judged = check.judge(Some(2.0), 5 * HOUR, &mut baseline);
    assert_eq!((judged.baseline, judged.value), (Some(2.0), Some(0.0)));
}

/// The statistics that a window is compared with, of checks that are fed every hour with the hours since the first.
fn compared(check: &Variance, from: &str, to: &str) -> Vec<f64> {
    let micros = |text: &str| {
        DateTime::parse_from_rfc3339(text)
            .unwrap()
            .timestamp_micros()
    };
    let (from, to) = (micros(from), micros(to));
    let mut baseline = Baseline::default();
    let (mut start, mut hour) = (from, 0.0);
    while start < to {
        check.judge(Some(hour), start, &mut baseline);
        (start, hour) = (start + HOUR, hour + 1.0);
    }
    check.history(to, &baseline)
}

#[test]
fn the_same_hour_of_other_weeks_is_that_of_the_business_time_zone() {
    let check = hours(VarianceRule {
        against: Against::Weeks(2, Same::Hour),
        ..by(Method::Z)
    });
    let week = 7.0 * 24.0;
    // Mondays at ten in Madrid, before and after clocks went forward on 29 March: 09:00Z, 09:00Z, 08:00Z.
    let found = compared(&check, "2026-03-09T09:00:00Z", "2026-03-30T08:00:00Z");
    assert_eq!(found, [week, 2.0 * week]);
    // The Sunday after: its 02:00 was skipped the week before, so there is that of two weeks before alone.
    let found = compared(&check, "2026-03-22T01:00:00Z", "2026-04-05T00:00:00Z");
    assert_eq!(found, [0.0]);
    // 25 October has 02:00 twice, at 00:00Z and 01:00Z; the Sunday after is compared with both.
    let found = compared(&check, "2026-10-18T00:00:00Z", "2026-11-01T01:00:00Z");
    assert_eq!(found, [0.0, week, week + 1.0]);
    // The second of both is not compared with the first, which is of the same day.
    let found = compared(&check, "2026-10-18T00:00:00Z", "2026-10-25T01:00:00Z");
    assert_eq!(found, [0.0]);
}

#[test]
fn the_same_weekday_of_other_weeks_is_found_by_date() {
    let check = days(VarianceRule {
        against: Against::Weeks(3, Same::Weekday),
        ..by(Method::Z)
    });
    let mut baseline = Baseline::default();
    let mut start = day("2026-03-01");
    for number in 0..31 {
        check.judge(Some(f64::from(number)), start, &mut baseline);
        start = DAYS.end(start);
    }
    // 1 April is a Wednesday, as were 11, 18 and 25 March (numbers 10, 17 and 24).
    assert_eq!(start, day("2026-04-01"));
    assert_eq!(check.history(start, &baseline), [10.0, 17.0, 24.0]);
    assert!(baseline.windows().len() <= 22, "older ones are forgotten");
}

#[test]
fn excluded_windows_are_judged_and_in_no_baseline() {
    let christmas = (day("2026-12-25"), day("2026-12-27"));
    let against = [
        Against::Previous(3),
        Against::Calendar(5, Empty::Skip),
        Against::Calendar(5, Empty::Zero),
    ];
    for against in against {
        let check = days(VarianceRule {
            against,
            exclude: vec![christmas],
            ..by(Method::Relative)
        });
        let mut baseline = Baseline::default();
        let mut judge =
            |date: &str, statistic: f64| check.judge(Some(statistic), day(date), &mut baseline);
        for date in ["2026-12-22", "2026-12-23", "2026-12-24"] {
            judge(date, 10.0);
        }
        // The 26th has no rows, which is no zero either.
        assert_eq!(judge("2026-12-25", 1.0).value, Some(-0.9));
        let judged = judge("2026-12-27", 20.0);
        assert_eq!(
            (judged.baseline, judged.value),
            (Some(10.0), Some(1.0)),
            "{against:?}"
        );
    }
}

#[test]
fn times_excluded_later_leave_a_baseline_that_holds_them() {
    let rule = by(Method::Relative);
    let mut baseline = Baseline::default();
    let before = hours(rule.clone());
    for (statistic, number) in [(10.0, 0), (90.0, 1), (10.0, 2)] {
        before.judge(Some(statistic), number * HOUR, &mut baseline);
    }
    // Half of the incident's hour is enough.
    let after = hours(VarianceRule {
        exclude: vec![(HOUR + HOUR / 2, HOUR + HOUR / 2 + 1)],
        ..rule
    });
    let judged = after.judge(Some(10.0), 3 * HOUR, &mut baseline);
    assert_eq!((judged.baseline, judged.value), (Some(10.0), Some(0.0)));
}

#[test]
fn a_statistic_is_held_against_another_of_its_window() {
    let check = hours(VarianceRule {
        against: Against::Statistic(1),
        direction: Direction::Down,
        fail_beyond: Some(0.0),
        ..by(Method::Relative)
    });
    let held = |statistic, reference| {
        let judged = check.hold(statistic, reference);
        (judged.status, judged.value, judged.baseline)
    };
    assert_eq!(
        held(Some(150.0), Some(100.0)),
        (Status::Pass, Some(0.5), Some(100.0))
    );
    assert_eq!(
        held(Some(100.0), Some(100.0)),
        (Status::Pass, Some(0.0), Some(100.0))
    );
    assert_eq!(
        held(Some(43.0), Some(100.0)),
        (Status::Fail, Some(-0.57), Some(100.0))
    );
    assert_eq!(
        held(Some(43.0), Some(0.0)),
        (Status::NoBaseline, None, Some(0.0))
    );
    assert_eq!(held(Some(43.0), None), (Status::NoBaseline, None, None));
    assert_eq!(held(None, Some(100.0)), (Status::NoData, None, Some(100.0)));
    let expected = check.hold(Some(1.0), Some(2.0)).expected;
    assert_eq!(expected.as_deref(), Some("deviation >= 0"));
}

#[test]
fn no_window_is_bound_by_a_baseline_that_it_is_in() {
    // Among n numbers that it is one of, none is further than (n − 1)/√n deviations from the mean: 2.85 for ten. Here the tenth is not among them.
    let mut windows = vec![100.0, 102.0, 98.0, 100.0, 102.0, 98.0, 100.0, 102.0, 98.0];
    windows.push(1_000.0);
    let judged = judge_all(&hours(VarianceRule::z(9)), &windows);
    let within = f64::from(9_u8) / f64::from(10_u8).sqrt();
    let z = judged[9].value.unwrap();
    // Mean 100, and 6 · 4 / 8 as the variance.
    assert!((z - 900.0 / 3.0_f64.sqrt()).abs() < 1e-9, "{z}");
    assert!(z > 100.0 * within);
    let (centre, scale) = (mean(&windows), sample_deviation(&windows));
    let bound = (1_000.0 - centre.unwrap()) / scale.unwrap();
    assert!(bound < within, "{bound} of {within}");
}

#[test]
fn windows_that_data_do_not_cover_are_measured_and_in_no_baseline() {
    let rule = VarianceRule {
        warn_beyond: Some(0.5),
        ..by(Method::Relative)
    };
    let check = hours(rule);
    let mut baseline = Baseline::default();
    let hour = |hour: i64| hour * 3_600_000_000;
    let judged = check.measure_partial(Some(5.0), hour(0), &mut baseline);
    assert_eq!((judged.status, judged.value), (Status::Partial, None));
    assert!(baseline.is_empty());
    let judged = check.judge(Some(100.0), hour(1), &mut baseline);
    assert_eq!(judged.status, Status::WarmingUp);
    let judged = check.measure_partial(Some(10.0), hour(2), &mut baseline);
    assert_eq!((judged.status, judged.value), (Status::Partial, Some(-0.9)));
    let judged = check.judge(Some(100.0), hour(3), &mut baseline);
    assert_eq!((judged.baseline, judged.value), (Some(100.0), Some(0.0)));
    let judged = check.hold_partial(Some(10.0), Some(20.0));
    assert_eq!((judged.status, judged.value), (Status::Partial, Some(-0.5)));
    let judged = check.hold_partial(Some(10.0), None);
    assert_eq!((judged.status, judged.value), (Status::Partial, None));
}
