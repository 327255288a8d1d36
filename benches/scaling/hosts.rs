//! Three hosts on one machine: network namespaces on a bridge, each with an address of its own.

use std::path::Path;
use std::process::{Command, Output};

use super::{BINARY, Result};

/// How many there are.
const HOSTS: usize = 3;

/// The hosts; removed when dropped.
#[derive(Debug)]
pub(crate) struct Hosts {
    id: u32,
}

/// Runs `ip` with words; whether it did.
fn ip(words: &str) -> bool {
    Command::new("ip")
        .args(words.split_whitespace())
        .output()
        .is_ok_and(|output| output.status.success())
}

impl Hosts {
    /// `None` where this user or machine can't make them.
    pub(crate) fn new() -> Option<Self> {
        let hosts = Self {
            id: std::process::id() % 10_000,
        };
        let id = hosts.id;
        let mut made =
            ip(&format!("link add sb{id} type bridge")) && ip(&format!("link set sb{id} up"));
        for host in 0..HOSTS {
            let name = hosts.name(host);
            let (near, far) = (format!("sn{id}h{host}"), format!("sf{id}h{host}"));
            let address = address(host);
            made = made
                && ip(&format!("netns add {name}"))
                && ip(&format!(
                    "link add {near} type veth peer name {far} netns {name}"
                ))
                && ip(&format!("link set {near} master sb{id} up"))
                && ip(&format!(
                    "netns exec {name} ip addr add {address}/24 dev {far}"
                ))
                && ip(&format!("netns exec {name} ip link set {far} up"))
                && ip(&format!("netns exec {name} ip link set lo up"));
        }
        made.then_some(hosts)
    }

    fn name(&self, host: usize) -> String {
        format!("scaling-{}-{host}", self.id)
    }

    /// Runs one process on each host, with these words; gives what process 0 said.
    pub(crate) fn run(&self, file: &Path, words: impl Fn(&mut Command)) -> Result<Output> {
        let addresses: Vec<String> = (0..HOSTS)
            .map(|host| format!("{}:2101", address(host)))
            .collect();
        std::fs::write(file, addresses.join("\n"))?;
        let start = |host: usize| {
            let mut command = Command::new("ip");
            let process = host.to_string();
            command
                .args(["netns", "exec", &self.name(host), BINARY, "run"])
                .args(["-n", &HOSTS.to_string(), "-p", &process, "-h"])
                .arg(file);
            words(&mut command);
            command.spawn()
        };
        let processes = (0..HOSTS).map(start).collect::<std::io::Result<Vec<_>>>()?;
        let outputs = processes
            .into_iter()
            .map(std::process::Child::wait_with_output)
            .collect::<std::io::Result<Vec<Output>>>()?;
        let failed = outputs.iter().position(|output| !output.status.success());
        let told = failed.unwrap_or(0);
        outputs
            .into_iter()
            .nth(told)
            .ok_or_else(|| "no hosts".into())
    }
}

impl Drop for Hosts {
    fn drop(&mut self) {
        for host in 0..HOSTS {
            ip(&format!("netns del {}", self.name(host)));
        }
        ip(&format!("link del sb{}", self.id));
    }
}

fn address(host: usize) -> String {
    format!("10.78.1.{}", host + 1)
}
