//! Where the interpreters of independent readers are.

use std::path::PathBuf;

/// The interpreter of one of the readers, where `tests/run` put it.
pub(crate) fn python(of: &str) -> Option<PathBuf> {
    let cache = std::env::var_os("XDG_CACHE_HOME").map(PathBuf::from);
    let home = || PathBuf::from(std::env::var_os("HOME").unwrap_or_default()).join(".cache");
    let python = cache
        .unwrap_or_else(home)
        .join("caudal")
        .join(of)
        .join("bin/python");
    if python.exists() {
        return Some(python);
    }
    println!(
        "skipped: {} is not there; tests/run installs it",
        python.display()
    );
    None
}
