//! What is said of faulty jobs without an end, and of jobs with one that ask for what only those without have.

use super::super::{changed as bounded, resolved};
use super::changed;

#[test]
fn every_fault_of_a_continuous_job_is_told_at_its_place() {
    assert_told("continuous", CONTINUOUS, changed);
}

#[test]
fn what_only_continuous_jobs_have_is_refused_elsewhere() {
    assert_told("bounded", BOUNDED, bounded);
}

#[test]
fn every_fault_of_a_topic_that_is_written_is_told_at_its_place() {
    assert_told("topics", TOPICS, super::topics::changed);
}

fn assert_told(name: &str, cases: &[(&str, &str)], changed: impl Fn(&str, &str) -> String) {
    let mut told = Vec::new();
    for (from, to) in cases {
        let problems = resolved(&changed(from, to)).expect_err(to);
        let (from, to) = (from.replace('\n', "\n    "), to.replace('\n', "\n    "));
        told.push(format!("--- {from}\n+++ {to}\n{problems}\n"));
    }
    insta::assert_snapshot!(name, told.join("\n").replace("jobs/ventas.toml:", ""));
}

#[test]
fn no_message_and_no_debug_text_shows_a_secret() {
    let secret = "hunter2";
    let with = |options: &str| {
        changed(
            "brokers = \"kafka-1\"",
            &format!("options = {options}, brokers = \"kafka-1\""),
        )
    };
    let options = format!(
        "{{ \"sasl.password\" = \"{secret}\", \"ssl.key.pem\" = \"{secret}\", \"sasl.username\" = \"caudal\" }}"
    );
    let plan = super::plan(&with(&options));
    let shown = format!("{plan:?}");
    assert!(
        shown.contains("caudal") && !shown.contains(secret),
        "{shown}"
    );
    assert_eq!(super::kafka(&plan).options["sasl.password"], secret);
    for options in [
        format!("{{ \"sasl.password\" = [\"{secret}\"] }}"),
        format!("{{ \"sasl.password\" = \"{secret}${{hunter2\" }}"),
        format!("{{ \"sasl.password\" = \"${{{secret}-}}\" }}"),
        format!("{{ sasl.password = \"{secret}\" }}"),
        format!("\"sasl.password={secret}\""),
        format!("{{ \"group.id\" = \"{secret}\", \"sasl.password\" = \"{secret}\" }}"),
    ] {
        let problems = resolved(&with(&options)).expect_err(&options);
        for told in [problems.to_string(), format!("{problems:?}")] {
            assert!(!told.contains(secret), "{options}: {told}");
        }
    }
    for number in ["4711", "47.5", "true"] {
        let problems = resolved(&with(&format!("{{ \"sasl.password\" = {number} }}"))).unwrap_err();
        assert!(!problems.to_string().contains(number), "{problems}");
    }
}

/// A text of the continuous job and what stands there instead.
const CONTINUOUS: &[(&str, &str)] = &[
    (
        "output =",
        "epoch = \"19 ms\"\ncheckpoint = \"25 hours\"\nstate = \" \"\noutput =",
    ),
    (
        "output =",
        "epoch = \"64 MiB\"\ncheckpoint = \"999 ms\"\nstate = \"gs://ventas/state\"\noutput =",
    ),
    (
        "output =",
        "state = \"s3:///state\"\nstate_options = { endpont = \"http://127.0.0.1:9000\", bucket = \"ventas\", conditional_put = \"disabled\" }\noutput =",
    ),
    ("output =", "state = \"s3://ventas/a//b\"\noutput ="),
    ("output = \"../out/ventas\"", "output = \"s3://ventas/out\""),
    (
        "output =",
        "state_options = { region = \"eu-south-2\" }\noutput =",
    ),
    (
        "output =",
        "epoch = \"61 minutes\"\ncheckpoint = \"1\"\nstate = \"../out/ventas\"\noutput =",
    ),
    (
        "output =",
        "epoch = \"10 s\"\ncheckpoint = \"5 s\"\nstate = \"../out/./x/../ventas/_caudal\"\noutput =",
    ),
    (
        "output =",
        "rerun = \"new_files\"\nmax_refused = \"100 %\"\non_bad_file = \"stop\"\noutput =",
    ),
    (
        "event_time = \"ts\"",
        "event_time = \"ts\"\ndisorder = \"30\"\nmax_future = \"forever\"\nidle_after = \"101 years\"",
    ),
    (
        "event_time = \"ts\"",
        "event_time = \"ts\"\ndisorder = \"36501 days\"\nmax_future = \"-1 s\"\nidle_after = \"1 m\"",
    ),
    ("event_time = \"ts\"", "disorder = \"30 s\""),
    ("event_time = \"ts\"\n", ""),
    ("brokers = \"kafka-1\"", "brokers = \"\""),
    ("brokers = \"kafka-1\"", "brokers = \"kafka-1,,kafka-2\""),
    ("brokers = \"kafka-1\"", "brokers = \"kafka-1:port\""),
    ("brokers = \"kafka-1\"", "brokers = \"kafka-1:0\""),
    ("brokers = \"kafka-1\"", "brokers = \"kafka-1:65536\""),
    (
        "brokers = \"kafka-1\"",
        "brokers = \"SASL_SSL://kafka-1:9093\"",
    ),
    ("brokers = \"kafka-1\"", "brokers = \"[::1:9092\""),
    ("brokers = \"kafka-1\", ", ""),
    ("topics = [\"ventas\", \"devoluciones\"]", "topics = []"),
    (
        "topics = [\"ventas\", \"devoluciones\"]",
        "topics = [\"ventas\", \"ventas\", \"\", \"..\", \"ventas es\", \"^ventas-.*\"]",
    ),
    (
        "topics = [\"ventas\", \"devoluciones\"]",
        "topics = [\"ventas\"], topic_pattern = \"ventas\"",
    ),
    (", topics = [\"ventas\", \"devoluciones\"]", ""),
    (
        "topics = [\"ventas\", \"devoluciones\"]",
        "topic_pattern = \"\"",
    ),
    (
        "topics = [\"ventas\", \"devoluciones\"]",
        "topic_pattern = \"ventas-(es|pt\"",
    ),
    (
        "topics = [\"ventas\", \"devoluciones\"]",
        "topic_pattern = \"ventas-..\", start = { \"ventas-esp/0\" = 1 }",
    ),
    ("topics =", "start = \"earlyest\", topics ="),
    ("topics =", "start = \"yesterday\", topics ="),
    ("topics =", "start = \"1969-12-31\", topics ="),
    ("topics =", "start = 2026-03-14T00:00:00Z, topics ="),
    ("topics =", "start = {}, topics ="),
    (
        "topics =",
        "start = { ventas = 1, \"ventas/00\" = 1, \"ventas/-1\" = 1, \"/0\" = 1, \"venta/0\" = 1, \"ventas/2147483648\" = 1 }, topics =",
    ),
    (
        "topics =",
        "start = { \"ventas/0\" = -1, \"ventas/1\" = \"5\" }, on_data_loss = \"latest\", group = \" \", topics =",
    ),
    (
        "topics =",
        "options = { \"group.id\" = \"x\", \"enable.auto.commit\" = \"false\", \"auto.commit.interval.ms\" = \"5\", \"enable.auto.offset.store\" = \"true\", \"auto.offset.reset\" = \"latest\", \"isolation.level\" = \"read_uncommitted\", \"enable.partition.eof\" = \"false\", \"bootstrap.servers\" = \"b\", \"rebalance_cb\" = \"f\", \"group.instance.id\" = \"1\", \"allow.auto.create.topics\" = \"true\", \"plugin.library.paths\" = \"p.so\", \"\" = \"x\" }, topics =",
    ),
    (
        "topics =",
        "options = { security.protocol = \"SSL\", retries = 5 }, topics =",
    ),
    (
        "json = {}\n[sources.sales.columns]",
        "csv = {}\n[sources.sales.columns]",
    ),
    (
        "json = {}\n[sources.sales.columns]",
        "avro = {}\n[sources.sales.columns]",
    ),
    (
        "json = {}\n[sources.sales.columns]",
        "json = { records = \"array\", encoding = \"utf-16le\" }\n[sources.sales.columns]",
    ),
    (
        "[derive]",
        "[sources.old]\nevent_time = \"ts\"\nfiles = { paths = [\"old.csv\"], per_process = true }\ncsv = {}\ncolumns = { ts = \"timestamp\" }\n[sources.made]\nevent_time = \"ts\"\ngenerate = { rows = 1 }\njson = {}\ncolumns = { ts = \"timestamp\" }\n[derive]",
    ),
    (
        "[windows.minute]",
        "[duplicates]\nsale = { key = [\"sale_id\"], keep = \"first\" }\nrow = { by = \"row\", keep = \"report\" }\n[windows.minute]",
    ),
    (
        "rows = \"count(*)\"",
        "rows = \"count(*) filter (where ts > now() - interval '1 hour')\"\nage = \"max(cast(extract(epoch from now() - ts) as bigint))\"",
    ),
    (
        "column = \"region_id\"",
        "column = \"region_id\", where = \"ts < now()\"",
    ),
    (
        "region_id = \"int\"",
        "region_id = \"int\"\nk = { type = \"int\", kafka = \"key\" }\nh = { type = \"json\", kafka = \"headers\" }\nt = { type = \"int\", kafka = \"topic\" }\np = { type = \"bigint\", kafka = \"partition\" }\no = { type = \"int\", kafka = \"offset\" }\nat = { type = \"bigint\", kafka = \"timestamp\" }",
    ),
    (
        "region_id = \"int\"",
        "region_id = \"int\"\nx = { type = \"varchar\", kafka = \"value\" }",
    ),
    ("topics =", "group = \" \", topics ="),
    (
        "region_id = \"int\"",
        "region_id = \"int\"\nat = { type = \"timestamp\", kafka = \"timestamp\", header = \"a[\", decimal = \",\", thousands = \"..\", formats = [\"%Y\"], unit = \"seconds\", min = \"2000-01-01\", optional = true, on_bad = \"null\", nulls = [\"-\"] }\nt = { type = \"varchar\", kafka = \"topic\" }\nu = { type = \"varchar\", kafka = \"topic\" }",
    ),
    (
        "[derive]",
        "[lookups.regions]\non = { id = \"region_id\" }\nmissing = { then = \"wait\" }\nfiles = { paths = [\"r.csv\"] }\ncsv = {}\ncolumns = { id = \"int\" }\n[derive]",
    ),
    (
        "[derive]",
        "[lookups.regions]\non = { id = \"region_id\" }\nmissing = { then = \"wait\", for = \"1 year\" }\nfiles = { paths = [\"r.csv\"] }\ncsv = {}\ncolumns = { id = \"int\" }\n[derive]",
    ),
    (
        "[derive]",
        "[lookups.regions]\non = { id = \"region_id\" }\nmissing = { then = \"null\", for = \"1 hour\", reason = \"x\" }\nfiles = { paths = [\"r.csv\"] }\ncsv = {}\ncolumns = { id = \"int\" }\n[derive]",
    ),
    (
        "files = { path = \"rows\" }\nparquet = {}",
        "files = { path = \"rows\" }\nparquet = { delta = true }\ncolumns = { \"a b\" = \"sale_id\", \"x=y\" = \"amount\" }",
    ),
    (
        "stdout = {}\njson = {}",
        "stdout = {}\nparquet = { delta = true }",
    ),
    (
        "stdout = {}\njson = {}",
        "files = { path = \"refused\" }\nparquet = { delta = true, merge_files = true, keep_merged = \"7 apples\" }",
    ),
    (
        "stdout = {}\njson = {}",
        "files = { path = \"refused\" }\nparquet = { merge_files = true, keep_merged = \"7 days\" }",
    ),
    (
        "stdout = {}\njson = {}",
        "files = { path = \"refused\" }\nparquet = { delta = true, keep_merged = \"100 years\" }",
    ),
    (
        "kafka = { brokers = \"kafka-1\", topics = [\"ventas\", \"devoluciones\"] }\njson = {}",
        "files = { paths = [\"in/*.csv\"], follow = true, per_process = true, complete_after = \"1 ms\", on_data_loss = \"latest\", copies = \"keep\" }\ncsv = { skip_last = 1 }",
    ),
    (
        "kafka = { brokers = \"kafka-1\", topics = [\"ventas\", \"devoluciones\"] }\njson = {}",
        "files = { paths = [\"in/*.csv\"], follow = true }\njson = { records = \"array\" }",
    ),
    (
        "kafka = { brokers = \"kafka-1\", topics = [\"ventas\", \"devoluciones\"] }\njson = {}",
        "files = { paths = [\"in/*.csv\"], follow = true }\nparquet = {}",
    ),
    (
        "kafka = { brokers = \"kafka-1\", topics = [\"ventas\", \"devoluciones\"] }\njson = {}",
        "files = { paths = [\"in/*.csv\"], follow = true, complete_after = \"soon\" }\navro = {}",
    ),
    (
        "json = {}\n[sources.sales.columns]",
        "avro = { registry = \"registry:8081\" }\n[sources.sales.columns]",
    ),
    (
        "json = {}\n[sources.sales.columns]",
        "avro = { registry = \"http://me:secret@registry\" }\n[sources.sales.columns]",
    ),
];

/// A text of the job with an end and what stands there instead.
const BOUNDED: &[(&str, &str)] = &[
    (
        "output =",
        "state = \"../state\"\nepoch = \"1 second\"\ncheckpoint = \"10 seconds\"\noutput =",
    ),
    (
        "event_time = \"ts\"\nfiles",
        "event_time = \"ts\"\ndisorder = \"10 seconds\"\nmax_future = \"5 minutes\"\nidle_after = \"1 minute\"\nfiles",
    ),
    (
        "weight = \"double\"",
        "weight = { type = \"varchar\", kafka = \"key\" }",
    ),
    (
        "columns = { currency = \"varchar\", rate = \"decimal(8,4)\" }",
        "columns = { currency = { type = \"varchar\", kafka = \"key\" }, rate = \"decimal(8,4)\" }",
    ),
    (
        "paths = [\"dims/regions.csv\"] }",
        "paths = [\"dims/regions.csv\"] }\nkafka = { brokers = \"b\", topics = [\"t\"] }",
    ),
    (
        "files = { paths = [\"dims/regions.csv\"] }",
        "files = { paths = [\"dims/regions.csv\"], follow = true }",
    ),
    (
        "files = { paths = [\"dims/regions.csv\"] }\ncsv = {}",
        "kafka = { brokers = \"b\", topics = [\"t\", \"u\"], start = \"latest\", group = \"g\", on_data_loss = \"earliest\" }\nduplicates = \"reject\"\njson = {}",
    ),
    (
        "files = { paths = [\"dims/regions.csv\"] }\ncsv = {}",
        "kafka = { brokers = \"b\", topic_pattern = \"t.*\" }\ncsv = {}",
    ),
    (
        "missing = { then = \"refuse\", reason = \"unknown_region\" }",
        "missing = { then = \"wait\", for = \"1 hour\" }",
    ),
    ("[job]", "[job]\nmax_parked = 5"),
    ("[job]", "[job]\nverdict_history = false"),
    ("[job]", "[alerts.told]\nlog = {}\n[job]"),
    (
        "files = { path = \"enriched\", partition_by = [\"zone\", \"date\"] }\nparquet = {}",
        "files = { path = \"enriched\", partition_by = [\"zone\", \"date\"] }\nparquet = { delta = true }",
    ),
    (
        "paths = [\"dims/regions.csv\"] }",
        "paths = [\"dims/regions.csv\"], complete_after = \"1 minute\", on_data_loss = \"stop\", copies = \"read\" }",
    ),
    ("output =", "rerun = \"new_files\"\noutput ="),
    (
        "csv = {}\ncolumns = { currency",
        "avro = { registry = \"http://r\" }\ncolumns = { currency",
    ),
    (
        "files = { path = \"refused\" }",
        "kafka = { brokers = \"kafka-1\", topic = \"rechazadas\" }",
    ),
    (
        "json = {}\n",
        "avro = { registry = \"http://registry:8081\" }\n",
    ),
];

/// A text of [`super::topics::JOB`] and what stands there instead.
const TOPICS: &[(&str, &str)] = &[
    ("topic = \"limpias\"", "topics = \"limpias\""),
    ("topic = \"limpias\"", "topic = \"ventas\""),
    ("topic = \"limpias\"", "topic = \"caudal-ventas-progress\""),
    (
        "topics = [\"ventas\"]",
        "topic_pattern = \"(limpias|caudal)-?.*\"",
    ),
    (
        "topic = \"limpias\"",
        "topic = \"las limpias\", max_message = \"1 TiB\", id = \"a/b\"",
    ),
    (
        "brokers = \"kafka-2, kafka-1\"",
        "brokers = \"kafka-2:9092,kafka-3\"",
    ),
    ("brokers = \"kafka-2, kafka-1\"", "brokers = \"kafka-2/\""),
    (
        "topic = \"rechazadas\"",
        "topic = \"rechazadas\", shards = 8, delivery = \"exactly_once\", id = \"otro\", on_failure = \"stop\", outbox = \"1 GiB\", options = { \"linger.ms\" = \"6\", \"sasl.password\" = \"otro\", \"compression.type\" = \"lz4\" }",
    ),
    (
        "key = \"region_id\"",
        "key = \"region\", headers = { \"\" = \"amount\", bad = \"amuont\" }, partition = \"amount\", timestamp = \"cast(ts as date)\", tombstone = \"sale_id\"",
    ),
    (
        "key = \"region_id\"",
        "key = \"make_array(region_id)\", headers = { when = \"ts - ts\" }",
    ),
    (
        "key = \"region_id\"",
        "tombstone = \"amount < 0\", create = { partitions = 8, config = { \"cleanup.policy\" = \"delete, compact\" } }",
    ),
    (
        "key = \"region_id\"",
        "create = { partitions = 0, replication = -1, policy = \"x\" }, shards = 0",
    ),
    ("id = \"minutos\"", "id = \"caudal-ventas\""),
    ("id = \"minutos\", ", ""),
    ("key = \"region_id\"", "outbox = \"1 GiB\""),
    (
        "key = \"region_id\"",
        "on_failure = \"hold\", outbox = \"1 kB\"",
    ),
    (
        "topic = \"rechazadas\"",
        "topic = \"limpias\", create = { partitions = 4 }",
    ),
    ("json = {} # clean", "parquet = {}"),
    ("json = {} # clean", "csv = {}\nstdout = {}"),
    ("json = {} # clean", "json = { decimals = \"texts\" }"),
    (
        "json = {} # clean",
        "avro = { registry = \"registry:8081\", name = \"a b\", namespace = \"com..x\", subject = \"\", schema = \"x\" }",
    ),
    (
        "json = {} # clean\ncolumns = { sale_id = \"sale_id\", amount = \"amount\" }",
        "avro = { registry = \"https://u:p@registry\" }\ncolumns = { \"sale id\" = \"sale_id\" }",
    ),
    (
        "options = {",
        "options = { acks = \"1\", \"enable.idempotence\" = \"false\", \"transactional.id\" = \"x\", \"max.in.flight.requests.per.connection\" = \"6\", \
         retries = \"3\", \"enable.gapless.guarantee\" = \"false\", \"message.max.bytes\" = \"1\", \"group.id\" = \"x\", dr_msg_cb = \"x\", \"bootstrap.servers\" = \"x\",",
    ),
    (
        "options = {",
        "options = { \"transaction.timeout.ms\" = \"3600000\", \"delivery.timeout.ms\" = \"0\",",
    ),
    (
        "options = {",
        "options = { \"transaction.timeout.ms\" = \"30000\", \"message.timeout.ms\" = \"30001\",",
    ),
    (
        "options = {",
        "delivery = \"exactly_once\", options = { \"delivery.timeout.ms\" = \"60001\",",
    ),
];
