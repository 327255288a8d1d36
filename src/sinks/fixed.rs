//! Columns of doubles, truth values and wide decimals in Parquet: plain, one after the other.
//!
//! Doubles have too many values for a dictionary and no order for differences; the others are rare. All compress well
//! enough where they repeat.

use ::parquet::basic::Encoding;
use ::parquet::data_type::FixedLenByteArray;
use ::parquet::errors::ParquetError;
use ::parquet::file::statistics::Statistics;
use arrow_array::cast::AsArray;
use arrow_array::types::{Decimal128Type, Float64Type};
use arrow_array::{Array, ArrayRef};
use arrow_buffer::BooleanBufferBuilder;
use arrow_schema::DataType;

use super::integers::valid_of;
use super::pages::{ColumnPages, Habit, PageCompressor};

/// A column chunk of plain values being written.
#[derive(Debug)]
pub(super) struct FixedColumn {
    pages: ColumnPages,
    body: Vec<u8>,
    kind: Kind,
}

#[derive(Debug)]
enum Kind {
    Double {
        range: Option<(f64, f64)>,
    },
    Boolean {
        bits: BooleanBufferBuilder,
        range: Option<(bool, bool)>,
    },
    Decimal {
        bytes: usize,
        range: Option<(i128, i128)>,
    },
}

impl FixedColumn {
    /// A column of `data_type`; a decimal takes `length` bytes a value.
    pub(super) fn new(pages: ColumnPages, data_type: &DataType, length: usize) -> Self {
        let kind = match data_type {
            DataType::Float64 => Kind::Double { range: None },
            DataType::Boolean => Kind::Boolean {
                bits: BooleanBufferBuilder::new(0),
                range: None,
            },
            DataType::Decimal128(_, _) => Kind::Decimal {
                bytes: length,
                range: None,
            },
            other => unreachable!(
                "columns are brought to the plan's types before they are written, not {other}"
            ),
        };
        Self {
            pages,
            body: Vec::new(),
            kind,
        }
    }

    /// Adds the array's values to the page at hand.
    pub(super) fn append(&mut self, array: &ArrayRef) {
        self.pages.append_levels(array.nulls(), array.len());
        let body = &mut self.body;
        match &mut self.kind {
            Kind::Double { range } => {
                let values = array.as_primitive::<Float64Type>().values();
                each_valid(array, |row| {
                    let value = values[row];
                    body.extend_from_slice(&value.to_le_bytes());
                    // No number is less than another that is none.
                    if !value.is_nan() {
                        let (low, high) = range.unwrap_or((value, value));
                        *range = Some((low.min(value), high.max(value)));
                    }
                });
            }
            Kind::Boolean { bits, range } => {
                let values = array.as_boolean().values();
                each_valid(array, |row| {
                    let value = values.value(row);
                    bits.append(value);
                    let (low, high) = range.unwrap_or((value, value));
                    *range = Some((low && value, high || value));
                });
            }
            Kind::Decimal { bytes, range } => {
                let values = array.as_primitive::<Decimal128Type>().values();
                each_valid(array, |row| {
                    let value = values[row];
                    body.extend_from_slice(&value.to_be_bytes()[16 - *bytes..]);
                    let (low, high) = range.unwrap_or((value, value));
                    *range = Some((low.min(value), high.max(value)));
                });
            }
        }
    }

    /// Bytes in memory.
    pub(super) fn held_bytes(&self) -> usize {
        self.pages.held_bytes() + self.body.capacity()
    }

    /// Bytes of the chunk so far.
    pub(super) fn encoded_bytes(&self) -> usize {
        self.pages.encoded_bytes()
    }

    /// Ends the page at hand.
    pub(super) fn end_page(
        &mut self,
        compressor: &mut PageCompressor,
        habit: &mut Habit,
    ) -> Result<(), ParquetError> {
        if let Kind::Boolean { bits, .. } = &mut self.kind {
            self.body.extend_from_slice(bits.as_slice());
            bits.truncate(0);
        }
        self.pages
            .end_page(&self.body, Encoding::PLAIN, compressor, habit)?;
        self.body.clear();
        Ok(())
    }

    /// The chunk's pages and what its statistics say.
    pub(super) fn close(self) -> (ColumnPages, Statistics) {
        let nulls = Some(self.pages.nulls());
        let statistics = match self.kind {
            Kind::Double { range } => {
                // Zero may stand for either zero, and readers compare them as they like.
                let range = range.map(|(low, high)| {
                    let zero = |value: f64| value.to_bits() << 1 == 0;
                    (
                        if zero(low) { -0.0 } else { low },
                        if zero(high) { 0.0 } else { high },
                    )
                });
                let (low, high) = range.unzip();
                Statistics::double(low, high, None, nulls, false)
            }
            Kind::Boolean { range, .. } => {
                let (low, high) = range.unzip();
                Statistics::boolean(low, high, None, nulls, false)
            }
            Kind::Decimal { bytes, range } => {
                let bound = |value: i128| {
                    FixedLenByteArray::from(value.to_be_bytes()[16 - bytes..].to_vec())
                };
                let (low, high) = range.map(|(low, high)| (bound(low), bound(high))).unzip();
                Statistics::fixed_len_byte_array(low, high, None, nulls, false)
            }
        };
        (self.pages, statistics)
    }
}

fn each_valid(array: &ArrayRef, take: impl FnMut(usize)) {
    match array.nulls().filter(|nulls| nulls.null_count() > 0) {
        None => (0..array.len()).for_each(take),
        Some(nulls) => valid_of(nulls).for_each(take),
    }
}
