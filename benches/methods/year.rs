//! A year of hourly sales of shops, with incidents that are known.
//!
//! Each shop has a size, a pattern of the week (offices, or malls that live on Saturdays), hours from 9 to 21, seasons, a drift of its own, days that
//! are better or worse than others, and tickets by chance. On known days all sell less, or more. Five times a year something happens to a shop
//! that somebody should hear of.
//!
//! The same seed gives the same year.

#[path = "../shared/random.rs"]
mod random;

use std::fmt::Write as _;
use std::fs::File;
use std::io::{BufWriter, Write as _};
use std::path::Path;

use chrono::{Datelike, Days, NaiveDate};

use random::Random;

/// First and last hour with sales.
pub(crate) const HOURS: std::ops::Range<u32> = 9..21;

/// Days before which nothing happens, so that there is something to compare with.
pub(crate) const QUIET_DAYS: u64 = 63;

/// Days of the calendar that are not as others, which somebody who runs shops knows: month, day, and what is sold of what usually is.
pub(crate) const KNOWN_DAYS: [(u32, u32, f64); 10] = [
    (1, 1, 0.0),
    (1, 6, 0.4),
    (4, 3, 0.4),
    (5, 1, 0.4),
    (8, 15, 0.4),
    (10, 12, 0.4),
    (11, 2, 0.4),
    (11, 27, 1.8),
    (12, 8, 0.4),
    (12, 25, 0.0),
];

/// What happens to a shop.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Kind {
    /// A quarter is sold, for some hours.
    Drop,
    /// Three times as much is sold, for some hours.
    Spike,
    /// All of a day is booked twice.
    Twice,
    /// Two fifths are missing, for five days.
    Leak,
    /// Nothing comes, for the rest of the day.
    Outage,
}

/// All kinds.
pub(crate) const KINDS: [Kind; 5] = [
    Kind::Drop,
    Kind::Spike,
    Kind::Twice,
    Kind::Leak,
    Kind::Outage,
];

/// Something that happened: hours are counted from the first of the year on, by the clock of the shops.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Incident {
    pub(crate) store: u32,
    pub(crate) kind: Kind,
    pub(crate) from: i64,
    /// The hour behind the last.
    pub(crate) to: i64,
}

impl Kind {
    fn factor(self) -> f64 {
        match self {
            Self::Drop => 0.25,
            Self::Spike => 3.0,
            Self::Twice => 2.0,
            Self::Leak => 0.6,
            Self::Outage => 0.0,
        }
    }
}

/// The first day.
pub(crate) fn first_day() -> NaiveDate {
    NaiveDate::from_ymd_opt(2026, 1, 1).expect("it is in the calendar")
}

/// What is sold on a day of what usually is, where it is a known one.
pub(crate) fn known(day: NaiveDate) -> Option<f64> {
    let known = KNOWN_DAYS
        .iter()
        .find(|(month, of_month, _)| (day.month(), day.day()) == (*month, *of_month));
    known.map(|(.., factor)| *factor)
}

/// Writes `sales.csv`, a row for each shop and hour with sales; gives what happened.
pub(crate) fn write(file: &Path, stores: u32, seed: u64) -> std::io::Result<Vec<Incident>> {
    let mut chance = Chance(Random(seed));
    let mut shops: Vec<Shop> = (1..=stores)
        .map(|store| Shop::draw(store, &mut chance))
        .collect();
    let mut file = BufWriter::new(File::create(file)?);
    writeln!(file, "ts,store,tickets,amount")?;
    let mut line = String::new();
    for number in 0..365_u32 {
        let day = first_day() + Days::new(number.into());
        for shop in &mut shops {
            let of_day = shop.of_day(day, number) * (0.07 * chance.normal()).exp();
            for hour in HOURS {
                let at = i64::from(number) * 24 + i64::from(hour);
                let expected = of_day * profile(hour) * (0.05 * chance.normal()).exp();
                let tickets = chance.poisson(expected * shop.happens(at));
                if tickets == 0 {
                    continue;
                }
                let n = f64::from(tickets);
                let cents = (1_800.0 * n + 1_400.0 * n.sqrt() * chance.normal())
                    .max(50.0 * n)
                    .round();
                line.clear();
                write!(
                    line,
                    "{day}T{hour:02}:30:00,{},{tickets},{:.2}",
                    shop.store,
                    cents / 100.0
                )
                .expect("a String takes all");
                writeln!(file, "{line}")?;
            }
        }
    }
    file.flush()?;
    Ok(shops.into_iter().flat_map(|shop| shop.incidents).collect())
}

/// What an hour has of a mean hour: noon and evening are busy.
fn profile(hour: u32) -> f64 {
    let bump = |centre: f64, width: f64| {
        let away = (f64::from(hour) + 0.5 - centre) / width;
        (-away * away / 2.0).exp()
    };
    0.35 + 1.1 * bump(12.5, 1.5) + 1.4 * bump(18.5, 1.8)
}

struct Shop {
    store: u32,
    /// Tickets of a mean hour.
    size: f64,
    week: [f64; 7],
    season: f64,
    /// By how much it grows in the year, as a power of e.
    drift: f64,
    /// In the order of time.
    incidents: Vec<Incident>,
}

impl Shop {
    fn draw(store: u32, chance: &mut Chance) -> Self {
        let week = match chance.below(2) {
            0 => [1.0, 1.0, 1.0, 1.05, 1.1, 0.6, 0.3],
            _ => [0.8, 0.8, 0.85, 0.9, 1.2, 1.6, 1.3],
        };
        let drift = match chance.below(10) {
            0 | 1 => 0.4,
            2 => -0.4,
            _ => 0.0,
        };
        let mut shop = Self {
            store,
            size: (3.7 + 0.7 * chance.normal()).exp().max(3.0),
            week,
            season: 0.05 + 0.15 * chance.one(),
            drift,
            incidents: Vec::new(),
        };
        // One in each fifth of the days that count, not on a known day and the days beside.
        let each = (365 - QUIET_DAYS - 10) / 5;
        for fifth in 0..5 {
            let kind = KINDS[usize::try_from(chance.below(5)).expect("below five")];
            let day = loop {
                let day = QUIET_DAYS + fifth * each + chance.below(each - 12);
                let is_known = |away: u64| known(first_day() + Days::new(day + away)).is_some();
                if !(0..6).any(is_known) {
                    break i64::try_from(day).expect("a day of the year");
                }
            };
            let hours = |chance: &mut Chance, least: u64, more: u64| {
                i64::try_from(least + chance.below(more)).expect("some hours")
            };
            let (from, length) = match kind {
                Kind::Drop => (10 + hours(chance, 0, 6), hours(chance, 3, 4)),
                Kind::Spike => (10 + hours(chance, 0, 7), hours(chance, 2, 3)),
                Kind::Twice => (9, 12),
                Kind::Leak => (9, 4 * 24 + 12),
                Kind::Outage => {
                    let from = 9 + hours(chance, 0, 9);
                    (from, 21 - from)
                }
            };
            shop.incidents.push(Incident {
                store,
                kind,
                from: day * 24 + from,
                to: day * 24 + from + length,
            });
        }
        shop
    }

    /// Tickets of a mean hour of a day.
    fn of_day(&self, day: NaiveDate, number: u32) -> f64 {
        let of_year = f64::from(number) / 365.0;
        let season = 1.0 + self.season * (std::f64::consts::TAU * (of_year - 0.3)).sin();
        let christmas = if (345..358).contains(&number) {
            1.0 + f64::from(number - 345) / 20.0
        } else {
            1.0
        };
        let weekday =
            self.week[usize::try_from(day.weekday().num_days_from_monday()).expect("below seven")];
        self.size
            * weekday
            * season
            * christmas
            * (self.drift * of_year).exp()
            * known(day).unwrap_or(1.0)
    }

    /// What is left of an hour's sales.
    fn happens(&self, at: i64) -> f64 {
        let happens = self
            .incidents
            .iter()
            .find(|incident| (incident.from..incident.to).contains(&at));
        happens.map_or(1.0, |incident| incident.kind.factor())
    }
}

/// Numbers by chance, from a seed.
struct Chance(Random);

impl Chance {
    fn below(&mut self, limit: u64) -> u64 {
        self.0.below(limit)
    }

    /// From 0 to 1, without both.
    fn one(&mut self) -> f64 {
        let numerator = u32::try_from(self.0.next() >> 32).expect("a word");
        (f64::from(numerator) + 0.5) / 4_294_967_296.0
    }

    /// Of the standard normal distribution (Box and Muller).
    fn normal(&mut self) -> f64 {
        (-2.0 * self.one().ln()).sqrt() * (std::f64::consts::TAU * self.one()).cos()
    }

    /// Of a Poisson distribution, whose normal shape is near enough from fifty on.
    fn poisson(&mut self, mean: f64) -> u32 {
        if mean >= 50.0 {
            let number = (mean + mean.sqrt() * self.normal()).round().max(0.0);
            return format!("{number}").parse().unwrap_or(0);
        }
        let (limit, mut product, mut count) = ((-mean).exp(), self.one(), 0);
        while product > limit {
            product *= self.one();
            count += 1;
        }
        count
    }
}
