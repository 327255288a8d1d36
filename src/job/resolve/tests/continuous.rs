//! Jobs without an end: what they resolve to.

mod alerts;
mod faults;
mod topics;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::plan;
use crate::job::plan::*;

/// A small continuous job.
const JOB: &str = r#"
format = 1

[job]
name = "ventas"
output = "../out/ventas"

[sources.sales]
event_time = "ts"
kafka = { brokers = "kafka-1", topics = ["ventas", "devoluciones"] }
json = {}
[sources.sales.columns]
sale_id = "bigint not null"
ts = "timestamp not null"
amount = "decimal(12,2)"
region_id = "int"

[derive]
age = "cast(extract(epoch from now() - ts) as bigint)"

[windows.minute]
length = "1 minute"
[windows.minute.statistics]
rows = "count(*)"
oldest = "max(age)"

[checks.region_known]
window = "minute"
completeness = { column = "region_id" }

[sinks.rows]
files = { path = "rows" }
parquet = {}

[sinks.refused]
from = "refused"
stdout = {}
json = {}
"#;

/// [`JOB`] with one text changed, which it has once.
fn changed(from: &str, to: &str) -> String {
    assert_eq!(JOB.matches(from).count(), 1, "{from:?}");
    JOB.replace(from, to)
}

fn kafka(plan: &Plan) -> &KafkaSource {
    match &plan.sources[0].transport {
        Transport::Kafka(kafka) => kafka,
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_source_without_an_end_makes_a_continuous_job_and_everything_has_its_default() {
    let plan = plan(JOB);
    assert_eq!(
        plan.continuous,
        Some(Continuous {
            state: StatePlace::Folder("jobs/../out/ventas/_caudal/state".into()),
            epoch: Duration::from_secs(1),
            checkpoint: Duration::from_secs(10),
            max_parked: 100_000,
            verdict_history: true,
        })
    );
    assert_eq!(
        *kafka(&plan),
        KafkaSource {
            brokers: "kafka-1:9092".to_owned(),
            topics: Topics::Named(vec!["ventas".to_owned(), "devoluciones".to_owned()]),
            start: KafkaStart::Earliest,
            on_data_loss: OnDataLoss::Stop,
            group: None,
            options: BTreeMap::new(),
        }
    );
    assert_eq!(plan.sources[0].arrival, Arrival::default());
    assert!(
        matches!(&plan.sources[0].format, Format::Json(options) if *options == JsonOptions::default())
    );
    assert_eq!(
        format!("{}", plan.max_refused),
        "1",
        "there is no share of rows without an end"
    );
}

#[test]
fn all_that_a_continuous_job_says_is_in_the_plan() {
    let text = changed("output =", "state = \"../state/ventas\"\nepoch = \"250 ms\"\ncheckpoint = \"1 minute\"\noutput =")
        .replace("event_time = \"ts\"\n", "event_time = \"ts\"\ndisorder = \"0 s\"\nmax_future = \"1 day\"\nidle_after = \"90 s\"\n")
        .replace("{ brokers = \"kafka-1\", topics = [\"ventas\", \"devoluciones\"] }", "{ brokers = \" kafka-1:9093, [::1]:1 ,[::1],10.0.0.1\", topic_pattern = \"ventas-.*\", start = { \"ventas-es/0\" = 17, \"ventas-es/10\" = 0 }, on_data_loss = \"earliest\", group = \"caudal-ventas\", options = { \"security.protocol\" = \"SASL_SSL\", \"isolation.level\" = \"read_committed\" } }")
        .replace("region_id = \"int\"", "region_id = \"int\"\n\"key\" = { type = \"varchar\", kafka = \"key\", reason = \"no_key\" }\nh = { type = \"varchar\", kafka = \"headers\" }\nt = { type = \"varchar not null\", kafka = \"topic\" }\np = { type = \"int\", kafka = \"partition\" }\no = { type = \"bigint\", kafka = \"offset\" }\nat = { type = \"timestamp\", kafka = \"timestamp\" }\nin_record = { type = \"varchar\", header = \"key\" }");
    let plan = plan(&text);
    assert_eq!(
        plan.continuous,
        Some(Continuous {
            state: StatePlace::Folder("jobs/../state/ventas".into()),
            epoch: Duration::from_millis(250),
            checkpoint: Duration::from_mins(1),
            max_parked: 100_000,
            verdict_history: true,
        })
    );
    let offset = |partition, offset| (("ventas-es".to_owned(), partition), offset);
    let option = |name: &str, value: &str| (name.to_owned(), value.to_owned());
    assert_eq!(
        *kafka(&plan),
        KafkaSource {
            brokers: "kafka-1:9093,[::1]:1,[::1]:9092,10.0.0.1:9092".to_owned(),
            topics: Topics::Pattern("ventas-.*".to_owned()),
            start: KafkaStart::Offsets(BTreeMap::from([offset(0, 17), offset(10, 0)])),
            on_data_loss: OnDataLoss::Earliest,
            group: Some("caudal-ventas".to_owned()),
            options: BTreeMap::from([
                option("security.protocol", "SASL_SSL"),
                option("isolation.level", "read_committed"),
            ]),
        }
    );
    assert_eq!(
        plan.sources[0].arrival,
        Arrival {
            disorder: Duration::ZERO,
            max_future: Duration::from_hours(24),
            idle_after: Duration::from_secs(90),
        }
    );
    let metadata: Vec<_> = plan.sources[0].columns[4..]
        .iter()
        .map(|column| column.metadata)
        .collect();
    assert_eq!(
        metadata,
        [
            Some(Metadata::Key),
            Some(Metadata::Headers),
            Some(Metadata::Topic),
            Some(Metadata::Partition),
            Some(Metadata::Offset),
            Some(Metadata::Timestamp),
            None,
        ]
    );
    let at = &plan.sources[0].columns[9];
    assert_eq!(
        at.notation.range, None,
        "what the broker says is taken as it is"
    );
}

#[test]
fn partitions_are_begun_by_word_time_or_offset() {
    for (start, expected) in [
        ("earliest", KafkaStart::Earliest),
        ("latest", KafkaStart::Latest),
        ("1970-01-01T00:00:00Z", KafkaStart::Time(0)),
        (
            "2026-03-14T01:00:00.5+01:00",
            KafkaStart::Time(1_773_446_400_500),
        ),
        ("2026-03-14", KafkaStart::Time(1_773_446_400_000)),
        // The first message not before it is not before the next millisecond.
        (
            "2026-03-14T00:00:00.000001Z",
            KafkaStart::Time(1_773_446_400_001),
        ),
    ] {
        let plan = plan(&changed(
            "topics =",
            &format!("start = \"{start}\", topics ="),
        ));
        assert_eq!(kafka(&plan).start, expected, "{start}");
    }
}

#[test]
fn a_checkpoint_is_as_long_as_a_long_epoch() {
    let plan = plan(&changed("output =", "epoch = \"1 hour\"\noutput ="));
    let continuous = plan.continuous.unwrap();
    assert_eq!(continuous.checkpoint, continuous.epoch);
}

#[test]
fn a_state_may_stand_beside_the_output_and_in_its_own_place() {
    for state in [
        "../state",
        "../out",
        "../out/ventas-state",
        "../out/ventas/_caudal/state",
        "../out/ventas/_caudal/state/x",
        "/var/caudal",
    ] {
        let plan = plan(&changed(
            "output =",
            &format!("state = \"{state}\"\noutput ="),
        ));
        assert_eq!(
            plan.continuous.unwrap().state,
            StatePlace::Folder(Path::new("jobs").join(state))
        );
    }
}

#[test]
fn a_state_may_stand_in_a_bucket_and_its_secrets_are_not_shown() {
    for (state, bucket, prefix, shown) in [
        ("s3://ventas", "ventas", "", "s3://ventas"),
        ("s3://ventas/", "ventas", "", "s3://ventas"),
        (
            "s3://a.b-c/state/of ventas/",
            "a.b-c",
            "state/of ventas",
            "s3://a.b-c/state/of ventas",
        ),
    ] {
        let options = "state_options = { endpoint = \"http://127.0.0.1:9000\", secret_access_key = \"geheim\" }";
        let text = format!("state = \"{state}\"\n{options}\noutput =");
        let plan = plan(&changed("output =", &text));
        let StatePlace::Bucket(found) = plan.continuous.unwrap().state else {
            panic!("{state} is no bucket");
        };
        assert_eq!(
            (found.bucket.as_str(), found.prefix.as_str()),
            (bucket, prefix)
        );
        assert_eq!(found.to_string(), shown);
        assert_eq!(found.options["secret_access_key"], "geheim");
        let debug = format!("{found:?}");
        assert!(
            debug.contains("127.0.0.1") && !debug.contains("geheim"),
            "{debug}"
        );
    }
}

#[test]
fn without_windows_no_event_time_is_needed() {
    let text = &JOB[..JOB.find("[derive]").unwrap()];
    let sinks = &JOB[JOB.find("[sinks.rows]").unwrap()..];
    let plan = plan(&format!("{text}{sinks}").replace("event_time = \"ts\"\n", ""));
    assert_eq!(plan.sources[0].event_time, None);
}

#[test]
fn patterns_of_topics_match_whole_names() {
    let pattern = Topics::whole_name("ventas|ventas-.*").unwrap();
    for (topic, matches) in [
        ("ventas", true),
        ("ventas-es", true),
        ("ventas2", false),
        ("mis-ventas", false),
    ] {
        assert_eq!(pattern.is_match(topic), matches, "{topic}");
    }
    assert!(Topics::whole_name("a)|(b").is_err());
}

#[test]
fn files_that_go_on_make_a_job_continuous() {
    let files = "files = { paths = [\"in/*.csv\"], follow = true, complete_after = \"1 minute\" }\ncsv = {}";
    let before =
        "kafka = { brokers = \"kafka-1\", topics = [\"ventas\", \"devoluciones\"] }\njson = {}";
    let plan = plan(&changed(before, files));
    assert!(plan.continuous.is_some());
    let Transport::Follow(follow) = &plan.sources[0].transport else {
        panic!("{:?}", plan.sources[0].transport);
    };
    let wanted = FollowSource {
        paths: vec![PathBuf::from("jobs/in/*.csv")],
        complete_after: Some(Duration::from_mins(1)),
        on_data_loss: OnDataLoss::Stop,
        reads_copies: false,
    };
    assert_eq!(*follow, wanted);
}
