//! `caudal quarantine` on a continuous job: what all its commits refused.

use std::fs;
use std::process::Output;

use super::job::{Job, Running};
use super::{at, sale};
use crate::kafka::broker::Broker;
use crate::kafka::messages::Sent;

fn told(output: &Output) -> String {
    let text = [&output.stdout[..], &output.stderr[..]].concat();
    String::from_utf8(text).unwrap()
}

#[test]
fn refused_rows_of_all_commits_are_counted_shown_and_exported() {
    let Some(broker) = Broker::shared() else {
        return;
    };
    let topic = broker.topic("refused", 2);
    let job = Job::new(broker, &topic);
    let quarantine = |words: &[&str]| {
        let output = job.caudal("quarantine").args(words).output().unwrap();
        (output.status.code(), told(&output))
    };
    let (code, words) = quarantine(&[]);
    assert_eq!(code, Some(3), "{words}");
    assert!(
        words.contains("nothing of this job is committed"),
        "{words}"
    );
    let bad = |partition, id| sale(partition, id, &at("12:00:00"), "dear");
    broker.send(&topic, [bad(0, 1), sale(0, 2, &at("12:00:00"), "1.00")]);
    let running = Running::start(&job, 2);
    job.await_positions(&[2, 0]);
    broker.send(&topic, [Sent::value(1, "{\"id\": 3"), bad(1, 4)]);
    job.await_positions(&[2, 2]);
    // While it runs, and numbers stay what they are.
    let (code, before) = quarantine(&["--reason", "bad_decimal"]);
    assert_eq!(code, Some(0), "{before}");
    let first = format!("#1  {topic}/0 offset 0: {{\"id\":1,");
    assert!(before.starts_with(&first), "{before}");
    running.stop();
    broker.send(&topic, [bad(0, 5)]);
    let running = Running::start(&job, 1);
    job.await_positions(&[3, 2]);
    running.stop();
    let (_, after) = quarantine(&["--reason", "bad_decimal"]);
    assert!(after.starts_with(&before), "{after}");
    assert_eq!(after.lines().count(), 3, "{after}");
    let (code, words) = quarantine(&[]);
    assert_eq!(code, Some(0), "{words}");
    let lines: Vec<&str> = words.lines().collect();
    assert!(
        lines[0].starts_with("sales: 4 rows refused by all commits up to epoch "),
        "{words}"
    );
    assert!(lines[1].ends_with("        3  bad_decimal"), "{words}");
    assert!(lines[2].contains(&first), "{words}");
    assert!(lines[3].ends_with("        1  invalid_json"), "{words}");
    // By its number, or by where the message stands.
    let (_, by_place) = quarantine(&["--row", &format!("{topic}/0:2")]);
    let (_, by_number) = quarantine(&["--row", "4"]);
    assert_eq!(by_place, by_number);
    assert!(
        by_place.starts_with("row 4 of 4\n  source   sales\n"),
        "{by_place}"
    );
    assert!(by_place.contains("\"amount\":\"dear\""), "{by_place}");
    let (code, words) = quarantine(&["--row", &format!("{topic}/0:1")]);
    assert_eq!(code, Some(2), "{words}");
    assert!(words.contains("a number from 1 to 4"), "{words}");
    let (code, words) = quarantine(&["--reason", "bad_decimals"]);
    assert_eq!(code, Some(2), "{words}");
    assert!(words.contains("did you mean \"bad_decimal\"?"), "{words}");
    let csv = job.path("refused.csv");
    let (code, words) = quarantine(&["--export", csv.to_str().unwrap()]);
    assert_eq!(code, Some(0), "{words}");
    let text = fs::read_to_string(&csv).unwrap();
    assert_eq!(text.lines().count(), 5, "{text}");
    assert!(
        text.contains(&format!("\n4,sales,{topic}/0,0,2,bad_decimal,")),
        "{text}"
    );
    // A file that was taken away is told, and the others are there.
    let folder = job.path("out/_caudal/quarantine");
    let files = fs::read_dir(folder).unwrap();
    let oldest = files.map(|entry| entry.unwrap().path()).min().unwrap();
    fs::remove_file(&oldest).unwrap();
    let (code, words) = quarantine(&[]);
    assert_eq!(code, Some(0), "{words}");
    assert!(words.contains("it was taken away with"), "{words}");
    assert!(
        words.contains("sales: 3 rows refused") || words.contains("sales: 2 rows refused"),
        "{words}"
    );
    // They are not fed again, and the reason is told.
    let replay = job.caudal("run").arg("--replay").output().unwrap();
    assert_eq!(replay.status.code(), Some(2));
    assert!(told(&replay).contains("send them to the topic again"));
}
