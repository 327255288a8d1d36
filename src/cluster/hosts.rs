//! The host file: the address of each process, one a line.

use std::net::{SocketAddr, ToSocketAddrs};
use std::path::{Path, PathBuf};

/// Why the addresses of the processes are not known.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum HostsError {
    /// The file can't be read.
    #[error("{}: this host file can't be read\n  now: nothing was started", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// It has fewer addresses than there are processes.
    #[error(
        "{}: {found} addresses for {processes} processes\n  expected: one line host:port for each process, -n of them\n  now: nothing was started",
        path.display()
    )]
    TooFew {
        /// The file.
        path: PathBuf,
        /// Addresses in it.
        found: usize,
        /// What `-n` says.
        processes: usize,
    },
    /// A line is no address.
    #[error(
        "{} line {line}: \"{text}\" is no address\n  expected: host:port, such as 10.0.0.5:2101\n  now: nothing was started",
        path.display()
    )]
    NoAddress {
        /// The file.
        path: PathBuf,
        /// Line number, from 1.
        line: usize,
        /// The line.
        text: String,
    },
    /// Two lines are alike.
    #[error(
        "{} line {line}: {text} stands on line {first} already\n  expected: an address of its own for each process\n  now: nothing was started",
        path.display()
    )]
    Doubled {
        /// The file.
        path: PathBuf,
        /// Line number, from 1.
        line: usize,
        /// Line of the same address.
        first: usize,
        /// The address.
        text: String,
    },
}

/// The addresses of `processes` processes, in the order of their lines; what stands behind them is not read. Empty lines and
/// what follows `#` are left out.
pub fn read_hosts(path: &Path, processes: usize) -> Result<Vec<String>, HostsError> {
    let text = std::fs::read_to_string(path).map_err(|source| HostsError::Read {
        path: path.to_owned(),
        source,
    })?;
    parse(path, &text, processes)
}

fn parse(path: &Path, text: &str, processes: usize) -> Result<Vec<String>, HostsError> {
    let mut found: Vec<(usize, &str)> = Vec::new();
    for (index, line) in text.lines().enumerate() {
        let address = line.split('#').next().unwrap_or_default().trim();
        if address.is_empty() || found.len() == processes {
            continue;
        }
        let line = index + 1;
        if !is_address(address) {
            return Err(HostsError::NoAddress {
                path: path.to_owned(),
                line,
                text: address.chars().take(64).collect(),
            });
        }
        if let Some((first, _)) = found.iter().find(|(_, known)| *known == address) {
            return Err(HostsError::Doubled {
                path: path.to_owned(),
                line,
                first: *first,
                text: address.to_owned(),
            });
        }
        found.push((line, address));
    }
    if found.len() < processes {
        return Err(HostsError::TooFew {
            path: path.to_owned(),
            found: found.len(),
            processes,
        });
    }
    Ok(found
        .into_iter()
        .map(|(_, address)| address.to_owned())
        .collect())
}

fn is_address(text: &str) -> bool {
    text.rsplit_once(':').is_some_and(|(host, port)| {
        !host.is_empty() && port.parse::<u16>().is_ok_and(|port| port > 0)
    })
}

/// What a name stands for now; names may change their meaning while processes start, so this is asked at each try.
pub(super) fn resolve(address: &str) -> std::io::Result<Vec<SocketAddr>> {
    let found: Vec<SocketAddr> = address.to_socket_addrs()?.collect();
    if found.is_empty() {
        return Err(std::io::Error::other("the name stands for no address"));
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(text: &str, processes: usize) -> Result<Vec<String>, String> {
        parse(Path::new("hosts"), text, processes).map_err(|error| error.to_string())
    }

    #[test]
    fn addresses_stand_one_a_line() {
        let text = "# two hosts\n10.0.0.5:2101\n\n  node-b:2101 # the big one\n[::1]:9\nnot read\n";
        assert_eq!(
            told(text, 3).unwrap(),
            ["10.0.0.5:2101", "node-b:2101", "[::1]:9"]
        );
    }

    #[test]
    fn what_is_wrong_is_named_with_its_line() {
        for (text, processes, words) in [
            ("a:1\n", 2, "hosts: 1 addresses for 2 processes"),
            ("a:1\n\nb\n", 2, "hosts line 3: \"b\" is no address"),
            ("a:0\n", 1, "hosts line 1: \"a:0\" is no address"),
            ("a:99999\n", 1, "hosts line 1: \"a:99999\" is no address"),
            (
                "a:1\nb:1\na:1\n",
                3,
                "hosts line 3: a:1 stands on line 1 already",
            ),
        ] {
            let error = told(text, processes).unwrap_err();
            assert!(error.starts_with(words), "{error}");
        }
    }
}
