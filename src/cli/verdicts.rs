//! `caudal verdicts`: what a continuous job says of its checks, what it said at some time, and why that changed.
//!
//! It reads the history that the job keeps itself ([`crate::sinks::VERDICTS`]), commit by commit, so that columns and target of the job's
//! own sinks of verdicts do not matter. What stands is held in memory, what was taken back is not.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::fs::File;
use std::io::ErrorKind;
use std::path::Path;

use ::parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use chrono::{DateTime, SecondsFormat};
use serde_json::json;

use super::arguments::VerdictsTyped;
use super::convert::moment_of;
use super::numbers::{counted, grouped};
use super::stop::{FINE, Stop};
use super::{load, print};
use crate::checks::history::{About, Said, Standing, Told, Why, read};
use crate::job::plan::Plan;
use crate::job::problems::{nearest, quoted};
use crate::record::Epoch;
use crate::sinks::chain::{self, CommittedFile};
use crate::sinks::{SinkError, VERDICTS};

/// Verdicts that are listed without `--all`: a screen of them.
const LISTED: usize = 20;

/// Bytes of a list that are gathered before they are printed.
const PRINTED: usize = 1 << 16;

/// What is worth a look without being asked for.
const BAD: [&str; 3] = ["warn", "fail", "overflow"];

/// Until when what was said counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum AsOf {
    /// All that is committed.
    Now,
    /// With this epoch.
    Epoch(Epoch),
    /// With this time of the job's clock, in microseconds since 1970.
    Time(i64),
}

/// What is asked for.
struct Wanted<'a> {
    check: Option<&'a str>,
    segment: Option<&'a str>,
    /// A time in the window.
    window: Option<i64>,
}

impl Wanted<'_> {
    fn is_all(&self) -> bool {
        self.check.is_none() && self.segment.is_none() && self.window.is_none()
    }

    fn has(&self, about: &About) -> bool {
        let is_in = |at: i64| {
            let window = about.window;
            window.is_some_and(|(start, end)| (start..end).contains(&at))
        };
        self.check.is_none_or(|check| about.check == check)
            && self.segment.is_none_or(|segment| about.segment == segment)
            && self.window.is_none_or(is_in)
    }
}

/// Prints what stands, or what was said.
///
/// # Errors
/// Where the job is wrong or keeps no history, nothing is meant, or files can't be read.
pub(super) fn verdicts(typed: &VerdictsTyped) -> Result<u8, Stop> {
    let plan = load::job(&typed.job)?;
    let as_of = as_of(typed.as_of.as_deref())?;
    let window = typed.window.as_deref();
    let wanted = Wanted {
        check: typed.check.as_deref(),
        segment: typed.segment.as_deref(),
        window: window.map(|text| moment_of("--window", text)).transpose()?,
    };
    if !plan.keeps_verdicts() {
        return Err(keeps_none(&plan));
    }
    let newest = chain::newest(&plan.output).map_err(|error| failed(&error))?;
    let upto = newest.and_then(|newest| newest.to).ok_or_else(|| {
        let run = format!("caudal run {}", plan.file.display());
        none(&plan, "nothing of this job is committed", &run)
    })?;
    let mut seen = Seen::default();
    let mut standing = Standing::default();
    let mut lines = Lines::default();
    for file in chain::files(&plan.output).map_err(|error| failed(&error))? {
        let file = file.map_err(|error| failed(&error))?;
        if file.sink != VERDICTS {
            continue;
        }
        for (about, said) in of_file(&plan, &file, upto)? {
            let counts = match as_of {
                AsOf::Now => true,
                AsOf::Epoch(epoch) => said.epoch <= epoch,
                AsOf::Time(at) => said.at <= at,
            };
            if !counts {
                continue;
            }
            seen.take(&about, &said);
            if !wanted.has(&about) {
                continue;
            }
            if !typed.changes {
                standing.take(about, said);
                continue;
            }
            let before = standing.said_of(&about).cloned();
            let is_taken_back = said.is_taken_back;
            let why = standing.take(about.clone(), said.clone());
            let line = match (why, is_taken_back, typed.json) {
                (_, true, true) => change_for_machines(&about, &said, None),
                (_, true, false) => continue,
                (why, false, true) => change_for_machines(&about, &said, why),
                (why, false, false) => change(&about, before.as_ref(), &said, why),
            };
            lines.add(&line)?;
        }
    }
    if !wanted.is_all() && !seen.has(&wanted) {
        return Err(seen.no_such(&wanted));
    }
    if typed.changes {
        return lines.end();
    }
    if typed.json {
        for (about, said) in standing.verdicts() {
            lines.add(&for_machines(about, said))?;
        }
        return lines.end();
    }
    lines.add(&format!(
        "{}: what was believed {}\n",
        plan.name,
        seen.until(as_of, upto)
    ))?;
    let most = if typed.all { usize::MAX } else { LISTED };
    if wanted.is_all() {
        counts(&standing, &mut lines)?;
        let is_bad = |said: &Said| BAD.contains(&said.verdict.status.as_str());
        list(&standing, is_bad, most, &mut lines)?;
    } else {
        list(&standing, |_| true, most, &mut lines)?;
    }
    lines.end()
}

/// A number is an epoch, anything else a time.
fn as_of(text: Option<&str>) -> Result<AsOf, Stop> {
    let Some(text) = text else {
        return Ok(AsOf::Now);
    };
    if let Ok(epoch) = text.parse() {
        return Ok(AsOf::Epoch(epoch));
    }
    moment_of("--as-of", text).map(AsOf::Time)
}

fn failed(error: &SinkError) -> Stop {
    Stop::Kept(error.to_string())
}

/// That there is nothing to show.
fn none(plan: &Plan, what: &str, hint: &str) -> Stop {
    Stop::Kept(format!(
        "{}: {what}\n  expected: what was said of its checks, below {}\n  now: there is nothing to show\n  hint: {hint}",
        plan.name,
        plan.output.display()
    ))
}

fn keeps_none(plan: &Plan) -> Stop {
    let (what, hint) = if !plan.says_verdicts() {
        (
            "the job has no checks",
            "tables [checks.NAME] say what is judged",
        )
    } else if plan.continuous.is_none() {
        (
            "the job is bounded: each run replaces what the one before said",
            "a sink with from = \"verdicts\" has those of the last run; continuous jobs keep what they say",
        )
    } else {
        (
            "the job keeps no history of its verdicts",
            "leave out verdict_history = false under [job]",
        )
    };
    none(plan, what, hint)
}

/// What a file of the history says; nothing where it was taken away.
fn of_file(plan: &Plan, file: &CommittedFile, newest: Epoch) -> Result<Vec<(About, Said)>, Stop> {
    let shown = plan.output.join(&file.path);
    let opened = match chain::open(&plan.output, file, newest) {
        Err(error) if error.kind() == ErrorKind::NotFound => {
            print::warning(&format!(
                "{}: it was taken away with {}",
                shown.display(),
                counted(file.rows, "verdict", "verdicts")
            ));
            return Ok(Vec::new());
        }
        opened => opened.map_err(|error| unread(&shown, &error.to_string()))?,
    };
    rows_of(opened, &shown)
}

fn rows_of(file: File, path: &Path) -> Result<Vec<(About, Said)>, Stop> {
    let reader = ParquetRecordBatchReaderBuilder::try_new(file)
        .and_then(ParquetRecordBatchReaderBuilder::build)
        .map_err(|error| unread(path, &error.to_string()))?;
    let mut rows = Vec::new();
    for batch in reader {
        let batch = batch.map_err(|error| unread(path, &error.to_string()))?;
        rows.extend(read(&batch).map_err(|problem| unread(path, &problem))?);
    }
    Ok(rows)
}

fn unread(path: &Path, problem: &str) -> Stop {
    Stop::Kept(format!(
        "{}: it could not be read: {problem}",
        path.display()
    ))
}

/// What the history is about, as far as it was gone through.
#[derive(Default)]
struct Seen {
    checks: BTreeSet<String>,
    segments: BTreeSet<String>,
    windows: BTreeSet<(i64, i64)>,
    last: Option<(Epoch, i64)>,
}

impl Seen {
    fn take(&mut self, about: &About, said: &Said) {
        if !self.checks.contains(&about.check) {
            self.checks.insert(about.check.clone());
        }
        if !self.segments.contains(&about.segment) {
            self.segments.insert(about.segment.clone());
        }
        self.windows.extend(about.window);
        let at = (said.epoch, said.at);
        self.last = self.last.max(Some(at));
    }

    fn has(&self, wanted: &Wanted<'_>) -> bool {
        let is_in = |at: i64| {
            let mut windows = self.windows.iter();
            windows.any(|(start, end)| (*start..*end).contains(&at))
        };
        wanted.check.is_none_or(|check| self.checks.contains(check))
            && wanted
                .segment
                .is_none_or(|segment| self.segments.contains(segment))
            && wanted.window.is_none_or(is_in)
    }

    fn no_such(&self, wanted: &Wanted<'_>) -> Stop {
        let (option, given, known) = match (wanted.check, wanted.segment) {
            (Some(check), _) if !self.checks.contains(check) => ("--check", check, &self.checks),
            (_, Some(segment)) if !self.segments.contains(segment) => {
                ("--segment", segment, &self.segments)
            }
            _ => {
                return Stop::Words(
                    "--window: nothing was said of a window with this time\n  expected: a time in a window that was judged, such as its start\n  now: nothing is shown".to_owned(),
                );
            }
        };
        let all: Vec<&str> = known.iter().map(String::as_str).take(LISTED).collect();
        let more = if known.len() > LISTED { ", …" } else { "" };
        let mut message = format!(
            "{option}: nothing was said of {}\n  expected: {}{more}\n  now: nothing is shown",
            quoted(given),
            all.join(", ")
        );
        if let Some(near) = nearest(given, known.iter().map(String::as_str)) {
            write!(message, "\n  hint: did you mean {}?", quoted(near))
                .expect("a String takes everything");
        }
        Stop::Words(message)
    }

    /// Until when what is shown was said, in words.
    fn until(&self, as_of: AsOf, upto: Epoch) -> String {
        let last = self.last.map_or_else(
            || ": nothing".to_owned(),
            |(epoch, at)| format!("; said last in epoch {}, {}", grouped(epoch), time(at)),
        );
        match as_of {
            AsOf::Now => format!("up to epoch {}{last}", grouped(upto)),
            AsOf::Epoch(epoch) => format!("with epoch {}{last}", grouped(epoch)),
            AsOf::Time(at) => format!("at {}{last}", time(at)),
        }
    }
}

/// What is printed, in pieces.
#[derive(Default)]
struct Lines(String);

impl Lines {
    fn add(&mut self, text: &str) -> Result<(), Stop> {
        self.0.push_str(text);
        if self.0.len() > PRINTED {
            print::to_output(self.0.as_bytes())?;
            self.0.clear();
        }
        Ok(())
    }

    fn end(self) -> Result<u8, Stop> {
        print::to_output(self.0.as_bytes())?;
        Ok(FINE)
    }
}

/// How many verdicts of each status each check has.
fn counts(standing: &Standing, lines: &mut Lines) -> Result<(), Stop> {
    let mut of_checks: BTreeMap<&str, BTreeMap<&str, u64>> = BTreeMap::new();
    let mut provisional = 0;
    for (about, said) in standing.verdicts() {
        let of_check = of_checks.entry(&about.check).or_default();
        *of_check.entry(&said.verdict.status).or_default() += 1;
        provisional += u64::from(!said.verdict.is_final);
    }
    let width = of_checks.keys().map(|check| check.len()).max().unwrap_or(0);
    for (check, statuses) in of_checks {
        let each = statuses
            .into_iter()
            .map(|(status, count)| format!("{} {status}", grouped(count)));
        let each: Vec<String> = each.collect();
        lines.add(&format!("  {check:<width$}  {}\n", each.join(", ")))?;
    }
    if provisional > 0 {
        lines.add(&format!(
            "  {} may still be corrected by late rows\n",
            counted(provisional, "verdict", "verdicts")
        ))?;
    }
    Ok(())
}

/// Lists verdicts, those of the newest windows first.
fn list(
    standing: &Standing,
    which: impl Fn(&Said) -> bool,
    most: usize,
    lines: &mut Lines,
) -> Result<(), Stop> {
    let chosen = standing.verdicts().filter(|(_, said)| which(said));
    let mut chosen: Vec<_> = chosen.collect();
    chosen.sort_by_key(|(about, said)| {
        std::cmp::Reverse(about.window.map_or(said.at, |(_, end)| end))
    });
    for (about, said) in chosen.iter().take(most) {
        let is_final = if said.verdict.is_final {
            ""
        } else {
            ", provisional"
        };
        lines.add(&format!(
            "  {}: {}{is_final}, said in epoch {}, {}\n",
            subject(about),
            shown(&said.verdict),
            grouped(said.epoch),
            time(said.at)
        ))?;
    }
    if chosen.len() > most {
        lines.add(&format!(
            "  and {} more (--all lists them)\n",
            chosen.len() - most
        ))?;
    }
    Ok(())
}

/// A change in one line.
fn change(about: &About, before: Option<&Told>, said: &Said, why: Option<Why>) -> String {
    let was = before.map_or_else(String::new, |before| format!("{} -> ", shown(before)));
    let why = why.map_or_else(String::new, |why| format!("  ({why})"));
    let is_final = if said.verdict.is_final {
        ""
    } else {
        ", provisional"
    };
    format!(
        "{}  epoch {}  {}: {was}{}{is_final}{why}\n",
        time(said.at),
        grouped(said.epoch),
        subject(about),
        shown(&said.verdict)
    )
}

/// Check, segment and window.
fn subject(about: &About) -> String {
    let mut text = about.check.clone();
    if !about.segment.is_empty() {
        write!(text, ", {}", about.segment).expect("a String takes everything");
    }
    if let Some((start, _)) = about.window {
        write!(text, ", {}", time(start)).expect("a String takes everything");
    }
    text
}

/// Status and numbers.
fn shown(told: &Told) -> String {
    let mut text = told.status.clone();
    let mut add = |words: &str| text.push_str(words);
    if let Some(value) = told.value {
        add(&format!(" {value}"));
    }
    if let (Some(numerator), Some(denominator)) = (told.numerator, told.denominator) {
        add(&format!(" ({numerator} of {denominator})"));
    }
    if let Some(expected) = &told.expected {
        add(&format!(", expected {expected}"));
    }
    text
}

fn time(micros: i64) -> String {
    DateTime::from_timestamp_micros(micros).map_or_else(
        || format!("{micros} µs"),
        |time| time.to_rfc3339_opts(SecondsFormat::AutoSi, true),
    )
}

fn of_machines(about: &About, said: &Said) -> serde_json::Value {
    let told = &said.verdict;
    json!({
        "check": about.check, "segment": about.segment,
        "window_start": about.window.map(|window| time(window.0)), "window_end": about.window.map(|window| time(window.1)),
        "status": told.status, "value": told.value, "numerator": told.numerator, "denominator": told.denominator,
        "expected": told.expected, "baseline": told.baseline, "epoch": told.covers, "final": told.is_final,
        "said_epoch": said.epoch, "said_at": time(said.at),
    })
}

fn for_machines(about: &About, said: &Said) -> String {
    format!("{}\n", of_machines(about, said))
}

fn change_for_machines(about: &About, said: &Said, why: Option<Why>) -> String {
    let mut value = of_machines(about, said);
    value["sign"] = json!(if said.is_taken_back { -1 } else { 1 });
    value["why"] = json!(why.map(|why| why.to_string()));
    format!("{value}\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_is_an_epoch_and_the_rest_is_a_time() {
        assert_eq!(as_of(None).unwrap(), AsOf::Now);
        assert_eq!(as_of(Some("1204")).unwrap(), AsOf::Epoch(1204));
        let noon = AsOf::Time(1_773_489_600_000_000);
        assert_eq!(as_of(Some("2026-03-14T12:00")).unwrap(), noon);
        let wrong = as_of(Some("yesterday")).unwrap_err().to_string();
        assert!(wrong.starts_with("--as-of: \"yesterday\" is not a time"));
    }

    #[test]
    fn a_misspelt_check_is_told_with_the_nearest() {
        let about = About {
            check: "amount_usual".to_owned(),
            segment: String::new(),
            window: None,
        };
        let mut seen = Seen::default();
        seen.checks.insert(about.check);
        let wanted = Wanted {
            check: Some("amount_usal"),
            segment: None,
            window: None,
        };
        assert!(!seen.has(&wanted));
        let told = seen.no_such(&wanted);
        assert_eq!(told.exit_code(), 2);
        assert_eq!(
            told.to_string(),
            "--check: nothing was said of \"amount_usal\"\n  expected: amount_usual\n  now: nothing is shown\n  hint: did you mean \"amount_usual\"?"
        );
    }
}
