//! What was read of a file, in a few bytes.

use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::FileExt;

use crc32fast::Hasher;

use super::find::Id;
use crate::cluster::exchange::hash_bytes;
use crate::epoch::FileMark;

/// Bytes at the beginning, and before the place, that are looked at to know a file again: a few records, and one block of a disk.
pub(super) const SAMPLE: u64 = 1024;

/// Grows with the bytes that are read of a file from its first on.
#[derive(Debug, Clone)]
pub(super) struct Marker {
    at: u64,
    sum: Hasher,
    head: Vec<u8>,
    seam: Vec<u8>,
}

impl Marker {
    /// Nothing was read.
    pub(super) fn new() -> Self {
        Self {
            at: 0,
            sum: Hasher::new(),
            head: Vec::new(),
            seam: Vec::new(),
        }
    }

    /// What `file` holds before `at`, which was read in another life: its samples are looked at. `None` where they are not those of
    /// `mark`, or the file is shorter.
    pub(super) fn of_file(file: &File, at: u64, mark: &FileMark) -> io::Result<Option<Self>> {
        let sample = at.min(SAMPLE);
        let mut samples = [0, at - sample].map(|from| (from, vec![0; size(sample)]));
        for (from, sample) in &mut samples {
            match file.read_exact_at(sample, *from) {
                Ok(()) => {}
                Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(None),
                Err(error) => return Err(error),
            }
        }
        let [(_, head), (_, seam)] = samples;
        let is_it = (hash_bytes(&head), hash_bytes(&seam)) == (mark.head, mark.seam);
        Ok(is_it.then(|| Self {
            at,
            sum: Hasher::new_with_initial_len(mark.crc, at),
            head,
            seam,
        }))
    }

    /// What `input` holds before `at`; `None` where that is not what `mark` says. Cost: nothing but the first bytes where they differ.
    pub(super) fn of_bytes(
        input: &mut dyn Read,
        at: u64,
        mark: &FileMark,
    ) -> io::Result<Option<Self>> {
        let mut marker = Self::new();
        marker.pass(input, at.min(SAMPLE))?;
        if marker.at < at.min(SAMPLE) || hash_bytes(&marker.head) != mark.head {
            return Ok(None);
        }
        marker.pass(input, at - marker.at)?;
        Ok((marker.at == at && marker.crc() == mark.crc).then_some(marker))
    }

    /// Takes up to so many bytes of `input`.
    pub(super) fn pass(&mut self, input: &mut dyn Read, bytes: u64) -> io::Result<()> {
        let mut left = input.take(bytes);
        let mut block = vec![0; 1 << 16];
        loop {
            match left.read(&mut block) {
                Ok(0) => return Ok(()),
                Ok(read) => self.push(&block[..read]),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
    }

    /// Takes the bytes that come next.
    pub(super) fn push(&mut self, bytes: &[u8]) {
        let most = size(SAMPLE);
        self.sum.update(bytes);
        self.at += u64::try_from(bytes.len()).expect("a length fits 64 bits");
        let room = (most - self.head.len()).min(bytes.len());
        self.head.extend_from_slice(&bytes[..room]);
        let last = &bytes[bytes.len().saturating_sub(most)..];
        let kept = (most - last.len()).min(self.seam.len());
        self.seam.drain(..self.seam.len() - kept);
        self.seam.extend_from_slice(last);
    }

    /// How many bytes were read.
    pub(super) fn at(&self) -> u64 {
        self.at
    }

    /// The sum of all.
    pub(super) fn crc(&self) -> u32 {
        self.sum.clone().finalize()
    }

    /// The bytes before the place.
    pub(super) fn seam(&self) -> &[u8] {
        &self.seam
    }

    /// What is bound of a file with this identity.
    pub(super) fn mark(&self, id: Id, size: u64, line: u64) -> FileMark {
        FileMark {
            inode: id.inode,
            created: id.created,
            size,
            line,
            head: hash_bytes(&self.head),
            seam: hash_bytes(&self.seam),
            crc: self.crc(),
        }
    }
}

fn size(bytes: u64) -> usize {
    usize::try_from(bytes).expect("a sample fits into memory")
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    fn id() -> Id {
        Id {
            inode: 7,
            created: None,
        }
    }

    #[test]
    fn the_mark_is_the_same_however_the_bytes_come_and_from_life_to_life() {
        let text: Vec<u8> = (0..5000_u32)
            .flat_map(|n| format!("{n}\n").into_bytes())
            .collect();
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(&text).unwrap();
        for at in [0, 1, 5, 1023, 1024, 1025, 3000, text.len()] {
            let mut whole = Marker::new();
            whole.push(&text[..at]);
            let mark = whole.mark(id(), 0, 1);
            for step in [1, 7, 1000, 1024, 4096] {
                let mut marker = Marker::new();
                for piece in text[..at].chunks(step) {
                    marker.push(piece);
                }
                assert_eq!(marker.mark(id(), 0, 1), mark);
            }
            let at = u64::try_from(at).unwrap();
            let mut resumed = Marker::of_file(&file, at, &mark).unwrap().unwrap();
            let mut copied = Marker::of_bytes(&mut &text[..], at, &mark)
                .unwrap()
                .unwrap();
            let rest = &text[size(at)..];
            whole.push(rest);
            resumed.push(rest);
            copied.push(rest);
            let all = whole.mark(id(), 0, 1);
            assert_eq!(resumed.mark(id(), 0, 1), all);
            assert_eq!(copied.mark(id(), 0, 1), all);
        }
    }

    #[test]
    fn another_byte_is_another_file() {
        let text = vec![b'a'; 5000];
        let mut marker = Marker::new();
        marker.push(&text);
        let mark = marker.mark(id(), 0, 1);
        for changed in [0, 1023, 2000, 4999] {
            let mut other = text.clone();
            other[changed] = b'b';
            assert!(
                Marker::of_bytes(&mut &other[..], 5000, &mark)
                    .unwrap()
                    .is_none()
            );
            let mut file = tempfile::tempfile().unwrap();
            file.write_all(&other).unwrap();
            // Samples don't see what lies between them.
            let seen = Marker::of_file(&file, 5000, &mark).unwrap().is_none();
            assert_eq!(seen, changed != 2000);
        }
        assert!(
            Marker::of_bytes(&mut &text[..4999], 5000, &mark)
                .unwrap()
                .is_none()
        );
        assert!(
            Marker::of_bytes(&mut &text[..10], 5000, &mark)
                .unwrap()
                .is_none()
        );
    }
}
