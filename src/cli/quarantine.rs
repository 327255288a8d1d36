//! `caudal quarantine`: the rows that a job refused, for people: reasons, rows, one row whole, an export.
//!
//! It reads what caudal keeps of them itself ([`crate::record::Kept`]), so that neither columns nor format of the job's own sink
//! matter. Rows of the last bounded run are numbered in the order of sources, files and bytes, and all are held in memory for that.
//! Those of a continuous job are numbered in the order of its commits, so that a row keeps its number as more come, and are
//! gone through one by one, however many there are.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs::File;
use std::io::{self, BufReader, BufWriter, ErrorKind, Write};
use std::path::{Path, PathBuf};

use super::arguments::QuarantineTyped;
use super::stop::{FINE, Stop};
use super::{load, numbers, print};
use crate::job::plan::{Plan, Transport};
use crate::job::problems::{nearest, quoted};
use crate::record::{Kept, KeptHeader, KeptLines, Kind, shown};
use crate::sinks::chain;
use crate::sinks::{QUARANTINE, SinkError, kept_files, published};

/// Rows that `--reason` lists without `--all`: a screen of them.
const LISTED: usize = 20;

/// Characters of a row's text that lists show.
const SHOWN: usize = 96;

/// Bytes of a list that are gathered before they are printed.
const PRINTED: usize = 1 << 16;

/// A refused row and the header of its file.
struct Row {
    /// From 1.
    number: usize,
    kept: Kept,
    header: KeptHeader,
    /// Whether it was a message: its place is then a partition and an offset.
    is_message: bool,
}

/// What was kept.
struct Quarantine {
    /// Who refused it, in words.
    by: String,
    rows: Box<dyn Iterator<Item = Result<Row, Stop>>>,
}

/// Prints or exports what was kept.
///
/// # Errors
/// Where the job is wrong, nothing was kept, no row is meant, or files can't be read or written.
pub(super) fn quarantine(typed: &QuarantineTyped) -> Result<u8, Stop> {
    let plan = load::job(&typed.job)?;
    let kept = if plan.continuous.is_some() {
        of_commits(&plan)?
    } else {
        of_last_run(&plan)?
    };
    let reason = typed.reason.as_deref();
    if let Some(path) = &typed.export {
        let rows = export(path, kept.rows, reason, typed.exact)?;
        print::to_people(&format!("{}: {}", path.display(), numbers::rows(rows)));
        return Ok(FINE);
    }
    match (&typed.row, reason) {
        (Some(row), _) => print::to_output(one(kept.rows, row, typed.hex)?.as_bytes())?,
        (None, Some(reason)) => {
            let most = if typed.all { usize::MAX } else { LISTED };
            list(kept.rows, reason, most)?;
        }
        (None, None) => print::to_output(reasons(&plan, kept)?.as_bytes())?,
    }
    Ok(FINE)
}

/// That there is nothing to show.
fn none(plan: &Plan, what: &str, hint: &str) -> Stop {
    Stop::Kept(format!(
        "{}: {what}\n  expected: refused rows below {}\n  now: there is nothing to show\n  hint: {hint}",
        plan.name,
        plan.output.display()
    ))
}

/// That the job has nobody to keep them.
fn keeps_none(plan: &Plan) -> Stop {
    none(
        plan,
        "the job keeps no refused rows, it only counts them",
        "a sink of them keeps them: [sinks.quarantine] with from = \"refused\", files = { path = \"quarantine\" } and csv = {}; so does one that writes a topic",
    )
}

fn failed(error: &SinkError) -> Stop {
    Stop::Kept(error.to_string())
}

/// The rows that the last run refused, in order.
fn of_last_run(plan: &Plan) -> Result<Quarantine, Stop> {
    let run = || format!("caudal run {}", plan.file.display());
    let manifest = published(&plan.output).map_err(|error| failed(&error))?;
    let manifest =
        manifest.ok_or_else(|| none(plan, "no run of this job was published", &run()))?;
    let files = kept_files(&plan.output, &manifest).map_err(|error| failed(&error))?;
    let files = files.ok_or_else(|| {
        if plan.keeps_quarantine() {
            none(plan, "its last run kept no refused rows", &run())
        } else {
            keeps_none(plan)
        }
    })?;
    let mut rows = Vec::new();
    for path in files {
        for row in Rows::of(File::open(&path), path, plan) {
            rows.push(row?);
        }
    }
    let order = |row: &Row| {
        let source = plan
            .sources
            .iter()
            .position(|source| source.name == row.kept.source);
        (
            source.unwrap_or(usize::MAX),
            row.kept.file.clone(),
            row.kept.byte,
        )
    };
    rows.sort_by_cached_key(order);
    Ok(Quarantine {
        by: manifest.run,
        rows: Box::new(numbered(rows.into_iter().map(Ok))),
    })
}

/// The rows that all commits of a continuous job have, in their order.
fn of_commits(plan: &Plan) -> Result<Quarantine, Stop> {
    if !plan.keeps_quarantine() {
        return Err(keeps_none(plan));
    }
    let newest = chain::newest(&plan.output).map_err(|error| failed(&error))?;
    let to = newest.and_then(|newest| newest.to).ok_or_else(|| {
        let run = format!("caudal run {}", plan.file.display());
        none(plan, "nothing of this job is committed", &run)
    })?;
    let files = chain::files(&plan.output).map_err(|error| failed(&error))?;
    let (plan, mut gone) = (plan.clone(), 0_u64);
    let files = files.filter(|file| match file {
        Ok(file) => file.sink == QUARANTINE,
        Err(_) => true,
    });
    let rows = files.flat_map(move |file| -> Box<dyn Iterator<Item = _>> {
        let file = match file {
            Ok(file) => file,
            Err(error) => return Box::new(std::iter::once(Err(failed(&error)))),
        };
        let path = plan.output.join(&file.path);
        match chain::open(&plan.output, &file, to) {
            Err(error) if error.kind() == ErrorKind::NotFound => {
                gone += file.rows;
                print::warning(&format!(
                    "{}: it was taken away with {}; {} in all are not among those told",
                    path.display(),
                    numbers::rows(file.rows),
                    numbers::grouped(gone)
                ));
                Box::new(std::iter::empty())
            }
            opened => Box::new(Rows::of(opened, path, &plan)),
        }
    });
    Ok(Quarantine {
        by: format!("all commits up to epoch {}", numbers::grouped(to)),
        rows: Box::new(numbered(rows)),
    })
}

fn numbered(
    rows: impl Iterator<Item = Result<Row, Stop>>,
) -> impl Iterator<Item = Result<Row, Stop>> {
    rows.zip(1..)
        .map(|(row, number)| row.map(|row| Row { number, ..row }))
}

/// The rows of one file; it ends after an error.
struct Rows {
    path: PathBuf,
    lines: Option<io::Result<KeptLines<BufReader<File>>>>,
    /// Sources whose rows are messages.
    topics: Vec<String>,
}

impl Rows {
    fn of(file: io::Result<File>, path: PathBuf, plan: &Plan) -> Self {
        let topics = plan.sources.iter();
        let topics = topics.filter(|source| matches!(source.transport, Transport::Kafka(_)));
        Self {
            path,
            lines: Some(file.map(|file| KeptLines::new(BufReader::new(file)))),
            topics: topics.map(|source| source.name.clone()).collect(),
        }
    }
}

impl Iterator for Rows {
    type Item = Result<Row, Stop>;

    fn next(&mut self) -> Option<Self::Item> {
        let read = match self.lines.take()? {
            Ok(mut lines) => lines.next_row().map(|row| row.map(|row| (row, lines))),
            Err(error) => Err(error),
        };
        match read {
            Ok(None) => None,
            Ok(Some((kept, lines))) => {
                let header = lines.header().clone();
                self.lines = Some(Ok(lines));
                Some(Ok(Row {
                    number: 0,
                    is_message: self.topics.contains(&kept.source),
                    kept,
                    header,
                }))
            }
            Err(error) => Some(Err(Stop::Kept(format!(
                "{}: it could not be read: {error}",
                self.path.display()
            )))),
        }
    }
}

impl Row {
    /// Whether it has this reason, first or not.
    fn has(&self, reason: &str) -> bool {
        self.kept.reason == reason || self.kept.reasons.iter().any(|one| one.reason == reason)
    }
}

/// That no row has this reason, where those are known.
fn no_such(reason: &str, known: &BTreeMap<String, u64>) -> Stop {
    let known = || known.keys().map(String::as_str);
    let mut message = format!(
        "--reason: no row was refused as {}\n  expected: {}\n  now: nothing is shown",
        quoted(reason),
        known().collect::<Vec<_>>().join(", ")
    );
    if let Some(near) = nearest(reason, known()) {
        write!(message, "\n  hint: did you mean {}?", quoted(near))
            .expect("a String takes everything");
    }
    Stop::Words(message)
}

/// How many rows have each reason as the first, and the first of them in a line.
fn reasons(plan: &Plan, kept: Quarantine) -> Result<String, Stop> {
    let mut all = 0;
    let mut by_reason: BTreeMap<String, (u64, String)> = BTreeMap::new();
    for row in kept.rows {
        let row = row?;
        all += 1;
        let of_reason = by_reason.entry(row.kept.reason.clone());
        of_reason.or_insert_with(|| (0, in_line(&row))).0 += 1;
    }
    let (rows, by) = (numbers::rows(all), kept.by);
    let mut text = format!("{}: {rows} refused by {by}\n", plan.name);
    let mut reasons: Vec<_> = by_reason.into_iter().collect();
    reasons.sort_by_key(|(_, (count, _))| std::cmp::Reverse(*count));
    for (reason, (count, first)) in reasons {
        writeln!(text, "  {:>9}  {reason}", numbers::grouped(count))
            .and_then(|()| writeln!(text, "             {first}"))
            .expect("a String takes everything");
    }
    Ok(text)
}

/// Prints the rows with a reason, up to so many.
fn list(
    rows: impl Iterator<Item = Result<Row, Stop>>,
    reason: &str,
    most: usize,
) -> Result<(), Stop> {
    let (mut text, mut found) = (String::new(), 0);
    let mut known: BTreeMap<String, u64> = BTreeMap::new();
    for row in rows {
        let row = row?;
        if row.has(reason) {
            found += 1;
            if found <= most {
                text.push_str(&in_line(&row));
                text.push('\n');
            }
            if text.len() > PRINTED {
                print::to_output(text.as_bytes())?;
                text.clear();
            }
        } else {
            *known.entry(row.kept.reason).or_default() += 1;
        }
    }
    if found == 0 {
        return Err(no_such(reason, &known));
    }
    if found > most {
        writeln!(text, "and {} more (--all lists them)", found - most)
            .expect("a String takes everything");
    }
    print::to_output(text.as_bytes())
}

/// A row in one line: number, place, beginning.
fn in_line(row: &Row) -> String {
    format!(
        "#{}  {}: {}",
        row.number,
        place(row),
        shown(&row.kept.raw.0, SHOWN)
    )
}

fn place(row: &Row) -> String {
    let Kept {
        file, line, byte, ..
    } = &row.kept;
    match row.kept.kind {
        Kind::File => format!("{file} (the whole file)"),
        Kind::Table => format!("{file} row {byte}"),
        Kind::Record | Kind::Part if row.is_message => format!("{file} offset {byte}"),
        Kind::Record | Kind::Part => format!("{file} line {line} (byte {byte})"),
    }
}

/// All of one row.
fn one(
    rows: impl Iterator<Item = Result<Row, Stop>>,
    wanted: &str,
    hex: bool,
) -> Result<String, Stop> {
    let number: Option<usize> = wanted.parse().ok();
    let place_of = wanted.rsplit_once(':');
    let is_wanted = |row: &Row| match (number, place_of) {
        (Some(number), _) => row.number == number,
        (None, Some((file, at))) => {
            let is_file = Path::new(&row.kept.file).ends_with(file) || row.kept.file == file;
            let line = if row.is_message {
                row.kept.byte
            } else {
                row.kept.line
            };
            is_file && line.to_string() == at
        }
        (None, None) => false,
    };
    let (mut all, mut found) = (0, None);
    for row in rows {
        let row = row?;
        all += 1;
        if found.is_none() && is_wanted(&row) {
            found = Some(row);
        }
    }
    let Some(row) = found else {
        return Err(Stop::Words(format!(
            "--row: {} is no refused row\n  expected: a number from 1 to {all}, a file and a line, such as part-0.csv:12, or a partition and an offset, such as ventas/3:1204\n  now: nothing is shown",
            quoted(wanted),
        )));
    };
    Ok(whole(&row, all, hex))
}

fn whole(row: &Row, of: usize, hex: bool) -> String {
    let Row {
        number,
        kept,
        header,
        ..
    } = row;
    let all = |bytes: &[u8]| shown(bytes, 10 * bytes.len());
    let mut text = format!(
        "row {number} of {of}\n  source   {}\n  place    {}\n  reason   {}\n",
        kept.source,
        place(row),
        kept.reason
    );
    let mut line = |words: &str| writeln!(text, "{words}").expect("a String takes everything");
    for reason in &kept.reasons {
        line(&format!(
            "             {}: {}: {}",
            reason.at, reason.reason, reason.detail
        ));
    }
    if !header.record.0.is_empty() {
        line(&format!("  header   {}", all(&header.record.0)));
    }
    let what = match kept.kind {
        Kind::Part => "raw (its beginning)",
        _ => "raw",
    };
    line(&format!("  {what:<8} {}", all(&kept.raw.0)));
    if hex {
        for (number, bytes) in kept.raw.0.chunks(16).enumerate() {
            let digits: Vec<String> = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
            let seen: String = bytes
                .iter()
                .map(|byte| match byte {
                    b' '..=b'~' => char::from(*byte),
                    _ => '.',
                })
                .collect();
            line(&format!(
                "  {:08x}  {:<47}  {seen}",
                number * 16,
                digits.join(" ")
            ));
        }
    }
    text
}

/// Writes rows as CSV: number, place, reasons, raw text. Says how many.
fn export(
    path: &Path,
    rows: impl Iterator<Item = Result<Row, Stop>>,
    reason: Option<&str>,
    exact: bool,
) -> Result<u64, Stop> {
    let failed = |error: io::Error| {
        Stop::Kept(format!(
            "{}: it could not be written: {error}",
            path.display()
        ))
    };
    // The file is made with the first row: a wrong reason leaves what stands there as it was.
    let begin = || -> io::Result<BufWriter<File>> {
        let mut file = BufWriter::new(File::create(path)?);
        file.write_all(b"row,source,file,line,byte,reason,reasons,raw\n")?;
        Ok(file)
    };
    let mut file: Option<BufWriter<File>> = None;
    let mut written = 0;
    let mut known: BTreeMap<String, u64> = BTreeMap::new();
    for row in rows {
        let row = row?;
        if reason.is_some_and(|reason| !row.has(reason)) {
            *known.entry(row.kept.reason).or_default() += 1;
            continue;
        }
        let out = match &mut file {
            Some(file) => file,
            None => file.insert(begin().map_err(failed)?),
        };
        write_row(out, &row, exact).map_err(failed)?;
        written += 1;
    }
    let file = match (file, reason) {
        (Some(file), _) => file,
        (None, Some(reason)) => return Err(no_such(reason, &known)),
        (None, None) => begin().map_err(failed)?,
    };
    let file = file
        .into_inner()
        .map_err(|error| failed(error.into_error()))?;
    file.sync_all().map_err(failed)?;
    Ok(written)
}

fn write_row(file: &mut impl Write, row: &Row, exact: bool) -> io::Result<()> {
    let Row { number, kept, .. } = row;
    let reasons: Vec<String> = kept
        .reasons
        .iter()
        .map(|one| format!("{}: {}: {}", one.at, one.reason, one.detail))
        .collect();
    let raw = lossless(&kept.raw.0);
    let cell = |text: &str| cell(text, exact);
    writeln!(
        file,
        "{number},{},{},{},{},{},{},{}",
        cell(&kept.source),
        cell(&kept.file),
        kept.line,
        kept.byte,
        cell(&kept.reason),
        cell(&reasons.join("; ")),
        cell(&raw)
    )
}

/// All of a text, bytes that are no UTF-8 as `\xNN`.
fn lossless(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len());
    for chunk in bytes.utf8_chunks() {
        text.push_str(chunk.valid());
        for byte in chunk.invalid() {
            write!(text, "\\x{byte:02X}").expect("a String takes everything");
        }
    }
    text
}

/// A text as a field of CSV (RFC 4180). Unless it has to be exact, one that a spreadsheet would take for a formula has an
/// apostrophe before it.
fn cell(text: &str, exact: bool) -> String {
    let is_formula = text.starts_with(['=', '+', '-', '@', '\t', '\r']);
    let text = if is_formula && !exact {
        format!("'{text}")
    } else {
        text.to_owned()
    };
    let is_plain = !text.contains(['"', ',', ';', '\n', '\r', '\t'])
        && !text.starts_with(' ')
        && !text.ends_with(' ');
    if is_plain {
        text
    } else {
        format!("\"{}\"", text.replace('"', "\"\""))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cells_are_quoted_where_they_must_be_and_are_no_formulas() {
        for (text, safe, exact) in [
            ("plain", "plain", "plain"),
            ("", "", ""),
            ("a,b", "\"a,b\"", "\"a,b\""),
            ("a \"b\"\nc", "\"a \"\"b\"\"\nc\"", "\"a \"\"b\"\"\nc\""),
            ("=1+1", "'=1+1", "=1+1"),
            ("-5,x", "\"'-5,x\"", "\"-5,x\""),
            ("\tx", "\"'\tx\"", "\"\tx\""),
            ("@x", "'@x", "@x"),
            ("+1", "'+1", "+1"),
            ("1=1", "1=1", "1=1"),
        ] {
            assert_eq!(cell(text, false), safe, "{text:?}");
            assert_eq!(cell(text, true), exact, "{text:?}");
        }
    }
}
