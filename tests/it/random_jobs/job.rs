//! A random job: what it is made of, its job file, and the files it reads.

use std::fmt::Write;
use std::fs;
use std::path::Path;

use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;
use proptest::sample::select;

use super::values::Kind;

/// Columns that every job has, since expressions need them: number, event time, text, whole number, decimal.
pub(super) const FIXED: [(&str, Kind); 5] = [
    ("id", Kind::BigInt),
    ("ts", Kind::Timestamp),
    ("seg", Kind::Varchar),
    ("q", Kind::Int),
    ("p", Kind::Decimal(8, 2)),
];

#[derive(Debug, Clone)]
pub(super) struct Job {
    pub(super) columns: Vec<Column>,
    pub(super) files: Vec<Input>,
    pub(super) lookup: Option<Lookup>,
    pub(super) derived: Vec<Derived>,
    pub(super) rules: Vec<Rule>,
    pub(super) window: Window,
    pub(super) check: Check,
    /// Names of the columns of the sink of rows, in its order.
    pub(super) chosen: Vec<String>,
    pub(super) reasons: Vec<&'static str>,
    /// `[job]` options that must not matter.
    options: String,
    pub(super) workers: usize,
    pub(super) processes: usize,
}

#[derive(Debug, Clone)]
pub(super) struct Column {
    pub(super) name: String,
    pub(super) kind: Kind,
    pub(super) not_null: bool,
    pub(super) bad_is_null: bool,
    pub(super) reason: Option<&'static str>,
}

/// A file of rows: each row has its fields in the order of `columns`, written from column `first` on.
#[derive(Debug, Clone)]
pub(super) struct Input {
    rows: Vec<(Vec<String>, u32)>,
    first: usize,
    /// Whether a column stands in the file that the job does not name.
    other: bool,
    crlf: bool,
}

/// The look-up `ref`: columns code (or num), since, until, label, factor.
#[derive(Debug, Clone)]
pub(super) struct Lookup {
    pub(super) key: Key,
    pub(super) since: Option<Kind>,
    pub(super) until: bool,
    pub(super) refuses: bool,
    /// Must not matter.
    placement: &'static str,
    /// Texts of key, since, until, label, factor.
    rows: Vec<[String; 5]>,
}

/// What the look-up is searched by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Key {
    Seg,
    FoldedSeg,
    Q,
}

/// A derived column.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Derived {
    /// Of this precision.
    Amount(u32),
    /// Needs `Amount`.
    Net,
    /// Needs the look-up.
    Priced,
    Folded,
    Filled,
    Bulk,
    OnDay,
}

#[derive(Debug, Clone)]
pub(super) struct Rule {
    pub(super) name: String,
    pub(super) test: Test,
    /// `refuse`, `drop` or `warn`.
    pub(super) then: &'static str,
    pub(super) reason: Option<&'static str>,
}

/// A condition.
#[derive(Debug, Clone)]
pub(super) enum Test {
    Known(String),
    /// Column, operator, literal as SQL.
    Compare(String, &'static str, &'static str),
}

#[derive(Debug, Clone)]
pub(super) struct Window {
    pub(super) per: Vec<&'static str>,
    pub(super) minutes: i128,
    pub(super) statistics: Vec<Statistic>,
}

#[derive(Debug, Clone)]
pub(super) struct Statistic {
    pub(super) function: &'static str,
    /// `None`: a star.
    pub(super) column: Option<String>,
    pub(super) filter: Option<Test>,
}

/// A completeness check.
#[derive(Debug, Clone)]
pub(super) struct Check {
    pub(super) column: String,
    pub(super) min_rows: usize,
    /// Hundredths.
    pub(super) warn_below: Option<u32>,
}

impl Derived {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Amount(_) => "amount",
            Self::Net => "net",
            Self::Priced => "priced",
            Self::Folded => "folded",
            Self::Filled => "filled",
            Self::Bulk => "bulk",
            Self::OnDay => "on_day",
        }
    }

    /// The columns it is made of.
    pub(super) fn inputs(self) -> &'static [&'static str] {
        match self {
            Self::Amount(_) => &["q", "p"],
            Self::Net => &["amount"],
            Self::Priced => &["q", "factor"],
            Self::Folded => &["seg"],
            Self::Filled | Self::Bulk => &["q"],
            Self::OnDay => &["ts"],
        }
    }

    fn sql(self) -> String {
        match self {
            Self::Amount(precision) => format!("cast(q * p as decimal({precision},2))"),
            Self::Net => "amount + 1.50".to_owned(),
            Self::Priced => "cast(q * ref.factor as decimal(9,3))".to_owned(),
            Self::Folded => "upper(btrim(seg))".to_owned(),
            Self::Filled => "coalesce(q, 0)".to_owned(),
            Self::Bulk => "case when q > 5 then 'many' else 'few' end".to_owned(),
            Self::OnDay => "cast(ts as date)".to_owned(),
        }
    }
}

impl Test {
    pub(super) fn column(&self) -> &str {
        match self {
            Self::Known(column) | Self::Compare(column, _, _) => column,
        }
    }

    fn sql(&self) -> String {
        match self {
            Self::Known(column) => format!("{column} is not null"),
            Self::Compare(column, operator, literal) => format!("{column} {operator} {literal}"),
        }
    }
}

impl Lookup {
    /// Name and type of its key.
    pub(super) fn key(&self) -> (&'static str, Kind) {
        match self.key {
            Key::Seg | Key::FoldedSeg => ("code", Kind::Varchar),
            Key::Q => ("num", Kind::Int),
        }
    }

    /// The names and types of its columns, in the order of the file.
    pub(super) fn columns(&self) -> Vec<(&'static str, Kind)> {
        let mut columns = vec![self.key()];
        if let Some(kind) = self.since {
            columns.push(("since", kind));
            columns.extend(self.until.then_some(("until", kind)));
        }
        columns.extend([("label", Kind::Varchar), ("factor", Kind::Decimal(6, 3))]);
        columns
    }

    fn csv(&self) -> String {
        let columns = self.columns();
        let names: Vec<&str> = columns.iter().map(|(name, _)| *name).collect();
        let mut csv = names.join(",") + "\n";
        for [key, since, until, label, factor] in &self.rows {
            let field = |(name, _): &(&str, Kind)| match *name {
                "since" => since.as_str(),
                "until" => until.as_str(),
                "label" => label.as_str(),
                "factor" => factor.as_str(),
                _ => key.as_str(),
            };
            csv += &columns.iter().map(field).collect::<Vec<_>>().join(",");
            csv += "\n";
        }
        csv
    }
}

impl Input {
    fn csv(&self, columns: &[Column]) -> String {
        let end = if self.crlf { "\r\n" } else { "\n" };
        let order = (0..columns.len()).map(|place| (place + self.first) % columns.len());
        let order: Vec<usize> = order.collect();
        let mut header: Vec<&str> = order
            .iter()
            .map(|column| columns[*column].name.as_str())
            .collect();
        header.extend(self.other.then_some("nobody_asked"));
        let mut csv = header.join(",") + end;
        for (fields, shape) in &self.rows {
            let mut record: Vec<&str> = order
                .iter()
                .map(|column| fields[*column].as_str())
                .collect();
            record.extend(self.other.then_some("\"x,y\""));
            match shape {
                0 => {
                    record.pop();
                }
                1 => record.push("9"),
                _ => {}
            }
            csv += &record.join(",");
            csv += end;
        }
        csv
    }
}

impl Job {
    /// Writes the job file, its input and its reference rows.
    pub(super) fn write(&self, place: &Path) {
        fs::create_dir(place.join("input")).unwrap();
        for (number, file) in self.files.iter().enumerate() {
            let path = place.join(format!("input/sales-{number}.csv"));
            fs::write(path, file.csv(&self.columns)).unwrap();
        }
        if let Some(lookup) = &self.lookup {
            fs::write(place.join("ref.csv"), lookup.csv()).unwrap();
        }
        fs::write(place.join("job.toml"), self.toml()).unwrap();
    }

    fn toml(&self) -> String {
        let reasons = &self.reasons;
        let mut toml = format!(
            "format = 1\n[job]\nname = \"random\"\noutput = \"out\"\nmax_refused = \"100 %\"\nreasons = {reasons:?}\n{}\n\
             [sources.sales]\nevent_time = \"ts\"\nfiles = {{ paths = [\"input/*.csv\"] }}\ncsv = {{}}\n[sources.sales.columns]\n",
            self.options
        );
        let mut put = |line: String| toml += &(line + "\n");
        for column in &self.columns {
            let not_null = if column.not_null { " not null" } else { "" };
            let mut table = format!("type = \"{}{not_null}\"", column.kind.sql());
            if column.bad_is_null {
                table += ", on_bad = \"null\"";
            }
            if let Some(reason) = column.reason {
                write!(table, ", reason = \"{reason}\"").unwrap();
            }
            put(format!("{} = {{ {table} }}", column.name));
        }
        if let Some(lookup) = &self.lookup {
            let on = match lookup.key {
                Key::Seg => "seg",
                Key::FoldedSeg => "upper(btrim(seg))",
                Key::Q => "q",
            };
            let then = if lookup.refuses { "refuse" } else { "null" };
            let columns = lookup.columns();
            put(format!(
                "[lookups.ref]\non = {{ {} = \"{on}\" }}\nmissing = {{ then = \"{then}\" }}\nplacement = \"{}\"\n\
                 files = {{ paths = [\"ref.csv\"] }}\ncsv = {{}}",
                columns[0].0, lookup.placement
            ));
            for (name, _) in &columns[1..] {
                match *name {
                    "since" => put("valid_from = \"since\"".to_owned()),
                    "until" => put("valid_to = \"until\"".to_owned()),
                    _ => {}
                }
            }
            put("[lookups.ref.columns]".to_owned());
            for (name, kind) in columns {
                put(format!("{name} = \"{}\"", kind.sql()));
            }
        }
        put("[derive]".to_owned());
        for derived in &self.derived {
            put(format!("{} = \"{}\"", derived.name(), derived.sql()));
        }
        for rule in &self.rules {
            put(format!(
                "[rules.{}]\nexpect = \"{}\"\nthen = \"{}\"",
                rule.name,
                rule.test.sql(),
                rule.then
            ));
            if let Some(reason) = rule.reason {
                put(format!("reason = \"{reason}\""));
            }
        }
        let Window {
            per,
            minutes,
            statistics,
        } = &self.window;
        put(format!(
            "[windows.piece]\nper = {per:?}\nlength = \"{minutes} minutes\"\n[windows.piece.statistics]"
        ));
        for (number, statistic) in statistics.iter().enumerate() {
            let column = statistic.column.as_deref().unwrap_or("*");
            let filter = statistic.filter.as_ref();
            let filter = filter.map(|test| format!(" filter (where {})", test.sql()));
            put(format!(
                "s{number} = \"{}({column}){}\"",
                statistic.function,
                filter.unwrap_or_default()
            ));
        }
        let Check {
            column,
            min_rows,
            warn_below,
        } = &self.check;
        let warn = warn_below.map(|share| format!(", warn_below = 0.{share:02}"));
        put(format!(
            "[checks.known]\nwindow = \"piece\"\nvalue = \"share\"\n\
             completeness = {{ column = \"{column}\", min_rows = {min_rows}{} }}",
            warn.unwrap_or_default()
        ));
        for (name, from) in [
            ("refused", "refused"),
            ("windows", "windows.piece"),
            ("verdicts", "verdicts"),
            ("rows", "rows"),
        ] {
            put(format!(
                "[sinks.{name}]\nfrom = \"{from}\"\nfiles = {{ path = \"{name}\" }}\nparquet = {{}}"
            ));
        }
        put("[sinks.rows.columns]".to_owned());
        for name in &self.chosen {
            put(format!("out_{name} = \"{name}\""));
        }
        toml
    }
}

/// Any job.
pub(super) fn any_job() -> impl Strategy<Value = Job> {
    let shape = (
        vec(extra(), 0..3),
        vec((any::<bool>(), option::of(reason())), 5),
    );
    (shape, option::weighted(0.7, any_lookup()))
        .prop_flat_map(|((extras, fixed), lookup)| {
            let columns = columns(extras, fixed);
            let width = columns.len();
            let derived = vec(any_derived(), 0..5).prop_map({
                let has_lookup = lookup.is_some();
                move |derived| possible(derived, has_lookup)
            });
            (
                (Just(columns), Just(lookup)),
                derived,
                vec(any_input(width), 1..3),
            )
        })
        .prop_flat_map(|((columns, lookup), derived, files)| {
            let names = names(&columns, lookup.as_ref(), &derived);
            let kinds: Vec<(String, Kind)> = columns
                .iter()
                .map(|column| (column.name.clone(), column.kind))
                .collect();
            let files = files
                .into_iter()
                .map(|(rows, first, other, crlf)| input(&kinds, rows, first, other, crlf));
            let files: Vec<Input> = files.collect();
            (
                Just((columns, lookup, derived, files)),
                vec(any_rule(kinds.clone()), 0..4),
                (any_window(kinds.clone()), any_check(kinds)),
                Just(names.clone()).prop_shuffle(),
                1..=names.len(),
                (
                    vec(reason(), 0..4),
                    any_options(),
                    1_usize..=4,
                    select(vec![1, 1, 2, 3]),
                ),
            )
        })
        .prop_map(
            |(
                made,
                rules,
                (window, check),
                mut chosen,
                count,
                (mut reasons, options, workers, processes),
            )| {
                let (columns, lookup, derived, files) = made;
                chosen.truncate(count);
                let rules: Vec<Rule> = rules
                    .into_iter()
                    .enumerate()
                    .map(|(number, rule)| Rule {
                        name: format!("rule_{number}"),
                        ..rule
                    })
                    .collect();
                // A job may only list reasons that something gives.
                reasons.retain(|listed| {
                    columns.iter().any(|column| column.reason == Some(*listed))
                        || rules.iter().any(|rule| rule.reason == Some(*listed))
                });
                let mut seen = Vec::new();
                reasons.retain(|listed| {
                    let new = !seen.contains(listed);
                    seen.push(*listed);
                    new
                });
                Job {
                    columns,
                    files,
                    lookup,
                    derived,
                    rules,
                    window,
                    check,
                    chosen,
                    reasons,
                    options,
                    workers,
                    processes,
                }
            },
        )
}

fn reason() -> impl Strategy<Value = &'static str> {
    select(vec!["odd", "wrong", "late_night", "strange"])
}

fn extra() -> impl Strategy<Value = (Kind, bool, bool, Option<&'static str>)> {
    let kind = select(vec![
        Kind::Int,
        Kind::BigInt,
        Kind::Decimal(5, 0),
        Kind::Decimal(18, 6),
        Kind::Varchar,
        Kind::Timestamp,
        Kind::Date,
    ]);
    (kind, any::<bool>(), any::<bool>(), option::of(reason()))
}

fn columns(
    extras: Vec<(Kind, bool, bool, Option<&'static str>)>,
    fixed: Vec<(bool, Option<&'static str>)>,
) -> Vec<Column> {
    let fixed = FIXED
        .into_iter()
        .zip(fixed)
        .map(|((name, kind), (not_null, reason))| Column {
            name: name.to_owned(),
            kind,
            not_null: not_null || name == "ts",
            bad_is_null: false,
            reason,
        });
    let extras = extras.into_iter().enumerate();
    fixed
        .chain(
            extras.map(|(number, (kind, not_null, bad_is_null, reason))| Column {
                name: format!("x{number}"),
                kind,
                not_null,
                bad_is_null,
                reason,
            }),
        )
        .collect()
}

type InputParts = (Vec<(Vec<u32>, u32)>, usize, bool, bool);

fn any_input(width: usize) -> impl Strategy<Value = InputParts> {
    // One field of `Kind::field` in four is odd; most rows should have none or one.
    let pick = prop_oneof![8 => (0_u32..12, 0_u32..4000), 1 => (12_u32..16, 0_u32..4000)];
    let pick = pick.prop_map(|(form, number)| number * 16 + form);
    let row = (vec(pick, width), 0_u32..40);
    (vec(row, 0..40), 0..width, any::<bool>(), any::<bool>())
}

fn input(
    kinds: &[(String, Kind)],
    rows: Vec<(Vec<u32>, u32)>,
    first: usize,
    other: bool,
    crlf: bool,
) -> Input {
    let fields = |picks: Vec<u32>| -> Vec<String> {
        let fields = picks.iter().zip(kinds);
        fields.map(|(pick, (_, kind))| kind.field(*pick)).collect()
    };
    let rows = rows
        .into_iter()
        .map(|(picks, shape)| (fields(picks), shape))
        .collect();
    Input {
        rows,
        first,
        other,
        crlf,
    }
}

fn any_lookup() -> impl Strategy<Value = Lookup> {
    let key = select(vec![Key::Seg, Key::FoldedSeg, Key::Q]);
    let since = option::of(select(vec![Kind::Date, Kind::Timestamp]));
    let rows = vec(any::<[u16; 5]>(), 0..12);
    let placement = select(vec!["auto", "replicated", "partitioned", "partitioned"]);
    (key, since, any::<bool>(), any::<bool>(), placement, rows).prop_map(
        |(key, since, until, refuses, placement, picks)| {
            let mut lookup = Lookup {
                key,
                since,
                until,
                refuses,
                placement,
                rows: Vec::new(),
            };
            let (_, kind) = lookup.key();
            for row in picks {
                let [key, from, to, label, factor] = row.map(u32::from);
                // Plain forms mostly; an odd factor or time makes a broken reference row, which is left out.
                let plain = |kind: Kind, pick: u32| kind.field(pick / 12 * 16 + pick % 12);
                let time = |pick: u32| match since {
                    Some(kind) if pick.is_multiple_of(7) => kind.field(pick),
                    Some(kind) => plain(kind, pick),
                    None => String::new(),
                };
                let row = [
                    if key.is_multiple_of(17) {
                        String::new()
                    } else {
                        plain(kind, key)
                    },
                    time(from),
                    time(to),
                    Kind::Varchar.field(label),
                    Kind::Decimal(6, 3).field(factor),
                ];
                // Two rows of one key, and of one time where it is by time, would stop the run.
                if !lookup.has(&row) {
                    lookup.rows.push(row);
                }
            }
            lookup
        },
    )
}

impl Lookup {
    fn has(&self, row: &[String; 5]) -> bool {
        let meaning = |row: &[String; 5]| {
            let (key, since) = (unquoted(&row[0]), unquoted(&row[1]));
            let since = self
                .since
                .map(|kind| format!("{:?}", kind.read(since, false)));
            (key.to_owned(), since)
        };
        self.rows.iter().any(|other| meaning(other) == meaning(row))
    }
}

fn unquoted(field: &str) -> &str {
    field.trim_matches('"')
}

fn any_derived() -> impl Strategy<Value = Derived> {
    select(vec![
        Derived::Amount(4),
        Derived::Amount(18),
        Derived::Net,
        Derived::Priced,
        Derived::Folded,
        Derived::Filled,
        Derived::Bulk,
        Derived::OnDay,
    ])
}

/// Each name once, and nothing without what it needs.
fn possible(derived: Vec<Derived>, has_lookup: bool) -> Vec<Derived> {
    let mut kept: Vec<Derived> = Vec::new();
    let has_amount = derived.iter().any(|derived| derived.name() == "amount");
    for derived in derived {
        let new = kept.iter().all(|other| other.name() != derived.name());
        let can_be = match derived {
            Derived::Net => has_amount,
            Derived::Priced => has_lookup,
            _ => true,
        };
        if new && can_be {
            kept.push(derived);
        }
    }
    kept
}

fn names(columns: &[Column], lookup: Option<&Lookup>, derived: &[Derived]) -> Vec<String> {
    let of_source = columns.iter().map(|column| column.name.clone());
    let of_lookup = lookup.into_iter().flat_map(Lookup::columns);
    let of_lookup = of_lookup.map(|(name, _)| name.to_owned());
    let derived = derived.iter().map(|derived| derived.name().to_owned());
    of_source.chain(of_lookup).chain(derived).collect()
}

fn any_test(kinds: Vec<(String, Kind)>) -> impl Strategy<Value = Test> {
    let operator = select(vec!["=", "<>", "<", ">="]);
    (select(kinds), operator, any::<bool>(), 0..3_usize).prop_map(
        |((name, kind), operator, known, literal)| {
            let literals = match kind {
                Kind::Int | Kind::BigInt => ["0", "7", "3000000000"],
                Kind::Decimal(..) => ["0", "1.50", "-0.01"],
                Kind::Varchar => ["'ES'", "''", "'a,b'"],
                Kind::Date => [
                    "date '2026-03-02'",
                    "date '2026-03-01'",
                    "date '1969-12-31'",
                ],
                Kind::Timestamp => return Test::Known(name),
            };
            if known {
                Test::Known(name)
            } else {
                Test::Compare(name, operator, literals[literal])
            }
        },
    )
}

fn any_rule(kinds: Vec<(String, Kind)>) -> impl Strategy<Value = Rule> {
    let then = select(vec!["refuse", "drop", "warn"]);
    (any_test(kinds), then, option::of(reason())).prop_map(|(test, then, reason)| Rule {
        name: String::new(),
        test,
        then,
        reason: reason.filter(|_| then == "refuse"),
    })
}

fn any_window(kinds: Vec<(String, Kind)>) -> impl Strategy<Value = Window> {
    let per = select(vec![vec![], vec!["seg"], vec!["seg", "q"]]);
    let minutes = select(vec![1, 60, 1440]);
    let statistic = (
        select(kinds.clone()),
        select(vec!["count", "sum", "min", "max", "avg"]),
        option::weighted(0.3, any_test(kinds)),
        any::<bool>(),
    )
        .prop_map(|((column, kind), function, filter, star)| {
            let is_number = matches!(kind, Kind::Int | Kind::BigInt | Kind::Decimal(..));
            let function = if is_number || !matches!(function, "sum" | "avg") {
                function
            } else {
                "max"
            };
            let column = (function != "count" || !star).then_some(column);
            Statistic {
                function,
                column,
                filter,
            }
        });
    (per, minutes, vec(statistic, 1..5)).prop_map(|(per, minutes, statistics)| Window {
        per,
        minutes,
        statistics,
    })
}

fn any_check(kinds: Vec<(String, Kind)>) -> impl Strategy<Value = Check> {
    (select(kinds), 0..4_usize, option::of(1_u32..100)).prop_map(
        |((column, _), min_rows, warn_below)| Check {
            column,
            min_rows,
            warn_below,
        },
    )
}

fn any_options() -> impl Strategy<Value = String> {
    let chunk = select(vec!["1 B", "64 B", "300 B", "1 MiB"]);
    let epoch = select(vec!["1 B", "200 B", "64 MiB"]);
    let key = select(vec!["[]", "[\"seg\"]", "[\"id\"]", "[\"q\", \"seg\"]"]);
    (chunk, epoch, key).prop_map(|(chunk, epoch, key)| {
        format!("chunk = \"{chunk}\"\nepoch = \"{epoch}\"\nkey = {key}")
    })
}
