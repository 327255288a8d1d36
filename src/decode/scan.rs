//! Where the bytes of structure are in 64 bytes at a time.
//!
//! Comparing bytes into flags and packing eight flags into eight bits by one multiplication is what compilers turn into
//! vector code on every target, without `unsafe`: the intrinsics would need it even where SSE2 is always there.

/// Bytes looked at together.
pub(super) const WIDTH: usize = 64;

/// Which of 64 bytes are structure: bit i stands for byte i.
#[derive(Debug, Clone, Copy)]
pub(super) struct Masks {
    /// Delimiters and line ends.
    pub(super) ends: u64,
    /// Line ends.
    pub(super) lines: u64,
    /// Quotes; 0 unless asked for.
    pub(super) quotes: u64,
}

/// Finds the structure of 64 bytes; `CARRIAGE`: `\r` is a line end, too; `QUOTE`: quotes are looked for.
#[inline(always)]
pub(super) fn masks<const CARRIAGE: bool, const QUOTE: bool>(
    block: &[u8; WIDTH],
    delimiter: u8,
    quote: u8,
) -> Masks {
    let mut ends = [0_u8; WIDTH];
    let mut lines = [0_u8; WIDTH];
    let mut quotes = [0_u8; WIDTH];
    for i in 0..WIDTH {
        let byte = block[i];
        let mut line = u8::from(byte == b'\n');
        if CARRIAGE {
            line |= u8::from(byte == b'\r');
        }
        lines[i] = line;
        ends[i] = u8::from(byte == delimiter) | line;
        if QUOTE {
            quotes[i] = u8::from(byte == quote);
        }
    }
    Masks {
        ends: pack(&ends),
        lines: pack(&lines),
        quotes: if QUOTE { pack(&quotes) } else { 0 },
    }
}

/// One bit for each flag (0 or 1).
#[inline(always)]
fn pack(flags: &[u8; WIDTH]) -> u64 {
    // The multiplication moves bit 0 of byte i to bit 56 + i; no two of the moved bits meet.
    const TO_TOP_BYTE: u64 = 0x0102_0408_1020_4080;
    let (words, _) = flags.as_chunks::<8>();
    let mut mask = 0_u64;
    for (i, word) in words.iter().enumerate() {
        mask |= (u64::from_le_bytes(*word).wrapping_mul(TO_TOP_BYTE) >> 56) << (8 * i);
    }
    mask
}

/// A position within a chunk as an index.
#[inline(always)]
#[expect(
    clippy::as_conversions,
    reason = "usize holds every u32 on the targets of this crate"
)]
pub(super) const fn wide(position: u32) -> usize {
    position as usize
}

/// An index within a chunk as a position.
#[inline(always)]
#[expect(
    clippy::as_conversions,
    clippy::cast_possible_truncation,
    reason = "the decoder refuses chunks of 2 GiB and more before it splits them"
)]
pub(super) const fn narrow(index: usize) -> u32 {
    index as u32
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_bit_stands_for_its_byte() {
        for at in 0..WIDTH {
            for byte in [b',', b'\n', b'\r', b'"'] {
                let mut block = [0xFF; WIDTH];
                block[at] = byte;
                let found = masks::<true, true>(&block, b',', b'"');
                let bit = 1_u64 << at;
                assert_eq!(found.ends, if byte == b'"' { 0 } else { bit });
                assert_eq!(
                    found.lines,
                    if matches!(byte, b'\n' | b'\r') {
                        bit
                    } else {
                        0
                    }
                );
                assert_eq!(found.quotes, if byte == b'"' { bit } else { 0 });
            }
        }
    }
}
