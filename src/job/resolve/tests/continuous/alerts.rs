//! Who is told of checks: what the file says, and what is said of faults in it.

use std::collections::BTreeMap;
use std::time::Duration;

use super::super::resolved;
use super::{JOB, plan};
use crate::job::plan::{AlertsPlan, Receiver};

fn with(alerts: &str) -> String {
    format!("{JOB}\n{alerts}")
}

#[test]
fn everything_has_its_default_and_all_that_is_said_is_in_the_plan() {
    let alerts = plan(&with(
        "[alerts.hook]\nwebhook = { url = \"https://hooks.example.com/T0\" }\n\
         [alerts.pager]\nalertmanager = { url = \"http://am:9093/\", resend = \"30 seconds\", expires_after = \"2 hours\", labels = { team = \"sales\" } }\n\
         checks = [\"region_known\", \"minute.rows\"]\nseverity = \"fail\"\ngroup_by = [\"segment\", \"check\"]\nafter = 3\n\
         max_age = \"2 hours\"\nsettle = \"1 minute\"\ntimeout = \"2 seconds\"\nretry = \"5 seconds\"\n\
         [alerts.told]\nlog = {}\n",
    ))
    .alerts;
    let hook = AlertsPlan {
        name: "hook".to_owned(),
        to: Receiver::Webhook {
            url: "https://hooks.example.com/T0".to_owned(),
            secret: None,
            remind: None,
        },
        checks: None,
        warns: true,
        group_by: vec!["segment".to_owned()],
        after: 1,
        max_age: Duration::from_hours(24),
        settle: Duration::from_mins(5),
        timeout: Duration::from_secs(10),
        retry: Duration::from_mins(1),
    };
    let pager = AlertsPlan {
        name: "pager".to_owned(),
        to: Receiver::Alertmanager {
            url: "http://am:9093".to_owned(),
            resend: Duration::from_secs(30),
            expires_after: Duration::from_hours(2),
            labels: BTreeMap::from([("team".to_owned(), "sales".to_owned())]),
        },
        checks: Some(vec!["region_known".to_owned(), "minute.rows".to_owned()]),
        warns: false,
        group_by: vec!["segment".to_owned(), "check".to_owned()],
        after: 3,
        max_age: Duration::from_hours(2),
        settle: Duration::from_mins(1),
        timeout: Duration::from_secs(2),
        retry: Duration::from_secs(5),
    };
    assert_eq!(alerts[..2], [hook, pager]);
    assert_eq!(alerts[2].to, Receiver::Log);
}

#[test]
fn every_fault_is_told_at_its_place_and_no_address() {
    let faults = [
        "[alerts.\"no name\"]\nlog = {}",
        "[alerts.both]\nlog = {}\nwebhook = { url = \"http://x\" }",
        "[alerts.none]\nchecks = [\"region_known\"]",
        "[alerts.a]\nlog = {}\nchecks = [\"region_knwn\", \"minute.rows\"]",
        "[alerts.a]\nlog = {}\ngroup_by = [\"region\"]",
        "[alerts.a]\nlog = {}\nafter = 0",
        "[alerts.a]\nlog = {}\nmax_age = \"1\"\nsettle = \"1 ms\"\ntimeout = \"x\"\nretry = \"\"",
        "[alerts.a]\nwebhook = { url = \"hooks/secret-part\", secret = \"\", remind = \"soon\" }",
        "[alerts.a]\nalertmanager = { url = \"http://u:secret-part@am\", resend = \"1 minute\", expires_after = \"1 minute\" }",
        "[alerts.a]\nalertmanager = { url = \"http://am\", labels = { severity = \"page\", \"a-b\" = \"c\" } }",
    ];
    let mut told = Vec::new();
    for fault in faults {
        let problems = resolved(&with(fault)).expect_err(fault).to_string();
        assert!(!problems.contains("secret-part"), "{problems}");
        told.push(format!(
            "+++ {}\n{problems}\n",
            fault.replace('\n', "\n    ")
        ));
    }
    insta::assert_snapshot!(told.join("\n").replace("jobs/ventas.toml:", ""));
}

#[test]
fn no_debug_text_shows_the_key_of_a_signature_or_a_path() {
    let plan = plan(&with(
        "[alerts.hook]\nwebhook = { url = \"https://hooks.example.com/hidden-part\", secret = \"hidden-part\" }",
    ));
    let shown = format!("{:?}", plan.alerts);
    assert!(
        shown.contains("hooks.example.com") && !shown.contains("hidden-part"),
        "{shown}"
    );
}
