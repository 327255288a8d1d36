//! Three hosts: network namespaces on one bridge, each with a process. Skipped where namespaces can't be made.

use std::fs;
use std::process::Command;

use super::cluster::{Place, Process};
use super::tables;

/// Three namespaces with an address each; removed when dropped.
struct Hosts {
    id: u32,
    names: Vec<String>,
}

/// Runs `ip` with words; whether it did.
fn ip(words: &str) -> bool {
    Command::new("ip")
        .args(words.split_whitespace())
        .output()
        .is_ok_and(|output| output.status.success())
}

impl Hosts {
    /// `None` where this user or machine can't make them. `id` keeps the names of tests that run side by side apart.
    fn new(id: u32) -> Option<Self> {
        let id = std::process::id() % 1000 * 10 + id;
        let hosts = Self {
            id,
            names: (0..3).map(|host| format!("caudal-{id}-{host}")).collect(),
        };
        let mut made =
            ip(&format!("link add cb{id} type bridge")) && ip(&format!("link set cb{id} up"));
        for (host, name) in hosts.names.iter().enumerate() {
            let (near, far) = (format!("cn{id}h{host}"), format!("cf{id}h{host}"));
            let address = hosts.address(host);
            made = made
                && ip(&format!("netns add {name}"))
                && ip(&format!(
                    "link add {near} type veth peer name {far} netns {name}"
                ))
                && ip(&format!("link set {near} master cb{id} up"))
                && ip(&format!(
                    "netns exec {name} ip addr add {address}/24 dev {far}"
                ))
                && ip(&format!("netns exec {name} ip link set {far} up"))
                && ip(&format!("netns exec {name} ip link set lo up"));
        }
        made.then_some(hosts)
    }

    fn address(&self, host: usize) -> String {
        format!("10.77.{}.{}", self.id % 250, host + 1)
    }

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

impl Drop for Hosts {
    fn drop(&mut self) {
        for name in &self.names {
            ip(&format!("netns del {name}"));
        }
        ip(&format!("link del cb{}", self.id));
    }
}

/// A place whose processes run on the hosts.
fn place(hosts: &Hosts) -> Place {
    let mut place = Place::new(3);
    let addresses: String = (0..3)
        .map(|host| format!("{}:2101\n", hosts.address(host)))
        .collect();
    fs::write(place.path().join("hosts"), addresses).unwrap();
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
