//! A port of this machine that is held for a process which is yet to start.

use std::io;
use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4};
use std::os::fd::OwnedFd;

use rustix::net::sockopt::set_socket_reuseaddr;
use rustix::net::{AddressFamily, SocketFlags, SocketType, bind, getsockname, socket_with};

/// A port that was free, and a socket that holds it without listening: the kernel gives it to nobody who asks for any.
///
/// Listeners that say that an address may be used again, as those of Rust, Go and Java do, can take it as often as they like (`ip(7)`,
/// `SO_REUSEADDR`).
#[derive(Debug)]
pub(crate) struct Port {
    /// Where it is.
    pub(crate) at: SocketAddr,
    _held: OwnedFd,
}

impl Port {
    /// Any that is free.
    pub(crate) fn hold() -> io::Result<Self> {
        let flags = SocketFlags::CLOEXEC;
        let socket = socket_with(AddressFamily::INET, SocketType::STREAM, flags, None)?;
        set_socket_reuseaddr(&socket, true)?;
        bind(&socket, &SocketAddrV4::new(Ipv4Addr::LOCALHOST, 0))?;
        let at = SocketAddr::try_from(getsockname(&socket)?)?;
        Ok(Self { at, _held: socket })
    }
}
