//! Changes of a reference table, loaded as a look-up's.

use std::sync::Arc;
use std::time::Duration;

use caudal::job::document::Document;
use caudal::job::plan::Plan;
use caudal::job::resolve::resolve;
use caudal::lookup;

use super::read::Check;

const JOB: &str = r#"format = 1
[job]
name = "fuzz"
output = "out"
[sources.s]
files = { paths = ["none"] }
csv = {}
columns = { id = "bigint" }
[lookups.changed]
on = { id = "s.id" }
missing = { then = "null" }
files = { paths = ["input"] }
debezium = {}
columns = { id = "bigint", price = "decimal(12,2)", day = "date", note = "varchar" }
[sinks.rows]
files = { path = "rows" }
json = {}
"#;

/// A look-up of changes.
pub(super) struct Changes {
    folder: tempfile::TempDir,
    plan: Arc<Plan>,
}

impl Changes {
    pub(super) fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("job.toml");
        let plan =
            Document::parse(&path, JOB.into(), &|_| None).and_then(|document| resolve(&document));
        let plan = plan.unwrap_or_else(|problems| panic!("{problems}"));
        Self {
            folder,
            plan: Arc::new(plan),
        }
    }
}

impl Check for Changes {
    fn name(&self) -> &'static str {
        "changes"
    }

    /// What can't be read is left out and told: the table is loaded, whatever the file is, unless it says to be packed.
    fn check(&self, bytes: &[u8]) {
        std::fs::write(self.folder.path().join("input"), bytes).unwrap();
        let loaded = lookup::load(&self.plan.lookups[0], Duration::ZERO, &|| false);
        let magic: [&[u8]; 4] = [b"\x1F\x8B", b"\x28\xB5\x2F\xFD", b"BZh", b"\xFD7zXZ"];
        if !magic.iter().any(|magic| bytes.starts_with(magic)) {
            assert!(loaded.unwrap().is_some());
        }
    }
}
