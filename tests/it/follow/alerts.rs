//! Who is told of checks: once, in order and grouped, whatever dies, by messages that are signed, and by a real Alertmanager.

mod receiver;

use serde_json::Value;
use std::process::{Child, Command, Stdio};

use self::receiver::{Answers, Message, Receiver};
use super::HEADER;
use super::job::{Job, Running};
use crate::port::Port;

const CHECKS: &str = r#"
[checks.all_came]
window = "minute"
completeness = { expected_rows = 3, fail_below = 0.9 }
[checks.most_came]
window = "minute"
completeness = { expected_rows = 3, warn_below = 0.5 }
"#;

/// A job whose windows want three rows of each region, with these alerts.
fn job(alerts: &str) -> Job {
    Job::with("*.csv", "", "csv = {}", |text| {
        format!("{text}{CHECKS}{alerts}")
    })
}

/// So many sales of each region in a minute, whose window closes with those of the next.
fn sales(job: &Job, minute: i64, north: usize, south: usize) {
    let line = |region: &str| format!("1,2026-03-14T12:{minute:02}:20Z,{region},1.00\n");
    job.append("a.csv", line("N").repeat(north) + &line("S").repeat(south));
}

/// Waits until what was judged of a minute's windows is committed, and what comes after that, too.
fn await_minute(job: &Job, minute: i64) {
    let window = format!("2026-03-14T12:{minute:02}:00Z");
    job.await_that("it is not judged", |job| {
        let mut verdicts = job.caudal("verdicts");
        let output = verdicts.args(["--json", "--window", &window]).output();
        let output = output.unwrap();
        String::from_utf8(output.stdout).unwrap().lines().count() == 4
    });
    let committed = || -> u64 {
        let output = job.caudal("epochs").arg("--json").output().unwrap();
        let said: Option<Value> = serde_json::from_slice(&output.stdout).ok();
        said.and_then(|said| said["committed"].as_u64())
            .unwrap_or(0)
    };
    let seen = committed();
    job.await_that("nothing is committed", |_| committed() > seen);
}

/// Each alert of a message: its state, check and segment.
fn alerts(message: &Message) -> Vec<(String, String, String)> {
    let alerts = message.body["alerts"].as_array().unwrap().iter();
    let text = |alert: &Value, name: &str| alert[name].as_str().unwrap().to_owned();
    let mut alerts: Vec<_> = alerts
        .map(|alert| {
            (
                text(alert, "state"),
                text(alert, "check"),
                text(alert, "segment"),
            )
        })
        .collect();
    alerts.sort();
    alerts
}

fn all(state: &str, segment: &str) -> Vec<(String, String, String)> {
    ["all_came", "most_came"]
        .map(|check| (state.to_owned(), check.to_owned(), segment.to_owned()))
        .to_vec()
}

#[test]
fn what_is_bad_is_told_once_however_often_the_job_dies_and_is_rescaled() {
    let (receiver, of_old) = (Receiver::start(), Receiver::start());
    let job = job(&format!(
        "[alerts.hook]\nwebhook = {{ url = \"{}\" }}\nmax_age = \"30000 days\"\n\
         [alerts.severe]\nlog = {{}}\nseverity = \"fail\"\ngroup_by = [\"check\", \"region\"]\nmax_age = \"30000 days\"\n\
         [alerts.recent]\nwebhook = {{ url = \"{}\" }}\n",
        receiver.url(),
        of_old.url()
    ));
    job.append("a.csv", HEADER);
    let running = Running::start(&job, 2);
    sales(&job, 0, 3, 3);
    sales(&job, 1, 1, 3);
    sales(&job, 2, 1, 3);
    let first = receiver.await_messages(1);
    assert_eq!(alerts(&first[0]), all("open", "region=N"));
    assert_eq!(first[0].body["group"]["segment"], "region=N");
    // Who dies before it is written down tells it once more, under the same id.
    let known = job
        .out()
        .join("_caudal/state/alerts/hook/000000000001.json");
    job.await_that("it is not written down", |_| known.exists());
    running.kill();
    // Still bad, in lives of other numbers of processes and workers.
    for (minute, (processes, workers)) in [(3, (1, 3)), (4, (2, 1)), (5, (1, 1))] {
        let running = Running::shaped(&job, processes, workers);
        sales(&job, minute, 1, 3);
        await_minute(&job, minute - 1);
        running.kill();
    }
    let running = Running::start(&job, 2);
    sales(&job, 6, 3, 3);
    sales(&job, 7, 3, 3);
    let both = receiver.await_messages(2);
    assert_eq!(alerts(&both[1]), all("resolved", "region=N"));
    // Each is the one that was opened.
    let ids = |message: &Message| -> Vec<String> {
        let alerts = message.body["alerts"].as_array().unwrap().iter();
        let mut ids: Vec<String> = alerts.map(|alert| alert["id"].to_string()).collect();
        ids.sort();
        ids
    };
    assert_eq!(ids(&both[0]), ids(&both[1]));
    assert_ne!(
        both[0].header("caudal-message-id"),
        both[1].header("caudal-message-id")
    );
    await_minute(&job, 6);
    running.stop();
    assert_eq!(receiver.messages().len(), 2);
    // What ended half a year ago is history.
    assert_eq!(of_old.messages().len(), 0);
}

#[test]
fn who_was_away_is_told_the_difference_by_a_message_that_is_signed() {
    let receiver = Receiver::start();
    let job = job(&format!(
        "[alerts.hook]\nwebhook = {{ url = \"{}\", secret = \"Jefe\" }}\nmax_age = \"30000 days\"\nchecks = [\"all_came\"]\n\
         timeout = \"200 ms\"\nretry = \"100 ms\"\n",
        receiver.url()
    ));
    job.append("a.csv", HEADER);
    // It takes what it is sent, and says nothing; then it is at fault.
    receiver.answers(Answers::Never);
    let running = Running::start(&job, 2);
    sales(&job, 0, 1, 3);
    sales(&job, 1, 3, 1);
    receiver.await_tries(2);
    receiver.answers(Answers::With(500));
    await_minute(&job, 0);
    sales(&job, 2, 3, 1);
    await_minute(&job, 1);
    let tried = receiver.tries();
    receiver.await_tries(tried + 2);
    assert_eq!(receiver.messages().len(), 0);
    // What opened and was resolved meanwhile was nothing.
    receiver.answers(Answers::With(200));
    let told = receiver.await_messages(1);
    let open = (
        "open".to_owned(),
        "all_came".to_owned(),
        "region=S".to_owned(),
    );
    assert_eq!(alerts(&told[0]), [open]);
    assert_eq!(told[0].body["open"], 1);
    running.stop();
    assert_eq!(receiver.messages().len(), 1);
    let signature = told[0].header("caudal-signature").unwrap();
    let (time, signed) = signature.split_once(",v1=").unwrap();
    let seconds = time.strip_prefix("t=").unwrap();
    let script = "import hashlib, hmac, sys; print(hmac.new(b'Jefe', sys.argv[1].encode(), hashlib.sha256).hexdigest())";
    let text = format!("{seconds}.{}", told[0].text);
    let Ok(python) = Command::new("python3").args(["-c", script, &text]).output() else {
        return;
    };
    assert_eq!(String::from_utf8(python.stdout).unwrap().trim(), signed);
}

/// A real Alertmanager, that tells a receiver.
struct Alertmanager {
    child: Child,
    place: tempfile::TempDir,
    at: String,
    _port: Port,
}

impl Alertmanager {
    /// Starts one; none where it is not installed.
    fn start(receiver: &Receiver) -> Option<Self> {
        let place = tempfile::tempdir().unwrap();
        let config = place.path().join("alertmanager.yml");
        std::fs::write(
            &config,
            format!(
                "route: {{receiver: hook, group_by: [job, segment], group_wait: 100ms, group_interval: 200ms, repeat_interval: 1h}}\n\
                 receivers: [{{name: hook, webhook_configs: [{{url: '{}', send_resolved: true}}]}}]\n",
                receiver.url()
            ),
        )
        .unwrap();
        let port = Port::hold().unwrap();
        let at = port.at.to_string();
        let child = Self::spawn(&place, &at)?;
        Some(Self {
            child,
            place,
            at,
            _port: port,
        })
    }

    fn spawn(place: &tempfile::TempDir, at: &str) -> Option<Child> {
        let folder = place.path().display();
        let child = Command::new("prometheus-alertmanager")
            .arg(format!("--config.file={folder}/alertmanager.yml"))
            .arg(format!("--storage.path={folder}/data"))
            .arg(format!("--web.listen-address={at}"))
            .arg("--cluster.listen-address=")
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn();
        match child {
            Ok(child) => Some(child),
            Err(error) => {
                println!("skipped: prometheus-alertmanager can't be started: {error}");
                None
            }
        }
    }

    /// Ends it in good order: it writes down what it has told.
    fn end(&mut self) {
        let id = self.child.id().to_string();
        let sent = Command::new("kill").args(["-TERM", &id]).status();
        assert!(sent.unwrap().success());
        self.child.wait().unwrap();
    }

    fn begin(&mut self) {
        self.child = Self::spawn(&self.place, &self.at).unwrap();
    }
}

impl Drop for Alertmanager {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

/// What Alertmanager tells of each of its alerts: whether it is firing, and whose.
fn told(message: &Message) -> Vec<(String, String, String)> {
    let alerts = message.body["alerts"].as_array().unwrap().iter();
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    let mut told: Vec<_> = alerts
        .map(|alert| {
            let labels = &alert["labels"];
            assert_eq!(
                labels["segment"],
                format!("region={}", text(&labels["region"]))
            );
            assert_eq!(labels["team"], "sales");
            (
                text(&alert["status"]),
                text(&labels["alertname"]),
                text(&labels["region"]),
            )
        })
        .collect();
    told.sort();
    told
}

#[test]
fn a_real_alertmanager_tells_each_region_once() {
    let receiver = Receiver::start();
    let Some(mut alertmanager) = Alertmanager::start(&receiver) else {
        return;
    };
    let job = job(&format!(
        "[alerts.pager]\nalertmanager = {{ url = \"http://{}\", resend = \"200 ms\", expires_after = \"10 minutes\", labels = {{ team = \"sales\" }} }}\n\
         max_age = \"30000 days\"\ntimeout = \"1 second\"\nretry = \"100 ms\"\n",
        alertmanager.at
    ));
    let both = |status: &str, region: &str| {
        ["all_came", "most_came"]
            .map(|check| (status.to_owned(), check.to_owned(), region.to_owned()))
            .to_vec()
    };
    job.append("a.csv", HEADER);
    let running = Running::start(&job, 2);
    sales(&job, 0, 1, 3);
    sales(&job, 1, 1, 3);
    let first = receiver.await_messages(1);
    assert_eq!(told(&first[0]), both("firing", "N"));
    running.kill();
    // The job goes on while Alertmanager is away, and another region gets bad: it is told when it is back, and what it had told is told
    // again to nobody, though it forgot what is open.
    alertmanager.end();
    let running = Running::start(&job, 3);
    sales(&job, 2, 1, 1);
    sales(&job, 3, 1, 1);
    await_minute(&job, 2);
    alertmanager.begin();
    let second = receiver.await_messages(2);
    assert_eq!(told(&second[1]), both("firing", "S"));
    running.kill();
    let running = Running::start(&job, 1);
    sales(&job, 4, 3, 1);
    sales(&job, 5, 3, 1);
    let third = receiver.await_messages(3);
    assert_eq!(told(&third[2]), both("resolved", "N"));
    running.stop();
    assert_eq!(receiver.messages().len(), 3);
}
