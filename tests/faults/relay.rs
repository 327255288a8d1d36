//! A relay between two programs that speak over TCP: it may delay what goes through it, or let nothing through.
//!
//! It stands in for a network, and needs nothing of the machine. A cut one takes connections and bytes as a network with deep queues
//! does, gives nothing on, not even the end of a connection, and goes on where it was when it is joined again: what both sides see of it
//! is silence. Its threads last as long as the process.

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use crate::folder::LOOK;

/// Pieces of one direction of a connection that are under way.
const UNDER_WAY: usize = 256;

/// Bytes of a piece.
const PIECE: usize = 1 << 16;

/// A relay to one address.
pub(crate) struct Relay {
    /// Where it listens.
    pub(crate) address: SocketAddr,
    way: Arc<Way>,
}

#[derive(Default)]
struct Way {
    /// Where it leads; nowhere yet.
    to: Mutex<Option<SocketAddr>>,
    is_cut: AtomicBool,
    delay_ms: AtomicU64,
}

impl Relay {
    /// One that listens at `address`, where another program doesn't.
    pub(crate) fn start(address: SocketAddr) -> Option<Self> {
        let listener = TcpListener::bind(address).ok()?;
        let address = listener.local_addr().unwrap();
        let way = Arc::<Way>::default();
        let of_thread = Arc::clone(&way);
        thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                let way = Arc::clone(&of_thread);
                thread::spawn(move || way.carry(stream));
            }
        });
        Some(Self { address, way })
    }

    /// So many that listen at ports of this machine in a row.
    pub(crate) fn start_row(count: u16) -> Vec<Self> {
        let local = |port| SocketAddr::from(([127, 0, 0, 1], port));
        loop {
            let first = Self::start(local(0)).unwrap();
            let port = first.address.port();
            let more = (1..count).map(|next| Self::start(local(port.checked_add(next)?)));
            let row: Option<Vec<Self>> = std::iter::once(Some(first)).chain(more).collect();
            if let Some(row) = row {
                return row;
            }
        }
    }

    /// Where it leads.
    pub(crate) fn lead_to(&self, to: SocketAddr) {
        *self.way.to.lock().unwrap() = Some(to);
    }

    /// Lets nothing through, or lets it again.
    pub(crate) fn cut(&self, is_cut: bool) {
        self.way.is_cut.store(is_cut, Ordering::Release);
    }

    /// Lets everything come later, by this much in each direction.
    pub(crate) fn delay(&self, by: Duration) {
        let by = u64::try_from(by.as_millis()).unwrap();
        self.way.delay_ms.store(by, Ordering::Release);
    }
}

impl Way {
    fn carry(self: Arc<Self>, near: TcpStream) {
        self.wait();
        let to = *self.to.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(Ok(far)) = to.map(TcpStream::connect) else {
            return;
        };
        for (from, to) in [(&near, &far), (&far, &near)] {
            drop(to.set_nodelay(true));
            let (Ok(from), Ok(to)) = (from.try_clone(), to.try_clone()) else {
                return;
            };
            let (sender, pieces) = sync_channel(UNDER_WAY);
            let (reads, writes) = (Arc::clone(&self), Arc::clone(&self));
            thread::spawn(move || reads.read(from, &sender));
            thread::spawn(move || writes.write(to, &pieces));
        }
    }

    fn read(&self, mut from: TcpStream, pieces: &SyncSender<(Instant, Vec<u8>)>) {
        let mut piece = vec![0; PIECE];
        loop {
            // What can't be read has ended: an empty piece.
            let read = from.read(&mut piece).unwrap_or(0);
            let delay = Duration::from_millis(self.delay_ms.load(Ordering::Acquire));
            let sent = pieces.send((Instant::now() + delay, piece[..read].to_vec()));
            if read == 0 || sent.is_err() {
                return;
            }
        }
    }

    fn write(&self, mut to: TcpStream, pieces: &Receiver<(Instant, Vec<u8>)>) {
        for (due, piece) in pieces {
            thread::sleep(due.saturating_duration_since(Instant::now()));
            self.wait();
            if piece.is_empty() || to.write_all(&piece).is_err() {
                break;
            }
        }
        // Either side may have closed it.
        drop(to.shutdown(Shutdown::Both));
    }

    /// Waits until it is not cut.
    fn wait(&self) {
        while self.is_cut.load(Ordering::Acquire) {
            thread::sleep(LOOK);
        }
    }
}
