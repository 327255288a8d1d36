//! The Kubernetes manifests and the Prometheus configuration: each is valid, they agree with each other, and their job is one.

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use super::{checked, file, must_pass, of_package, root};

/// The interpreter that has `kubernetes-validate`, where `tests/run` put it.
fn python() -> PathBuf {
    let cache = std::env::var_os("XDG_CACHE_HOME").map(PathBuf::from);
    let home = || PathBuf::from(std::env::var_os("HOME").unwrap_or_default()).join(".cache");
    cache
        .unwrap_or_else(home)
        .join("caudal/kubernetes/bin/python")
}

fn manifests() -> Vec<PathBuf> {
    let entries = fs::read_dir(file("kubernetes")).unwrap();
    let mut files: Vec<PathBuf> = entries.map(|entry| entry.unwrap().path()).collect();
    files.sort();
    files
}

#[test]
fn kubernetes_knows_every_field_of_the_manifests() {
    // The schema of a ServiceMonitor is its operator's; the next test looks at it.
    let known = manifests()
        .into_iter()
        .filter(|file| !file.ends_with("monitor.yaml"));
    must_pass(
        Command::new(python())
            .args(["-m", "kubernetes_validate", "--strict"])
            .args(known),
    );
}

#[test]
fn a_misspelt_field_is_found() {
    let place = tempfile::tempdir().unwrap();
    let wrong = place.path().join("wrong.yaml");
    let right = fs::read_to_string(file("kubernetes/statefulset.yaml")).unwrap();
    fs::write(&wrong, right.replace("readinessProbe", "readynessProbe")).unwrap();
    let validated = checked(
        Command::new(python())
            .args(["-m", "kubernetes_validate", "--strict"])
            .arg(wrong),
    );
    assert!(validated.is_none_or(|output| !output.status.success()));
}

#[test]
fn the_manifests_agree_with_each_other_and_hold_a_job() {
    let place = tempfile::tempdir().unwrap();
    let job = place.path().join("job.toml");
    let compared = checked(
        Command::new(python())
            .arg(root().join("tests/it/deployment/agree.py"))
            .args([file("kubernetes"), file("prometheus.yml")])
            .arg(of_package("version"))
            .arg(&job),
    );
    let Some(output) = compared else { return };
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    must_pass(
        Command::new(env!("CARGO_BIN_EXE_caudal"))
            .arg("check")
            .arg(job),
    );
}

#[test]
fn prometheus_reads_its_configuration() {
    must_pass(
        Command::new("promtool")
            .args(["check", "config", "--syntax-only"])
            .arg(file("prometheus.yml")),
    );
}
