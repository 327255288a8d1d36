//! Look-ups that change while a continuous job runs: topics, replaced files, and what a replay sees of them.

use std::fmt::Write;
use std::fs;
use std::time::Duration;

use serde_json::{Value, json};

use super::job::{Job, Running};
use super::{at, sale, texts};
use crate::kafka::broker::Broker;
use crate::kafka::messages::Sent;
use crate::tables::{Cell, Row};

/// How long a change may take to act.
const PATIENCE: Duration = Duration::from_mins(1);

/// A message of a reference topic.
pub(super) fn reference(key: Option<&str>, value: Option<Value>) -> Sent {
    Sent {
        key: key.map(|key| key.as_bytes().to_vec()),
        value: value.map(|value| value.to_string().into_bytes()),
        ..Sent::default()
    }
}

/// A job whose sales meet regions.
fn job(broker: &Broker, sales: &str, transport: &str, more: &str) -> Job {
    let lookup = format!(
        "[lookups.regions]\non = {{ code = \"sales.region\" }}\nmissing = {{ then = \"null\" }}\n{transport}\n{more}\n\
         [lookups.regions.columns]\ncode = \"varchar not null\"\nname = \"varchar\"\nts = \"int\"\n[windows.minute]"
    );
    let transport = lookup.replace("BROKERS", broker.addresses());
    Job::with(broker, sales, |text| {
        text.replacen("[windows.minute]", &transport, 1)
    })
}

/// The same, with the regions in a topic.
pub(crate) fn over_topic(
    broker: &Broker,
    sales: &str,
    regions: &str,
    format: &str,
    more: &str,
) -> Job {
    let transport =
        format!("kafka = {{ brokers = \"BROKERS\", topics = [\"{regions}\"] }}\n{format} = {{}}");
    job(broker, sales, &transport, more)
}

/// A region as a message of a topic.
pub(crate) fn region(code: &str, name: &str, ts: i64) -> Sent {
    let row = json!({ "code": code, "name": name, "ts": ts });
    reference(Some(code), Some(row))
}

/// The regions' names that sales met, by the sale's id.
pub(super) fn names(job: &Job) -> Vec<(i64, String)> {
    let name = |row: &Row| match &row["name"] {
        Cell::Text(name) => name.clone(),
        _ => "-".to_owned(),
    };
    let id = |row: &Row| match &row["id"] {
        Cell::Whole(id) => i64::try_from(*id).unwrap(),
        other => panic!("{other:?}"),
    };
    let rows = job.rows("rows");
    let mut names: Vec<(i64, String)> = rows.iter().map(|row| (id(row), name(row))).collect();
    names.sort();
    names
}

/// Sends sales of a region until one meets this name; ids from `first` on.
pub(super) fn sell_until(
    broker: &Broker,
    job: &Job,
    topic: &str,
    region: &str,
    first: i64,
    name: &str,
) {
    let ts = at("12:00:00");
    let mut id = first;
    loop {
        let value = json!({ "id": id, "ts": ts, "region": region, "amount": "1.00" });
        broker.send(topic, [Sent::value(0, value.to_string())]);
        job.await_that("a sale is missing", PATIENCE, |job| {
            names(job).iter().any(|(seen, _)| *seen == id)
        });
        let met = names(job);
        let (_, met) = met.iter().find(|(seen, _)| *seen == id).unwrap();
        if met == name {
            return;
        }
        id += 1;
        assert!(
            id < first + 1000,
            "sales of {region} meet {met}, not {name}"
        );
    }
}

/// O40: the offset decides, and one row is what comes of both.
#[test]
fn two_updates_of_a_key_in_one_epoch_are_one_row() {
    let Some(broker) = Broker::shared() else {
        return;
    };
    let sales = broker.topic("sales", 1);
    let regions = broker.topic("regions", 1);
    broker.send(&regions, [region("S", "South", 1)]);
    let job = over_topic(
        broker,
        &sales,
        &regions,
        "json",
        "duplicates = \"newest\"\norder_by = \"ts\"",
    );
    let running = Running::start(&job, 2);
    sell_until(broker, &job, &sales, "S", 1, "South");
    let changes = || -> f64 {
        let changes = job.metric("caudal_lookup_reference_changes_total");
        changes.iter().sum()
    };
    let before = changes();
    // Both can be seen from one moment on.
    let both = broker.transaction("caudal-two-updates");
    both.send(
        &regions,
        [region("N", "North", 1), region("N", "Nordic", 1)],
    );
    both.commit().unwrap();
    sell_until(broker, &job, &sales, "N", 100, "Nordic");
    assert_eq!(changes().to_bits(), (before + 1.0).to_bits());
    running.stop();
    assert!(!texts(&job.rows("rows"), "name").contains(&"North".to_owned()));
}

/// Cases O37, O38 and O39 in one topic; each of them in every order is in `updates`.
#[test]
fn a_compacted_topic_is_a_table() {
    let Some(broker) = Broker::shared() else {
        return;
    };
    let sales = broker.topic("sales", 1);
    let regions = broker.topic("regions", 1);
    // An update that is older than what is known, a key that goes, one without a key, one that can't be read, two in one batch.
    broker.send(
        &regions,
        [
            region("S", "South", 1),
            region("S", "Iberia", 3),
            region("S", "South-old", 2),
            region("W", "West", 1),
            reference(Some("W"), None),
            reference(None, Some(json!({ "code": "X", "name": "?" }))),
            reference(
                Some("Y"),
                Some(json!({ "code": "Y", "name": "?", "ts": "late" })),
            ),
            region("N", "North", 1),
            region("N", "Nordic", 1),
        ],
    );
    let job = over_topic(
        broker,
        &sales,
        &regions,
        "json",
        "duplicates = \"newest\"\norder_by = \"ts\"",
    );
    let running = Running::start(&job, 2);
    let codes = ["S", "W", "X", "Y", "N"];
    let each = codes.iter().zip(1..);
    broker.send(
        &sales,
        each.map(|(code, id)| {
            let value = json!({ "id": id, "ts": at("12:00:00"), "region": code, "amount": "1.00" });
            Sent::value(0, value.to_string())
        }),
    );
    job.await_rows(5);
    let expected = [(1, "Iberia"), (2, "-"), (3, "-"), (4, "-"), (5, "Nordic")];
    assert_eq!(
        names(&job),
        expected.map(|(id, name)| (id, name.to_owned()))
    );

    // What comes while the job runs acts on later sales, and on no earlier one.
    broker.send(
        &regions,
        [region("W", "Western", 4), region("S", "older", 2)],
    );
    sell_until(broker, &job, &sales, "W", 100, "Western");
    broker.send(&regions, [reference(Some("S"), None)]);
    sell_until(broker, &job, &sales, "S", 2000, "-");
    assert_eq!(
        names(&job)[..5],
        expected.map(|(id, name)| (id, name.to_owned()))
    );
    running.stop();

    // What happened while nobody looked.
    broker.send(
        &regions,
        [region("S", "South again", 9), reference(Some("N"), None)],
    );
    let running = Running::start(&job, 3);
    sell_until(broker, &job, &sales, "S", 4000, "South again");
    sell_until(broker, &job, &sales, "N", 6000, "-");
    running.stop();
    assert!(!texts(&job.rows("rows"), "name").contains(&"older".to_owned()));
}

/// Waits until so many rows wait, of all workers.
fn await_parked(job: &Job, rows: u32) {
    job.await_that("rows are not parked", PATIENCE, |job| {
        let values = job.metric("caudal_validate_parked_rows");
        !values.is_empty() && (values.iter().sum::<f64>() - f64::from(rows)).abs() < 0.5
    });
}

/// Case O44.
#[test]
fn rows_wait_for_the_row_that_they_miss_and_no_longer_than_they_may() {
    let Some(broker) = Broker::shared() else {
        return;
    };
    let sales = broker.topic("sales", 2);
    let regions = broker.topic("regions", 1);
    let job = over_topic(broker, &sales, &regions, "json", "");
    job.rewrite(|text| {
        text.replace(
            "missing = { then = \"null\" }",
            "missing = { then = \"wait\", for = \"1 hour\", reason = \"no_region\" }",
        )
        .replace(
            "region = \"varchar not null\"",
            "region = \"varchar\"\nwhere = { type = \"varchar\", kafka = \"key\" }",
        )
    });
    let sell = |partition: i32, id: i64, region: Option<&str>, amount: &str| {
        // Of several lines, as well.
        let value = json!({ "id": id, "ts": at("12:00:00"), "region": region, "amount": amount });
        let value = if id % 2 == 0 {
            format!("{value:#}")
        } else {
            value.to_string()
        };
        let sent = Sent {
            partition,
            key: Some(format!("key{id}").into_bytes()),
            value: Some(value.into_bytes()),
            ..Sent::default()
        };
        broker.send(&sales, [sent]);
    };
    let running = Running::start(&job, 2);
    for id in 0..6 {
        sell(i32::try_from(id % 2).unwrap(), id, Some("S"), "1.00");
    }
    sell(0, 6, Some("W"), "1.00");
    // One that nothing can ever equal, and one that has another fault: no use to wait.
    sell(0, 7, None, "1.00");
    sell(1, 8, Some("S"), "much");
    await_parked(&job, 7);
    job.await_that("two are refused", PATIENCE, |job| {
        job.rows("refused").len() == 2
    });
    assert!(names(&job).is_empty(), "{:?}", names(&job));
    broker.send(&regions, [region("S", "South", 1)]);
    job.await_rows(6);
    await_parked(&job, 1);
    running.stop();

    // The last one waits on, whoever runs the job, and is a row when its own comes.
    let running = Running::start(&job, 3);
    await_parked(&job, 1);
    broker.send(&regions, [region("E", "East", 1)]);
    sell(0, 9, Some("E"), "1.00");
    job.await_rows(7);
    await_parked(&job, 1);
    broker.send(&regions, [region("W", "West", 1)]);
    job.await_rows(8);
    await_parked(&job, 0);
    let summary = running.stop();
    assert_eq!(
        summary["rows"],
        json!({ "in": 10, "clean": 8, "refused": 2, "dropped": 0, "parked": 0, "replayed": 0 })
    );
    let expected = (0..6)
        .map(|id| (id, "South"))
        .chain([(6, "West"), (9, "East")]);
    let expected: Vec<(i64, String)> = expected.map(|(id, name)| (id, name.to_owned())).collect();
    assert_eq!(names(&job), expected);
    let keys = texts(&job.rows("rows"), "where");
    assert_eq!(
        keys,
        [
            "key0", "key1", "key2", "key3", "key4", "key5", "key6", "key9"
        ]
    );
    assert_eq!(
        texts(&job.rows("refused"), "reason"),
        ["bad_decimal", "no_region"]
    );
}

#[test]
fn a_row_that_has_waited_long_enough_is_refused_and_so_are_too_many() {
    let Some(broker) = Broker::shared() else {
        return;
    };
    let sales = broker.topic("sales", 1);
    let regions = broker.topic("regions", 1);
    let job = over_topic(broker, &sales, &regions, "json", "");
    let wait = |text: String, patience: &str| {
        text.replace(
            "missing = { then = \"null\" }",
            &format!("missing = {{ then = \"wait\", for = \"{patience}\" }}"),
        )
        .replace("epoch = \"20 ms\"", "epoch = \"20 ms\"\nmax_parked = 2")
    };
    job.rewrite(|text| wait(text, "3 seconds"));
    let running = Running::start(&job, 2);
    let sell = |id: i64| {
        broker.send(&sales, [sale(0, id, &at("12:00:00"), "1.00")]);
    };
    for id in 0..2 {
        sell(id);
        await_parked(&job, u32::try_from(id).unwrap() + 1);
    }
    // Both count when two more epochs have passed; the next one is refused at once.
    job.await_epoch();
    job.await_epoch();
    job.await_epoch();
    sell(2);
    job.await_that("one is refused", PATIENCE, |job| {
        job.rows("refused").len() == 1
    });
    assert_eq!(job.rows("refused")[0]["id"], Cell::Text("2".to_owned()));
    job.await_that("all are refused", PATIENCE, |job| {
        job.rows("refused").len() == 3
    });
    assert_eq!(
        texts(&job.rows("refused"), "reason"),
        ["unknown_regions"; 3]
    );
    let summary = running.stop();
    assert_eq!(summary["rows"]["parked"], 0);
    assert_eq!(summary["rows"]["in"], 3);
}

#[test]
fn changes_of_a_database_are_a_table() {
    let Some(broker) = Broker::shared() else {
        return;
    };
    let sales = broker.topic("sales", 1);
    let regions = broker.topic("changes", 1);
    let row = |code: &str, name: &str| json!({ "code": code, "name": name, "ts": 1 });
    let change = |op: &str, lsn: u64, before: Value, after: Value| {
        let value = json!({ "op": op, "before": before, "after": after, "source": { "lsn": lsn } });
        reference(Some("{}"), Some(value))
    };
    let none = || Value::Null;
    broker.send(
        &regions,
        [
            change("r", 1, none(), row("S", "South")),
            change("r", 1, none(), row("W", "West")),
            change("u", 5, row("S", "South"), row("S", "Iberia")),
            // Told again by a connector that was started anew.
            change("u", 3, row("S", "South"), row("S", "South-old")),
            change("d", 6, json!({ "code": "W" }), none()),
            reference(Some("{}"), None),
        ],
    );
    let job = over_topic(
        broker,
        &sales,
        &regions,
        "debezium",
        "placement = \"partitioned\"",
    );
    let running = Running::start(&job, 3);
    sell_until(broker, &job, &sales, "S", 1, "Iberia");
    sell_until(broker, &job, &sales, "W", 10, "-");
    broker.send(&regions, [change("c", 7, none(), row("W", "Western"))]);
    sell_until(broker, &job, &sales, "W", 100, "Western");
    broker.send(&regions, [change("t", 8, none(), none())]);
    sell_until(broker, &job, &sales, "W", 2000, "-");
    sell_until(broker, &job, &sales, "S", 3000, "-");
    running.stop();
    assert_eq!(names(&job)[0].1, "Iberia", "no sale came before the table");
}

#[test]
fn a_replay_meets_the_rows_that_were_there_and_not_those_that_are() {
    replay_meets("replicated");
}

#[test]
fn a_replay_of_partitioned_rows_meets_them_too() {
    replay_meets("partitioned");
}

fn replay_meets(placement: &str) {
    let Some(broker) = Broker::shared() else {
        return;
    };
    let sales = broker.topic("sales", 1);
    let job = job(
        broker,
        &sales,
        "files = { paths = [\"regions.csv\"], follow = true }\ncsv = {}",
        &format!("placement = \"{placement}\""),
    );
    // Nothing is committed until the end: all of it is read again.
    job.rewrite(|text| text.replace("checkpoint = \"100 ms\"", "checkpoint = \"10 minutes\""));
    let write = |name: &str| {
        let new = job.file("regions.new");
        fs::write(&new, format!("code,name,ts\nN,{name},1\n")).unwrap();
        fs::rename(new, job.file("regions.csv")).unwrap();
    };
    write("first");
    let mut running = Running::start(&job, 1);
    for (id, (name, time)) in [
        ("first", "12:00:00"),
        ("second", "12:01:00"),
        ("third", "12:02:00"),
    ]
    .into_iter()
    .enumerate()
    {
        if id > 0 {
            let objects = job.objects("regions");
            write(name);
            job.await_that("the file is not read again", PATIENCE, |job| {
                job.objects("regions") > objects
            });
        }
        let watermark = job.said("watermark");
        broker.send(
            &sales,
            [sale(0, i64::try_from(id).unwrap(), &at(time), "1.00")],
        );
        // In the journal, where a replay finds it.
        job.await_that("the sale is not bound", PATIENCE, |job| {
            job.said("watermark") > watermark
        });
        if id == 1 {
            running.kill();
            running = Running::start(&job, 3);
        }
    }
    running.kill();
    write("fourth");
    let running = Running::start(&job, 2);
    running.stop();
    let expected = [(0, "first"), (1, "second"), (2, "third")];
    assert_eq!(
        names(&job),
        expected.map(|(id, name)| (id, name.to_owned()))
    );
}

/// Case O77: one bad row of a hundred, wherever it stands, costs itself, is told with its place and counted; when the file is mended it is
/// there, too, without anybody's help.
#[test]
fn a_file_that_can_not_be_read_changes_nothing_until_it_is_mended() {
    let Some(broker) = Broker::shared() else {
        return;
    };
    for (bad, workers) in [(0, 1), (50, 2), (99, 3)] {
        let sales = broker.topic("sales", 1);
        let job = job(
            broker,
            &sales,
            "files = { paths = [\"regions.csv\"], follow = true }\ncsv = {}",
            "",
        );
        let file = job.file("regions.csv");
        let rows = |is_bad: bool| {
            let mut text = "code,name,ts\n".to_owned();
            for number in 0..100 {
                let ts = if is_bad && number == bad { "x" } else { "1" };
                writeln!(text, "R{number},name{number},{ts}").unwrap();
            }
            text
        };
        let code = |number: usize| format!("R{number}");
        let name = |number: usize| format!("name{number}");
        let left_out = || -> f64 {
            let counted = job.metric("caudal_lookup_reference_left_out_total");
            counted.iter().sum()
        };
        // The others count at once.
        fs::write(&file, rows(true)).unwrap();
        let mut running = Running::start(&job, workers);
        let others = (0..100).filter(|number| *number != bad);
        for (number, first) in others
            .clone()
            .take(2)
            .chain(others.clone().next_back())
            .zip([1, 2, 3])
        {
            sell_until(broker, &job, &sales, &code(number), first, &name(number));
        }
        sell_until(broker, &job, &sales, &code(bad), 10, "-");
        assert!((left_out() - 1.0).abs() < 0.5, "{}", left_out());
        // Another life finds it as it was.
        let (_, told) = running.stop_and_tell();
        let place = format!("regions.csv line {} ", bad + 2);
        assert!(told.contains(&place), "{place}: {told}");
        running = Running::start(&job, 4 - workers);
        sell_until(broker, &job, &sales, &code(bad), 20, "-");
        // No header: not a file of this look-up, so all keep the rows they have.
        fs::write(&file, "nothing,of,it\n1,2,3\n").unwrap();
        job.await_metric("caudal_lookup_reference_failures_total", 1.0);
        sell_until(broker, &job, &sales, "R51", 100, "name51");
        fs::write(&file, rows(false)).unwrap();
        sell_until(broker, &job, &sales, &code(bad), 1000, &name(bad));
        running.stop();
    }
}
