//! Ports that are a test's alone until its processes listen there, and between two of their lives.

use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4};
use std::os::fd::OwnedFd;

use rustix::net::sockopt::set_socket_reuseaddr;
use rustix::net::{AddressFamily, SocketFlags, SocketType, bind, getsockname, socket_with};

/// A port of this machine that nobody is given who asks for any, and that listeners may take which say that addresses are used again:
/// those of Rust, Go and Java do.
#[derive(Debug)]
pub(crate) struct Port {
    /// Where it is.
    pub(crate) at: SocketAddr,
    _held: OwnedFd,
}

impl Port {
    /// Any that is free.
    pub(crate) fn hold() -> Self {
        let flags = SocketFlags::CLOEXEC;
        let socket =
            socket_with(AddressFamily::INET, SocketType::STREAM, flags, None).expect("a socket");
        set_socket_reuseaddr(&socket, true).expect("an option of sockets");
        bind(&socket, &SocketAddrV4::new(Ipv4Addr::LOCALHOST, 0)).expect("a free port");
        let at = getsockname(&socket).expect("it is bound");
        Self {
            at: SocketAddr::try_from(at).expect("an address of the internet"),
            _held: socket,
        }
    }
}
