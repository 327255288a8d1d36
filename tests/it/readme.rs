//! The README says what is: every command, option, job snippet, path and word in it is held against the program.
//!
//! A snippet of no kind that this test knows fails it, so that nothing stands there unseen.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::process::Command;

use caudal::job::document::Document;
use caudal::job::plan::Plan;
use caudal::job::{resolve, tables};
use caudal::sinks::kafka::{EPOCH_HEADER, SOURCE_HEADER};
use toml::{Table, Value};

const ROOT: &str = env!("CARGO_MANIFEST_DIR");

fn text(path: &str) -> String {
    fs::read_to_string(Path::new(ROOT).join(path)).unwrap()
}

/// The plan of the job that the tour is about.
fn tour() -> Plan {
    let document = Document::read(&Path::new(ROOT).join("jobs/ventas.toml")).unwrap();
    resolve::resolve(&document).unwrap()
}

/// What a command line tells on standard output.
fn told(words: &[&str]) -> String {
    let output = Command::new(env!("CARGO_BIN_EXE_caudal"))
        .args(words)
        .current_dir(ROOT)
        .output()
        .unwrap();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "caudal {words:?}:\n{errors}");
    String::from_utf8(output.stdout).unwrap()
}

/// Blocks between fences, each with its language, and the rest of the text.
fn blocks(markdown: &str) -> (Vec<(String, String)>, String) {
    let (mut blocks, mut rest) = (Vec::new(), String::new());
    let mut open: Option<(String, String)> = None;
    for line in markdown.lines() {
        match (line.strip_prefix("```"), &mut open) {
            (Some(_), Some(_)) => blocks.extend(open.take()),
            (Some(language), None) => open = Some((language.to_owned(), String::new())),
            (None, Some((_, block))) => block.extend([line, "\n"]),
            (None, None) => rest.extend([line, "\n"]),
        }
    }
    (blocks, rest)
}

/// What stands between backticks, each once.
fn snippets(text: &str) -> BTreeSet<&str> {
    text.lines()
        .flat_map(|line| line.split('`').skip(1).step_by(2))
        .collect()
}

#[test]
fn every_snippet_is_real() {
    let readme = text("README.md");
    let (blocks, rest) = blocks(&readme);
    let mut wrong = Vec::new();
    let commands = blocks
        .iter()
        .filter(|(language, _)| language == "sh")
        .flat_map(|(_, block)| block.lines());
    for snippet in snippets(&rest).into_iter().chain(commands) {
        if let Err(why) = real(snippet) {
            wrong.push(format!("`{snippet}`: {why}"));
        }
    }
    for (_, job) in blocks.iter().filter(|(language, _)| language == "toml") {
        if let Err(why) = fits_a_job(job) {
            wrong.push(format!("{job}{why}"));
        }
    }
    assert!(wrong.is_empty(), "README.md:\n{}", wrong.join("\n"));
}

/// Whether a snippet is what it seems to be.
fn real(snippet: &str) -> Result<(), String> {
    // Variables may stand before a command, and words for people behind it.
    let snippet = snippet.split(" #").next().unwrap_or_default();
    let mut words: Vec<&str> = snippet.split_whitespace().collect();
    let is_word = |c: char| c.is_ascii_lowercase() || c == '_';
    if let Some(at) = words.iter().position(|word| *word == "cargo") {
        return cargo(&words[..at], &words[at + 1..]);
    }
    if let Some(at) = words.iter().position(|word| *word == "caudal") {
        words.drain(..at);
    }
    match words.first() {
        Some(&"caudal") => command(&words[1..]),
        Some(&"tests/run") => tests_run(&words[1..]),
        Some(option) if option.starts_with('-') => option_of_run(option),
        _ if snippet.contains(" = ") => fits_a_job(snippet),
        Some(path) if path.starts_with("out/") => output(path),
        Some(path) if path.starts_with('/') => served(path),
        Some(name) if name.starts_with("CAUDAL_") => variable(name),
        Some(path) if path.contains('/') => exists(path),
        Some(word) if words.len() == 1 && word.chars().all(is_word) => known(word),
        Some(&(EPOCH_HEADER | SOURCE_HEADER)) if words.len() == 1 => Ok(()),
        _ if region(snippet) => Ok(()),
        _ => Err("of no kind that tests/it/readme.rs knows".to_owned()),
    }
}

fn exists(path: &str) -> Result<(), String> {
    let there = Path::new(ROOT).join(path).exists();
    there.then_some(()).ok_or_else(|| "no such file".to_owned())
}

/// A path that a run answers.
fn served(path: &str) -> Result<(), String> {
    let answers = text("src/observe/http.rs").contains(&format!("\"{path}\""));
    answers
        .then_some(())
        .ok_or_else(|| "no path that is served".to_owned())
}

/// A variable of the environment that the program tells of.
fn variable(name: &str) -> Result<(), String> {
    let told = told(&["run", "--help"]).contains(name);
    told.then_some(())
        .ok_or_else(|| "not in the help of run".to_owned())
}

/// A command line of the program; words in capitals stand for what a person puts there.
fn command(words: &[&str]) -> Result<(), String> {
    let names = words
        .iter()
        .take_while(|word| word.chars().all(|c| c.is_ascii_lowercase()));
    let mut help: Vec<&str> = names.copied().collect();
    help.push("--help");
    let help = told(&help);
    for word in words {
        if word.starts_with('-') && !has_option(&help, word) {
            return Err(format!("no option {word}"));
        }
        if word.contains('/') {
            exists(word)?;
        }
    }
    Ok(())
}

fn has_option(help: &str, option: &str) -> bool {
    help.lines()
        .filter(|line| line.trim_start().starts_with('-'))
        .flat_map(|line| line.split([' ', ',']))
        .any(|word| word == option)
}

/// An option alone is one of `run`, or of another command where `run` has none.
fn option_of_run(option: &str) -> Result<(), String> {
    let commands = told(&["--help"]);
    let commands = commands
        .lines()
        .skip_while(|line| *line != "Commands:")
        .skip(1)
        .take_while(|line| !line.is_empty());
    let mut names = commands.filter_map(|line| line.split_whitespace().next());
    let found = names.any(|name| has_option(&told(&[name, "--help"]), option));
    found
        .then_some(())
        .ok_or_else(|| "no such option".to_owned())
}

fn tests_run(words: &[&str]) -> Result<(), String> {
    let script = text("tests/run");
    match words.iter().find(|word| !script.contains(*word)) {
        None => Ok(()),
        Some(word) => Err(format!("tests/run knows no {word}")),
    }
}

/// `cargo run … -- WORDS` runs the program; `cargo bench --bench NAME` a bench, which reads the variables before it.
fn cargo(variables: &[&str], words: &[&str]) -> Result<(), String> {
    match words {
        ["run", "--release", "--", words @ ..] => command(words),
        ["bench", "--bench", name] => {
            let alone = format!("benches/{name}.rs");
            let bench = if exists(&alone).is_ok() {
                text(&alone)
            } else {
                text(&format!("benches/{name}/main.rs"))
            };
            let names = variables.iter().filter_map(|set| set.split('=').next());
            let unknown: Vec<&str> = names.filter(|name| !bench.contains(name)).collect();
            if unknown.is_empty() {
                Ok(())
            } else {
                Err(format!("benches/{name}.rs does not read {unknown:?}"))
            }
        }
        _ => Err("neither cargo run nor cargo bench".to_owned()),
    }
}

/// Lines of a job: put into the tour's job, or into that on a topic, at some table of it, they make a job without faults.
fn fits_a_job(lines: &str) -> Result<(), String> {
    fits("jobs/ventas.toml", lines).or_else(|why| {
        fits("jobs/ventas-stream.toml", lines).map_err(|also| format!("{why}\n{also}"))
    })
}

fn fits(into: &str, lines: &str) -> Result<(), String> {
    let added: Table = lines.parse().map_err(|error| format!("{error}"))?;
    let job: Table = text(into).parse().unwrap();
    let place = tempfile::tempdir().unwrap();
    let file = place.path().join("job.toml");
    let mut nearest = None;
    for path in tables_of(&job) {
        let mut job = Value::Table(job.clone());
        let table = path
            .iter()
            .fold(&mut job, |table, name| &mut table[name.as_str()]);
        let table = table.as_table_mut().unwrap();
        let changes = added.keys().any(|key| table.contains_key(key));
        table.extend(added.clone());
        fs::write(&file, toml::to_string(&job).unwrap()).unwrap();
        match Document::read(&file).and_then(|document| Ok(resolve::resolve(&document)?)) {
            Ok(_) => return Ok(()),
            // What is wrong is best told where the job has such an option.
            Err(problems) if changes || nearest.is_none() => nearest = Some(problems.to_string()),
            Err(_) => {}
        }
    }
    Err(format!("fits nowhere into {into}: {}", nearest.unwrap()))
}

/// The paths of all tables below one, itself first.
fn tables_of(table: &Table) -> Vec<Vec<String>> {
    let mut paths = vec![Vec::new()];
    for (name, value) in table {
        let below = value.as_table().map(tables_of).unwrap_or_default();
        paths.extend(
            below
                .into_iter()
                .map(|path| [vec![name.clone()], path].concat()),
        );
    }
    paths
}

/// A folder that the tour's job writes.
fn output(path: &str) -> Result<(), String> {
    let sinks: Table = text("jobs/ventas.toml").parse().unwrap();
    let folders = sinks["sinks"].as_table().unwrap().values();
    let mut folders = folders.filter_map(|sink| sink["files"]["path"].as_str());
    let rest = path
        .strip_prefix("out/ventas/")
        .ok_or("not the tour's output")?;
    let written = rest.is_empty() || folders.any(|folder| folder == rest);
    written
        .then_some(())
        .ok_or_else(|| "no sink writes it".to_owned())
}

/// A word of the job format, a column of refused rows, or a name in the tour's job.
fn known(word: &str) -> Result<(), String> {
    let plan = tour();
    let refused = tables::refused_columns(&plan.columns, &plan.sources);
    let is_column = refused.iter().any(|column| column.name == word);
    let stands_in = |text: &str| {
        text.split(|c: char| !c.is_ascii_alphanumeric() && c != '_')
            .any(|found| found == word)
    };
    let is_known = is_column
        || stands_in(&text("jobs/caudal.schema.json"))
        || stands_in(&text("jobs/ventas.toml"));
    is_known
        .then_some(())
        .ok_or_else(|| "no word of jobs".to_owned())
}

/// A way to write a region that the tour's look-up finds.
fn region(spelling: &str) -> bool {
    let key = spelling.trim_matches(' ').to_ascii_uppercase();
    let regions = text("jobs/ventas/regions.csv");
    regions
        .lines()
        .skip(1)
        .any(|line| line.split(',').next() == Some(&key))
}

#[test]
fn exit_codes_are_those_of_the_help() {
    let readme = text("README.md");
    let in_readme = readme
        .lines()
        .skip_while(|line| !line.starts_with("| exit code "))
        .skip(2)
        .take_while(|line| line.starts_with('|'))
        .map(|line| {
            let cells: Vec<&str> = line.trim_matches('|').split('|').map(str::trim).collect();
            cells.join(" ")
        });
    let in_readme: Vec<String> = in_readme.collect();
    let help = told(&["--help"]);
    let mut in_help: Vec<String> = Vec::new();
    let lines = help
        .lines()
        .skip_while(|line| *line != "Exit codes:")
        .skip(1);
    for line in lines.take_while(|line| !line.is_empty()) {
        let words = line.split_whitespace().collect::<Vec<_>>().join(" ");
        match in_help.last_mut() {
            // A long meaning goes on in the next line.
            Some(last) if line.starts_with("    ") => last.extend([" ", &words]),
            _ => in_help.push(words),
        }
    }
    assert!(in_help.len() > 4, "{help}");
    assert_eq!(in_readme, in_help);
}

#[test]
fn the_summary_is_that_of_the_run() {
    let (blocks, _) = blocks(&text("README.md"));
    let shown = blocks
        .iter()
        .find(|(_, block)| block.starts_with("ventas: done"))
        .map(|(_, block)| block.clone())
        .expect("the README shows the summary");
    let out = tempfile::tempdir().unwrap();
    let output = Command::new(env!("CARGO_BIN_EXE_caudal"))
        .args(["run", "jobs/ventas.toml"])
        .current_dir(ROOT)
        .env("CAUDAL_OUT", out.path())
        .output()
        .unwrap();
    let told = String::from_utf8(output.stderr).unwrap();
    let told = told.replace(&out.path().display().to_string(), "out");
    assert_eq!(lasting(&shown), lasting(&told));
}

/// The lines without sizes of files, which change with encoders, and without the last one, which tells times. Digits are
/// grouped by narrow spaces, which a README shows as others.
fn lasting(summary: &str) -> Vec<String> {
    let summary = summary.replace('\u{202F}', " ");
    let mut lines: Vec<String> = summary.trim().lines().map(str::to_owned).collect();
    let last = lines.pop().unwrap_or_default();
    assert!(last.ends_with("rows per second"), "{summary}");
    for line in &mut lines {
        if let (Some(comma), Some(end)) = (line.rfind(", "), line.find("iB  ")) {
            line.replace_range(comma..end + 2, "");
        }
    }
    lines
}
