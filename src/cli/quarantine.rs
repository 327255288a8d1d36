//! `caudal quarantine`: the rows that the last run refused, for people: reasons, rows, one row whole, an export.
//!
//! It reads what caudal keeps of them itself ([`crate::record::Kept`]), so that neither columns nor format of the job's own sink
//! matter. Rows are numbered in the order of sources, files and bytes. All are held in memory while it prints.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs::File;
use std::io::{self, BufReader, BufWriter, Write};
use std::path::{Path, PathBuf};

use super::arguments::QuarantineTyped;
use super::stop::{FINE, Stop};
use super::{load, numbers, print};
use crate::job::plan::Plan;
use crate::job::problems::{nearest, quoted};
use crate::record::{Kept, KeptHeader, KeptLines, Kind, shown};
use crate::sinks::{kept_files, published};

/// Rows that `--reason` lists without `--all`: a screen of them.
const LISTED: usize = 20;

/// Characters of a row's text that lists show.
const SHOWN: usize = 96;

/// A refused row and the header of its file.
struct Row {
    kept: Kept,
    header: KeptHeader,
}

/// Prints or exports what was kept.
///
/// # Errors
/// Where the job is wrong, nothing was kept, no row is meant, or files can't be read or written.
pub(super) fn quarantine(typed: &QuarantineTyped) -> Result<u8, Stop> {
    let plan = load::job(&typed.job)?;
    let (run, rows) = read(&plan)?;
    let chosen = match &typed.reason {
        Some(reason) => with_reason(&rows, reason)?,
        None => (1..).zip(&rows).collect(),
    };
    if let Some(path) = &typed.export {
        export(path, &chosen, typed.exact).map_err(|error| {
            Stop::Kept(format!(
                "{}: it could not be written: {error}",
                path.display()
            ))
        })?;
        let rows = u64::try_from(chosen.len()).unwrap_or(u64::MAX);
        print::to_people(&format!("{}: {}", path.display(), numbers::rows(rows)));
        return Ok(FINE);
    }
    let text = match (&typed.row, &typed.reason) {
        (Some(row), _) => one(&rows, row, typed.hex)?,
        (None, Some(_)) => list(&chosen, if typed.all { usize::MAX } else { LISTED }),
        (None, None) => reasons(&plan, &run, &rows),
    };
    print::to_output(text.as_bytes())?;
    Ok(FINE)
}

/// The name of the last run, and the rows that it refused, in order.
fn read(plan: &Plan) -> Result<(String, Vec<Row>), Stop> {
    let failed = |error: &dyn std::fmt::Display| Stop::Kept(error.to_string());
    let none = |what: &str, hint: &str| {
        Stop::Kept(format!(
            "{}: {what}\n  expected: refused rows below {}\n  now: there is nothing to show\n  hint: {hint}",
            plan.name,
            plan.output.display()
        ))
    };
    let run = || format!("caudal run {}", plan.file.display());
    let manifest = published(&plan.output).map_err(|error| failed(&error))?;
    let manifest = manifest.ok_or_else(|| none("no run of this job was published", &run()))?;
    let files = kept_files(&plan.output, &manifest).map_err(|error| failed(&error))?;
    let files = files.ok_or_else(|| {
        if plan.keeps_quarantine() {
            none("its last run kept no refused rows", &run())
        } else {
            none(
                "the job keeps no refused rows, it only counts them",
                "a sink of them keeps them: [sinks.quarantine] with from = \"refused\", files = { path = \"quarantine\" } and csv = {}",
            )
        }
    })?;
    let mut rows = Vec::new();
    for path in files {
        read_file(&path, &mut rows).map_err(|error| {
            Stop::Kept(format!("{}: it could not be read: {error}", path.display()))
        })?;
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
    Ok((manifest.run, rows))
}

fn read_file(path: &Path, rows: &mut Vec<Row>) -> io::Result<()> {
    let mut lines = KeptLines::new(BufReader::new(File::open(path)?));
    while let Some(kept) = lines.next_row()? {
        let header = lines.header().clone();
        rows.push(Row { kept, header });
    }
    Ok(())
}

/// The rows with this reason, first or not, each with its number.
fn with_reason<'a>(rows: &'a [Row], reason: &str) -> Result<Vec<(usize, &'a Row)>, Stop> {
    let has = |row: &&Row| {
        row.kept.reason == reason || row.kept.reasons.iter().any(|one| one.reason == reason)
    };
    let found: Vec<_> = (1..).zip(rows).filter(|(_, row)| has(row)).collect();
    if !found.is_empty() {
        return Ok(found);
    }
    let known = by_reason(rows);
    let mut message = format!(
        "--reason: no row was refused as {}\n  expected: {}\n  now: nothing is shown",
        quoted(reason),
        known.keys().copied().collect::<Vec<_>>().join(", ")
    );
    if let Some(near) = nearest(reason, known.keys().copied()) {
        write!(message, "\n  hint: did you mean {}?", quoted(near))
            .expect("a String takes everything");
    }
    Err(Stop::Words(message))
}

/// The rows by the reason that comes first, each with its number.
fn by_reason(rows: &[Row]) -> BTreeMap<&str, Vec<(usize, &Row)>> {
    let mut by_reason: BTreeMap<&str, Vec<(usize, &Row)>> = BTreeMap::new();
    for (number, row) in (1..).zip(rows) {
        by_reason
            .entry(&row.kept.reason)
            .or_default()
            .push((number, row));
    }
    by_reason
}

fn reasons(plan: &Plan, run: &str, rows: &[Row]) -> String {
    let all = u64::try_from(rows.len()).unwrap_or(u64::MAX);
    let mut text = format!("{}: {} refused by {run}\n", plan.name, numbers::rows(all));
    let mut reasons: Vec<_> = by_reason(rows).into_iter().collect();
    reasons.sort_by_key(|(_, of_reason)| std::cmp::Reverse(of_reason.len()));
    for (reason, of_reason) in reasons {
        let count = u64::try_from(of_reason.len()).unwrap_or(u64::MAX);
        let (number, first) = of_reason[0];
        writeln!(text, "  {:>9}  {reason}", numbers::grouped(count))
            .and_then(|()| writeln!(text, "             {}", in_line(number, first)))
            .expect("a String takes everything");
    }
    text
}

fn list(rows: &[(usize, &Row)], most: usize) -> String {
    let mut text: String = rows
        .iter()
        .take(most)
        .map(|(number, row)| in_line(*number, row) + "\n")
        .collect();
    if rows.len() > most {
        writeln!(text, "and {} more (--all lists them)", rows.len() - most)
            .expect("a String takes everything");
    }
    text
}

/// A row in one line: number, place, beginning.
fn in_line(number: usize, row: &Row) -> String {
    format!(
        "#{number}  {}: {}",
        place(&row.kept),
        shown(&row.kept.raw.0, SHOWN)
    )
}

fn place(kept: &Kept) -> String {
    let Kept {
        file, line, byte, ..
    } = kept;
    match kept.kind {
        Kind::File => format!("{file} (the whole file)"),
        Kind::Table => format!("{file} row {byte}"),
        Kind::Record | Kind::Part => format!("{file} line {line} (byte {byte})"),
    }
}

/// All of one row.
fn one(rows: &[Row], wanted: &str, hex: bool) -> Result<String, Stop> {
    let by_number = wanted
        .parse()
        .ok()
        .and_then(|number: usize| number.checked_sub(1));
    let at = match (by_number, wanted.rsplit_once(':')) {
        (Some(at), _) => (at < rows.len()).then_some(at),
        (None, Some((file, line))) => rows.iter().position(|row| {
            let is_file = Path::new(&row.kept.file).ends_with(file) || row.kept.file == file;
            is_file && row.kept.line.to_string() == line
        }),
        (None, None) => None,
    };
    let Some(at) = at else {
        return Err(Stop::Words(format!(
            "--row: {} is no refused row\n  expected: a number from 1 to {}, or a file and a line, such as part-0.csv:12\n  now: nothing is shown",
            quoted(wanted),
            rows.len()
        )));
    };
    let Row { kept, header } = &rows[at];
    let all = |bytes: &[u8]| shown(bytes, 10 * bytes.len());
    let mut text = format!(
        "row {} of {}\n  source   {}\n  place    {}\n  reason   {}\n",
        at + 1,
        rows.len(),
        kept.source,
        place(kept),
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
    Ok(text)
}

/// Writes rows as CSV: number, place, reasons, raw text.
fn export(path: &PathBuf, rows: &[(usize, &Row)], exact: bool) -> io::Result<()> {
    let mut file = BufWriter::new(File::create(path)?);
    file.write_all(b"row,source,file,line,byte,reason,reasons,raw\n")?;
    for (number, Row { kept, .. }) in rows {
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
        )?;
    }
    file.into_inner()?.sync_all()
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
