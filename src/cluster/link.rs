//! The socket over which timely sends rows to one other process.
//!
//! timely's threads panic on the first error of a socket, and a panic in a destructor on the way aborts the process. So none
//! is passed on: the run is told that its peer is lost, which ends it in order, and the thread sleeps until the process ends.
//!
//! The end of the stream is an error to timely unless the peer took its leave, with a header of zeros. So an end after as
//! many zeros is passed on, and timely hands over what it has read; any other end is silence. That the peer is lost is told by
//! its control connection, which closes with it. A stream that was cut right behind zeros that are no leave makes timely
//! panic; the command line's panic hook knows these words, too.

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
    /// Zeros at the end of what was read so far, as far as they matter.
    zeros: usize,
}

/// How long news of a run's end may be on the way; a peer that is lost is told by its control connection before.
const GRACE: Duration = Duration::from_secs(1);

/// Bytes of timely's message header; one of zeros is the last of a stream.
const HEADER_BYTES: usize = 48;

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
            zeros: 0,
        })
    }

    /// Says that the peer is lost, and sleeps until the process ends. The end of a run may have been on its way to us when the
    /// peer left because of it, so it gets a while to arrive.
    fn lost(&self, why: &io::Error) -> ! {
        std::thread::sleep(GRACE);
        self.peers.lost(self.peer, &why.to_string());
        sleep()
    }
}

/// Sleeps until the process ends.
fn sleep() -> ! {
    loop {
        std::thread::park();
    }
}

/// Zeros at the end of a stream that ended with so many before `bytes` came; at most a header's.
fn trailing_zeros(before: usize, bytes: &[u8]) -> usize {
    let look = &bytes[bytes.len().saturating_sub(HEADER_BYTES)..];
    match look.iter().rposition(|byte| *byte != 0) {
        Some(last) => look.len() - 1 - last,
        None => (before + look.len()).min(HEADER_BYTES),
    }
}

impl Read for Link {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self.stream.read(buffer) {
            Ok(0) if self.zeros < HEADER_BYTES => sleep(),
            Ok(read) => {
                self.zeros = trailing_zeros(self.zeros, &buffer[..read]);
                Ok(read)
            }
            Err(error) if error.kind() != io::ErrorKind::Interrupted => self.lost(&error),
            Err(error) => Err(error),
        }
    }
}

impl Write for Link {
    #[expect(
        clippy::disallowed_methods,
        reason = "this is the short write that timely's `write_all` stands on"
    )]
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
            zeros: self.zeros,
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_leave_is_known_however_it_is_cut() {
        let mut stream = vec![7; 100];
        stream.extend([0; HEADER_BYTES]);
        for piece in [1, 5, 47, 48, 49, 148] {
            let zeros = stream.chunks(piece).fold(0, trailing_zeros);
            assert_eq!(zeros, HEADER_BYTES, "{piece}");
            let zeros = stream[..147].chunks(piece).fold(0, trailing_zeros);
            assert_eq!(zeros, HEADER_BYTES - 1, "{piece}");
        }
        assert_eq!(trailing_zeros(40, &[0, 1, 0, 0]), 2);
    }
}
