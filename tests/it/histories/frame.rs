//! How a history cuts time: its windows, and where events may be.

use super::draw::Draw;

/// Windows and the times of a history.
#[derive(Debug, Clone)]
pub(super) struct Frame {
    /// What kind of windows, in the words of the oracle: `fixed`, `day`, `week` or `month`.
    pub(super) kind: &'static str,
    /// How the job file says how long they are.
    pub(super) length: String,
    /// How far apart windows start where that is a fixed time, in seconds; of others about how far.
    pub(super) every: i64,
    /// Of how many panes a window is made.
    pub(super) panes: i64,
    pub(super) zone: &'static str,
    /// About where windows with rows start, in seconds after 1970, in order.
    pub(super) starts: Vec<i64>,
    /// What windows of other weeks may have in common with one.
    pub(super) same: Option<&'static str>,
}

const HOUR: i64 = 3_600;
const DAY: i64 = 24 * HOUR;

/// 2026-03-28T20:00Z, the evening before clocks are put forward in Europe, on a Saturday.
const EVENING: i64 = 1_774_728_000;

impl Frame {
    pub(super) fn draw(draw: &mut Draw) -> Self {
        let zone = draw.of(&["Europe/Madrid", "UTC", "America/New_York"]);
        let fixed = |length: &str, every: i64, panes: i64| Self {
            kind: "fixed",
            length: length.to_owned(),
            every,
            panes,
            zone,
            starts: Vec::new(),
            same: None,
        };
        let calendar = |kind, length: &str, days: i64| Self {
            kind,
            every: days * DAY,
            ..fixed(length, 0, 1)
        };
        let minute = "length = \"1 minute\"";
        let (mut frame, first, least, more) = match draw.next(10) {
            0 | 1 => (fixed(minute, 60, 1), EVENING, 6, 30),
            2 => (fixed("length = \"15 minutes\"", 900, 1), EVENING, 8, 40),
            3 => (
                fixed("length = \"30 minutes\"\nevery = \"10 minutes\"", 600, 3),
                EVENING,
                6,
                20,
            ),
            4 => (
                fixed("length = \"1 hour\"\nevery = \"15 minutes\"", 900, 4),
                EVENING,
                6,
                20,
            ),
            5 => (fixed("length = \"1 hour\"", HOUR, 1), EVENING, 8, 40),
            6 => {
                return Self {
                    same: Some("hour"),
                    ..fixed("length = \"1 hour\"", HOUR, 1)
                }
                .some_hours(draw);
            }
            7 => (
                Self {
                    same: Some("weekday"),
                    ..calendar("day", "length = \"1 day\"", 1)
                },
                EVENING - 20 * DAY,
                8,
                40,
            ),
            // The clocks of both zones are put forward in it, and back.
            8 => (
                calendar("week", "length = \"1 week\"", 7),
                EVENING - 160 * DAY,
                5,
                20,
            ),
            _ => (
                calendar("month", "length = \"1 month\"", 30),
                EVENING - 530 * DAY,
                5,
                14,
            ),
        };
        let windows = least + i64::try_from(draw.next(more)).unwrap();
        frame.starts = (0..windows)
            .map(|window| first + window * frame.every)
            .collect();
        frame
    }

    /// Hours that come again each week: two of a day, on three days.
    fn some_hours(mut self, draw: &mut Draw) -> Self {
        let weeks = 3 + i64::try_from(draw.next(6)).unwrap();
        let mut days: Vec<i64> = (0..7).collect();
        draw.shuffle(&mut days);
        days.truncate(3);
        days.sort_unstable();
        // The hour that is skipped in Madrid is one of them.
        let hour = i64::try_from(draw.next(5)).unwrap();
        for week in 0..weeks {
            for day in &days {
                for hour in [hour, hour + 1] {
                    let day = EVENING + 4 * HOUR - 14 * DAY + (7 * week + day) * DAY;
                    self.starts.push(day + hour * HOUR);
                }
            }
        }
        self
    }

    /// A time behind all that may be late for a window, however late it is.
    pub(super) fn end(&self, late: i64) -> i64 {
        let last = self.starts[self.starts.len() - 1];
        last + late + (self.panes + 4) * self.every + 40 * DAY
    }
}
