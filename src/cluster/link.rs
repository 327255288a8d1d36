//! The socket over which timely sends rows to one other process.
//!
//! timely's threads panic on the first error of a socket, and a panic in a destructor on the way aborts the process. So none
//! is passed on: the run is told that its peer is lost, which ends it in order, and the thread sleeps until the process ends.
//! The end of the stream is silence, too: a peer that is done closes its side, and one that died is told by its control
//! connection, which closes with it.

use std::io::{self, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::sync::Arc;
use std::time::Duration;

use rustix::net::sockopt;
use timely::communication::allocator::zero_copy::stream::Stream;

use super::control::Peers;

/// A socket to the process `peer`.
pub(super) struct Link {
    stream: TcpStream,
    peer: usize,
    peers: Arc<Peers>,
}

impl Link {
    /// Wraps a connected socket. What is sent and not received within `timeout` counts as lost, and so does a peer whose
    /// machine does not answer when nothing is sent.
    pub(super) fn new(
        stream: TcpStream,
        peer: usize,
        peers: &Arc<Peers>,
        timeout: Duration,
    ) -> io::Result<Self> {
        stream.set_read_timeout(None)?;
        stream.set_write_timeout(None)?;
        let millis = u32::try_from(timeout.as_millis()).unwrap_or(u32::MAX);
        sockopt::set_tcp_user_timeout(&stream, millis)?;
        sockopt::set_socket_keepalive(&stream, true)?;
        let idle = (timeout / 4).max(Duration::from_secs(1));
        sockopt::set_tcp_keepidle(&stream, idle)?;
        sockopt::set_tcp_keepintvl(&stream, idle)?;
        Ok(Self {
            stream,
            peer,
            peers: Arc::clone(peers),
        })
    }

    /// Says that the peer is lost, and sleeps until the process ends.
    fn lost(&self, why: &io::Error) -> ! {
        self.peers.lost(self.peer, &why.to_string());
        loop {
            std::thread::park();
        }
    }
}

impl Read for Link {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self.stream.read(buffer) {
            Ok(0) => loop {
                std::thread::park();
            },
            Err(error) if error.kind() != io::ErrorKind::Interrupted => self.lost(&error),
            read => read,
        }
    }
}

impl Write for Link {
    fn write(&mut self, buffer: &[u8]) -> io::Result<usize> {
        match self.stream.write(buffer) {
            Err(error) if error.kind() != io::ErrorKind::Interrupted => self.lost(&error),
            written => written,
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        self.stream.flush()
    }
}

impl Stream for Link {
    fn try_clone(&self) -> io::Result<Self> {
        Ok(Self {
            stream: self.stream.try_clone()?,
            peer: self.peer,
            peers: Arc::clone(&self.peers),
        })
    }

    fn set_nonblocking(&self, nonblocking: bool) -> io::Result<()> {
        self.stream.set_nonblocking(nonblocking)
    }

    /// A peer that has gone already is no fault here.
    fn shutdown(&self, how: Shutdown) -> io::Result<()> {
        match self.stream.shutdown(how) {
            Err(error) if error.kind() == io::ErrorKind::NotConnected => Ok(()),
            answer => answer,
        }
    }
}
