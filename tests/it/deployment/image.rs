//! The image: what it copies is there and is enough for cargo, its versions are pinned, its user is not root.

use std::fs;
use std::path::Path;
use std::process::Command;

use super::{file, of_package, root, text};

/// An instruction of the Dockerfile and its words.
fn instructions() -> Vec<(String, Vec<String>)> {
    let joined = text(&file("Dockerfile")).replace("\\\n", " ");
    let lines = joined.lines().map(str::trim);
    lines
        .filter(|line| !line.is_empty() && !line.starts_with('#'))
        .map(|line| {
            let mut words = line.split_whitespace().map(str::to_owned);
            (words.next().unwrap(), words.collect())
        })
        .collect()
}

/// The words of every instruction of this name.
fn all(name: &str) -> Vec<Vec<String>> {
    let named = instructions().into_iter().filter(|(is, _)| is == name);
    named.map(|(_, words)| words).collect()
}

/// What is copied from the repository.
fn copied() -> Vec<String> {
    let from_here = all("COPY")
        .into_iter()
        .filter(|words| !words[0].starts_with("--from"));
    from_here
        .flat_map(|words| words[..words.len() - 1].to_vec())
        .collect()
}

fn copy(from: &Path, to: &Path) {
    if from.is_dir() {
        fs::create_dir_all(to).unwrap();
        for entry in fs::read_dir(from).unwrap() {
            let entry = entry.unwrap();
            copy(&entry.path(), &to.join(entry.file_name()));
        }
    } else {
        fs::create_dir_all(to.parent().unwrap()).unwrap();
        fs::copy(from, to).unwrap();
    }
}

#[test]
fn what_is_copied_is_there_and_is_sent_to_the_builder() {
    let ignore = text(&file("Dockerfile.dockerignore"));
    assert!(!copied().is_empty());
    for path in copied() {
        assert!(root().join(&path).exists(), "{path} is not there");
        assert!(
            ignore.lines().any(|line| line == format!("!{path}")),
            "{path} is ignored"
        );
    }
}

#[test]
fn what_is_copied_has_every_target_that_cargo_looks_for() {
    let place = tempfile::tempdir().unwrap();
    for path in copied() {
        copy(&root().join(&path), &place.path().join(&path));
    }
    let output = Command::new(env!("CARGO"))
        .args(["metadata", "--no-deps", "--offline", "--locked"])
        .args(["--format-version", "1"])
        .current_dir(place.path())
        .output()
        .unwrap();
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
}

#[test]
fn versions_are_pinned_and_the_compiler_is_the_one_that_cargo_asks_for() {
    let images: Vec<String> = all("FROM")
        .into_iter()
        .map(|words| words[0].clone())
        .collect();
    let [build, run] = &images[..] else {
        panic!("one stage builds and one runs: {images:?}")
    };
    for image in &images {
        let (_, tag) = image.split_once(':').unwrap();
        let version = tag.split('-').next().unwrap();
        assert!(
            version.split('.').count() >= 2 && version.chars().all(|c| c == '.' || c.is_numeric()),
            "{image} is not pinned"
        );
    }
    let rust = of_package("rust-version");
    assert!(
        build.starts_with(&format!("rust:{rust}.")),
        "{build}, but Cargo.toml asks for {rust}"
    );
    // A program runs with the C library it was linked with, or a newer one.
    assert!(
        build.ends_with("-bookworm") && run.starts_with("debian:12."),
        "{build} and {run} are one Debian"
    );
    let builds = all("RUN").concat().join(" ");
    assert!(builds.contains("cargo build --release --locked"));
}

#[test]
fn the_user_is_a_number_that_is_not_root() {
    let users = all("USER").concat();
    let [user] = &users[..] else {
        panic!("one user: {users:?}")
    };
    for id in user.split(':') {
        assert!(id.parse::<u32>().unwrap() > 0, "{user}");
    }
    let after_last_stage = instructions();
    let stage = after_last_stage
        .iter()
        .rposition(|(name, _)| name == "FROM");
    let place = after_last_stage.iter().position(|(name, _)| name == "USER");
    assert!(place > stage, "the user is the last stage's");
}
