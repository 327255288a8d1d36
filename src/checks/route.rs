//! Which worker keeps a segment: a hash of our own over its bytes, pinned, so that no library's default decides placement.
//!
//! FNV-1a in 64 bits (Fowler, Noll, Vo) over an unambiguous encoding of the values, finished with the 64-bit mix of
//! `MurmurHash3` (Appleby), since placement takes low or high bits and those of FNV alone are weak for short keys.

use super::value::{Segment, Value};

/// Hash of a segment.
pub(crate) fn hash(segment: &Segment) -> u64 {
    let mut bytes = Vec::with_capacity(32);
    for value in &segment.0 {
        match value {
            Value::Null => bytes.push(0),
            Value::Int(value) => {
                bytes.push(1);
                bytes.extend(value.to_le_bytes());
            }
            Value::Wide(value) => {
                bytes.push(2);
                bytes.extend(value.to_le_bytes());
            }
            Value::Text(text) => {
                bytes.push(3);
                bytes.extend(text.as_bytes());
                // No UTF-8 text holds this byte, so texts side by side can't be confused.
                bytes.push(0xff);
            }
        }
    }
    hash_bytes(&bytes)
}

fn hash_bytes(bytes: &[u8]) -> u64 {
    let fnv = bytes.iter().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3)
    });
    let mixed = (fnv ^ (fnv >> 33)).wrapping_mul(0xff51_afd7_ed55_8ccd);
    let mixed = (mixed ^ (mixed >> 33)).wrapping_mul(0xc4ce_b9fe_1a85_ec53);
    mixed ^ (mixed >> 33)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn placement_is_pinned() {
        let hashes = [
            hash(&Segment::default()),
            hash(&Segment(Box::new([Value::Int(5)]))),
            hash(&Segment(Box::new([
                Value::Null,
                Value::Text("web".into()),
                Value::Wide(-1),
            ]))),
        ];
        assert_eq!(
            hashes.map(|hash| format!("{hash:016x}")),
            ["efd01f60ba992926", "1d9a343a2cca9203", "34c2ba8d5ca1a5ea"]
        );
    }

    #[test]
    fn few_segments_spread_over_few_workers() {
        let mut rows = [0; 4];
        for region in 0..64 {
            rows[usize::try_from(hash(&Segment(Box::new([Value::Int(region)]))) % 4).unwrap()] += 1;
        }
        assert!(rows.iter().all(|segments| *segments >= 8), "{rows:?}");
    }
}
