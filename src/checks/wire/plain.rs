//! Records of whole words as bytes and back, through `abomonation`: the one place that uses it.
//!
//! `abomonation` takes any type for bytes and any bytes for a type (RUSTSEC-2021-0120): it reads padding, makes values that
//! their type forbids, follows lengths and pointers that came with the bytes, and asks neither for alignment nor for a
//! type without secrets. So it only ever sees [`Words`] here, which have none of these, behind [`put`] and [`Front::take`], which
//! check what is left: that there are bytes enough, at an address that the type allows.
//!
//! What is in the words is checked by whoever asked for them; any words are a valid record.

#![expect(
    unsafe_code,
    reason = "abomonation's functions are unsafe for types that hold more than words; the proof stands at `Words`, `put` and `Front::take`"
)]

use std::io::{self, Write};

use abomonation::Abomonation;

use super::Broken;

/// A type of nothing but 64-bit integers, one behind the other.
///
/// # Safety
///
/// All of the type's bytes are those of 64-bit integers at multiples of eight bytes, and there is at least one. So
///
/// 1. none is padding: all bytes of a value are initialised and may be read;
/// 2. any bytes are a value;
/// 3. nothing is owned and nothing pointed to, and its `Abomonation` keeps the trait's empty methods, or calls only such:
///    `entomb` writes nothing, `exhume` takes nothing and changes nothing.
pub(super) unsafe trait Words: Abomonation + Copy + 'static {}

// SAFETY: an integer of 64 bits is one, and an array has no padding between its elements. `abomonation` implements its
// trait for integers without a method, and for arrays by its elements.
unsafe impl Words for u64 {}
// SAFETY: as for u64.
unsafe impl Words for i64 {}
// SAFETY: as for u64.
unsafe impl Words for [u64; 2] {}
// SAFETY: as for u64.
unsafe impl Words for [u64; 3] {}

/// Structs of [`Words`].
macro_rules! records {
    ($($(#[$doc:meta])* $name:ident { $($(#[$about:meta])* $field:ident: $type:ty,)+ })+) => {$(
        $(#[$doc])*
        #[repr(C)]
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub(super) struct $name {
            $($(#[$about])* pub(super) $field: $type,)+
        }

        const _: () = assert!(
            size_of::<$name>() == 0 $(+ size_of::<$type>())+,
            "a record has no padding"
        );

        impl Abomonation for $name {}

        // SAFETY: `repr(C)` puts the fields one behind the other, each of them is of `Words` by the bounds, and the sizes
        // add up by the assertion above, so that there is nothing else. The methods of `Abomonation` are the empty ones.
        unsafe impl Words for $name where $($type: Words),+ {}
    )+};
}

records! {
    /// Begins a message.
    Head {
        /// Partials of all runs.
        partials: u64,
        /// Bytes of text at the end, before they are filled up to a multiple of eight.
        text_bytes: u64,
    }

    /// Begins partials of one shape. The kinds of their accumulators follow, a word each.
    Run {
        /// How many.
        partials: u64,
        /// Values of each segment.
        values: u64,
        /// Accumulators of each partial.
        accumulators: u64,
    }

    /// Begins a partial. The values of its segment and its accumulators follow.
    Begin {
        /// The epoch.
        epoch: u64,
        /// Start of the window.
        start: i64,
        /// Number of rows.
        rows: i64,
    }

    /// A value.
    Single {
        /// One of `kind::value`.
        kind: u64,
        /// What it is: nothing, one word, two with the low one first, or the place and length of a text.
        words: [u64; 2],
    }

    /// `stats::Sum`.
    Total {
        /// Values added.
        n: i64,
        /// Values that were not added.
        wide: i64,
        /// Their sum, low word first: received bytes are 8-aligned, and an `i128` wants sixteen.
        sum: [u64; 2],
    }

    /// `stats::Moments`.
    Square {
        /// Number and sum.
        first: Total,
        /// Sum of squares, least word first.
        squares: [u64; 3],
    }
}

/// Writes a record as it lies in memory.
pub(super) fn put<T: Words>(record: &T, writer: &mut impl Write) -> io::Result<()> {
    // SAFETY: `encode` reads the record's `size_of::<T>()` bytes, all of which are initialised by (1), and calls `entomb`,
    // which by (3) does nothing.
    unsafe { abomonation::encode(record, writer) }
}

/// Bytes that records are taken from, front to back.
pub(super) struct Front<'a> {
    bytes: &'a mut [u8],
}

impl<'a> Front<'a> {
    /// All of the bytes.
    pub(super) fn new(bytes: &'a mut [u8]) -> Self {
        Self { bytes }
    }

    /// Number of bytes that are left.
    pub(super) fn left(&self) -> usize {
        self.bytes.len()
    }

    /// Parts the last bytes off; `None` where there are not so many.
    pub(super) fn part_end(&mut self, length: usize) -> Option<&'a [u8]> {
        let front = self.left().checked_sub(length)?;
        let (front, end) = std::mem::take(&mut self.bytes).split_at_mut(front);
        self.bytes = front;
        Some(end)
    }

    /// Takes a record.
    ///
    /// Errors: there are too few bytes, or they begin where the type can't stand; nothing is taken then.
    pub(super) fn take<T: Words>(&mut self) -> Result<T, Broken> {
        if self.left() < size_of::<T>() {
            return Err(Broken::Short {
                needed: size_of::<T>(),
                left: self.left(),
            });
        }
        if !self.bytes.as_ptr().cast::<T>().is_aligned() {
            return Err(Broken::Misaligned);
        }
        let bytes = std::mem::take(&mut self.bytes);
        // SAFETY: `decode` takes a reference to the first `size_of::<T>()` bytes, of which there are as many and at least one,
        // for one to a `T`. The address is a multiple of `align_of::<T>()`, the bytes are initialised since they are a slice's, and
        // by (2) they are a value. They are borrowed mutably for as long as the record is, so nobody else sees or changes
        // them. `exhume` by (3) does nothing, so no length or pointer in the bytes is followed.
        // `decode` comes to that reference from one to the first byte alone. Tree Borrows lets it reach the bytes of the slice
        // behind it; Stacked Borrows, which asks for more than the compiler makes use of, does not. No use of `decode` can
        // help that.
        let decoded = unsafe { abomonation::decode::<T>(bytes) };
        let (record, rest) = decoded.expect("there are bytes enough, and words take no more");
        self.bytes = rest;
        Ok(*record)
    }
}
