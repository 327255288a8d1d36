//! A checksum of a file, made while its bytes are written.
//!
//! CRC-32 as zlib and PNG have it, over the bytes as they leave the buffer above: a few nanoseconds a row, since rows are encoded and
//! compressed by then, where a sum over the rows' values would read every column once more. It says whether a file is what was committed,
//! byte for byte, and so whether its rows are.

use std::io::{self, Read, Write};

use crc32fast::Hasher;

/// Sums up what it writes.
#[derive(Debug)]
pub(super) struct Summed<W> {
    inner: W,
    sum: Hasher,
}

impl<W> Summed<W> {
    /// Writes to this; nothing was written yet.
    pub(super) fn new(inner: W) -> Self {
        Self {
            inner,
            sum: Hasher::new(),
        }
    }

    /// The sum of what was written so far.
    pub(super) fn checksum(&self) -> u32 {
        self.sum.clone().finalize()
    }
}

impl<W: Write> Write for Summed<W> {
    #[expect(
        clippy::disallowed_methods,
        reason = "what was not written is told to the caller, which writes the rest"
    )]
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.inner.write(bytes)?;
        self.sum.update(&bytes[..written]);
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.inner.flush()
    }
}

/// The checksum of all that can be read.
pub fn checksum(mut bytes: impl Read) -> io::Result<u32> {
    let mut sum = Hasher::new();
    let mut buffer = vec![0; BUFFER_BYTES];
    loop {
        match bytes.read(&mut buffer) {
            Ok(0) => return Ok(sum.finalize()),
            Ok(read) => sum.update(&buffer[..read]),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
}

/// Bytes that are read at a time.
const BUFFER_BYTES: usize = 256 << 10;

#[cfg(test)]
mod tests {
    use super::*;

    /// Takes three bytes at most at a time.
    struct Slow(Vec<u8>);

    impl Write for Slow {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            let taken = bytes.len().min(3);
            self.0.extend_from_slice(&bytes[..taken]);
            Ok(taken)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn what_is_written_in_pieces_has_the_sum_of_the_whole() {
        let mut summed = Summed::new(Slow(Vec::new()));
        summed.write_all(b"1234").unwrap();
        summed.write_all(b"56789").unwrap();
        // The check value of CRC-32/ISO-HDLC.
        assert_eq!(summed.checksum(), 0xcbf4_3926);
        assert_eq!(checksum(&summed.inner.0[..]).unwrap(), 0xcbf4_3926);
        assert_ne!(checksum(&b"123456788"[..]).unwrap(), 0xcbf4_3926);
        assert_eq!(checksum(&b""[..]).unwrap(), 0);
    }
}
