//! Continuous jobs with their state in a bucket: what a folder promises holds there, too.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use serde_json::json;

use crate::ended;
use crate::kafka::broker::Broker;
use crate::kafka::broker::service::Service;
use crate::kafka::messages::Sent;
use crate::stream::job::{DEADLINE, Job, Running};
use crate::stream::references::{over_topic, region};
use crate::stream::topics::held;
use crate::stream::{at, numbers, sale};
use crate::tables::Row;

/// A server with a bucket, that ends with this value.
struct Bucket {
    _service: Service,
    data: PathBuf,
    endpoint: String,
    name: String,
    key: String,
    secret: String,
}

impl Bucket {
    /// Starts one; `None`, and a word, where there is none.
    fn start() -> Option<Self> {
        let service = Service::start("S3", &script(), &[], 5)?;
        let value = |key: &str| service.said(key).to_owned();
        Some(Self {
            data: value("S3_DATA=").into(),
            endpoint: value("S3_ENDPOINT="),
            name: value("S3_BUCKET="),
            key: value("S3_KEY="),
            secret: value("S3_SECRET="),
            _service: service,
        })
    }

    /// A job over this topic whose state is under a prefix of its own.
    fn job(&self, broker: &Broker, topic: &str) -> Job {
        let job = Job::new(broker, topic);
        self.keeps_state(&job);
        job
    }

    /// Lets the state of a job be under a prefix of its own.
    fn keeps_state(&self, job: &Job) {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let prefix = format!("jobs/{}", NUMBER.fetch_add(1, Ordering::Relaxed));
        let Self {
            endpoint,
            name,
            key,
            secret,
            ..
        } = self;
        job.rewrite(|text| {
            text.replace("join_timeout = \"20 s\"", &format!(
                "join_timeout = \"20 s\"\nstate = \"s3://{name}/{prefix}\"\nstate_options = {{ endpoint = \"{endpoint}\", region = \"us-east-1\", \
                 access_key_id = \"{key}\", secret_access_key = \"{secret}\" }}"
            ))
        });
    }

    fn tell(&self, word: &str) {
        let told = Command::new(script())
            .arg(word)
            .arg("--data")
            .arg(&self.data)
            .status();
        assert!(told.unwrap().success());
    }
}

/// A launch of a job.
struct Launch<'job> {
    job: &'job Job,
    child: Child,
}

impl<'job> Launch<'job> {
    fn start(job: &'job Job, processes: u16, workers: u16) -> Self {
        let mut launch = job.caudal("launch");
        launch.args(["-n", &processes.to_string(), "-w", &workers.to_string()]);
        let child = launch.arg("--quiet").stdin(Stdio::null()).spawn().unwrap();
        Self { job, child }
    }

    /// Asks the job to commit what it has and end.
    fn stop(mut self) {
        assert!(self.job.caudal("stop").status().unwrap().success());
        assert!(ended::status(&mut self.child).success());
    }

    /// Kills all of it, at once.
    fn kill(mut self) {
        assert!(!ended::kill(&mut self.child).is_empty(), "no process runs");
    }
}

impl Drop for Launch<'_> {
    fn drop(&mut self) {
        // Of a test that has failed; its processes end by themselves.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

fn script() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/services/s3/s3")
}

#[test]
fn a_job_with_its_state_in_a_bucket_is_killed_and_goes_on() {
    let (Some(broker), Some(bucket)) = (Broker::shared(), Bucket::start()) else {
        return;
    };
    let topic = broker.topic("bucket", 2);
    let send = |from: i64, time: &str| {
        let sale = |id: i64| sale(i32::try_from(id % 2).unwrap(), id, &at(time), "1.00");
        broker.send(&topic, (from..from + 10).map(sale));
    };
    let job = bucket.job(broker, &topic);
    send(0, "12:00:10");
    let running = Running::start(&job, 2);
    job.await_positions(&[5, 5]);
    assert!(
        !job.path("out/_caudal/state").exists(),
        "nothing of it is in the output"
    );
    // Killed, and gone on with in another shape, while the store is away for a moment.
    drop(running);
    send(10, "12:00:40");
    let launch = Launch::start(&job, 2, 2);
    job.await_positions(&[10, 10]);
    bucket.tell("pause");
    send(20, "12:00:50");
    bucket.tell("resume");
    job.await_positions(&[15, 15]);
    launch.stop();
    send(30, "12:10:00");
    let running = Running::start(&job, 1);
    job.await_positions(&[20, 20]);
    running.stop();
    assert_eq!(
        numbers(&job.rows("rows"), "id"),
        (0..40).collect::<Vec<_>>()
    );
    assert_eq!(numbers(&job.rows("minutes"), "rows"), [30], "of all lives");
}

/// The rows of a sink in some order, without what tells of lives.
fn shown(job: &Job, sink: &str) -> Vec<String> {
    let row = |mut row: Row| {
        row.remove("epoch");
        format!("{row:?}")
    };
    let mut rows: Vec<String> = job.rows(sink).into_iter().map(row).collect();
    rows.sort();
    rows
}

/// The names in a folder, sorted.
fn names(folder: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(folder).unwrap();
    let mut names: Vec<String> = entries
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

#[test]
fn what_is_killed_again_and_again_over_a_bucket_has_the_rows_of_a_quiet_run() {
    let (Some(broker), Some(bucket)) = (Broker::shared(), Bucket::start()) else {
        return;
    };
    let (sales, regions) = (
        broker.topic("bucket-sales", 2),
        broker.topic("bucket-regions", 1),
    );
    // Rows wait for their region: checkpoints hold them, and objects hold the regions.
    let job_of_both = || {
        let job = over_topic(broker, &sales, &regions, "json", "");
        job.rewrite(|text| {
            text.replace(
                "missing = { then = \"null\" }",
                "missing = { then = \"wait\", for = \"1 hour\" }",
            )
            // A minute of the clock may end while the one job runs and not while the other does: then one has said its row law.
            .replace(
                "output = \"out\"",
                "output = \"out\"\nverdict_history = false",
            )
        });
        job
    };
    let mut count = 0;
    let mut send = |time: &str| {
        let sale = |id: i64| {
            let region = if id % 2 == 0 { "N" } else { "S" };
            // Of a region that is always there: what waits for nothing is told the same, whenever it was read.
            let amount = if id % 14 == 0 { "much" } else { "1.00" };
            let value = json!({ "id": id, "ts": at(time), "region": region, "amount": amount });
            Sent::value(i32::try_from(id / 2 % 2).unwrap(), value.to_string())
        };
        broker.send(&sales, (count..count + 20).map(sale));
        count += 20;
        [count / 2, count / 2]
    };
    broker.send(&regions, [region("N", "North", 1)]);

    let job = job_of_both();
    bucket.keeps_state(&job);
    for (processes, workers) in [(2, 1), (1, 2), (2, 2)] {
        let launch = Launch::start(&job, processes, workers);
        job.await_positions(&send("12:00:10"));
        send("12:00:20");
        job.await_epoch();
        launch.kill();
    }
    let waiting = job.rows("rows").len();
    let launch = Launch::start(&job, 2, 1);
    broker.send(&regions, [region("S", "South", 1)]);
    job.await_that("those that wait", DEADLINE, |job| {
        job.rows("rows").len() > waiting + 40
    });
    job.await_positions(&send("12:01:10"));
    job.await_positions(&send("12:05:00"));
    job.await_that("windows", DEADLINE, |job| job.rows("minutes").len() == 4);
    send("12:09:00");
    launch.kill();
    let launch = Launch::start(&job, 1, 1);
    job.await_positions(&send("12:09:10"));
    job.await_that("windows", DEADLINE, |job| job.rows("minutes").len() == 6);

    // Who asks finds the same as of a job with a folder.
    let before = job.find(&"a generation", DEADLINE, |said| {
        said["generation"].as_u64()
    });
    let rescaled = job.caudal("rescale").args(["-n", "2", "-w", "2"]).status();
    assert!(rescaled.unwrap().success());
    job.find(&"another life", DEADLINE, |said| {
        (said["generation"].as_u64() > Some(before) && said["word"] == "live").then_some(())
    });
    let status = job.caudal("status").output().unwrap();
    let status = String::from_utf8(status.stdout).unwrap();
    assert!(
        status.contains("process 1, 2 workers") && status.contains("committed"),
        "{status}"
    );
    job.await_positions(&send("12:09:20"));
    let refused = job.caudal("quarantine").output().unwrap();
    let refused = String::from_utf8(refused.stdout).unwrap();
    assert!(refused.contains("bad_decimal"), "{refused}");
    launch.stop();
    let status = job.caudal("status").output().unwrap();
    assert_eq!(status.status.code(), Some(3), "it has ended");

    let quiet = job_of_both();
    let running = Running::start(&quiet, 2);
    let half = count / 2;
    quiet.await_positions(&[half, half]);
    quiet.await_that("windows", DEADLINE, |job| job.rows("minutes").len() == 6);
    running.stop();
    for sink in ["rows", "refused", "minutes"] {
        let (killed, quiet) = (shown(&job, sink), shown(&quiet, sink));
        let at = killed.iter().zip(&quiet).find(|(a, b)| a != b);
        assert!(
            killed == quiet,
            "{sink}: {} and {} rows, {at:?}",
            killed.len(),
            quiet.len()
        );
    }
    let read = job.rows("rows").len() + job.rows("refused").len();
    assert_eq!(i64::try_from(read).unwrap(), count);
    // And nothing that the quiet one has in its state is in a folder.
    assert_eq!(names(&job.path("")), ["job.toml", "out"]);
    let mut own = names(&quiet.path("out/_caudal"));
    own.retain(|name| name != "state");
    assert_eq!(names(&job.path("out/_caudal")), own);
    assert!(quiet.path("out/_caudal/state/references/regions").exists());
}

#[test]
fn a_zombie_can_not_write_into_the_bucket() {
    let (Some(broker), Some(bucket)) = (Broker::shared(), Bucket::start()) else {
        return;
    };
    let topic = broker.topic("bucket-zombie", 1);
    let send = |id| broker.send(&topic, [sale(0, id, &at("12:00:10"), "1.00")]);
    let job = bucket.job(broker, &topic);
    send(0);
    let mut old = Running::start(&job, 1);
    job.await_positions(&[1]);
    old.signal("-STOP");
    send(1);
    let new = Running::start(&job, 2);
    job.await_positions(&[2]);
    old.signal("-CONT");
    send(2);
    old.ends_with(3, &["generation 2 has taken over"]);
    job.await_positions(&[3]);
    new.stop();
    assert_eq!(numbers(&job.rows("rows"), "id"), [0, 1, 2]);
}

#[test]
fn who_is_told_to_end_does_not_wait_for_a_bucket_that_does_not_answer() {
    let (Some(broker), Some(bucket)) = (Broker::shared(), Bucket::start()) else {
        return;
    };
    let topic = broker.topic("bucket-hangs", 1);
    let job = bucket.job(broker, &topic);
    broker.send(&topic, [sale(0, 0, &at("12:00:10"), "1.00")]);
    let mut running = Running::start(&job, 1);
    job.await_positions(&[1]);
    bucket.tell("pause");
    broker.send(&topic, [sale(0, 1, &at("12:00:20"), "1.00")]);
    let since = Instant::now();
    // First it would commit what it has; then it is to end as it is.
    running.signal("-INT");
    running.signal("-INT");
    running.ends_with(130, &[]);
    assert!(since.elapsed() < Duration::from_secs(10), "{since:?}");
    bucket.tell("resume");
    let running = Running::start(&job, 1);
    job.await_positions(&[2]);
    running.stop();
    assert_eq!(numbers(&job.rows("rows"), "id"), [0, 1]);
}

#[test]
fn what_is_wrong_with_a_bucket_is_said() {
    let (Some(broker), Some(bucket)) = (Broker::shared(), Bucket::start()) else {
        return;
    };
    let topic = broker.topic("bucket-wrong", 1);
    let job = bucket.job(broker, &topic);
    let ends = |from: &str, to: &str, words: &[&str]| {
        let text = std::fs::read_to_string(job.path("job.toml")).unwrap();
        job.rewrite(|text| text.replace(from, to));
        let mut running = Running::start_only(&job, 1);
        running.ends_with(3, words);
        let told = running.told().to_owned();
        assert!(
            !told.contains(&bucket.secret) && !told.contains("geheim"),
            "{told}"
        );
        job.rewrite(|_| text.clone());
    };
    let secret = bucket.secret.as_str();
    ends(
        secret,
        "geheim",
        &["was refused", "access_key_id and secret_access_key"],
    );
    ends(
        "s3://caudal-test",
        "s3://caudal-tset",
        &["there is no bucket caudal-tset"],
    );
    let away = format!("endpoint = \"{}\"", bucket.endpoint);
    job.rewrite(|text| text.replace("join_timeout = \"20 s\"", "join_timeout = \"1 s\""));
    ends(
        &away,
        "endpoint = \"http://127.0.0.1:9\"",
        &[
            "s3://caudal-test/jobs/",
            "putting an object failed for ",
            "Connection refused",
        ],
    );
}

#[test]
fn what_a_topic_does_not_take_is_held_in_the_bucket() {
    let (Some(bucket), Some(broker)) = (Bucket::start(), Broker::start(&[])) else {
        return;
    };
    let job = held::job(&broker, "exactly_once", "1 GiB");
    bucket.keeps_state(&job);
    held::add(&job, 0..100);
    let running = Running::start(&job, 2);
    held::await_once(&job, &broker, 100);
    broker.pause(1);
    held::add(&job, 100..200);
    held::await_held(&job);
    running.kill();
    let running = Running::start(&job, 1);
    held::add(&job, 200..300);
    held::await_held(&job);
    broker.resume(1);
    held::await_once(&job, &broker, 300);
    running.stop();
}
