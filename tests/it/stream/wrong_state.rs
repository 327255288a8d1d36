//! State that is not what it should be is told before anything is written, with the exit code of the world.

use std::fs;

use serde_json::json;

use super::job::{DEADLINE, Job, Running};
use super::{at, numbers, sale};
use crate::kafka::broker::Broker;
use crate::kafka::messages::Sent;

/// A job that has committed a few times, and was stopped; `None` where there is no Kafka.
fn stopped(name: &str) -> Option<Job> {
    let broker = Broker::shared()?;
    let topic = broker.topic(name, 1);
    let job = Job::new(broker, &topic);
    let running = Running::start(&job, 1);
    for id in 0..3 {
        broker.send(&topic, [sale(0, id, &at("12:00:00"), "1.00")]);
        job.await_positions(&[id + 1]);
    }
    running.stop();
    Some(job)
}

#[test]
fn a_journal_of_a_newer_version_is_left_alone() {
    let Some(job) = stopped("newer") else { return };
    job.change_newest_record(|text| text.replace("\"format\":1,", "\"format\":2,"));
    let words = [
        "has format 2",
        "expected: format 1 or an older one",
        "now: nothing was changed",
        "the version of caudal that wrote it, or a newer one",
    ];
    Running::start_only(&job, 1).ends_with(3, &words);
    let epochs = job.caudal("epochs").output().unwrap();
    assert_eq!(epochs.status.code(), Some(3));
    job.change_newest_record(|text| text.replace("\"format\":2,", "\"format\":1,"));
    Running::start(&job, 1).stop();
    assert_eq!(numbers(&job.rows("rows"), "id"), [0, 1, 2]);
}

#[test]
fn a_journal_with_a_hole_or_a_broken_record_is_left_alone() {
    let Some(job) = stopped("hole") else { return };
    job.change_newest_record(|text| text[..text.len() / 2].to_owned());
    let words = ["can't be read", "restore the state folder as it was, whole"];
    Running::start_only(&job, 1).ends_with(3, &words);
    job.remove_some_record();
    let words = ["is not there, but", "every record from the base on"];
    Running::start_only(&job, 1).ends_with(3, &words);
}

#[test]
fn checkpoints_that_are_all_broken_are_no_place_to_go_on_from() {
    let Some(job) = stopped("all-broken") else {
        return;
    };
    job.break_all_state();
    let words = [
        "none of ",
        "checkpoints can be gone on from",
        "what was committed stays visible",
    ];
    Running::start_only(&job, 1).ends_with(3, &words);
    assert_eq!(numbers(&job.rows("rows"), "id"), [0, 1, 2]);
}

#[test]
fn a_job_that_has_no_checkpoint_apart_yet_begins_anew_where_all_are_broken() {
    let Some(broker) = Broker::shared() else {
        return;
    };
    let topic = broker.topic("first-broken", 1);
    let job = Job::new(broker, &topic);
    let of_region = |id: i64| {
        let region = format!("r{}", id % 60);
        let value = json!({ "id": id, "ts": at("12:00:00"), "region": region, "amount": "1.00" });
        Sent::value(0, value.to_string())
    };
    broker.send(&topic, (0..60).map(of_region));
    let running = Running::start(&job, 1);
    // What is whole is written once, and two changes behind it.
    for id in 60..63 {
        job.await_positions(&[id]);
        broker.send(&topic, [of_region(id)]);
    }
    job.await_positions(&[63]);
    running.stop();
    assert!(job.history().checkpoints[0].is_alone);
    job.break_all_state();
    let running = Running::start(&job, 1);
    broker.send(&topic, [of_region(63)]);
    job.await_positions(&[64]);
    assert_eq!(running.stop()["rows"]["in"], 64);
    let all: Vec<i64> = (0..64).collect();
    assert_eq!(numbers(&job.rows("rows"), "id"), all);
}

#[test]
fn a_crash_between_the_first_checkpoint_and_its_commit_costs_a_replay() {
    let Some(broker) = Broker::shared() else {
        return;
    };
    let topic = broker.topic("between", 1);
    broker.send(
        &topic,
        (0..5).map(|id| sale(0, id, &at("12:00:00"), "1.00")),
    );
    let job = Job::with(broker, &topic, |text| {
        text.replace("checkpoint = \"100 ms\"", "checkpoint = \"1 hour\"")
    });
    for life in 0..2 {
        let running = Running::start(&job, 1);
        job.find(&"bound", DEADLINE, |said| {
            let is_bound = said["now"]["partitions"][0]["bound"] == 5;
            (is_bound && said["word"] == "live").then_some(())
        });
        // A commit, and the only one of this life.
        running.stop();
        if life == 0 {
            job.take_back_newest_commit();
            assert!(job.rows("rows").is_empty());
        }
    }
    assert_eq!(numbers(&job.rows("rows"), "id"), [0, 1, 2, 3, 4]);
}

#[test]
fn one_state_is_one_jobs() {
    let Some(job) = stopped("one-state") else {
        return;
    };
    let text = fs::read_to_string(job.path("job.toml")).unwrap();
    let state = job.path("out/_caudal/state");
    let elsewhere = job.path("state");
    fs::rename(&state, &elsewhere).unwrap();
    let with_state = |text: &str| {
        text.replace(
            "output = ",
            &format!("state = {:?}\noutput = ", elsewhere.to_str().unwrap()),
        )
    };
    // Where it stands now is no difference.
    job.rewrite(|text| with_state(&text));
    Running::start(&job, 1).stop();
    // Another job that is told the same state.
    job.rewrite(|text| {
        text.replace("name = \"sales\"", "name = \"returns\"")
            .replace("\"out\"", "\"other\"")
    });
    let words = [
        "job.name was \"sales\" and is \"returns\"",
        "another state and output",
    ];
    Running::start_only(&job, 1).ends_with(2, &words);
    // The same file in another folder: another output, by the same words.
    let copy = job.path("copy");
    fs::create_dir(&copy).unwrap();
    fs::write(copy.join("job.toml"), with_state(&text)).unwrap();
    let run = std::process::Command::new(env!("CARGO_BIN_EXE_caudal"))
        .args(["run", "job.toml", "--quiet"])
        .current_dir(&copy)
        .output()
        .unwrap();
    let told = String::from_utf8(run.stderr).unwrap();
    assert_eq!(run.status.code(), Some(3), "{told}");
    assert!(
        told.contains("the journal tells of commits, but "),
        "{told}"
    );
    assert!(told.contains("one state for each output"), "{told}");
    job.rewrite(|_| with_state(&text));
    Running::start(&job, 1).stop();
    assert_eq!(numbers(&job.rows("rows"), "id"), [0, 1, 2]);
}
