//! Numbers from a seed.

/// A small generator (splitmix64), so that a seed gives the same faults everywhere.
pub(crate) struct Draw(pub(crate) u64);

impl Draw {
    /// A number below another.
    pub(crate) fn next(&mut self, below: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        (z ^ (z >> 31)) % below
    }

    /// Numbers of processes and workers.
    pub(crate) fn shape(&mut self) -> (u64, u64) {
        (1 + self.next(3), 1 + self.next(2))
    }

    /// One of some.
    pub(crate) fn of<T: Copy>(&mut self, all: &[T]) -> T {
        let place = self.next(u64::try_from(all.len()).unwrap());
        all[usize::try_from(place).unwrap()]
    }

    /// All of them, in another order.
    pub(crate) fn shuffle<T>(&mut self, all: &mut [T]) {
        for last in (1..all.len()).rev() {
            let other = self.next(u64::try_from(last + 1).unwrap());
            all.swap(last, usize::try_from(other).unwrap());
        }
    }
}
