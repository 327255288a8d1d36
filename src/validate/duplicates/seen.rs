//! Keys that were seen, each with the place of its first row.

use hashbrown::{DefaultHashBuilder, HashTable};
use std::hash::BuildHasher;

use crate::record::Place;

/// Every key that was seen.
///
/// Keys are compared byte by byte: two that share a hash are told apart. Cost: the bytes of each distinct key once, and some forty
/// bytes beside them; grows with them and is never given back.
#[derive(Debug, Default)]
pub(super) struct Seen {
    keys: Vec<u8>,
    firsts: Vec<First>,
    numbers: HashTable<usize>,
    hasher: DefaultHashBuilder,
    files: Files,
}

/// Where the first row of a key stands.
#[derive(Debug, Clone, Copy)]
struct First {
    /// One past the key's last byte; it begins where the key before it ends.
    key_end: usize,
    file: u32,
    line: u64,
    byte: u64,
}

/// The first row of a key, as it was seen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct FirstRow {
    /// Index of the source.
    pub(super) source: usize,
    /// Where it stands.
    pub(super) place: Place,
}

impl Seen {
    /// The first row of this key, which is the one at hand where there was none: then `None`.
    pub(super) fn first(
        &mut self,
        key: &[u8],
        source: usize,
        file: &str,
        line: u64,
        byte: u64,
    ) -> Option<FirstRow> {
        let hash = self.hasher.hash_one(key);
        let of = |number: usize| {
            let begin = number
                .checked_sub(1)
                .map_or(0, |before| self.firsts[before].key_end);
            &self.keys[begin..self.firsts[number].key_end]
        };
        if let Some(&number) = self.numbers.find(hash, |number| of(*number) == key) {
            return Some(self.row(number));
        }
        let hasher = &self.hasher;
        self.numbers
            .insert_unique(hash, self.firsts.len(), |number| {
                hasher.hash_one(of(*number))
            });
        self.keys.extend_from_slice(key);
        self.firsts.push(First {
            key_end: self.keys.len(),
            file: self.files.number(source, file),
            line,
            byte,
        });
        None
    }

    fn row(&self, number: usize) -> FirstRow {
        let First {
            file, line, byte, ..
        } = self.firsts[number];
        let (source, file) = self.files.get(file);
        FirstRow {
            source,
            place: Place {
                file: file.to_owned(),
                line,
                byte,
                is_message: false,
            },
        }
    }
}

/// Files by number; rows come file by file, so that the last one is looked at first.
#[derive(Debug, Default)]
struct Files(Vec<(usize, String)>);

impl Files {
    fn number(&mut self, source: usize, file: &str) -> u32 {
        let found = self
            .0
            .iter()
            .rposition(|(of, known)| *of == source && known == file);
        let number = found.unwrap_or_else(|| {
            self.0.push((source, file.to_owned()));
            self.0.len() - 1
        });
        u32::try_from(number).expect("there are fewer than 2^32 files")
    }

    fn get(&self, number: u32) -> (usize, &str) {
        let at = usize::try_from(number).expect("an index fits");
        let (source, file) = &self.0[at];
        (*source, file)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_row_of_a_key_is_told_to_every_later_one() {
        let mut seen = Seen::default();
        for round in 0..3 {
            for number in 0..5_000_u64 {
                // Keys that are prefixes of each other, the empty one among them.
                let key = number.to_string().repeat(usize::from(number > 0));
                let file = format!("f{}", number % 3);
                let first = seen.first(key.as_bytes(), 1, &file, number + 10 * round, 7);
                let repeated = FirstRow {
                    source: 1,
                    place: Place {
                        file,
                        line: number,
                        byte: 7,
                        is_message: false,
                    },
                };
                assert_eq!(first, Some(repeated).filter(|_| round > 0), "{number}");
            }
        }
    }
}
