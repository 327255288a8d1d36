//! What was believed when: verdicts as they were said and taken back, epoch by epoch, and why one is another than the one before.
//!
//! *Standing* at a time is what was said until then and not taken back. All that was said of one check, segment and window comes in order,
//! since one worker at a time says it, and commits are in order.
//!
//! Why a verdict changed is not written down: two that follow each other tell it. Where the newer one covers rows of a later epoch, rows
//! came; where it covers the same rows and numbers are others, the windows that it is compared with changed; where just what was expected
//! is another, thresholds were changed with the job's file; and where nothing is, it became final.

use std::collections::BTreeMap;
use std::fmt;

use arrow_array::cast::AsArray;
use arrow_array::types::{Float64Type, Int32Type, Int64Type, TimestampMicrosecondType};
use arrow_array::{Array, RecordBatch};

use crate::job::tables::{FINAL, SIGN, WINDOW_END, WINDOW_START};
use crate::record::Epoch;
use crate::sinks::{SAID_AT, SAID_EPOCH};
use crate::transform::text::Text;

/// What a verdict is about.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct About {
    /// The check.
    pub check: String,
    /// The segment, as verdicts have it.
    pub segment: String,
    /// Start and end of the window in microseconds since 1970; none where the check has none.
    pub window: Option<(i64, i64)>,
}

/// A verdict that was said, or taken back.
#[derive(Debug, Clone, PartialEq)]
pub struct Said {
    /// The epoch in which that happened.
    pub epoch: Epoch,
    /// That epoch's bound wall time, in microseconds since 1970.
    pub at: i64,
    /// Whether it was taken back.
    pub is_taken_back: bool,
    /// What it says.
    pub verdict: Told,
}

/// What a verdict says.
#[derive(Debug, Clone, PartialEq)]
pub struct Told {
    /// The answer.
    pub status: String,
    /// What was measured.
    pub value: Option<f64>,
    /// Rows that count.
    pub numerator: Option<i64>,
    /// Rows they are a share of.
    pub denominator: Option<i64>,
    /// What the value was held against.
    pub expected: Option<String>,
    /// What it was compared with.
    pub baseline: Option<f64>,
    /// The newest epoch whose rows it covers.
    pub covers: Epoch,
    /// Whether nothing can change it any more.
    pub is_final: bool,
}

/// Why a verdict is another than the one before.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Why {
    /// There was none.
    First,
    /// Its window takes no more rows.
    Final,
    /// Late rows came: how many of those that it counts, where it is a share.
    LateRows(Option<i64>),
    /// The windows that it is compared with are others now.
    Compared,
    /// What is expected is another.
    Expected,
    /// It is about no window: an event came.
    Event,
    /// It is about no window: no event came, and time passed.
    Silence,
    /// It was taken back, and nothing was said in its place.
    Gone,
}

impl fmt::Display for Why {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::First => "first said",
            Self::Final => "its window takes no more rows",
            Self::LateRows(Some(1)) => "1 late row",
            Self::LateRows(Some(rows)) if *rows > 1 => return write!(f, "{rows} late rows"),
            Self::LateRows(_) => "late rows",
            Self::Compared => "windows that it is compared with changed",
            Self::Expected => "other thresholds",
            Self::Event => "an event came",
            Self::Silence => "no event came",
            Self::Gone => "its rows are gone",
        })
    }
}

/// Why `now` stands where `before` stood.
pub fn why(about: &About, before: Option<&Told>, now: &Told) -> Why {
    let Some(before) = before else {
        return Why::First;
    };
    if about.window.is_none() {
        if now.expected != before.expected && now.value == before.value {
            return Why::Expected;
        }
        // What has no window is an age.
        return if now.value < before.value {
            Why::Event
        } else {
            Why::Silence
        };
    }
    if now.covers > before.covers {
        // A share of what was promised has its rows above the line.
        let more = |now: Option<i64>, before: Option<i64>| Some(now? - before?);
        let below = more(now.denominator, before.denominator).filter(|rows| *rows != 0);
        return Why::LateRows(below.or_else(|| more(now.numerator, before.numerator)));
    }
    let bits = |told: &Told| [told.value, told.baseline].map(|value| value.map(f64::to_bits));
    let numbers = |told: &Told| (bits(told), told.numerator, told.denominator);
    if numbers(now) != numbers(before) {
        Why::Compared
    } else if now.expected != before.expected || now.status != before.status {
        Why::Expected
    } else {
        Why::Final
    }
}

/// Goes through what was said in order, and knows what stands.
#[derive(Debug, Default)]
pub struct Standing(BTreeMap<About, Stands>);

/// What was said of something and stands, or was just taken back.
#[derive(Debug, Clone, PartialEq)]
struct Stands {
    said: Said,
    /// Whether it was taken back, and what comes in its place is not known yet.
    is_open: bool,
}

impl Standing {
    /// Takes what was said next.
    ///
    /// Gives why, where a verdict was said that is another than what stood.
    pub fn take(&mut self, about: About, said: Said) -> Option<Why> {
        if said.is_taken_back {
            if let Some(stands) = self.0.get_mut(&about) {
                stands.is_open = true;
            }
            return None;
        }
        let before = self.0.get(&about).map(|stands| &stands.said.verdict);
        let why = why(&about, before, &said.verdict);
        let is_open = false;
        self.0.insert(about, Stands { said, is_open });
        Some(why)
    }

    /// What was said of something last, taken back or not.
    pub fn said_of(&self, about: &About) -> Option<&Told> {
        self.0.get(about).map(|stands| &stands.said.verdict)
    }

    /// What stands, in order.
    pub fn verdicts(&self) -> impl Iterator<Item = (&About, &Said)> {
        let standing = self.0.iter().filter(|(_, stands)| !stands.is_open);
        standing.map(|(about, stands)| (about, &stands.said))
    }
}

/// Reads rows of the history; columns that it does not know are skipped. Errors: one that it needs is missing.
pub fn read(rows: &RecordBatch) -> Result<Vec<(About, Said)>, String> {
    let column = |name: &str| {
        let found = rows.column_by_name(name);
        found.ok_or_else(|| format!("it has no column {name}"))
    };
    let text = |name: &str| Ok::<_, String>(Text::new(column(name)?));
    let whole = |name: &str| {
        let column = column(name)?.as_primitive_opt::<Int64Type>();
        column.ok_or_else(|| format!("its column {name} has other numbers"))
    };
    let real = |name: &str| {
        let column = column(name)?.as_primitive_opt::<Float64Type>();
        column.ok_or_else(|| format!("its column {name} has other numbers"))
    };
    let time = |name: &str| {
        let column = column(name)?.as_primitive_opt::<TimestampMicrosecondType>();
        column.ok_or_else(|| format!("its column {name} has no times"))
    };
    let (checks, segments, statuses) = (text("check")?, text("segment")?, text("status")?);
    let (starts, ends) = (time(WINDOW_START)?, time(WINDOW_END)?);
    let (values, baselines) = (real("value")?, real("baseline")?);
    let (numerators, denominators) = (whole("numerator")?, whole("denominator")?);
    let expected = text("expected")?;
    let (covers, epochs, times) = (whole("epoch")?, whole(SAID_EPOCH)?, time(SAID_AT)?);
    let finals = column(FINAL)?
        .as_boolean_opt()
        .ok_or("its column final is none")?;
    let signs = column(SIGN)?
        .as_primitive_opt::<Int32Type>()
        .ok_or("its column sign is none")?;
    let epoch = |epoch: i64| Epoch::try_from(epoch).map_err(|_| "an epoch is below 0".to_owned());
    let mut said = Vec::with_capacity(rows.num_rows());
    for row in 0..rows.num_rows() {
        let has_window = starts.is_valid(row) && ends.is_valid(row);
        let of = |text: &Text<'_>| text.value(row).unwrap_or_default().to_owned();
        let about = About {
            check: of(&checks),
            segment: of(&segments),
            window: has_window.then(|| (starts.value(row), ends.value(row))),
        };
        let verdict = Told {
            status: of(&statuses),
            value: values.is_valid(row).then(|| values.value(row)),
            numerator: numerators.is_valid(row).then(|| numerators.value(row)),
            denominator: denominators.is_valid(row).then(|| denominators.value(row)),
            expected: expected.value(row).map(str::to_owned),
            baseline: baselines.is_valid(row).then(|| baselines.value(row)),
            covers: epoch(covers.value(row))?,
            is_final: finals.value(row),
        };
        said.push((
            about,
            Said {
                epoch: epoch(epochs.value(row))?,
                at: times.value(row),
                is_taken_back: signs.value(row) < 0,
                verdict,
            },
        ));
    }
    Ok(said)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn about(window: Option<(i64, i64)>) -> About {
        About {
            check: "usual".to_owned(),
            segment: "region=N".to_owned(),
            window,
        }
    }

    fn told(covers: Epoch, rows: i64, baseline: f64) -> Told {
        Told {
            status: "pass".to_owned(),
            value: Some(0.5),
            numerator: Some(1),
            denominator: Some(rows),
            expected: Some(">= 0.2".to_owned()),
            baseline: Some(baseline),
            covers,
            is_final: false,
        }
    }

    fn said(epoch: Epoch, is_taken_back: bool, verdict: &Told) -> Said {
        Said {
            epoch,
            at: i64::try_from(epoch).unwrap() * 1_000_000,
            is_taken_back,
            verdict: verdict.clone(),
        }
    }

    #[test]
    fn two_verdicts_that_follow_each_other_tell_why() {
        let about = about(Some((0, 60)));
        let first = told(3, 10, 2.0);
        let late = told(5, 12, 2.0);
        let compared = told(5, 12, 4.0);
        let settled = Told {
            is_final: true,
            ..compared.clone()
        };
        let stricter = Told {
            expected: Some(">= 0.6".to_owned()),
            status: "fail".to_owned(),
            ..compared.clone()
        };
        let mut standing = Standing::default();
        let mut whys = Vec::new();
        let changes = [
            (None, &first),
            (Some(&first), &late),
            (Some(&late), &compared),
            (Some(&compared), &settled),
        ];
        for (epoch, (before, now)) in (10..).zip(changes) {
            if let Some(before) = before {
                let taken = standing.take(about.clone(), said(epoch, true, before));
                assert_eq!(taken, None);
                assert_eq!(standing.verdicts().count(), 0);
            }
            whys.extend(standing.take(about.clone(), said(epoch, false, now)));
            let stands: Vec<_> = standing.verdicts().collect();
            assert_eq!(stands, [(&about, &said(epoch, false, now))]);
        }
        assert_eq!(
            whys,
            [
                Why::First,
                Why::LateRows(Some(2)),
                Why::Compared,
                Why::Final
            ]
        );
        assert_eq!(why(&about, Some(&compared), &stricter), Why::Expected);
        assert_eq!(Why::LateRows(Some(2)).to_string(), "2 late rows");
        assert_eq!(Why::LateRows(Some(1)).to_string(), "1 late row");
        assert_eq!(Why::LateRows(None).to_string(), "late rows");
    }

    #[test]
    fn an_age_changes_by_an_event_or_by_silence() {
        let of = |value: f64| Told {
            value: Some(value),
            ..told(1, 0, 0.0)
        };
        let about = about(None);
        assert_eq!(why(&about, Some(&of(5.0)), &of(700.0)), Why::Silence);
        assert_eq!(why(&about, Some(&of(700.0)), &of(1.0)), Why::Event);
    }
}
