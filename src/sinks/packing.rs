//! Numbers packed to as many bits as they need: the kernels below the delta and dictionary encodings of Parquet.

use super::pages::{push_varint, wide};

/// Values packed at a time: Parquet's blocks are multiples of it, and it fills whole words at every width.
pub(super) const LANES: usize = 32;

/// Appends 32 values of `width` bits each, least significant bit first: `4 * width` bytes. Bits above the width must be 0.
pub(super) fn pack(values: &[u64; LANES], width: u32, out: &mut Vec<u8>) {
    /// The width is known when it is compiled, so that every shift is fixed and nothing branches.
    fn fixed<const WIDTH: u32>(values: &[u64; LANES], out: &mut Vec<u8>) {
        let mut words = [0_u64; LANES];
        let mut word = 0;
        let mut used = 0;
        let mut pending = 0_u64;
        for &value in values {
            pending |= value << used;
            used += WIDTH;
            if used >= 64 {
                words[word] = pending;
                word += 1;
                used -= 64;
                pending = if used == 0 {
                    0
                } else {
                    value >> (WIDTH - used)
                };
            }
        }
        if used > 0 {
            words[word] = pending;
        }
        let mut bytes = [0_u8; LANES * 8];
        for (bytes, word) in bytes.chunks_exact_mut(8).zip(words) {
            bytes.copy_from_slice(&word.to_le_bytes());
        }
        out.extend_from_slice(&bytes[..BYTES_A_BIT * bits(WIDTH)]);
    }
    macro_rules! dispatch {
        ($($width:literal)*) => {
            match width {
                0 => {}
                $($width => fixed::<$width>(values, out),)*
                _ => unreachable!("a value has at most 64 bits"),
            }
        };
    }
    dispatch!(
        1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20 21 22 23 24 25 26 27 28 29 30 31 32
        33 34 35 36 37 38 39 40 41 42 43 44 45 46 47 48 49 50 51 52 53 54 55 56 57 58 59 60 61 62 63 64
    );
}

/// Bytes that 32 values take for each bit of their width.
const BYTES_A_BIT: usize = LANES / 8;

fn bits(width: u32) -> usize {
    usize::try_from(width).expect("a width is small")
}

/// Bits that values up to `largest` need.
pub(super) fn width_of(largest: u64) -> u32 {
    64 - largest.leading_zeros()
}

/// Appends `codes` as Parquet's hybrid of runs and packed groups, each below `1 << width`.
///
/// Blocks of 32 equal values become runs, everything else is packed: looking for shorter runs costs more time than it
/// saves bytes, once pages are compressed.
pub(super) fn push_hybrid(codes: &[u32], width: u32, out: &mut Vec<u8>) {
    let blocks: Vec<&[u32]> = codes.chunks(LANES).collect();
    let run_of = |block: &[u32]| block.iter().all(|code| *code == block[0]).then(|| block[0]);
    let mut at = 0;
    while at < blocks.len() {
        if let Some(code) = run_of(blocks[at]) {
            let first = at;
            while at < blocks.len() && run_of(blocks[at]) == Some(code) {
                at += 1;
            }
            let values: usize = blocks[first..at].iter().map(|block| block.len()).sum();
            push_varint(out, wide(values) << 1);
            out.extend_from_slice(&code.to_le_bytes()[..bits(width.div_ceil(8))]);
        } else {
            let first = at;
            while at < blocks.len() && run_of(blocks[at]).is_none() {
                at += 1;
            }
            let groups: usize = blocks[first..at]
                .iter()
                .map(|block| block.len().div_ceil(8))
                .sum();
            push_varint(out, (wide(groups) << 1) | 1);
            for block in &blocks[first..at] {
                let mut values = [0; LANES];
                for (value, code) in values.iter_mut().zip(*block) {
                    *value = u64::from(*code);
                }
                let before = out.len();
                pack(&values, width, out);
                out.truncate(before + block.len().div_ceil(8) * bits(width));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// One bit after the other.
    fn oracle(values: &[u64], width: u32) -> Vec<u8> {
        let mut out = vec![0_u8; (values.len() * bits(width)).div_ceil(8)];
        for (place, value) in values.iter().enumerate() {
            for bit in 0..bits(width) {
                if value >> bit & 1 == 1 {
                    out[(place * bits(width) + bit) / 8] |= 1 << ((place * bits(width) + bit) % 8);
                }
            }
        }
        out
    }

    #[test]
    fn every_width_packs_as_bit_by_bit() {
        for width in 0..=64 {
            let mask = if width == 64 {
                u64::MAX
            } else {
                (1 << width) - 1
            };
            let values: [u64; LANES] = std::array::from_fn(|lane| {
                wide(lane + 1)
                    .wrapping_mul(0x9E37_79B9_7F4A_7C15)
                    .rotate_left(width)
                    & mask
            });
            let mut out = vec![7];
            pack(&values, width, &mut out);
            assert_eq!(out[1..], oracle(&values, width), "{width}");
        }
    }

    #[test]
    fn widths_hold_their_values() {
        assert_eq!(
            [0, 1, 2, 255, 256, u64::MAX].map(width_of),
            [0, 1, 2, 8, 9, 64]
        );
    }

    #[test]
    fn equal_blocks_are_runs_and_the_others_are_packed() {
        let mut out = Vec::new();
        push_hybrid(&[5; 70], 3, &mut out);
        assert_eq!(out, [140, 1, 5]);
        out.clear();
        push_hybrid(&[0, 1, 2], 2, &mut out);
        assert_eq!(out, [3, 0b10_0100, 0]);
        out.clear();
        push_hybrid(&[], 2, &mut out);
        assert!(out.is_empty());
    }
}
