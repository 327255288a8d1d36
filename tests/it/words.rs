//! The words people meet: help, usage errors, `check` and `explain`, held as text under `tests/words`.
//!
//! `CAUDAL_REWRITE=1` writes what came out; the difference is then read like code.

use std::fs;
use std::path::Path;
use std::process::Command;

/// A text under `tests/words` and the command line whose exit code, output and messages it holds.
const COMMANDS: &[(&str, &[&str])] = &[
    ("help", &["--help"]),
    ("help_run", &["run", "--help"]),
    ("help_launch", &["launch", "--help"]),
    ("help_status", &["status", "--help"]),
    ("help_verify", &["verify", "--help"]),
    ("help_check", &["check", "--help"]),
    ("help_explain", &["explain", "--help"]),
    ("help_generate", &["generate", "--help"]),
    ("help_generate_ventas", &["generate", "ventas", "--help"]),
    ("help_completions", &["completions", "--help"]),
    ("no_command", &[]),
    ("unknown_command", &["chek", "jobs/ventas.toml"]),
    ("no_job", &["run"]),
    ("no_such_job", &["check", "jobs/nowhere.toml"]),
    ("no_workers", &["run", "jobs/ventas.toml", "-w", "0"]),
    (
        "no_time",
        &["run", "jobs/ventas.toml", "--as-of", "yesterday"],
    ),
    (
        "several_processes",
        &["run", "jobs/ventas.toml", "-n", "2", "-p", "2"],
    ),
    ("status_without_a_run", &["status", "jobs/ventas.toml"]),
    (
        "status_nowhere",
        &["run", "jobs/ventas.toml", "--status", "9100"],
    ),
    (
        "status_for_all",
        &["run", "jobs/ventas.toml", "--status", "0.0.0.0:9100"],
    ),
    ("process_index", &["run", "jobs/ventas.toml", "-p", "1"]),
    (
        "host_file",
        &["run", "jobs/ventas.toml", "-n", "2", "-h", "no-hosts"],
    ),
    ("short_h_is_no_help", &["check", "-h"]),
    ("check", &["check", "jobs/ventas.toml"]),
    ("check_continuous", &["check", "jobs/ventas-stream.toml"]),
    ("explain", &["explain", "jobs/ventas.toml"]),
    (
        "explain_continuous",
        &["explain", "jobs/ventas-stream.toml"],
    ),
    (
        "explain_continuous_mermaid",
        &["explain", "jobs/ventas-stream.toml", "--mermaid"],
    ),
    (
        "explain_continuous_json",
        &["explain", "jobs/ventas-stream.toml", "--json"],
    ),
    ("check_topics", &["check", "tests/words/topics.toml"]),
    ("explain_topics", &["explain", "tests/words/topics.toml"]),
    (
        "explain_topics_mermaid",
        &["explain", "tests/words/topics.toml", "--mermaid"],
    ),
    (
        "explain_topics_json",
        &["explain", "tests/words/topics.toml", "--json"],
    ),
    (
        "limit_continuous",
        &["run", "jobs/ventas-stream.toml", "--limit", "5"],
    ),
    (
        "as_of_continuous",
        &["run", "jobs/ventas-stream.toml", "--as-of", "2026-03-14"],
    ),
    (
        "replay_continuous",
        &["run", "jobs/ventas-stream.toml", "--replay"],
    ),
    (
        "explain_mermaid",
        &["explain", "jobs/ventas.toml", "--mermaid"],
    ),
    ("explain_json", &["explain", "jobs/ventas.toml", "--json"]),
    (
        "explain_both",
        &["explain", "jobs/ventas.toml", "--mermaid", "--json"],
    ),
];

#[test]
fn people_are_told_what_the_texts_hold() {
    let texts = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/words");
    let mut wrong = Vec::new();
    for (name, words) in COMMANDS {
        let got = told(words);
        let file = texts.join(format!("{name}.txt"));
        if std::env::var_os("CAUDAL_REWRITE").is_some() {
            fs::create_dir_all(&texts).unwrap();
            fs::write(&file, &got).unwrap();
        }
        let expected = fs::read_to_string(&file).unwrap_or_default();
        if got != expected {
            wrong.push(format!("== {name}\n-- expected\n{expected}\n-- got\n{got}"));
        }
    }
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
}

#[test]
fn secrets_of_a_job_are_masked_wherever_it_is_shown() {
    let place = tempfile::tempdir().unwrap();
    let job =
        fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("jobs/ventas-stream.toml"))
            .unwrap();
    let options = "options = { \"sasl.username\" = \"caudal\", \"sasl.password\" = \"${KAFKA_PASSWORD}\", \"ssl.key.password\" = \"hunter2\" }";
    let brokers = "brokers = \"";
    assert_eq!(job.matches(brokers).count(), 1);
    let good = job.replace(brokers, &format!("{options}\n{brokers}"));
    // A fault beside them shows all faults of the file, and none of its secrets.
    let faulty = good.replace("sasl.username", "group.id");
    let shown = |name: &str, job: &str, words: &[&str]| {
        let file = place.path().join(name);
        fs::write(&file, job).unwrap();
        let output = Command::new(env!("CARGO_BIN_EXE_caudal"))
            .args(words)
            .arg(&file)
            .env("KAFKA_PASSWORD", "hunter2")
            .output()
            .unwrap();
        let told = [output.stdout, output.stderr].concat();
        (output.status.code(), String::from_utf8(told).unwrap())
    };
    for (words, code, job, shows) in [
        (&["explain"][..], 0, &good, "sasl.password: ***"),
        (
            &["explain", "--json"],
            0,
            &good,
            "\"sasl.password\": \"***\"",
        ),
        (&["explain", "--mermaid"], 0, &good, "flowchart"),
        (&["check"], 0, &good, "ok"),
        (&["check"], 2, &faulty, "group.id"),
        (&["explain"], 2, &faulty, "group.id"),
        (&["run", "--limit", "1"], 2, &good, "--limit"),
    ] {
        let (got, told) = shown("job.toml", job, words);
        assert_eq!(got, Some(code), "{told}");
        assert!(told.contains(shows), "{words:?}: {told}");
        assert!(!told.contains("hunter2"), "{words:?}: {told}");
    }
}

/// What a command line gives, as a person at a terminal of unknown width sees it.
fn told(words: &[&str]) -> String {
    let output = Command::new(env!("CARGO_BIN_EXE_caudal"))
        .args(words)
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .env_remove("COLUMNS")
        .env_remove("CAUDAL_OUT")
        .env_remove("KAFKA_BROKERS")
        .env_remove("CAUDAL_STATUS_TOKEN")
        .output()
        .unwrap();
    format!(
        "$ caudal {}\n{}{}exit code {}\n",
        words.join(" "),
        String::from_utf8(output.stdout).unwrap(),
        String::from_utf8(output.stderr).unwrap(),
        output.status.code().unwrap(),
    )
}
