//! Hosts on one machine: network namespaces on a bridge, each with an address of its own.

#![allow(dead_code, reason = "a bench and tests use their parts")]

use std::process::Command;

/// Three hosts; removed when dropped.
#[derive(Debug)]
pub(crate) struct Hosts {
    /// Part of the names of all devices.
    pub(crate) id: u32,
    /// The namespaces.
    pub(crate) names: Vec<String>,
}

/// Runs `ip` with words; whether it did.
pub(crate) fn ip(words: &str) -> bool {
    Command::new("ip")
        .args(words.split_whitespace())
        .output()
        .is_ok_and(|output| output.status.success())
}

impl Hosts {
    /// `None` where this user or machine can't make them. `id` keeps the names of those that run side by side in one process apart.
    pub(crate) fn new(id: u32) -> Option<Self> {
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

    /// The text of a host file that names them.
    pub(crate) fn file(&self) -> String {
        let lines: Vec<String> = (0..self.names.len())
            .map(|host| self.address(host) + ":2101\n")
            .collect();
        lines.concat()
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
