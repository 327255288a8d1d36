//! What `Cargo.lock` holds: that kinds of values which must be one are one, and that everything comes from one registry.

use std::collections::BTreeMap;
use std::path::Path;

use toml::{Table, Value};

const REGISTRY: &str = "registry+https://github.com/rust-lang/crates.io-index";

fn packages() -> Vec<Table> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("Cargo.lock");
    let lock: Table = std::fs::read_to_string(path).unwrap().parse().unwrap();
    let packages = lock["package"].as_array().unwrap().iter();
    packages
        .map(|package| package.as_table().unwrap().clone())
        .collect()
}

#[test]
fn an_array_or_a_container_is_of_one_version() {
    let mut versions: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for package in packages() {
        let [name, version] = ["name", "version"].map(|key| package[key].as_str().unwrap());
        let kinds = ["arrow", "parquet", "timely", "differential", "datafusion"];
        if kinds.iter().any(|kind| name.starts_with(kind)) {
            versions
                .entry(name.to_owned())
                .or_default()
                .push(version.to_owned());
        }
    }
    assert!(versions.len() > 10, "{versions:?}");
    versions.retain(|_, versions| versions.len() > 1);
    assert!(versions.is_empty(), "two kinds of one value: {versions:?}");
}

#[test]
fn everything_comes_from_the_registry() {
    for package in packages() {
        let source = package.get("source").and_then(Value::as_str);
        let own = package["name"].as_str() == Some("caudal");
        assert!(own || source == Some(REGISTRY), "{package}");
    }
}
