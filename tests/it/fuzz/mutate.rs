//! Damage: a few small changes to one of the seeds, the same ones for the same number.

/// Most changes to one file.
const CHANGES: usize = 6;

/// Longest piece that is taken away, doubled or taken over from another seed.
const PIECE: usize = 64;

/// Makes one damaged file after another.
pub(super) struct Mutator<'a> {
    state: u64,
    seeds: &'a [Vec<u8>],
    words: &'a [&'a [u8]],
}

impl<'a> Mutator<'a> {
    /// `words` are bytes that mean something in the format.
    pub(super) fn new(seed: u64, seeds: &'a [Vec<u8>], words: &'a [&'a [u8]]) -> Self {
        Self {
            state: seed,
            seeds,
            words,
        }
    }

    /// The finaliser of splitmix64 over a counter.
    fn random(&mut self) -> u64 {
        self.state = self.state.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = self.state;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ (mixed >> 31)
    }

    fn below(&mut self, bound: usize) -> usize {
        let bound = u64::try_from(bound.max(1)).unwrap();
        usize::try_from(self.random() % bound).unwrap()
    }

    /// A piece of so many bytes: where it begins and ends.
    fn piece(&mut self, length: usize) -> (usize, usize) {
        let start = self.below(length);
        let end = start + 1 + self.below(PIECE);
        (start, end.min(length))
    }

    /// The next damaged file.
    pub(super) fn next(&mut self) -> Vec<u8> {
        let seed = self.below(self.seeds.len());
        let mut bytes = self.seeds[seed].clone();
        for _ in 0..=self.below(CHANGES) {
            self.change(&mut bytes);
        }
        bytes
    }

    fn change(&mut self, bytes: &mut Vec<u8>) {
        let at = self.below(bytes.len());
        match self.below(8) {
            0 if !bytes.is_empty() => bytes[at] ^= 1 << self.below(8),
            1 if !bytes.is_empty() => bytes[at] = self.random().to_le_bytes()[0],
            2 => {
                let byte = self.random().to_le_bytes()[0];
                bytes.insert(at, byte);
            }
            3 | 4 if !self.words.is_empty() => {
                let word = self.words[self.below(self.words.len())];
                let over = self.below(2) * word.len();
                let end = (at + over).min(bytes.len());
                bytes.splice(at..end, word.iter().copied());
            }
            5 if !bytes.is_empty() => {
                let (start, end) = self.piece(bytes.len());
                bytes.drain(start..end);
            }
            6 => {
                let other = &self.seeds[self.below(self.seeds.len())];
                let (start, end) = self.piece(other.len());
                bytes.splice(at..at, other[start..end].iter().copied());
            }
            _ => bytes.truncate(at),
        }
    }
}
