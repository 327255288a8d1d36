//! Three hosts: network namespaces on one bridge, each with a process. Skipped where namespaces can't be made.

use std::fs;
use std::process::Command;

use super::cluster::{Place, Process};
use super::tables;

#[path = "../../benches/shared/namespaces.rs"]
mod namespaces;

use namespaces::{Hosts, ip};

impl Hosts {
    /// Lets no host send more than this.
    fn slow_down(&self, rate: &str) -> bool {
        self.names.iter().enumerate().all(|(host, name)| {
            let device = format!("cf{}h{host}", self.id);
            Command::new("ip")
                .args(["netns", "exec", name, "tc", "qdisc", "add", "dev", &device])
                .args([
                    "root", "tbf", "rate", rate, "burst", "32kbit", "latency", "200ms",
                ])
                .output()
                .is_ok_and(|output| output.status.success())
        })
    }

    /// Pulls the cable of a host.
    fn cut(&self, host: usize) {
        assert!(ip(&format!("link set cn{}h{host} down", self.id)));
    }
}

/// A place whose processes run on the hosts.
fn place(hosts: &Hosts) -> Place {
    let mut place = Place::new(3);
    fs::write(place.path().join("hosts"), hosts.file()).unwrap();
    place.namespaces.clone_from(&hosts.names);
    place
}

#[test]
fn three_hosts_on_a_slow_network_give_the_rows_of_one() {
    let Some(hosts) = Hosts::new(1) else {
        println!("skipped: network namespaces can't be made here");
        return;
    };
    if !hosts.slow_down("20mbit") {
        println!("the network is not slowed down: there is no tc with tbf here");
    }
    let place = place(&hosts);
    let root = env!("CARGO_MANIFEST_DIR");
    let job = fs::read_to_string(format!("{root}/jobs/ventas.toml")).unwrap();
    let job = job
        .replace("${CAUDAL_OUT:-../out}", "${OUT}")
        .replace("\"ventas/", &format!("\"{root}/jobs/ventas/"))
        .replace("[job]", "[job]\nchunk = \"16 KiB\"\nepoch = \"128 KiB\"");
    fs::write(place.path().join("job.toml"), job).unwrap();
    let alone = Command::new(env!("CARGO_BIN_EXE_caudal"))
        .args(["run", "job.toml", "--quiet"])
        .env("OUT", "alone")
        .current_dir(place.path())
        .output()
        .unwrap();
    assert!(alone.status.success());
    let mut processes: Vec<Process> = (0..3)
        .map(|process| place.start(process, &["-w", "2"]))
        .collect();
    for process in &mut processes {
        process.ends_with(0, &[]);
    }
    for sink in ["enriched", "quarantine", "quality", "verdicts"] {
        let rows = |out: &str| {
            let rows = tables::read(&place.path().join(out).join("ventas").join(sink));
            let mut rows: Vec<String> = rows.iter().map(|row| format!("{row:?}")).collect();
            rows.sort();
            rows
        };
        let (alone, together) = (rows("alone"), rows("out"));
        assert!(!alone.is_empty(), "{sink}");
        assert!(alone == together, "{sink}: other rows");
    }
}

#[test]
fn a_cable_that_is_pulled_ends_all_after_the_time_out() {
    let Some(hosts) = Hosts::new(2) else {
        println!("skipped: network namespaces can't be made here");
        return;
    };
    let place = place(&hosts);
    let (mut processes, input) = place.endless(&[]);
    hosts.cut(2);
    for process in &mut processes {
        process.ends_with(3, &["is lost"]);
    }
    drop(input);
    place.nothing_is_visible();
}
