//! The systemd unit: it is read without a complaint, is well closed off, and restarts only where that can help.

use std::fs;
use std::process::Command;

use super::{file, must_pass, text};

const UNIT: &str = "caudal@.service";

/// The exposure that systemd counts, times ten, must stay under this; a unit without any hardening has 96.
const MOST_EXPOSED: &str = "20";

/// The values of a setting, in the order of the file.
fn values<'a>(unit: &'a str, key: &str) -> Vec<&'a str> {
    let lines = unit.lines();
    lines
        .filter_map(|line| line.strip_prefix(key)?.strip_prefix('='))
        .collect()
}

#[test]
fn systemd_reads_the_unit_and_finds_it_closed_off() {
    let place = tempfile::tempdir().unwrap();
    let unit = place.path().join(UNIT);
    // systemd wants the program to be there.
    let told = text(&file(UNIT)).replace("/usr/local/bin/caudal", env!("CARGO_BIN_EXE_caudal"));
    fs::write(&unit, told).unwrap();
    must_pass(Command::new("systemd-analyze").arg("verify").arg(&unit));
    must_pass(
        Command::new("systemd-analyze")
            .args(["security", "--offline=true", "--threshold", MOST_EXPOSED])
            .arg(&unit),
    );
}

#[test]
fn a_process_starts_again_after_3_and_101_only() {
    let unit = text(&file(UNIT));
    assert_eq!(values(&unit, "Restart"), ["no"]);
    assert_eq!(values(&unit, "RestartForceExitStatus"), ["3 101"]);
}

#[test]
fn the_instance_is_the_index_and_secrets_are_no_words() {
    let unit = text(&file(UNIT));
    let [start] = values(&unit, "ExecStart")[..] else {
        panic!("one command starts a process")
    };
    assert!(
        start.contains(" run ${CAUDAL_JOB} -n ${CAUDAL_PROCESSES} -p %i -h /etc/caudal/hosts "),
        "{start}"
    );
    assert!(!start.contains("TOKEN"), "{start}");
}
