//! A history: the job that it is of, its rows, and the slices in which they come.

use std::fmt::Write as _;

use serde_json::{Value, json};

use super::draw::Draw;
use super::frame::Frame;

/// Everything that is drawn but what becomes of its processes.
#[derive(Debug, Clone)]
pub(super) struct History {
    frame: Frame,
    per: Vec<&'static str>,
    /// In seconds.
    disorder: i64,
    /// In seconds.
    correct_within: Option<i64>,
    tells_changes: bool,
    checks: Vec<Check>,
    /// Whether it is a run with an end.
    pub(super) is_bounded: bool,
    /// Of a run with an end.
    as_of: Option<String>,
    /// What comes together: lines for each file, whose number is that of the place.
    pub(super) slices: Vec<Vec<String>>,
    /// How many rows these are.
    sent: usize,
    /// What the lives draw from.
    pub(super) seed: u64,
}

/// A check, as the oracle knows it, and as the job file says it.
#[derive(Debug, Clone)]
struct Check {
    known: Value,
    toml: String,
}

/// The head of every file.
const HEAD: &str = "id,ts,region,channel,customer,amount,promised\n";

/// The table of shops, which lacks one.
pub(super) const SHOPS: &str = "name,zone\nnorth,N\neast,E\nend,X\n";

/// The statistics that every history has; the last is what rows are expected by.
const STATISTICS: &str = r#"
rows = "count(*)"
total = "sum(amount)"
mean = "avg(amount)"
least = "min(amount)"
greatest = "max(amount)"
spread = "var_samp(amount)"
deviation = "stddev_samp(amount)"
web = "count(amount) filter (where channel = 'web')"
buyers = "count(distinct customer)"
median = "approx_quantile(amount, 0.5)"
high = "approx_quantile(amount, 0.9)"
promised = "max(promised)"
"#;

/// Statistics that have a distance.
const MEASURED: &[&str] = &[
    "rows",
    "total",
    "total",
    "mean",
    "least",
    "greatest",
    "deviation",
    "web",
    "buyers",
    "median",
    "high",
];

/// Conditions on rows, which the oracle knows, too.
const CONDITIONS: &[&str] = &[
    "channel = 'web'",
    "amount > 50",
    "customer is not null or channel is null",
];

impl History {
    pub(super) fn draw(draw: &mut Draw) -> Self {
        let frame = Frame::draw(draw);
        let some = |draw: &mut Draw, most: u64| i64::try_from(draw.next(most)).unwrap();
        let disorder = frame.every * draw.of(&[0, 1, 1, 4]) / 2;
        let correct_within = (draw.next(10) < 6).then(|| frame.every * (1 + some(draw, 8)) / 2);
        let mut history = Self {
            per: draw
                .of(&[&["region"][..], &["region"], &["region", "channel"], &[]])
                .to_vec(),
            disorder,
            correct_within,
            tells_changes: draw.next(2) == 0,
            checks: Vec::new(),
            is_bounded: draw.next(4) == 0,
            as_of: None,
            slices: Vec::new(),
            sent: 0,
            seed: draw.next(u64::MAX),
            frame,
        };
        if history.is_bounded && draw.next(2) == 0 {
            let place = some(draw, u64::try_from(history.frame.starts.len()).unwrap());
            history.as_of = Some(time(history.frame.starts[usize::try_from(place).unwrap()]));
        }
        let checks = 2 + draw.next(5);
        for number in 0..checks {
            let check = match draw.next(10) {
                0..3 => completeness(draw),
                3 if history.is_bounded => freshness(draw, &history.frame),
                _ => variance(draw, &history.frame),
            };
            let (measure, mut keys) = check;
            if history.is_bounded {
                // A run with an end that fails shows nothing.
                for fail in ["fail_below", "fail_beyond"] {
                    keys.as_object_mut().unwrap().remove(fail);
                }
            }
            history
                .checks
                .push(Check::of(&format!("c{number}"), (measure, keys)));
        }
        history.slices = slices(draw, &history);
        let lines = history
            .slices
            .iter()
            .flatten()
            .flat_map(|lines| lines.lines());
        history.sent = lines.filter(|line| !HEAD.starts_with(line)).count();
        history
    }

    /// The job, over files in `in`.
    pub(super) fn job(&self) -> String {
        let Frame { zone, length, .. } = &self.frame;
        let (job, files, source) = if self.is_bounded {
            (
                "max_refused = \"100 %\"\npeer_timeout = \"5 minutes\"\njoin_timeout = \"5 minutes\"\nCHUNK".to_owned(),
                "",
                String::new(),
            )
        } else {
            (
                "epoch = \"20 ms\"\ncheckpoint = \"60 ms\"\njoin_timeout = \"5 minutes\"\npeer_timeout = \"5 minutes\"".to_owned(),
                ", follow = true, copies = \"read\"",
                format!(
                    "disorder = \"{} seconds\"\nmax_future = \"36000 days\"\n",
                    self.disorder
                ),
            )
        };
        let mut corrected = String::new();
        if let (Some(within), false) = (self.correct_within, self.is_bounded) {
            writeln!(corrected, "correct_within = \"{within} seconds\"").unwrap();
            if self.tells_changes {
                corrected += "corrections = \"changes\"\n";
            }
        }
        let mut text = format!(
            "format = 1\n[job]\nname = \"history_{}\"\noutput = \"out\"\ntime_zone = \"{zone}\"\n{job}\n\
             [sources.sales]\nevent_time = \"ts\"\nfiles = {{ paths = [\"in/*.csv\"]{files} }}\ncsv = {{}}\n{source}\
             [sources.sales.columns]\nid = \"bigint not null\"\nts = \"timestamp not null\"\nregion = \"varchar not null\"\n\
             channel = \"varchar\"\ncustomer = \"varchar\"\namount = \"decimal(12,2)\"\npromised = \"bigint\"\n\
             [lookups.shops]\non = {{ name = \"region\" }}\nmissing = {{ then = \"null\" }}\nfiles = {{ paths = [\"shops.csv\"] }}\ncsv = {{}}\n\
             columns = {{ name = \"varchar\", zone = \"varchar\" }}\n\
             [windows.piece]\nper = {:?}\n{length}\n{corrected}[windows.piece.statistics]{STATISTICS}",
            self.seed, self.per
        );
        for check in &self.checks {
            text += &check.toml;
        }
        for (sink, from) in [
            ("rows", "rows"),
            ("refused", "refused"),
            ("windows", "windows.piece"),
            ("verdicts", "verdicts"),
        ] {
            write!(text, "[sinks.{sink}]\nfrom = \"{from}\"\nfiles = {{ path = \"{sink}\" }}\nparquet = {{}}\n").unwrap();
        }
        text
    }

    /// The words with which a run with an end is asked for another time than its newest event.
    pub(super) fn as_of(&self) -> Option<[&str; 2]> {
        Some(["--as-of", self.as_of.as_deref()?])
    }

    /// What the oracle must know.
    pub(super) fn parameters(&self, number: usize) -> Value {
        let Frame {
            kind,
            every,
            panes,
            zone,
            length,
            ..
        } = &self.frame;
        let checks: Vec<&Value> = self.checks.iter().map(|check| &check.known).collect();
        let late = self.correct_within.unwrap_or(0) + self.disorder;
        json!({
            "history": number, "kind": kind, "every": every, "panes": panes, "zone": zone, "windows": length.replace('\n', ", "),
            "per": self.per, "bounded": self.is_bounded, "as_of": self.as_of, "late": late, "sent": self.sent, "checks": checks,
        })
    }
}

impl Check {
    /// Gives a check its name, and writes it; keys whose names begin with `_` are for the oracle alone.
    fn of(name: &str, (measure, keys): (&'static str, Value)) -> Self {
        let mut known = keys;
        let mut toml = format!("[checks.{name}]\n");
        if measure != "freshness" {
            toml += "window = \"piece\"\n";
        }
        writeln!(toml, "[checks.{name}.{measure}]").unwrap();
        for (key, value) in known.as_object().unwrap() {
            if !value.is_null() {
                writeln!(toml, "{key} = {}", written(value)).unwrap();
            }
        }
        known["check"] = json!(name);
        known["measure"] = json!(measure);
        Self { known, toml }
    }
}

/// A value as TOML has it.
fn written(value: &Value) -> String {
    match value {
        Value::Object(table) => {
            let keys = table.iter().filter(|(_, value)| !value.is_null());
            let keys: Vec<String> = keys
                .map(|(key, value)| format!("{key} = {}", written(value)))
                .collect();
            format!("{{ {} }}", keys.join(", "))
        }
        other => other.to_string(),
    }
}

fn completeness(draw: &mut Draw) -> (&'static str, Value) {
    let (warn, fail) = draw.of(&[
        (Some(0.9), Some(0.5)),
        (Some(1.0), None),
        (None, Some(0.75)),
        (None, None),
        (Some(0.5), Some(0.5)),
    ]);
    let condition = draw
        .of(&[None, None, Some(0), Some(1), Some(2)])
        .map(|place: usize| CONDITIONS[place]);
    let mut keys = json!({ "where": condition, "warn_below": warn, "fail_below": fail });
    match draw.next(5) {
        0 => keys["column"] = json!(draw.of(&["customer", "amount", "channel"])),
        1 => keys["columns"] = json!(draw.of(&[&["customer", "amount"], &["amount", "channel"]])),
        2 => keys["expected_rows"] = json!(1 + draw.next(5)),
        3 => keys["rows_from"] = json!("promised"),
        _ => keys["matched"] = json!("shops"),
    }
    let counts_values = keys.get("column").or(keys.get("columns")).is_some();
    let expects_rows = keys
        .get("expected_rows")
        .or(keys.get("rows_from"))
        .is_some();
    if counts_values && draw.next(2) == 0 {
        keys["min_rows"] = json!(1 + draw.next(3));
    }
    if expects_rows && draw.next(2) == 0 {
        keys["skip_partial"] = json!(true);
    }
    ("completeness", keys)
}

/// Of runs with an end: how old the newest event is.
fn freshness(draw: &mut Draw, frame: &Frame) -> (&'static str, Value) {
    // Numbers of minutes that no larger unit divides.
    let after = draw.of(&[Some(7), Some(61), Some(6_001), None]);
    let per = if frame.panes == 1 {
        json!(["region"])
    } else {
        json!([])
    };
    let after = after.map(|minutes: u32| format!("{minutes} minutes"));
    ("freshness", json!({ "per": per, "warn_after": after }))
}

fn variance(draw: &mut Draw, frame: &Frame) -> (&'static str, Value) {
    let mut method = draw.of(&["z", "z", "mad", "relative", "range"]);
    let mut of = draw.of(MEASURED);
    let previous = 2 + draw.next(9);
    let mut keys = json!({ "direction": draw.of(&[None, Some("both"), Some("up"), Some("down")]) });
    let mut history = Some(previous);
    keys["against"] = match (draw.next(5), frame.same) {
        (0 | 1, _) => json!({ "previous": previous }),
        (2, _) => {
            // Without rows a count and a sum are 0, other statistics nothing.
            of = draw.of(&["rows", "total", "web"]);
            json!({ "previous": previous, "empty": "zero" })
        }
        (3, _) => json!({ "previous": previous, "empty": "skip" }),
        (_, Some(same)) => {
            let weeks = 2 + draw.next(5);
            history = Some(weeks);
            let same = if frame.kind == "fixed" {
                draw.of(&[same, "weekday"])
            } else {
                same
            };
            json!({ "weeks": weeks, "same": same })
        }
        (_, None) => {
            history = None;
            method = "relative";
            json!({ "statistic": draw.of(&["promised", "mean", "web"]) })
        }
    };
    let small = method == "relative" || method == "range";
    let (warn, fail) = if small {
        draw.of(&[
            (Some(0.25), Some(1.0)),
            (Some(0.0), None),
            (None, Some(0.5)),
            (None, None),
        ])
    } else {
        draw.of(&[
            (Some(1.5), Some(3.0)),
            (Some(3.0), None),
            (None, Some(2.0)),
            (Some(0.5), Some(1.0)),
            (None, None),
        ])
    };
    keys["of"] = json!(of);
    keys["method"] = json!(method);
    keys["warn_beyond"] = json!(warn);
    keys["fail_beyond"] = json!(fail);
    let absolute = draw.of(&[None, None, Some(0.5), Some(20.0)]);
    let relative = draw
        .of(&[None, Some(0.1), Some(0.0)])
        .filter(|_| method != "relative");
    if absolute.is_some() || relative.is_some() {
        keys["floor"] = json!({ "absolute": absolute, "relative": relative });
    }
    if draw.next(3) == 0 {
        keys["skip_partial"] = json!(true);
    }
    if let Some(history) = history {
        if draw.next(2) == 0 {
            keys["min_history"] = json!(1 + draw.next(history));
        }
        if draw.next(3) == 0 {
            keys["exclude"] = exclude(draw, frame);
        }
    }
    ("variance", keys)
}

/// Some days or times of the windows.
fn exclude(draw: &mut Draw, frame: &Frame) -> Value {
    let place = |draw: &mut Draw| {
        frame.starts
            [usize::try_from(draw.next(u64::try_from(frame.starts.len()).unwrap())).unwrap()]
    };
    let from = place(draw);
    let to = from + frame.every * (1 + i64::try_from(draw.next(3)).unwrap()) + 60;
    let date = |at: i64| time(at)[..10].to_owned();
    // In minutes apart from the hour that clocks skip or show twice.
    let minute = |at: i64| time(at - at % 3_600 + 12 * 3_600)[..16].to_owned();
    match draw.next(3) {
        0 => json!([date(from)]),
        1 => json!([format!("{}..{}", date(from), date(to))]),
        _ => json!([format!(
            "{}..{}",
            minute(from),
            minute(to.max(from + 3_600))
        )]),
    }
}

/// Seconds after 1970 as UTC.
fn time(seconds: i64) -> String {
    let time = chrono::DateTime::from_timestamp(seconds, 0).unwrap();
    time.format("%Y-%m-%dT%H:%M:%SZ").to_string()
}

/// The rows of a history, in the order in which they come, cut into slices by file.
fn slices(draw: &mut Draw, history: &History) -> Vec<Vec<String>> {
    let frame = &history.frame;
    let regions = draw.of(&[
        &["north"][..],
        &["north", "south"],
        &["north", "south", "east"],
    ]);
    let amounts = Amounts::draw(draw);
    // Where a line stands among the others, and what it says behind its number.
    let mut rows: Vec<(i64, String)> = Vec::new();
    let lateness = draw.of(&[0_u64, 15, 40]);
    for (place, start) in frame.starts.iter().enumerate() {
        let place = i64::try_from(place).unwrap();
        for region in regions {
            if draw.next(8) == 0 {
                continue;
            }
            let spike = draw.of(&[1, 1, 1, 1, 1, 1, 1, 1, 1, 5]);
            let count = draw.next(5) + if spike > 1 { draw.next(8) } else { 0 };
            for _ in 0..count {
                let ts =
                    start + i64::try_from(draw.next(u64::try_from(frame.every).unwrap())).unwrap();
                let channel = draw.of(&["web", "web", "shop", ""]);
                let customer = draw.of(&["ana", "leo", "eva", ""]);
                let promised = draw.of(&["3", "3", "4", "0", ""]);
                let amount = amounts.draw_one(draw, place, spike);
                let row = format!(
                    "{},{region},{channel},{customer},{amount},{promised}",
                    time(ts)
                );
                let late = |draw: &mut Draw| {
                    let far = draw.of(&[1, 3, 6, 40]);
                    if draw.next(100) < lateness {
                        i64::try_from(draw.next(10 * far)).unwrap()
                    } else {
                        0
                    }
                };
                let jitter = i64::try_from(draw.next(12)).unwrap();
                rows.push((10 * place + jitter + late(draw), row.clone()));
                if draw.next(20) == 0 {
                    rows.push((10 * place + jitter + late(draw), row));
                }
            }
        }
    }
    rows.sort_by_key(|(at, _)| *at);
    let files = 1 + usize::try_from(draw.next(3)).unwrap();
    let count = 3 + usize::try_from(draw.next(6)).unwrap();
    let mut cuts: Vec<usize> = (1..count)
        .map(|_| usize::try_from(draw.next(u64::try_from(rows.len() + 1).unwrap())).unwrap())
        .collect();
    cuts.extend([0, rows.len()]);
    cuts.sort_unstable();
    let mut slices: Vec<Vec<String>> = Vec::new();
    let mut has_head = vec![false; files];
    for cut in cuts.windows(2) {
        let mut slice = vec![String::new(); files];
        for (id, (_, row)) in rows.iter().enumerate().take(cut[1]).skip(cut[0]) {
            // Files grow together, or one after the other.
            let file = usize::try_from(draw.next(u64::try_from(files).unwrap())).unwrap();
            if !std::mem::replace(&mut has_head[file], true) {
                slice[file] += HEAD;
            }
            writeln!(slice[file], "{id},{row}").unwrap();
        }
        slices.push(slice);
    }
    if !history.is_bounded {
        // A sale so much later in each file that all windows before are final.
        let late = history.correct_within.unwrap_or(0) + history.disorder;
        let end = time(frame.end(late));
        let last = (0..files).map(|file| {
            let head = if has_head[file] { "" } else { HEAD };
            format!("{head}{},{end},end,web,eva,1.00,\n", 1_000_000 + file)
        });
        slices.push(last.collect());
    }
    slices
}

/// What sales cost.
struct Amounts {
    /// In cents.
    base: u64,
    /// In cents.
    spread: u64,
    /// In cents a window.
    drift: u64,
    /// Of a hundred.
    nulls: u64,
}

impl Amounts {
    fn draw(draw: &mut Draw) -> Self {
        Self {
            base: draw.of(&[1_000, 10_000, 9_999]),
            spread: draw.of(&[1, 1, 500, 4_000]),
            drift: draw.of(&[0, 0, 100]),
            nulls: draw.of(&[0, 10, 50]),
        }
    }

    /// An amount, or nothing.
    fn draw_one(&self, draw: &mut Draw, window: i64, times: u64) -> String {
        if draw.next(100) < self.nulls {
            return String::new();
        }
        let window = u64::try_from(window).unwrap();
        let cents = (self.base + draw.next(self.spread) + self.drift * window) * times;
        let sign = if draw.next(25) == 0 { "-" } else { "" };
        format!("{sign}{}.{:02}", cents / 100, cents % 100)
    }
}
