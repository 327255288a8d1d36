//! A data set of `FACTS.json` against the rows that a job wrote of it: every figure that both have.
//!
//! `meta.definitions` there says what each count means. Columns are found by the names that the job file gives to the file's
//! headers, so the job decides the types and this decides nothing.

use std::collections::{BTreeMap, HashMap};
use std::path::Path;

use chrono::NaiveDateTime;
use chrono_tz::Tz;
use serde_json::Value;

use super::table::{Exact, Table};

/// What is compared, and how the job reads it.
pub(super) struct Comparison<'a> {
    /// The data set's facts.
    pub(super) facts: &'a Value,
    /// The job's clean rows.
    pub(super) table: &'a Table,
    /// Headers of the file and their columns.
    pub(super) names: BTreeMap<String, String>,
    /// The column that holds the data set's amount; `""` where it has none.
    pub(super) amount: &'a str,
    /// The column that has date and time where the file has them apart; `""` where it has not.
    pub(super) moment: &'a str,
    /// Columns whose texts differ where their values are equal (`1.50`, `1.5`): the facts count texts.
    pub(super) spelt_twice: &'a [&'a str],
    /// Whether the file has quoted fields without text: the facts count them as nulls, caudal as empty texts.
    pub(super) quoted_empty: bool,
    /// Where the clocks stand that the file's times were read from.
    pub(super) zone: Tz,
    /// Whether the rows are in the order of the file.
    pub(super) in_order: bool,
}

/// Headers and column names of the job's first source.
pub(super) fn names(job: &Path) -> BTreeMap<String, String> {
    let job: toml::Table = std::fs::read_to_string(job).unwrap().parse().unwrap();
    let (_, source) = job["sources"].as_table().unwrap().iter().next().unwrap();
    let columns = source["columns"].as_table().unwrap();
    columns
        .iter()
        .map(|(name, column)| {
            let header = column.get("header").and_then(toml::Value::as_str);
            (header.unwrap_or(name).to_owned(), name.clone())
        })
        .collect()
}

/// A number of `FACTS.json`, which writes sums as text.
fn exact(value: &Value) -> Exact {
    let text = value
        .as_str()
        .map_or_else(|| value.to_string(), str::to_owned);
    Exact::read(&text)
}

/// `{name: {rows, amount}}` as rows and sums; names that mean null are one group, the empty text.
pub(super) fn groups(values: &Value, nulls: &[&str]) -> BTreeMap<String, (usize, String)> {
    let mut groups: BTreeMap<String, (usize, Exact)> = BTreeMap::new();
    for (name, value) in values.as_object().unwrap() {
        let name = if nulls.contains(&name.as_str()) {
            ""
        } else {
            name
        };
        let group = groups.entry(name.to_owned()).or_insert((0, Exact::ZERO));
        group.0 += usize::try_from(value["rows"].as_u64().unwrap()).unwrap();
        group.1 = group.1.plus(exact(&value["amount"]));
    }
    groups
        .into_iter()
        .map(|(name, (rows, sum))| (name, (rows, sum.text())))
        .collect()
}

/// What differs, found one after the other.
#[derive(Default)]
struct Differences(Vec<String>);

impl Differences {
    fn number(&mut self, what: &str, expected: &Value, got: usize) {
        if expected.as_u64() != Some(got as u64) {
            self.0.push(format!("{what}: {expected}, not {got}"));
        }
    }

    fn exact(&mut self, what: &str, expected: &Value, got: Exact) {
        if exact(expected).compare(got).is_ne() {
            let got = got.text();
            self.0.push(format!("{what}: {expected}, not {got}"));
        }
    }

    fn text(&mut self, what: &str, expected: &Value, got: &str) {
        if expected.as_str() != Some(got) {
            self.0.push(format!("{what}: {expected}, not {got}"));
        }
    }
}

impl<'a> Comparison<'a> {
    /// A set without an amount, read by a job in the file's order.
    pub(super) fn of(facts: &'a Value, table: &'a Table, job: &Path) -> Self {
        Self {
            facts,
            table,
            names: names(job),
            amount: "",
            moment: "",
            spelt_twice: &[],
            quoted_empty: false,
            zone: Tz::UTC,
            in_order: true,
        }
    }
    /// Fails with all that differs.
    pub(super) fn holds(self, what: &str) {
        let mut differences = Differences::default();
        let rows = &self.facts["well_formed_rows"];
        differences.number("rows", rows, self.table.rows);
        self.columns(&mut differences);
        self.repeats(&mut differences);
        self.numbers(&mut differences);
        self.times(&mut differences);
        self.amounts(&mut differences);
        let differences = differences.0;
        assert!(
            differences.is_empty(),
            "{what}:\n{}",
            differences.join("\n")
        );
    }

    fn each(&self, kind: &str) -> impl Iterator<Item = (&String, &Value)> {
        self.facts[kind].as_object().into_iter().flatten()
    }

    /// The job's name of a column. Headers without text are `(unnamed 0)` in the facts.
    fn column(&self, header: &str) -> &str {
        let header = if header.starts_with("(unnamed") {
            ""
        } else {
            header
        };
        let name = self.names.get(header);
        name.unwrap_or_else(|| panic!("the job reads no column {header:?}"))
    }

    /// Values that are there and can't be read; a job that keeps their rows has nulls for them.
    fn unreadable(&self, header: &str) -> u64 {
        let number = &self.facts["numeric"][header]["invalid"];
        let date = &self.facts["dates"][header]["unparseable"];
        number.as_u64().or(date.as_u64()).unwrap_or(0)
    }

    /// Values as the facts count them.
    fn texts(&self, name: &str) -> Vec<Option<String>> {
        let mut texts = self.table.texts(name);
        if self.quoted_empty {
            for text in &mut texts {
                text.take_if(|text| text.is_empty());
            }
        }
        texts
    }

    fn columns(&self, differences: &mut Differences) {
        for (header, facts) in self.each("column_facts") {
            let name = self.column(header);
            let texts = self.texts(name);
            let unreadable = self.unreadable(header);
            let nulls = facts["nulls"].as_u64().unwrap() + unreadable;
            let got = texts.iter().filter(|text| text.is_none()).count();
            differences.number(&format!("{header}: nulls"), &nulls.into(), got);
            let mut distinct: Vec<&str> = texts.iter().flatten().map(String::as_str).collect();
            distinct.sort_unstable();
            distinct.dedup();
            if !self.spelt_twice.contains(&name) {
                let expected = facts["distinct_non_null"].as_u64().unwrap() - unreadable;
                let what = format!("{header}: distinct");
                differences.number(&what, &expected.into(), distinct.len());
            }
            if self.table.is_text(name) {
                let count = |has: fn(&str) -> bool| {
                    let given = texts.iter().flatten();
                    given.filter(|text| has(text)).count()
                };
                let outer = count(|text| text != text.trim_matches(' '));
                let what = format!("{header}: outer spaces");
                differences.number(&what, &facts["outer_space"], outer);
                let what = format!("{header}: not ASCII");
                differences.number(&what, &facts["non_ascii"], count(|text| !text.is_ascii()));
            }
        }
    }

    /// Rows of each key that has no null, and how many have one.
    fn keys(&self, columns: &[&str], null_is_a_value: bool) -> (HashMap<String, usize>, usize) {
        let columns: Vec<Vec<Option<String>>> =
            columns.iter().map(|name| self.texts(name)).collect();
        let (mut keys, mut with_null) = (HashMap::new(), 0);
        for row in 0..self.table.rows {
            let values: Option<Vec<&str>> = columns
                .iter()
                .map(|column| match &column[row] {
                    None if null_is_a_value => Some("\u{0}"),
                    value => value.as_deref(),
                })
                .collect();
            match values {
                Some(values) => *keys.entry(values.join("\u{1f}")).or_default() += 1,
                None => with_null += 1,
            }
        }
        (keys, with_null)
    }

    fn repeats(&self, differences: &mut Differences) {
        for key in self.facts["keys"].as_array().unwrap() {
            let headers: Vec<&str> = key["columns"]
                .as_array()
                .unwrap()
                .iter()
                .map(|header| header.as_str().unwrap())
                .collect();
            let columns: Vec<&str> = headers.iter().map(|header| self.column(header)).collect();
            let (keys, with_null) = self.keys(&columns, false);
            let what = |what: &str| format!("key {}: {what}", headers.join(", "));
            let unreadable: u64 = headers.iter().map(|header| self.unreadable(header)).sum();
            if unreadable > 0 {
                continue; // rows of a key that can't be read have none
            }
            differences.number(&what("nulls"), &key["rows_with_null_key"], with_null);
            differences.number(&what("distinct"), &key["distinct"], keys.len());
            let repeated = keys.values().filter(|rows| **rows > 1).count();
            let expected = &key["keys_seen_more_than_once"];
            differences.number(&what("repeated"), expected, repeated);
            let further: usize = keys.values().map(|rows| rows - 1).sum();
            differences.number(&what("further rows"), &key["duplicate_rows"], further);
        }
        let all: Vec<&str> = self.names.values().map(String::as_str).collect();
        let equal: usize = self.keys(&all, true).0.values().map(|rows| rows - 1).sum();
        differences.number("equal rows", &self.facts["exact_duplicate_rows"], equal);
    }

    fn numbers(&self, differences: &mut Differences) {
        for (header, facts) in self.each("numeric") {
            let cells = self.table.cells(self.column(header)).iter();
            let values: Vec<Exact> = cells.filter_map(Exact::of).collect();
            let what = |what: &str| format!("{header}: {what}");
            differences.number(&what("values"), &facts["valid"], values.len());
            let sum = values
                .iter()
                .fold(Exact::ZERO, |sum, value| sum.plus(*value));
            differences.exact(&what("sum"), &facts["sum"], sum);
            let least = values.iter().copied().min_by(|a, b| a.compare(*b)).unwrap();
            differences.exact(&what("least"), &facts["min"], least);
            let most = values.iter().copied().max_by(|a, b| a.compare(*b)).unwrap();
            differences.exact(&what("most"), &facts["max"], most);
            let count = |is: fn(std::cmp::Ordering) -> bool| {
                let signs = values.iter().map(|value| value.compare(Exact::ZERO));
                signs.filter(|sign| is(*sign)).count()
            };
            let below = count(std::cmp::Ordering::is_lt);
            differences.number(&what("below zero"), &facts["negative"], below);
            let zero = count(std::cmp::Ordering::is_eq);
            differences.number(&what("zero"), &facts["zero"], zero);
        }
    }

    fn times(&self, differences: &mut Differences) {
        for (header, facts) in self.each("dates") {
            let times = self.table.times(self.column(header), self.zone);
            let given: Vec<NaiveDateTime> = times.into_iter().flatten().collect();
            let what = |what: &str| format!("{header}: {what}");
            let text = |time: NaiveDateTime| time.format("%Y-%m-%d %H:%M:%S").to_string();
            let (least, most) = (*given.iter().min().unwrap(), *given.iter().max().unwrap());
            differences.text(&what("first"), &facts["min"], &text(least));
            differences.text(&what("last"), &facts["max"], &text(most));
            let mut days: Vec<_> = given.iter().map(NaiveDateTime::date).collect();
            days.sort_unstable();
            days.dedup();
            differences.number(&what("days"), &facts["distinct_days"], days.len());
            if let Some(expected) = facts.get("calendar_days_spanned") {
                let spanned = (most.date() - least.date()).num_days() + 1;
                let spanned = usize::try_from(spanned).unwrap();
                differences.number(&what("days spanned"), expected, spanned);
                let expected = &facts["calendar_days_without_rows"];
                differences.number(&what("empty days"), expected, spanned - days.len());
            }
            let given = if self.moment.is_empty() {
                given
            } else {
                let moments = self.table.times(self.moment, self.zone);
                let moments: Vec<NaiveDateTime> = moments.into_iter().flatten().collect();
                let (least, most) = (
                    *moments.iter().min().unwrap(),
                    *moments.iter().max().unwrap(),
                );
                differences.text(&what("first"), &facts["min_with_time"], &text(least));
                differences.text(&what("last"), &facts["max_with_time"], &text(most));
                moments
            };
            if let (true, Some(expected)) = (self.in_order, facts.get("out_of_order_rows")) {
                let late = lateness(&given);
                let rows = late.iter().filter(|seconds| **seconds > 0).count();
                differences.number(&what("out of order"), expected, rows);
                let most = late.iter().copied().max().unwrap_or(0);
                let most = usize::try_from(most).unwrap();
                differences.number(&what("latest"), &facts["max_lateness_seconds"], most);
            }
        }
    }

    fn amounts(&self, differences: &mut Differences) {
        let facts = &self.facts["amount"];
        if facts.is_object() {
            let cells = self.table.cells(self.amount).iter();
            let values: Vec<Exact> = cells.filter_map(Exact::of).collect();
            differences.number("amount: rows", &facts["rows_included"], values.len());
            let add = |sum: Exact, value: &Exact| sum.plus(*value);
            let sum = values.iter().fold(Exact::ZERO, add);
            differences.exact("amount: sum", &facts["sum"], sum);
            let below = |value: &&Exact| value.compare(Exact::ZERO).is_lt();
            let negative: Vec<&Exact> = values.iter().filter(below).collect();
            let expected = &facts["negative_rows"];
            differences.number("amount: rows below zero", expected, negative.len());
            let sum = negative.into_iter().fold(Exact::ZERO, add);
            differences.exact("amount: below zero", &facts["negative_sum"], sum);
        }
        let tokens = self.facts["null_tokens"].as_array().unwrap();
        let mut nulls: Vec<&str> = tokens.iter().map(|token| token.as_str().unwrap()).collect();
        nulls.push("");
        for (header, facts) in self.each("groups") {
            let name = self.column(header);
            let expected = groups(&facts["values"], &nulls);
            let mut got = if self.amount.is_empty() {
                self.without_amount(name)
            } else {
                self.table.groups(&[name], self.amount)
            };
            if facts["distinct"].as_u64().unwrap() > expected.len() as u64 && nulls.len() == 1 {
                got.retain(|key, _| expected.contains_key(key)); // only the largest are told
            }
            differ(differences, header, &expected, &got);
        }
        for (by, format) in [("by_day", "%Y-%m-%d"), ("by_month", "%Y-%m")] {
            let Some(facts) = self.facts.get(by) else {
                continue;
            };
            let column = self.column(self.facts["event_time"].as_str().unwrap());
            let got = self.periods(column, format);
            differ(differences, by, &groups(facts, &[]), &got);
        }
    }

    fn without_amount(&self, name: &str) -> BTreeMap<String, (usize, String)> {
        let mut groups = BTreeMap::new();
        for value in self.table.texts(name) {
            let group = groups
                .entry(value.unwrap_or_default())
                .or_insert((0, "0".to_owned()));
            group.0 += 1;
        }
        groups
    }

    /// Rows and amount of each period that has rows.
    fn periods(&self, column: &str, format: &str) -> BTreeMap<String, (usize, String)> {
        let mut periods: BTreeMap<String, (usize, Exact)> = BTreeMap::new();
        for (row, time) in self.table.times(column, self.zone).into_iter().enumerate() {
            let Some(time) = time else { continue };
            let period = time.format(format).to_string();
            let period = periods.entry(period).or_insert((0, Exact::ZERO));
            period.0 += 1;
            if !self.amount.is_empty() {
                let amount = Exact::of(&self.table.cells(self.amount)[row]);
                period.1 = period.1.plus(amount.unwrap_or(Exact::ZERO));
            }
        }
        periods
            .into_iter()
            .map(|(period, (rows, sum))| (period, (rows, sum.text())))
            .collect()
    }
}

/// By how many seconds each row is earlier than the latest before it.
pub(super) fn lateness(times: &[NaiveDateTime]) -> Vec<i64> {
    let mut latest = times[0];
    times
        .iter()
        .map(|time| {
            latest = latest.max(*time);
            (latest - *time).num_seconds()
        })
        .collect()
}

fn differ(
    differences: &mut Differences,
    what: &str,
    expected: &BTreeMap<String, (usize, String)>,
    got: &BTreeMap<String, (usize, String)>,
) {
    for name in expected.keys().chain(got.keys()) {
        let (expected, got) = (expected.get(name), got.get(name));
        if expected != got {
            let difference = format!("{what}, {name:?}: {expected:?}, not {got:?}");
            if !differences.0.contains(&difference) {
                differences.0.push(difference);
            }
        }
    }
}
