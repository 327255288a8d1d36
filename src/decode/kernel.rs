//! What a kernel is: the text of one field to one value.
//!
//! Each kind of column has a fast way for the form that files mostly have, which looks at whole words of the chunk, and
//! one exact way for everything. The fast way may say no to anything; it never gives another value than the exact one.

use std::fmt::Debug;

use arrow_array::ArrayRef;
use arrow_buffer::NullBuffer;

use super::scan::narrow;

/// Why a text is no value of the column.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Bad {
    /// The default reason.
    pub(super) code: &'static str,
    /// What may have been meant; empty mostly.
    pub(super) hint: &'static str,
}

impl Bad {
    /// A fault without a hint.
    pub(super) const fn new(code: &'static str) -> Self {
        Self { code, hint: "" }
    }

    /// The same with a hint, unless it has one.
    pub(super) fn or_hint(mut self, hint: &'static str) -> Self {
        if self.hint.is_empty() {
            self.hint = hint;
        }
        self
    }
}

/// How many values of each kind a kernel has read otherwise than they were written, as the job file lets it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Adjusted {
    /// Decimals rounded.
    pub(super) rounded: u64,
    /// Local times that occur twice, one of which was chosen.
    pub(super) chosen: u64,
    /// Local times that don't occur and were moved.
    pub(super) shifted: u64,
}

/// The number is outside the type's range.
pub(super) const OVERFLOW: Bad = Bad::new("overflow");
/// Digits would be lost.
pub(super) const SCALE_LOSS: Bad = Bad::new("scale_loss");

/// Turns texts into values of one type.
pub(super) trait Kernel: Debug + Send {
    /// A value as Arrow holds it.
    type Native: Copy + Default + Debug + Send;

    /// The value of the unquoted field `start..end` where it has the common form. The span may lie outside of `bytes`.
    fn fast(&mut self, bytes: &[u8], start: usize, end: usize) -> Option<Self::Native>;

    /// The value of a text that is neither null nor empty.
    fn parse(&mut self, text: &[u8], lenient: bool) -> Result<Self::Native, Bad>;

    /// The value of a number that is no text of a person but a value of JSON or of a columnar file: never in another notation.
    fn parse_value(&mut self, text: &[u8], lenient: bool) -> Result<Self::Native, Bad> {
        self.parse(text, lenient)
    }

    /// What was adjusted since this was asked last.
    fn adjusted(&mut self) -> Adjusted {
        Adjusted::default()
    }

    /// The array of all values.
    fn array(&self, values: Vec<Self::Native>, nulls: Option<NullBuffer>) -> ArrayRef;
}

/// The last `end - start` (1 to 8) bytes before `end` in the high bytes of a word, the last one highest; what is in
/// the low bytes is undefined.
#[inline(always)]
pub(super) fn tail_word(bytes: &[u8], end: usize) -> Option<u64> {
    match bytes.get(..end)?.last_chunk::<8>() {
        Some(word) => Some(u64::from_le_bytes(*word)),
        None => short_tail_word(bytes, end),
    }
}

/// The same within the first eight bytes of a chunk.
#[cold]
fn short_tail_word(bytes: &[u8], end: usize) -> Option<u64> {
    let mut word = [0; 8];
    word[8 - end..].copy_from_slice(bytes.get(..end)?);
    Some(u64::from_le_bytes(word))
}

/// Text of 1 to 8 digits in the high bytes of a word.
#[inline(always)]
pub(super) fn digits_in_tail(word: u64, length: usize) -> Option<u64> {
    // Zeros take the place of the bytes before the text.
    let before = u64::MAX.checked_shr(narrow(8 * length)).unwrap_or(0);
    digits((word & !before) | (ZEROS & before))
}

/// Eight digits of text, the first one in the lowest byte.
#[inline(always)]
pub(super) fn digits(word: u64) -> Option<u64> {
    let pairs = digit_pairs(word)?;
    const LOW_BYTES: u64 = 0x0000_00FF_0000_00FF;
    let high = (pairs & LOW_BYTES).wrapping_mul(100 + (1_000_000 << 32));
    let low = ((pairs >> 16) & LOW_BYTES).wrapping_mul(1 + (10_000 << 32));
    Some(high.wrapping_add(low) >> 32)
}

/// Eight digits of text as four numbers of two digits, in the even bytes from the lowest; the odd bytes are undefined.
#[inline(always)]
pub(super) fn digit_pairs(word: u64) -> Option<u64> {
    let values = word ^ ZEROS;
    // A byte above 9 gets its highest bit; one that has it already is seen by the `|`.
    const ABOVE_NINE: u64 = 0x7676_7676_7676_7676;
    const HIGHEST: u64 = 0x8080_8080_8080_8080;
    if (values.wrapping_add(ABOVE_NINE) | values) & HIGHEST != 0 {
        return None;
    }
    Some(values.wrapping_mul(10).wrapping_add(values >> 8))
}

/// Eight times the digit zero.
pub(super) const ZEROS: u64 = 0x3030_3030_3030_3030;

/// Without outer spaces and tabs.
pub(super) fn trim(text: &[u8]) -> &[u8] {
    let Some(first) = text.iter().position(|byte| !matches!(byte, b' ' | b'\t')) else {
        return &[];
    };
    let last = text
        .iter()
        .rposition(|byte| !matches!(byte, b' ' | b'\t'))
        .unwrap_or(first);
    &text[first..=last]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_of_digits_are_numbers_and_nothing_else_is() {
        for text in ["0", "7", "12", "007", "12345678", "99999999"] {
            let padded = format!("zzzzzzzz{text}");
            let word = tail_word(padded.as_bytes(), padded.len()).unwrap();
            assert_eq!(
                digits_in_tail(word, text.len()),
                Some(text.parse().unwrap()),
                "{text}"
            );
            let word = tail_word(text.as_bytes(), text.len()).unwrap();
            assert_eq!(
                digits_in_tail(word, text.len()),
                Some(text.parse().unwrap()),
                "{text}"
            );
        }
        for byte in (0..=u8::MAX).filter(|byte| !byte.is_ascii_digit()) {
            for at in 0..8 {
                let mut text = *b"12345678";
                text[at] = byte;
                assert_eq!(digits(u64::from_le_bytes(text)), None, "{byte} at {at}");
            }
        }
    }

    #[test]
    fn trimming_takes_outer_blanks_only() {
        assert_eq!(trim(b"  a b\t"), b"a b");
        assert_eq!(trim(b" \t "), b"");
        assert_eq!(trim(b""), b"");
    }
}
