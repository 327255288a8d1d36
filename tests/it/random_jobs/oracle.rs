//! What a random job must give: a loop over its records, one after another, from the text of its files.
//!
//! Slow and simple on purpose; it shares no code with the engine. Tables come out as sorted lines, so that they compare as
//! multisets.

use std::cmp::Ordering;
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

use serde_json::{Value, json};

use super::super::oracle::real;
use super::super::tables::{Cell, Row, visible_files};
use super::job::{Check, Derived, Job, Key, Lookup, Rule, Statistic, Test};
use super::values::{Kind, decimal_cell};

/// The tables of a job's sinks, and its summary.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Answer {
    pub(super) rows: Vec<String>,
    pub(super) refused: Vec<String>,
    pub(super) windows: Vec<String>,
    pub(super) verdicts: Vec<String>,
    pub(super) summary: Value,
}

/// A row as a line: columns by name.
pub(super) fn line(row: &Row) -> String {
    format!("{row:?}")
}

/// The answer for a job whose files lie in `place`.
pub(super) fn answer(job: &Job, place: &Path) -> Answer {
    let references = job
        .lookup
        .as_ref()
        .map(|lookup| references(lookup, &place.join("ref.csv")));
    let mut answer = Answer::default();
    let mut count: BTreeMap<&str, u64> = BTreeMap::new();
    let mut by_reason: BTreeMap<String, u64> = BTreeMap::new();
    let mut by_drop: BTreeMap<String, u64> = BTreeMap::new();
    let mut by_warn: BTreeMap<String, u64> = BTreeMap::new();
    let mut clean: Vec<Row> = Vec::new();
    for file in visible_files(&place.join("input")) {
        let records = records(&fs::read_to_string(&file).unwrap());
        let (header, records) = records.split_first().expect("files have headers");
        for record in records {
            *count.entry("in").or_default() += 1;
            let mut judged = Judged::new(job, header, record);
            if let (Some(lookup), Some(references)) = (&job.lookup, &references) {
                judged.look_up(lookup, references);
            }
            // In an order in which what is needed is there: the job's order may be another.
            let (last, first): (Vec<Derived>, Vec<Derived>) = job
                .derived
                .iter()
                .partition(|derived| **derived == Derived::Net);
            first
                .into_iter()
                .chain(last)
                .for_each(|derived| judged.derive(derived));
            let mut drops = None;
            for rule in &job.rules {
                if judged.breaks(rule) {
                    match rule.then {
                        "refuse" => {
                            let reason = rule.reason.unwrap_or(&rule.name);
                            judged.fault(format!("rules.{}", rule.name), reason);
                        }
                        "drop" => drops = drops.or(Some(&rule.name)),
                        _ => *by_warn.entry(rule.name.clone()).or_default() += 1,
                    }
                }
            }
            if let Some(reason) = judged.first_reason(job) {
                *count.entry("refused").or_default() += 1;
                *by_reason.entry(reason.clone()).or_default() += 1;
                answer
                    .refused
                    .push(line(&judged.refused(&file, record, &reason)));
            } else if let Some(rule) = drops {
                *count.entry("dropped").or_default() += 1;
                *by_drop.entry(rule.clone()).or_default() += 1;
            } else {
                *count.entry("clean").or_default() += 1;
                clean.push(judged.values);
            }
        }
    }
    for row in &clean {
        let chosen = job.chosen.iter();
        let chosen = chosen.map(|name| (format!("out_{name}"), row[name].clone()));
        answer.rows.push(line(&chosen.collect()));
    }
    let statuses = windows(job, &clean, &mut answer);
    let get = |name: &str| count.get(name).copied().unwrap_or(0);
    answer.summary = json!({
        "rows": { "in": get("in"), "clean": get("clean"), "refused": get("refused"), "dropped": get("dropped"),
                  "parked": 0, "replayed": 0 },
        "refused_by_reason": by_reason, "dropped_by_rule": by_drop, "warned_by_rule": by_warn,
        "verdicts": if statuses.is_empty() { json!({}) } else { json!({ "known": statuses }) }, "failures": [],
    });
    let (status, verdict) = conservation(get("in"), get("clean") + get("refused") + get("dropped"));
    answer.verdicts.push(line(&verdict));
    answer.summary["verdicts"]["conservation"] = json!({ status: 1 });
    for lines in [
        &mut answer.rows,
        &mut answer.refused,
        &mut answer.windows,
        &mut answer.verdicts,
    ] {
        lines.sort();
    }
    answer
}

/// A record of a file: its line, its text without line end, its fields with whether they were quoted.
struct Record {
    line: i128,
    raw: String,
    fields: Vec<(String, bool)>,
    /// Whether text follows the closing quote of a field, which then stands there as it is written.
    stray: bool,
}

/// Cuts delimited text character by character.
fn records(text: &str) -> Vec<Record> {
    let mut records = Vec::new();
    let mut rest = text.chars().peekable();
    let mut line = 1;
    while rest.peek().is_some() {
        let mut record = Record {
            line,
            raw: String::new(),
            fields: Vec::new(),
            stray: false,
        };
        // Where the field begins in `raw`, and whether text follows its closing quote.
        let (mut from, mut stray) = (0, false);
        let (mut field, mut quoted, mut open, mut begins) = (String::new(), false, false, true);
        while let Some(c) = rest.next() {
            line += i128::from(c == '\n');
            if c == '\n' && !open {
                break;
            }
            record.raw.push(c);
            match c {
                '"' if open && rest.peek() == Some(&'"') => {
                    record.raw.extend(rest.next());
                    field.push('"');
                }
                '"' if open => open = false,
                '"' if begins => (open, quoted) = (true, true),
                ',' if !open => {
                    if stray {
                        record.raw[from..record.raw.len() - 1].clone_into(&mut field);
                    }
                    record.stray |= stray;
                    record.fields.push((std::mem::take(&mut field), quoted));
                    (quoted, begins, stray, from) = (false, true, false, record.raw.len());
                    continue;
                }
                // No field of these tests has one of its own.
                '\r' => {
                    record.raw.pop();
                }
                other => {
                    stray |= quoted && !open;
                    field.push(other);
                }
            }
            begins = false;
        }
        if stray {
            record.raw[from..].clone_into(&mut field);
        }
        record.stray |= stray;
        record.fields.push((field, quoted));
        records.push(record);
    }
    records
}

/// The reference rows that can be used.
fn references(lookup: &Lookup, file: &Path) -> Vec<Row> {
    let records = records(&fs::read_to_string(file).unwrap());
    let columns = lookup.columns();
    let mut rows = Vec::new();
    for record in records[1..].iter().filter(|record| !record.stray) {
        let cells = columns.iter().zip(&record.fields);
        let cells = cells.map(|((name, kind), (text, quoted))| {
            kind.read(text, *quoted)
                .map(|cell| ((*name).to_owned(), cell))
        });
        let Ok(row) = cells.collect::<Result<Row, _>>() else {
            continue;
        };
        let null = |name: &str| row.get(name) == Some(&Cell::Null);
        if !null(columns[0].0) && !null("since") {
            rows.push(row);
        }
    }
    rows
}

/// A row while it is judged.
struct Judged {
    values: Row,
    /// Columns with a fault behind them.
    faulty: BTreeSet<String>,
    /// Place and reason, in the order of places.
    faults: Vec<(String, String)>,
    /// The source columns as they were read; `None` for a record of another number of fields.
    texts: Row,
}

impl Judged {
    fn new(job: &Job, header: &Record, record: &Record) -> Self {
        let mut judged = Self {
            values: Row::new(),
            faulty: BTreeSet::new(),
            faults: Vec::new(),
            texts: Row::new(),
        };
        let whole = record.fields.len() == header.fields.len();
        if record.stray {
            judged.fault("record".to_owned(), "text_after_quote");
        } else if !whole {
            judged.fault("record".to_owned(), "field_count");
        }
        for column in &job.columns {
            let place = header
                .fields
                .iter()
                .position(|(name, _)| *name == column.name)
                .expect("every column stands in the file");
            let name = column.name.clone();
            if !whole {
                judged.faulty.insert(name.clone());
                judged.values.insert(name.clone(), Cell::Null);
                judged.texts.insert(name, Cell::Null);
                continue;
            }
            let (text, quoted) = &record.fields[place];
            let shown = if text.is_empty() {
                Cell::Null
            } else {
                Cell::text(text)
            };
            judged.texts.insert(name.clone(), shown);
            if record.stray {
                judged.faulty.insert(name.clone());
                judged.values.insert(name, Cell::Null);
                continue;
            }
            let read = match column.kind.read(text, *quoted) {
                Err(_) if column.bad_is_null => Ok(Cell::Null),
                read => read,
            };
            let read = match read {
                Ok(Cell::Null) if column.not_null => Err("missing_value"),
                read => read,
            };
            if let Err(default) = read {
                judged.faulty.insert(name.clone());
                judged.fault(format!("column {name}"), column.reason.unwrap_or(default));
            }
            judged.values.insert(name, read.unwrap_or(Cell::Null));
        }
        judged
    }

    fn fault(&mut self, at: String, reason: &str) {
        self.faults.push((at, reason.to_owned()));
    }

    fn look_up(&mut self, lookup: &Lookup, references: &[Row]) {
        let key = match lookup.key {
            Key::Seg => self.values["seg"].clone(),
            Key::FoldedSeg => folded(&self.values["seg"]),
            Key::Q => self.values["q"].clone(),
        };
        let key_column = if lookup.key == Key::Q { "q" } else { "seg" };
        let mut behind = vec![key_column];
        behind.extend(lookup.since.map(|_| "ts"));
        let at = match (&lookup.since, &self.values["ts"]) {
            (Some(Kind::Date), Cell::Whole(micros)) => Some(micros.div_euclid(86_400_000_000)),
            (_, Cell::Whole(micros)) => Some(*micros),
            _ => None,
        };
        let name = lookup.key().0;
        let begun = |row: &&Row| match row.get("since") {
            None => true,
            Some(Cell::Whole(since)) => at.is_some_and(|at| *since <= at),
            other => panic!("{other:?} is no time"),
        };
        let found = references
            .iter()
            .filter(|row| row[name] == key && key != Cell::Null)
            .filter(begun)
            .max_by_key(|row| match row.get("since") {
                Some(Cell::Whole(since)) => *since,
                _ => 0,
            })
            .filter(|row| match row.get("until") {
                Some(Cell::Whole(until)) => at.is_some_and(|at| at < *until),
                _ => true,
            });
        let is_faulty = behind.iter().any(|column| self.faulty.contains(*column));
        if found.is_none() && lookup.refuses && !is_faulty {
            self.fault("lookups.ref".to_owned(), "unknown_ref");
        }
        for (name, _) in lookup.columns() {
            let cell = found.map_or(Cell::Null, |row| row[name].clone());
            self.values.insert(name.to_owned(), cell);
            if is_faulty || (found.is_none() && lookup.refuses) {
                self.faulty.insert(name.to_owned());
            }
        }
    }

    fn derive(&mut self, derived: Derived) {
        let inputs: Vec<Cell> = derived
            .inputs()
            .iter()
            .map(|name| self.values[*name].clone())
            .collect();
        let is_faulty = derived
            .inputs()
            .iter()
            .any(|name| self.faulty.contains(*name));
        let product = |digits: u32| match &inputs[..] {
            [Cell::Whole(quantity), Cell::Decimal(units, scale)] => {
                let units = quantity * units;
                let fits = units.abs() < 10_i128.pow(digits);
                fits.then_some(Cell::Decimal(units, *scale))
            }
            _ => Some(Cell::Null),
        };
        let value = match (derived, &inputs[0]) {
            (Derived::Amount(digits), _) => product(digits),
            (Derived::Priced, _) => product(9),
            (Derived::Net, Cell::Decimal(units, 2)) => Some(decimal_cell(units + 150, 2)),
            (Derived::Folded, seg) => Some(folded(seg)),
            (Derived::Filled, Cell::Null) => Some(Cell::Whole(0)),
            (Derived::Filled, q) => Some(q.clone()),
            (Derived::Bulk, Cell::Whole(q)) if *q > 5 => Some(Cell::text("many")),
            (Derived::Bulk, _) => Some(Cell::text("few")),
            (Derived::OnDay, Cell::Whole(micros)) => {
                Some(Cell::Whole(micros.div_euclid(86_400_000_000)))
            }
            (Derived::Net | Derived::OnDay, _) => Some(Cell::Null),
        };
        let name = derived.name().to_owned();
        if value.is_none() && !is_faulty {
            self.fault(format!("derive.{name}"), "overflow");
        }
        if value.is_none() || is_faulty {
            self.faulty.insert(name.clone());
        }
        self.values.insert(name, value.unwrap_or(Cell::Null));
    }

    fn breaks(&self, rule: &Rule) -> bool {
        !self.faulty.contains(rule.test.column()) && holds(&rule.test, &self.values) == Some(false)
    }

    /// The reason that counts: the first of `[job] reasons`, else of the first place.
    fn first_reason(&self, job: &Job) -> Option<String> {
        let rank = |reason: &str| job.reasons.iter().position(|listed| *listed == reason);
        let ranked = self
            .faults
            .iter()
            .min_by_key(|(_, reason)| rank(reason).unwrap_or(usize::MAX));
        ranked.map(|(_, reason)| reason.clone())
    }

    /// The row of `refused`.
    fn refused(&self, file: &Path, record: &Record, reason: &str) -> Row {
        let mut row = self.texts.clone();
        let reasons: Vec<String> = self
            .faults
            .iter()
            .map(|(at, reason)| format!("{at}: {reason}"))
            .collect();
        let name = file.file_name().unwrap().to_str().unwrap();
        for (column, cell) in [
            ("file", Cell::text(name)),
            ("line", Cell::Whole(record.line)),
            ("raw", Cell::text(&record.raw)),
            ("reason", Cell::text(reason)),
            ("reasons", Cell::text(&reasons.join(", "))),
        ] {
            row.insert(column.to_owned(), cell);
        }
        row
    }
}

/// `upper(btrim(x))`.
fn folded(cell: &Cell) -> Cell {
    match cell {
        Cell::Text(text) => Cell::text(&text.trim_matches(' ').to_uppercase()),
        other => other.clone(),
    }
}

/// Whether a condition is true; `None` where it is neither.
fn holds(test: &Test, row: &Row) -> Option<bool> {
    let (column, operator, literal) = match test {
        Test::Known(column) => return Some(row[column] != Cell::Null),
        Test::Compare(column, operator, literal) => (column, operator, literal),
    };
    let order = match &row[column] {
        Cell::Null => return None,
        Cell::Text(value) => value.as_str().cmp(literal.trim_matches('\'')),
        number => {
            let literal = match literal.strip_prefix("date ") {
                Some(day) => Kind::Date.read(day.trim_matches('\''), false).unwrap(),
                None => Kind::Decimal(38, 2).read(literal, false).unwrap(),
            };
            compare(number, &literal)
        }
    };
    Some(match *operator {
        "=" => order.is_eq(),
        "<>" => order.is_ne(),
        "<" => order.is_lt(),
        _ => order.is_ge(),
    })
}

/// The order of two numbers or of two texts.
fn compare(a: &Cell, b: &Cell) -> Ordering {
    let millionths = |cell: &Cell| match cell {
        Cell::Whole(value) => value * 1_000_000,
        Cell::Decimal(units, scale) => units * 10_i128.pow(6 - u32::try_from(*scale).unwrap()),
        other => panic!("{other:?} is no number"),
    };
    match (a, b) {
        (Cell::Text(a), Cell::Text(b)) => a.cmp(b),
        _ => millionths(a).cmp(&millionths(b)),
    }
}

/// The verdict about all rows, and its status.
fn conservation(came: u64, ended: u64) -> (&'static str, Row) {
    assert_eq!(came, ended, "the oracle loses no row");
    let (status, value) = match came {
        0 => ("no_data", Cell::Null),
        _ => ("pass", Cell::Real(1.0)),
    };
    let verdict = [
        ("check", Cell::text("conservation")),
        ("segment", Cell::text("")),
        ("status", Cell::text(status)),
        ("value", value),
        ("numerator", Cell::Whole(i128::from(ended))),
        ("denominator", Cell::Whole(i128::from(came))),
        ("window_start", Cell::Null),
        ("window_end", Cell::Null),
    ];
    let verdict = verdict.map(|(column, cell)| (column.to_owned(), cell));
    (status, verdict.into_iter().collect())
}

/// Fills in the tables of windows and verdicts; gives the verdicts by status.
fn windows(job: &Job, clean: &[Row], answer: &mut Answer) -> BTreeMap<&'static str, u64> {
    let length = job.window.minutes * 60_000_000;
    // By start and the segment as Rust shows it, which tells null from the text "null".
    let mut windows: BTreeMap<(i128, String), Vec<&Row>> = BTreeMap::new();
    for row in clean {
        let Cell::Whole(ts) = row["ts"] else {
            panic!("a clean row has an event time");
        };
        let start = ts.div_euclid(length) * length;
        let cells: Vec<&Cell> = job.window.per.iter().map(|name| &row[*name]).collect();
        windows
            .entry((start, format!("{cells:?}")))
            .or_default()
            .push(row);
    }
    let mut statuses = BTreeMap::new();
    for ((start, _), rows) in windows {
        let (share, status, present) = judge(&job.check, &rows);
        *statuses.entry(status).or_default() += 1;
        let mut window = Row::new();
        for name in &job.window.per {
            window.insert((*name).to_owned(), rows[0][*name].clone());
        }
        let times = [("window_start", start), ("window_end", start + length)];
        for (number, statistic) in job.window.statistics.iter().enumerate() {
            window.insert(format!("s{number}"), measured(statistic, &rows, job));
        }
        window.insert("share".to_owned(), share.clone());
        let mut verdict = Row::new();
        for (column, cell) in [
            ("check", Cell::text("known")),
            ("segment", Cell::text(&segment(job, rows[0]))),
            ("status", Cell::text(status)),
            ("value", share),
            ("numerator", Cell::Whole(present)),
            ("denominator", Cell::Whole(count(rows.len()))),
        ] {
            verdict.insert(column.to_owned(), cell);
        }
        for (name, time) in times {
            window.insert(name.to_owned(), Cell::Whole(time));
            verdict.insert(name.to_owned(), Cell::Whole(time));
        }
        answer.windows.push(line(&window));
        answer.verdicts.push(line(&verdict));
    }
    statuses
}

fn segment(job: &Job, row: &Row) -> String {
    let shown = |name: &&str| match &row[*name] {
        Cell::Null => format!("{name}=null"),
        Cell::Text(text) => format!("{name}={text}"),
        Cell::Whole(value) => format!("{name}={value}"),
        other => panic!("{other:?} makes no segment here"),
    };
    job.window
        .per
        .iter()
        .map(shown)
        .collect::<Vec<_>>()
        .join(", ")
}

/// Share, status and rows with a value.
fn judge(check: &Check, rows: &[&Row]) -> (Cell, &'static str, i128) {
    let present = rows
        .iter()
        .filter(|row| row[&check.column] != Cell::Null)
        .count();
    let present = count(present);
    let share = real(present) / real(count(rows.len()));
    let status = if rows.len() < check.min_rows {
        "too_few"
    } else {
        match check.warn_below {
            None => "measured",
            // In whole numbers: present / rows < hundredths / 100.
            Some(hundredths) if present * 100 < i128::from(hundredths) * count(rows.len()) => {
                "warn"
            }
            Some(_) => "pass",
        }
    };
    (Cell::Real(share), status, present)
}

fn measured(statistic: &Statistic, rows: &[&Row], job: &Job) -> Cell {
    let counted = |row: &&&Row| match &statistic.filter {
        None => true,
        Some(test) => holds(test, row) == Some(true),
    };
    let rows = rows.iter().filter(counted);
    let Some(name) = &statistic.column else {
        return Cell::Whole(count(rows.count()));
    };
    let cells: Vec<&Cell> = rows
        .map(|row| &row[name])
        .filter(|cell| **cell != Cell::Null)
        .collect();
    if statistic.function == "count" {
        return Cell::Whole(count(cells.len()));
    }
    if cells.is_empty() {
        return Cell::Null;
    }
    let kind = job
        .columns
        .iter()
        .find(|column| column.name == *name)
        .unwrap()
        .kind;
    let scale = match kind {
        Kind::Decimal(_, scale) => scale,
        _ => 0,
    };
    let sum: i128 = cells
        .iter()
        .map(|cell| match cell {
            Cell::Whole(value) | Cell::Decimal(value, _) => *value,
            _ => 0,
        })
        .sum();
    match statistic.function {
        "min" => cells
            .into_iter()
            .min_by(|a, b| compare(a, b))
            .unwrap()
            .clone(),
        "max" => cells
            .into_iter()
            .max_by(|a, b| compare(a, b))
            .unwrap()
            .clone(),
        "sum" => decimal_cell(sum, scale),
        _ => decimal_cell(half_even(sum * 10_000, count(cells.len())), scale + 4),
    }
}

/// a / b for b > 0, rounded to the nearest whole number, halves to the even one.
fn half_even(a: i128, b: i128) -> i128 {
    let (whole, rest) = (a.div_euclid(b), a.rem_euclid(b));
    match (rest * 2).cmp(&b) {
        Ordering::Less => whole,
        Ordering::Greater => whole + 1,
        Ordering::Equal => whole + whole % 2,
    }
}

fn count(number: usize) -> i128 {
    i128::try_from(number).unwrap()
}
