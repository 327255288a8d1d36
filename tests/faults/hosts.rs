//! The processes of a job as on several machines: each started by itself, and a relay between any two.

use std::fs;
use std::net::SocketAddr;
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use super::folder::LOOK;
use super::job::Job;
use super::port::Port;
use super::relay::Relay;

/// Exit code where the world failed.
const WORLD: i32 = 3;

/// They, and what lies between them.
pub(crate) struct Hosts {
    /// Numbers of processes and workers.
    shape: (u64, u64),
    /// Where each listens.
    addresses: Vec<SocketAddr>,
    _ports: Vec<Port>,
    /// For each process the relays to those before it, which it dials.
    relays: Vec<Vec<Relay>>,
    processes: Vec<Child>,
}

impl Hosts {
    /// Starts the job on them.
    pub(crate) fn start(job: &Job, shape: (u64, u64)) -> Self {
        let ports: Vec<Port> = (0..shape.0).map(|_| Port::hold().unwrap()).collect();
        let addresses: Vec<SocketAddr> = ports.iter().map(|port| port.at).collect();
        let relays = (0..addresses.len()).map(|process| {
            let before = addresses[..process].iter();
            let to = before.map(|address| {
                let relay = Relay::start_row(1).remove(0);
                relay.lead_to(*address);
                relay
            });
            to.collect()
        });
        let mut hosts = Self {
            shape,
            relays: relays.collect(),
            addresses,
            _ports: ports,
            processes: Vec::new(),
        };
        hosts.start_processes(job);
        hosts
    }

    /// Starts all processes, as whoever watches them does on each machine.
    pub(crate) fn start_processes(&mut self, job: &Job) {
        let start = |process: usize| {
            let lines: Vec<String> = (0..self.addresses.len())
                .map(|other| match self.relays[process].get(other) {
                    Some(relay) => relay.address.to_string(),
                    None => self.addresses[other].to_string(),
                })
                .collect();
            let file = job.path(&format!("hosts-{process}"));
            fs::write(&file, lines.join("\n")).unwrap();
            let told = job.told_file();
            job.caudal("run")
                .args(["-n", &self.shape.0.to_string(), "-p", &process.to_string()])
                .args(["-w", &self.shape.1.to_string(), "--quiet", "-h"])
                .arg(file)
                .env("CAUDAL_TOKEN", "of-the-fault-suite")
                .stdin(Stdio::null())
                .stdout(told.try_clone().unwrap())
                .stderr(told)
                .spawn()
                .unwrap()
        };
        self.processes = (0..self.addresses.len()).map(start).collect();
    }

    /// Cuts one off from all others, or joins it again.
    pub(crate) fn cut(&self, process: usize, is_cut: bool) {
        for relay in self.between(process) {
            relay.cut(is_cut);
        }
    }

    /// Lets everything between them come later.
    pub(crate) fn delay(&self, by: Duration) {
        for relay in self.relays.iter().flatten() {
            relay.delay(by);
        }
    }

    /// The relays between one and all others.
    fn between(&self, process: usize) -> impl Iterator<Item = &Relay> {
        let after = self.relays.iter().filter_map(move |to| to.get(process));
        self.relays[process].iter().chain(after)
    }

    /// Whether all run.
    pub(crate) fn run(&mut self) -> bool {
        self.processes
            .iter_mut()
            .all(|process| process.try_wait().unwrap().is_none())
    }

    /// Waits until all have ended, and told that the world failed.
    pub(crate) fn await_failure(&mut self, patience: Duration) {
        let deadline = Instant::now() + patience;
        for process in &mut self.processes {
            let status = loop {
                if let Some(status) = process.try_wait().unwrap() {
                    break status;
                }
                assert!(Instant::now() < deadline, "a cut-off process goes on");
                std::thread::sleep(LOOK);
            };
            assert_eq!(status.code(), Some(WORLD));
        }
        self.processes.clear();
    }

    /// Asks the job to commit what it has and end, and waits for it.
    pub(crate) fn stop(mut self, job: &Job) {
        job.ask_to_stop();
        for process in &mut self.processes {
            let status = process.wait().unwrap();
            assert!(status.success(), "{status}: {}", job.told());
        }
    }
}

impl Drop for Hosts {
    fn drop(&mut self) {
        // Nothing is left of one whose test has failed.
        for process in &mut self.processes {
            drop(process.kill());
            drop(process.wait());
        }
    }
}
