//! Dates and timestamps from text: microseconds UTC and days, both since 1970.
//!
//! Files write times near each other, so the date of the last timestamp is kept as the words it was read from, and the
//! offset of the last quarter of an hour of local time is kept, too.

use std::sync::Arc;

use arrow_array::{ArrayRef, Date32Array, TimestampMicrosecondArray};
use arrow_buffer::NullBuffer;
use chrono::{DateTime, Duration, MappedLocalTime, Offset, TimeZone};
use chrono_tz::Tz;

use super::kernel::{Adjusted, Bad, Kernel, SCALE_LOSS, digit_pairs, trim};
use super::number::integer;
use super::pattern::{Fields, Pattern, Zone};
use crate::job::plan::{ColumnType, EpochUnit, LocalTimes, Notation, Range, Repeated, Skipped};

const BAD_DATE: Bad = Bad::new("bad_date");
const BAD_TIMESTAMP: Bad = Bad::new("bad_timestamp");
const AMBIGUOUS: Bad = Bad::new("ambiguous_local_time");
const NONEXISTENT: Bad = Bad::new("nonexistent_local_time");
const DATE_OUT_OF_RANGE: Bad = Bad::new("date_out_of_range");
const OUT_OF_RANGE: Bad = Bad::new("ts_out_of_range");

const SECOND: i64 = 1_000_000;
const DAY_SECONDS: i64 = 86_400;

/// Days from 1970-01-01 to a date, where there is such a date in the years 1 to 9999.
pub(super) fn days(year: i64, month: i64, day: i64) -> Option<i64> {
    let leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    let length = match month {
        2 if leap => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    };
    if !(1..=9999).contains(&year) || !(1..=12).contains(&month) || !(1..=length).contains(&day) {
        return None;
    }
    // Years begin in March here, so that the leap day is the last one; 719,468 days lie before 1970.
    let year = if month <= 2 { year - 1 } else { year };
    let of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    Some(365 * year + year / 4 - year / 100 + year / 400 + of_year - 719_468)
}

/// `YYYY-MM-DD` as days.
fn iso_date(text: &[u8]) -> Option<i64> {
    let [y0, y1, y2, y3, b'-', m0, m1, b'-', d0, d1] = *text else {
        return None;
    };
    days(
        number(&[y0, y1, y2, y3])?,
        number(&[m0, m1])?,
        number(&[d0, d1])?,
    )
}

/// Digits and nothing else, at most nine of them.
pub(super) fn number(text: &[u8]) -> Option<i64> {
    text.iter().try_fold(0, |value, byte| {
        byte.is_ascii_digit()
            .then(|| value * 10 + i64::from(byte - b'0'))
    })
}

/// Declared patterns, tried in order.
#[derive(Debug)]
struct Patterns {
    declared: Vec<Pattern>,
    /// The same with day and month in each other's place, to tell what may have been meant.
    swapped: Vec<Pattern>,
}

impl Patterns {
    fn new(formats: &[String], pivot: Option<i64>) -> Self {
        let other_order =
            |format: &&String| super::pattern::plain(format) != super::pattern::swapped(format);
        let swap = |format: &String| Pattern::new(&super::pattern::swapped(format), pivot);
        Self {
            declared: formats
                .iter()
                .map(|format| Pattern::new(format, pivot))
                .collect(),
            swapped: formats.iter().filter(other_order).map(swap).collect(),
        }
    }

    /// None are declared: texts are ISO 8601.
    fn is_iso(&self) -> bool {
        self.declared.is_empty()
    }

    /// What the first pattern that fits says, and its days.
    fn read(&self, text: &[u8]) -> Option<(i64, Fields)> {
        first(&self.declared, text)
    }

    /// What a text that does not fit may have meant, for people.
    #[cold]
    fn hint(&self, text: &[u8]) -> &'static str {
        if !self.is_iso() {
            let other = first(&self.swapped, text);
            let is_time = other.is_some_and(|(_, fields)| fields.second_of_day().is_some());
            return if is_time && self.read(text).is_none() {
                "day and month swapped?"
            } else {
                ""
            };
        }
        let mut parts = text.split(|byte| !byte.is_ascii_digit());
        let part = |text: Option<&[u8]>| {
            text.filter(|text| (1..=2).contains(&text.len()))
                .and_then(number)
        };
        let slashes = memchr::memchr_iter(b'/', text).count();
        match (part(parts.next()), part(parts.next())) {
            (Some(13..=31), Some(1..=12)) if slashes == 2 => "formats = [\"%d/%m/%Y…\"]?",
            (Some(1..=12), Some(13..=31)) if slashes == 2 => "formats = [\"%m/%d/%Y…\"]?",
            (Some(1..=12), Some(1..=12)) if slashes == 2 => "formats: %d/%m/%Y or %m/%d/%Y?",
            (Some(_), Some(_)) if text.get(1..3).is_some_and(|text| text.contains(&b'.')) => {
                "formats = [\"%d.%m.%Y…\"]?"
            }
            _ => "",
        }
    }
}

fn first(patterns: &[Pattern], text: &[u8]) -> Option<(i64, Fields)> {
    patterns.iter().find_map(|pattern| {
        let fields = pattern.read(text)?;
        Some((fields.days()?, fields))
    })
}

/// Whether a text is a date, or begins with one, of a year that is none of 1 to 9999, or the infinity of databases.
#[cold]
fn is_far(text: &[u8]) -> bool {
    let unsigned = text
        .strip_prefix(b"-")
        .or_else(|| text.strip_prefix(b"+"))
        .unwrap_or(text);
    if unsigned.eq_ignore_ascii_case(b"infinity") {
        return true;
    }
    let digits = unsigned
        .iter()
        .take_while(|byte| byte.is_ascii_digit())
        .count();
    let (year, rest) = unsigned.split_at(digits);
    let is_date = matches!(rest, [b'-', m0, m1, b'-', d0, d1, ..]
        if [m0, m1, d0, d1].iter().all(|digit| digit.is_ascii_digit()));
    let far = digits > 4 || year == b"0000" || unsigned.len() < text.len();
    is_date && digits >= 4 && far
}

/// Dates.
#[derive(Debug)]
pub(super) struct Date {
    patterns: Patterns,
    range: Option<Range>,
    /// The last ISO text and its days.
    last: ([u8; 10], i32),
}

impl Date {
    /// A kernel for dates of these patterns.
    pub(super) fn new(formats: &[String], notation: &Notation) -> Self {
        Self {
            patterns: Patterns::new(formats, notation.pivot),
            range: notation.range,
            last: ([0; 10], 0),
        }
    }
}

impl Kernel for Date {
    type Native = i32;

    #[inline(always)]
    fn fast(&mut self, bytes: &[u8], start: usize, end: usize) -> Option<i32> {
        let text = <&[u8; 10]>::try_from(bytes.get(start..end)?).ok()?;
        (*text == self.last.0).then_some(self.last.1)
    }

    fn parse(&mut self, text: &[u8], lenient: bool) -> Result<i32, Bad> {
        let text = if lenient { trim(text) } else { text };
        let days = if self.patterns.is_iso() {
            iso_date(text)
        } else {
            self.patterns.read(text).map(|(days, _)| days)
        };
        let Some(days) = days else {
            return Err(if is_far(text) {
                DATE_OUT_OF_RANGE
            } else {
                BAD_DATE.or_hint(self.patterns.hint(text))
            });
        };
        if self.range.is_some_and(|range| !range.holds(days)) {
            return Err(DATE_OUT_OF_RANGE);
        }
        let days = i32::try_from(days).map_err(|_| BAD_DATE)?;
        if self.patterns.is_iso() {
            self.last = (text.try_into().map_err(|_| BAD_DATE)?, days);
        }
        Ok(days)
    }

    fn array(&self, values: Vec<i32>, nulls: Option<NullBuffer>) -> ArrayRef {
        Arc::new(Date32Array::new(values.into(), nulls))
    }
}

/// Timestamps.
#[derive(Debug)]
pub(super) struct Timestamp {
    patterns: Patterns,
    unit: Option<EpochUnit>,
    local: Option<Local>,
    range: Option<Range>,
    /// The first 11 bytes (`2026-03-14T`) of the last ISO text, as two words, and the microseconds of its midnight.
    last: (u64, u64, i64),
}

impl Timestamp {
    /// A kernel for timestamps of these patterns, or of numbers of `unit`; without a zone they are of `zone`.
    pub(super) fn new(
        formats: &[String],
        unit: Option<EpochUnit>,
        zone: Option<Tz>,
        notation: &Notation,
    ) -> Self {
        Self {
            patterns: Patterns::new(formats, notation.pivot),
            unit,
            local: zone
                .filter(|zone| *zone != Tz::UTC)
                .map(|zone| Local::new(zone, notation.local)),
            range: notation.range,
            last: (0, 0, 0),
        }
    }

    fn iso(&mut self, text: &[u8]) -> Result<i64, Bad> {
        let (date, time) = text.split_at_checked(10).ok_or(BAD_TIMESTAMP)?;
        let days = iso_date(date).ok_or(BAD_TIMESTAMP)?;
        let [
            b'T' | b't' | b' ',
            h0,
            h1,
            b':',
            m0,
            m1,
            b':',
            s0,
            s1,
            rest @ ..,
        ] = time
        else {
            return Err(BAD_TIMESTAMP);
        };
        let part = |tens: &u8, ones: &u8| number(&[*tens, *ones]).ok_or(BAD_TIMESTAMP);
        let (hour, minute, second) = (part(h0, h1)?, part(m0, m1)?, part(s0, s1)?);
        if hour > 23 || minute > 59 || second > 59 {
            return Err(BAD_TIMESTAMP);
        }
        let (micros, rest) = match rest {
            [b'.' | b',', rest @ ..] => fraction(rest)?,
            _ => (0, rest),
        };
        let zone = zone(rest).ok_or(BAD_TIMESTAMP)?;
        let seconds = days * DAY_SECONDS + hour * 3600 + minute * 60 + second;
        let midnight = days * DAY_SECONDS * SECOND;
        // The fast way judges no time of a day that it knows, so all of it must be in the range.
        let whole_day = self.range.is_none_or(|range| {
            range.holds(midnight) && range.holds(midnight + DAY_SECONDS * SECOND - 1)
        });
        if whole_day && let Some(words) = first_words(text) {
            self.last = (words[0], words[1] & FIRST_THREE_BYTES, midnight);
        }
        self.place(seconds, micros, zone)
    }

    /// Seconds of local time, microseconds and the zone, if any, to microseconds UTC.
    fn place(&mut self, seconds: i64, micros: i64, zone: Option<Zone>) -> Result<i64, Bad> {
        let offset = match (zone, &mut self.local) {
            (Some(Zone { east_seconds }), _) => east_seconds,
            (None, None) => 0,
            (None, Some(local)) => local.offset(seconds)?,
        };
        Ok((seconds - offset) * SECOND + micros)
    }

    fn number(unit: EpochUnit, text: &[u8], lenient: bool) -> Result<i64, Bad> {
        let value = integer(text, lenient).map_err(|bad| {
            if bad.code == "overflow" {
                bad
            } else {
                BAD_TIMESTAMP
            }
        })?;
        if let Some(micros) = in_range(value, unit) {
            return Ok(micros);
        }
        // It may be a time of another unit; that goes into the detail, for people.
        let hint = [
            (EpochUnit::Seconds, "seconds?"),
            (EpochUnit::Milliseconds, "milliseconds?"),
            (EpochUnit::Microseconds, "microseconds?"),
        ]
        .into_iter()
        .find(|(unit, _)| in_range(value, *unit).is_some_and(|micros| micros >= LIKELY_FROM))
        .map_or("", |(_, hint)| hint);
        Err(OUT_OF_RANGE.or_hint(hint))
    }

    /// The value of a text, whatever the range.
    fn read(&mut self, text: &[u8], lenient: bool) -> Result<i64, Bad> {
        if let Some(unit) = self.unit {
            return Self::number(unit, text, lenient);
        }
        if self.patterns.is_iso() {
            return self.iso(text);
        }
        let (days, fields) = self.patterns.read(text).ok_or(BAD_TIMESTAMP)?;
        let Fields { zone, nanos, .. } = fields;
        if nanos % 1000 != 0 {
            return Err(SCALE_LOSS);
        }
        self.place(
            days * DAY_SECONDS + fields.second_of_day().ok_or(BAD_TIMESTAMP)?,
            nanos / 1000,
            zone,
        )
    }
}

/// 1980-01-01 in microseconds: numbers that would be earlier in some unit are no sign of that unit.
const LIKELY_FROM: i64 = 315_532_800 * SECOND;
/// 1970-03-01 in seconds: earlier numbers are times of a larger unit, as 1,772,445,600 is of seconds where milliseconds are
/// declared.
const RANGE_FROM_SECONDS: i64 = 5_097_600;
/// 2201-01-01 in seconds: whole numbers are times of the years 1970 to 2200, so that a wrong unit is seen.
const RANGE_SECONDS: i64 = 7_289_654_400;

fn in_range(value: i64, unit: EpochUnit) -> Option<i64> {
    let micros = value.checked_mul(match unit {
        EpochUnit::Seconds => SECOND,
        EpochUnit::Milliseconds => 1000,
        EpochUnit::Microseconds => 1,
    })?;
    // 0 is the beginning of 1970 in any unit.
    let least = if value == 0 {
        0
    } else {
        RANGE_FROM_SECONDS * SECOND
    };
    (least..RANGE_SECONDS * SECOND)
        .contains(&micros)
        .then_some(micros)
}

const FIRST_THREE_BYTES: u64 = 0x00FF_FFFF;

fn first_words(text: &[u8]) -> Option<[u64; 2]> {
    let (words, _) = text.as_chunks::<8>();
    Some([
        u64::from_le_bytes(*words.first()?),
        u64::from_le_bytes(*words.get(1)?),
    ])
}

/// One byte of a word's text, from the lowest.
const fn at(byte: u8, place: u32) -> u64 {
    #[expect(clippy::as_conversions, reason = "From is not const")]
    let wide = byte as u64;
    wide << (8 * place)
}

impl Kernel for Timestamp {
    type Native = i64;

    /// `2026-03-14T00:00:00.123Z` with the date of the timestamp before it.
    #[inline(always)]
    fn fast(&mut self, bytes: &[u8], start: usize, end: usize) -> Option<i64> {
        let text = <&[u8; 24]>::try_from(bytes.get(start..end)?).ok()?;
        let (words, _) = text.as_chunks::<8>();
        let [date, hours, seconds] = [words[0], words[1], words[2]].map(u64::from_le_bytes);
        // 1. `2026-03-`, `14T`: the date. `hours` goes on with `00:00`.
        if (date ^ self.last.0) | ((hours & FIRST_THREE_BYTES) ^ self.last.1) != 0 {
            return None;
        }
        // 2. `:00.123Z`: what stands between the digits.
        const COLON: u64 = at(0xFF, 5);
        const MARKS: u64 = at(0xFF, 0) | at(0xFF, 3) | at(0xFF, 7);
        if ((hours & COLON) ^ at(b':', 5))
            | ((seconds & MARKS) ^ (at(b':', 0) | at(b'.', 3) | at(b'Z', 7)))
            != 0
        {
            return None;
        }
        // 3. The digits: hours, minutes, seconds, hundredths; and the thousandths.
        let pairs = digit_pairs(
            ((hours >> 24) & 0xFFFF)
                | ((hours >> 48) << 16)
                | (((seconds >> 8) & 0xFFFF) << 32)
                | (((seconds >> 32) & 0xFFFF) << 48),
        )?;
        let thousandth = ((seconds >> 48) & 0xFF) ^ u64::from(b'0');
        let pair = |place: u32| (pairs >> (16 * place)) & 0xFF;
        let (hour, minute, second) = (pair(0), pair(1), pair(2));
        if hour > 23 || minute > 59 || second > 59 || thousandth > 9 {
            return None;
        }
        let millis = ((hour * 60 + minute) * 60 + second) * 1000 + pair(3) * 10 + thousandth;
        Some(self.last.2 + i64::try_from(millis * 1000).ok()?)
    }

    fn parse(&mut self, text: &[u8], lenient: bool) -> Result<i64, Bad> {
        let text = if lenient { trim(text) } else { text };
        let micros = self.read(text, lenient).map_err(|bad| {
            if bad != BAD_TIMESTAMP {
                bad
            } else if is_far(text) {
                OUT_OF_RANGE
            } else {
                bad.or_hint(self.patterns.hint(text))
            }
        })?;
        if self.range.is_some_and(|range| !range.holds(micros)) {
            return Err(OUT_OF_RANGE);
        }
        Ok(micros)
    }

    fn adjusted(&mut self) -> Adjusted {
        self.local.as_mut().map_or_else(Adjusted::default, |local| {
            std::mem::take(&mut local.adjusted)
        })
    }

    fn array(&self, values: Vec<i64>, nulls: Option<NullBuffer>) -> ArrayRef {
        Arc::new(TimestampMicrosecondArray::new(values.into(), nulls).with_timezone("UTC"))
    }
}

/// Digits after a dot as microseconds, and what follows them.
fn fraction(text: &[u8]) -> Result<(i64, &[u8]), Bad> {
    let count = text.iter().take_while(|byte| byte.is_ascii_digit()).count();
    let (digits, rest) = text.split_at(count);
    if digits.is_empty() {
        return Err(BAD_TIMESTAMP);
    }
    let (kept, lost) = digits.split_at(digits.len().min(6));
    if lost.iter().any(|&byte| byte != b'0') {
        return Err(SCALE_LOSS);
    }
    let value = number(kept).ok_or(BAD_TIMESTAMP)?;
    let missing = u32::try_from(6 - kept.len()).expect("at most six digits are kept");
    Ok((value * 10_i64.pow(missing), rest))
}

/// Nothing, `Z`, `±hh:mm`, `±hhmm` or `±hh`, to the end of the text; `None` where it is something else.
#[expect(
    clippy::option_option,
    reason = "no zone and no reading are different answers"
)]
pub(super) fn zone(text: &[u8]) -> Option<Option<Zone>> {
    let (sign, digits) = match text {
        [] => return Some(None),
        [b'Z' | b'z'] => return Some(Some(Zone { east_seconds: 0 })),
        [b'+', digits @ ..] => (1, digits),
        [b'-', digits @ ..] => (-1, digits),
        _ => return None,
    };
    let (hours, minutes) = match digits {
        [h0, h1] => (number(&[*h0, *h1])?, 0),
        [h0, h1, b':', m0, m1] | [h0, h1, m0, m1] => (number(&[*h0, *h1])?, number(&[*m0, *m1])?),
        _ => return None,
    };
    (hours <= 23 && minutes <= 59).then(|| {
        Some(Zone {
            east_seconds: sign * (hours * 3600 + minutes * 60),
        })
    })
}

/// Local time of one zone.
#[derive(Debug)]
struct Local {
    zone: Tz,
    policy: LocalTimes,
    /// A quarter of an hour of local time all of which has one offset: its number since 1970, and the offset.
    last: Option<(i64, i64)>,
    adjusted: Adjusted,
}

impl Local {
    fn new(zone: Tz, policy: LocalTimes) -> Self {
        Self {
            zone,
            policy,
            last: None,
            adjusted: Adjusted::default(),
        }
    }

    /// Seconds east of UTC at a local time.
    fn offset(&mut self, seconds: i64) -> Result<i64, Bad> {
        const QUARTER: i64 = 900;
        let quarter = seconds.div_euclid(QUARTER);
        if let Some((last, offset)) = self.last
            && last == quarter
        {
            return Ok(offset);
        }
        let offset = match (self.map(seconds), self.policy) {
            (MappedLocalTime::Single(offset), _) => offset,
            (MappedLocalTime::Ambiguous(earlier, later), policy) => {
                // Of two offsets the larger makes the earlier time.
                let offset = match policy.repeated {
                    Repeated::Refuse => return Err(AMBIGUOUS),
                    Repeated::Earlier => earlier.max(later),
                    Repeated::Later => earlier.min(later),
                };
                self.adjusted.chosen += 1;
                return Ok(offset);
            }
            (MappedLocalTime::None, policy) => {
                if policy.skipped == Skipped::Refuse {
                    return Err(NONEXISTENT);
                }
                // The offset that clocks had before they were moved puts the time behind the gap.
                let offset = self.offset_before(seconds).ok_or(NONEXISTENT)?;
                self.adjusted.shifted += 1;
                return Ok(offset);
            }
        };
        // Clocks do not change twice within a quarter of an hour, so its two ends speak for it.
        let ends =
            [quarter * QUARTER, quarter * QUARTER + QUARTER - 1].map(|end| self.map(end).single());
        self.last = (ends == [Some(offset); 2]).then_some((quarter, offset));
        Ok(offset)
    }

    /// The offset at the last quarter of an hour before a gap; gaps are of at most a day, where a zone crossed the date line.
    fn offset_before(&self, seconds: i64) -> Option<i64> {
        const QUARTER: i64 = 900;
        (1..=2 * DAY_SECONDS / QUARTER)
            .find_map(|quarters| self.map(seconds - quarters * QUARTER).latest())
    }

    fn map(&self, seconds: i64) -> MappedLocalTime<i64> {
        let local = DateTime::UNIX_EPOCH.naive_utc() + Duration::seconds(seconds);
        self.zone
            .offset_from_local_datetime(&local)
            .map(|offset| i64::from(offset.fix().local_minus_utc()))
    }
}

/// Reads an end of a range as the job file has it: a date, or for timestamps a time, too, of UTC where it has no offset.
/// The end of a date is that of its day where it is the last one.
pub(crate) fn read_bound(column_type: ColumnType, text: &str, is_last: bool) -> Option<i64> {
    let text = text.as_bytes();
    match (column_type, iso_date(text)) {
        (ColumnType::Date, days) => days,
        (_, Some(days)) => {
            let midnight = days * DAY_SECONDS * SECOND;
            Some(if is_last {
                midnight + DAY_SECONDS * SECOND - 1
            } else {
                midnight
            })
        }
        (_, None) => Timestamp::new(&[], None, None, &Notation::default())
            .iso(text)
            .ok(),
    }
}
