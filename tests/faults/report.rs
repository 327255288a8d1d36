//! What a run of faults has shown, one line of JSON for each: `CAUDAL_FAULTS_RUN` names the file.

use std::fs::File;
use std::io::Write;
use std::time::Duration;

use serde_json::{Value, json};

use super::kinds::Fault;

/// The file, where one is wanted, and the times until rows flowed.
pub(crate) struct Report {
    file: Option<File>,
    seconds: Vec<f64>,
    /// What strikes now.
    struck: Value,
}

impl Report {
    /// Begins it with what the run is.
    pub(crate) fn start(run: &Value) -> Self {
        let file = std::env::var_os("CAUDAL_FAULTS_RUN");
        let mut report = Self {
            file: file.map(|path| File::create(path).unwrap()),
            seconds: Vec::new(),
            struck: Value::Null,
        };
        report.line(run);
        report
    }

    /// Says what strikes now; who reads of a failure knows in what.
    pub(crate) fn strikes(&mut self, number: u64, kind: Fault) {
        print!("{number:>4} {:<12}", format!("{kind:?}"));
        self.struck = json!({ "fault": number, "kind": format!("{kind:?}") });
    }

    /// What it was in detail, how long all of it took, and for how long after it was over nothing was committed.
    pub(crate) fn fault(&mut self, detail: &str, of_all: Duration, until_rows: Duration) {
        let seconds = |time: Duration| (time.as_secs_f64() * 1000.0).round() / 1000.0;
        let (of_all, until_rows) = (seconds(of_all), seconds(until_rows));
        println!("{until_rows:>6.1} s until rows flow, {of_all:>4.1} s in all  {detail}");
        self.seconds.push(until_rows);
        let mut line = std::mem::take(&mut self.struck);
        line["detail"] = detail.into();
        line["seconds_until_rows"] = until_rows.into();
        line["seconds"] = of_all.into();
        self.line(&line);
    }

    /// Ends it: both runs are equal.
    pub(crate) fn end(mut self, sent: i64, seconds: f64) {
        self.seconds.sort_by(f64::total_cmp);
        let middle = self.seconds.get(self.seconds.len() / 2);
        let line = json!({
            "faults": self.seconds.len(), "sent": sent, "seconds": seconds.round(), "equal_to_quiet_run": true,
            "seconds_until_rows": { "median": middle, "longest": self.seconds.last() },
        });
        println!("{line}");
        self.line(&line);
    }

    fn line(&mut self, line: &Value) {
        if let Some(file) = &mut self.file {
            writeln!(file, "{line}").unwrap();
        }
    }
}
