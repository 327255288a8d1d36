//! Columns of whole numbers in Parquet: integers, dates, timestamps and decimals of up to 18 digits.
//!
//! `DELTA_BINARY_PACKED` for each page where it is smaller than the plain numbers, which it is for all but random 64-bit
//! ones: differences of neighbours, less the smallest of their block, packed to the bits that the largest needs. Sequences
//! and times shrink to a few bits, and even values in no order lose their unused high bits.
//!
//! Measured on the 11 such columns of `benches/parquet_write.rs`: a dictionary takes longer than everything else together
//! as soon as there are thousands of values.

use ::parquet::basic::Encoding;
use ::parquet::errors::ParquetError;
use ::parquet::file::statistics::Statistics;
use arrow_array::cast::AsArray;
use arrow_array::types::{
    ArrowPrimitiveType, Date32Type, Decimal128Type, Int16Type, Int32Type, Int64Type,
    TimestampMicrosecondType,
};
use arrow_array::{Array, ArrayRef, PrimitiveArray};
use arrow_buffer::NullBuffer;
use arrow_schema::DataType;

use super::packing::{LANES, pack, width_of};
use super::pages::{ColumnPages, Habit, PageCompressor, push_varint, wide};

/// Values of a block, which has one smallest difference, and its parts of 32, which have a width each.
const BLOCK: usize = 4 * LANES;

/// Digits of the widest decimal that is a 64-bit number.
pub(super) const DECIMAL_DIGITS: u8 = 18;

/// Digits of the widest decimal that is a 32-bit number in the file.
const NARROW_DIGITS: u8 = 9;

/// A column chunk of whole numbers being written.
#[derive(Debug)]
pub(super) struct IntegerColumn {
    pages: ColumnPages,
    /// The page at hand; 32-bit columns are widened.
    values: Vec<i64>,
    /// Whether the file has 32-bit numbers.
    narrow: bool,
    range: Option<(i64, i64)>,
}

/// Whether columns of this type are written here.
pub(super) fn holds(data_type: &DataType) -> bool {
    match data_type {
        DataType::Int16
        | DataType::Int32
        | DataType::Int64
        | DataType::Date32
        | DataType::Timestamp(_, _) => true,
        DataType::Decimal128(precision, _) => *precision <= DECIMAL_DIGITS,
        _ => false,
    }
}

fn is_narrow(data_type: &DataType) -> bool {
    match data_type {
        DataType::Decimal128(precision, _) => *precision <= NARROW_DIGITS,
        other => !matches!(other, DataType::Int64 | DataType::Timestamp(_, _)),
    }
}

impl IntegerColumn {
    pub(super) fn new(pages: ColumnPages, data_type: &DataType) -> Self {
        Self {
            pages,
            values: Vec::new(),
            narrow: is_narrow(data_type),
            range: None,
        }
    }

    /// Adds the array's values to the page at hand.
    pub(super) fn append(&mut self, array: &ArrayRef) {
        self.pages.append_levels(array.nulls(), array.len());
        let first = self.values.len();
        let out = &mut self.values;
        match array.data_type() {
            DataType::Int16 => extend(out, array.as_primitive::<Int16Type>(), i64::from),
            DataType::Int32 => extend(out, array.as_primitive::<Int32Type>(), i64::from),
            DataType::Int64 => extend(out, array.as_primitive::<Int64Type>(), |value| value),
            DataType::Date32 => extend(out, array.as_primitive::<Date32Type>(), i64::from),
            DataType::Timestamp(_, _) => extend(
                out,
                array.as_primitive::<TimestampMicrosecondType>(),
                |value| value,
            ),
            DataType::Decimal128(_, _) => {
                extend(out, array.as_primitive::<Decimal128Type>(), low_half);
            }
            other => unreachable!("{other} is no type of whole numbers"),
        }
        let added = &self.values[first..];
        if let Some(&value) = added.first() {
            let (low, high) = self.range.unwrap_or((value, value));
            let range = added.iter().fold((low, high), |(low, high), &value| {
                (low.min(value), high.max(value))
            });
            self.range = Some(range);
        }
    }

    /// Bytes in memory.
    pub(super) fn held_bytes(&self) -> usize {
        self.pages.held_bytes() + self.values.capacity() * 8
    }

    /// Bytes of the chunk so far.
    pub(super) fn encoded_bytes(&self) -> usize {
        self.pages.encoded_bytes()
    }

    /// Ends the page at hand.
    pub(super) fn end_page(
        &mut self,
        scratch: &mut Vec<u8>,
        compressor: &mut PageCompressor,
        habit: &mut Habit,
    ) -> Result<(), ParquetError> {
        scratch.clear();
        push_delta(&self.values, self.narrow, scratch);
        let mut encoding = Encoding::DELTA_BINARY_PACKED;
        let plain_bytes = self.values.len() * if self.narrow { 4 } else { 8 };
        if scratch.len() >= plain_bytes {
            encoding = Encoding::PLAIN;
            scratch.clear();
            push_plain(&self.values, self.narrow, scratch);
        }
        self.values.clear();
        self.pages.end_page(scratch, encoding, compressor, habit)
    }

    /// The chunk's pages and what its statistics say.
    pub(super) fn close(self) -> (ColumnPages, Statistics) {
        let nulls = Some(self.pages.nulls());
        let (low, high) = self.range.unzip();
        let statistics = if self.narrow {
            Statistics::int32(low.map(narrow), high.map(narrow), None, nulls, false)
        } else {
            Statistics::int64(low, high, None, nulls, false)
        };
        (self.pages, statistics)
    }
}

fn extend<T: ArrowPrimitiveType>(
    out: &mut Vec<i64>,
    array: &PrimitiveArray<T>,
    widen: impl Fn(T::Native) -> i64,
) {
    match array.nulls().filter(|nulls| nulls.null_count() > 0) {
        None => out.extend(array.values().iter().map(|&value| widen(value))),
        Some(nulls) => out.extend(valid_of(nulls).map(|row| widen(array.values()[row]))),
    }
}

/// Rows that have a value.
pub(super) fn valid_of(nulls: &NullBuffer) -> impl Iterator<Item = usize> {
    nulls.valid_slices().flat_map(|(start, end)| start..end)
}

/// A decimal of up to 18 digits as the 64-bit number it is.
#[expect(
    clippy::as_conversions,
    clippy::cast_possible_truncation,
    reason = "18 digits fit; checked in debug builds"
)]
fn low_half(value: i128) -> i64 {
    debug_assert!(
        i64::try_from(value).is_ok(),
        "{value} has more than 18 digits"
    );
    value as i64
}

fn narrow(value: i64) -> i32 {
    i32::try_from(value).expect("a 32-bit column holds 32-bit numbers")
}

/// Appends the numbers as `PLAIN` has them.
fn push_plain(values: &[i64], narrow: bool, out: &mut Vec<u8>) {
    for value in values {
        let bytes = value.to_le_bytes();
        out.extend_from_slice(if narrow { &bytes[..4] } else { &bytes });
    }
}

/// Appends the numbers as `DELTA_BINARY_PACKED` has them. Differences wrap at the width that the file has, as readers
/// undo it.
fn push_delta(values: &[i64], narrow: bool, out: &mut Vec<u8>) {
    let zigzag = |value: i64| ((value << 1) ^ (value >> 63)).cast_unsigned();
    push_varint(out, wide(BLOCK));
    push_varint(out, wide(BLOCK / LANES));
    push_varint(out, wide(values.len()));
    push_varint(out, zigzag(values.first().copied().unwrap_or(0)));
    let mut differences = [0_i64; BLOCK];
    for start in (1..values.len()).step_by(BLOCK) {
        let block = &values[start - 1..values.len().min(start + BLOCK)];
        let count = block.len() - 1;
        for (difference, pair) in differences.iter_mut().zip(block.windows(2)) {
            *difference = pair[1].wrapping_sub(pair[0]);
        }
        if narrow {
            for difference in &mut differences[..count] {
                *difference = (*difference << 32) >> 32;
            }
        }
        let least = differences[..count]
            .iter()
            .copied()
            .fold(i64::MAX, i64::min);
        push_varint(out, zigzag(least));
        let mask = if narrow {
            u64::from(u32::MAX)
        } else {
            u64::MAX
        };
        let mut packed = [[0_u64; LANES]; BLOCK / LANES];
        let mut widths = [0_u8; BLOCK / LANES];
        for ((lanes, width), differences) in packed
            .iter_mut()
            .zip(&mut widths)
            .zip(differences[..count].chunks(LANES))
        {
            let mut all = 0;
            for (lane, difference) in lanes.iter_mut().zip(differences) {
                *lane = difference.wrapping_sub(least).cast_unsigned() & mask;
                all |= *lane;
            }
            *width = u8::try_from(width_of(all)).expect("a width is at most 64");
        }
        out.extend_from_slice(&widths);
        for (lanes, width) in packed.iter().zip(widths) {
            pack(lanes, u32::from(width), out);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Undoes `push_delta`, one bit after the other.
    fn unpack(bytes: &[u8], narrow: bool) -> Vec<i64> {
        let mut at = 0;
        let varint = |bytes: &[u8], at: &mut usize| {
            let (mut value, mut shift) = (0_u64, 0);
            loop {
                let byte = bytes[*at];
                *at += 1;
                value |= u64::from(byte & 0x7F) << shift;
                shift += 7;
                if byte < 0x80 {
                    return value;
                }
            }
        };
        let unzigzag = |value: u64| (value >> 1).cast_signed() ^ -(value & 1).cast_signed();
        assert_eq!((varint(bytes, &mut at), varint(bytes, &mut at)), (128, 4));
        let count = usize::try_from(varint(bytes, &mut at)).unwrap();
        let mut values = vec![unzigzag(varint(bytes, &mut at))];
        while values.len() < count {
            let least = unzigzag(varint(bytes, &mut at));
            let widths = bytes[at..at + 4].to_vec();
            at += 4;
            for width in widths {
                for lane in 0..LANES {
                    let mut lanes = 0_u64;
                    for bit in 0..usize::from(width) {
                        let place = lane * usize::from(width) + bit;
                        lanes |= u64::from(bytes[at + place / 8] >> (place % 8) & 1) << bit;
                    }
                    if values.len() < count {
                        let value = values
                            .last()
                            .unwrap()
                            .wrapping_add(least)
                            .wrapping_add(lanes.cast_signed());
                        values.push(if narrow { (value << 32) >> 32 } else { value });
                    }
                }
                at += usize::from(width) * 4;
            }
        }
        assert_eq!(at, bytes.len(), "nothing is left over");
        values.truncate(count);
        values
    }

    #[test]
    fn deltas_give_the_numbers_back() {
        let random = |n: usize| {
            (0..n)
                .map(|i| wide(i).wrapping_mul(0x9E37_79B9_7F4A_7C15).cast_signed())
                .collect::<Vec<_>>()
        };
        let wide_ones = [i64::MIN, i64::MAX, 0, -1, i64::MIN];
        for values in [
            vec![],
            vec![7],
            vec![7; 1000],
            (0..129).collect(),
            random(300),
            wide_ones.to_vec(),
        ] {
            let mut out = Vec::new();
            push_delta(&values, false, &mut out);
            assert_eq!(unpack(&out, false), values);
            let small: Vec<i64> = values.iter().map(|value| (value << 32) >> 32).collect();
            out.clear();
            push_delta(&small, true, &mut out);
            assert_eq!(unpack(&out, true), small);
        }
    }

    #[test]
    fn sequences_take_almost_nothing() {
        let mut out = Vec::new();
        push_delta(
            &(0..10_000).map(|i| i * 1000).collect::<Vec<_>>(),
            false,
            &mut out,
        );
        assert!(out.len() < 10_000 / 128 * 8, "{}", out.len());
    }
}
