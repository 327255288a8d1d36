//! The files of `cluster/`: that they do what they say, as far as one machine can show it.
//!
//! `tests/run` installs what validates manifests. A checker that is not there skips its test, which says so.

mod image;
mod launch;
mod manifests;
mod unit;

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

/// The root of the repository.
fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// A file of `cluster/`.
fn file(name: &str) -> PathBuf {
    root().join("cluster").join(name)
}

/// The text of a file of the repository.
fn text(path: &Path) -> String {
    std::fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// Runs a checker that a machine may lack; says so and gives nothing where it does.
fn checked(command: &mut Command) -> Option<Output> {
    match command.output() {
        Ok(output) => Some(output),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            println!(
                "skipped: {} is not installed",
                command.get_program().display()
            );
            None
        }
        Err(error) => panic!("{}: {error}", command.get_program().display()),
    }
}

/// Runs a checker, where it is there, which must find nothing.
fn must_pass(command: &mut Command) {
    let Some(output) = checked(command) else {
        return;
    };
    assert!(
        output.status.success(),
        "{command:?}: {}\n{}{}",
        output.status,
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
}

/// What a key of `[package]` says in `Cargo.toml`.
fn of_package(key: &str) -> String {
    let manifest = text(&root().join("Cargo.toml"));
    let line = manifest
        .lines()
        .find_map(|line| line.strip_prefix(key)?.trim_start().strip_prefix('='));
    line.unwrap().trim().trim_matches('"').to_owned()
}

#[test]
fn scripts_are_what_shells_and_their_checkers_read() {
    let scripts = [
        "cluster/launch.sh",
        "cluster/stream.sh",
        "tests/run",
        "tests/services/kafka/kafka",
    ];
    for script in scripts {
        let script = root().join(script);
        must_pass(Command::new("bash").arg("-n").arg(&script));
        must_pass(Command::new("shellcheck").arg(&script));
    }
}
