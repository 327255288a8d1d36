//! Integers, decimals, doubles and booleans from text.
//!
//! Decimals never pass through floats: digits are moved, and a digit that would be lost is a fault.

use std::cmp::Ordering;
use std::sync::Arc;

use arrow_array::types::{ArrowPrimitiveType, Int16Type, Int32Type, Int64Type};
use arrow_array::{ArrayRef, BooleanArray, Decimal128Array, Float64Array, PrimitiveArray};
use arrow_buffer::NullBuffer;

use super::kernel::{
    Adjusted, Bad, Kernel, OVERFLOW, SCALE_LOSS, ZEROS, digits, digits_in_tail, tail_word, trim,
};
use super::scan::narrow;
use crate::job::plan::{NumberNotation, Rounding, Words};

pub(super) const BAD_INTEGER: Bad = Bad::new("bad_integer");
pub(super) const BAD_DECIMAL: Bad = Bad::new("bad_decimal");
pub(super) const BAD_DOUBLE: Bad = Bad::new("bad_double");
const BAD_BOOLEAN: Bad = Bad::new("bad_boolean");

/// Whole numbers of one width.
#[derive(Debug)]
pub(super) struct Integer<T>(std::marker::PhantomData<fn() -> T>);

impl<T> Integer<T> {
    /// A kernel.
    pub(super) const fn new() -> Self {
        Self(std::marker::PhantomData)
    }
}

/// The integer types of columns.
pub(super) trait Whole: ArrowPrimitiveType<Native: TryFrom<i64> + Default + Send> {}
impl Whole for Int16Type {}
impl Whole for Int32Type {}
impl Whole for Int64Type {}

impl<T: Whole + std::fmt::Debug> Kernel for Integer<T> {
    type Native = T::Native;

    #[inline(always)]
    fn fast(&mut self, bytes: &[u8], start: usize, end: usize) -> Option<T::Native> {
        let length = end.wrapping_sub(start);
        let value = if length.wrapping_sub(1) < 8 {
            digits_in_tail(tail_word(bytes, end)?, length)?
        } else if length.wrapping_sub(9) < 8 {
            let high = digits_in_tail(tail_word(bytes, end - 8)?, length - 8)?;
            high * 100_000_000 + digits(tail_word(bytes, end)?)?
        } else {
            return None;
        };
        T::Native::try_from(i64::try_from(value).ok()?).ok()
    }

    fn parse(&mut self, text: &[u8], lenient: bool) -> Result<T::Native, Bad> {
        let value = integer(text, lenient).map_err(|bad| hinted(bad, text, lenient))?;
        T::Native::try_from(value).map_err(|_| OVERFLOW)
    }

    fn array(&self, values: Vec<T::Native>, nulls: Option<NullBuffer>) -> ArrayRef {
        Arc::new(PrimitiveArray::<T>::new(values.into(), nulls))
    }
}

/// A whole number: an optional sign, then digits; where `lenient`, outer spaces and a fraction of zeros.
pub(super) fn integer(text: &[u8], lenient: bool) -> Result<i64, Bad> {
    let text = if lenient { trim(text) } else { text };
    let (negative, mut body) = sign(text);
    if lenient && let Some(dot) = memchr::memchr(b'.', body) {
        if body[dot + 1..].iter().any(|&byte| byte != b'0') {
            return Err(BAD_INTEGER);
        }
        body = &body[..dot];
    }
    if body.is_empty() || !body.iter().all(u8::is_ascii_digit) {
        return Err(BAD_INTEGER);
    }
    let mut value = 0_i64;
    for byte in body {
        let digit = i64::from(byte - b'0');
        value = value
            .checked_mul(10)
            .and_then(|value| {
                if negative {
                    value.checked_sub(digit)
                } else {
                    value.checked_add(digit)
                }
            })
            .ok_or(OVERFLOW)?;
    }
    Ok(value)
}

/// The fault of a text that is no plain number, with the option that would read it.
#[cold]
fn hinted(bad: Bad, text: &[u8], lenient: bool) -> Bad {
    if bad == OVERFLOW || bad == SCALE_LOSS {
        return bad;
    }
    if bad == BAD_INTEGER && !lenient && integer(text, true).is_ok() {
        return bad.or_hint("lenient = true?");
    }
    bad.or_hint(super::notation::hint(text, &NumberNotation::default()))
}

fn sign(text: &[u8]) -> (bool, &[u8]) {
    match text.split_first() {
        Some((b'-', rest)) => (true, rest),
        Some((b'+', rest)) => (false, rest),
        _ => (false, text),
    }
}

/// Decimals of one precision and scale.
#[derive(Debug)]
pub(super) struct Decimal {
    precision: u8,
    scale: u8,
    /// Length of the fraction with its dot where the fast way is open: numbers of up to eight characters that have
    /// exactly as many digits after the dot as the column.
    tail: Option<usize>,
    /// What becomes of digits that the scale has no place for; `None`: they are a fault.
    round: Option<Rounding>,
    /// Values that lost digits.
    rounded: u64,
}

impl Decimal {
    /// A kernel for decimal(`precision`, `scale`), 0 ≤ scale ≤ precision ≤ 38.
    pub(super) fn new(precision: u8, scale: i8, round: Option<Rounding>) -> Self {
        let scale = u8::try_from(scale).expect("the job file has no negative scales");
        // Seven digits must fit, and one of them must stand before the dot.
        let tail = ((1..=6).contains(&scale) && precision >= 7).then(|| usize::from(scale) + 1);
        Self {
            precision,
            scale,
            tail,
            round,
            rounded: 0,
        }
    }
}

impl Kernel for Decimal {
    type Native = i128;

    #[inline(always)]
    fn fast(&mut self, bytes: &[u8], start: usize, end: usize) -> Option<i128> {
        let tail = self.tail?;
        let length = end.wrapping_sub(start);
        if length <= tail || length > 8 {
            return None;
        }
        let word = tail_word(bytes, end)?;
        // 1. The dot must be where the scale says; 2. the digits before it move up by one byte, over it.
        let dot = 8 * (8 - narrow(tail));
        if (word >> dot) & 0xFF != u64::from(b'.') {
            return None;
        }
        let fraction = u64::MAX << (dot + 8);
        let word = (word & fraction) | ((word << 8) & !fraction);
        let before = u64::MAX >> (8 * narrow(length - 1));
        digits((word & !before) | (ZEROS & before)).map(i128::from)
    }

    fn parse(&mut self, text: &[u8], lenient: bool) -> Result<i128, Bad> {
        let text = if lenient { trim(text) } else { text };
        let (value, exact) = decimal(text, self.precision, self.scale, self.round)
            .map_err(|bad| hinted(bad, text, lenient))?;
        self.rounded += u64::from(!exact);
        Ok(value)
    }

    fn adjusted(&mut self) -> Adjusted {
        Adjusted {
            rounded: std::mem::take(&mut self.rounded),
            ..Adjusted::default()
        }
    }

    fn array(&self, values: Vec<i128>, nulls: Option<NullBuffer>) -> ArrayRef {
        let scale = i8::try_from(self.scale).expect("a scale is at most 38");
        Arc::new(
            Decimal128Array::new(values.into(), nulls)
                .with_precision_and_scale(self.precision, scale)
                .expect("the job file has checked precision and scale"),
        )
    }
}

/// A decimal number times 10^`scale`: `[+-] digits [. digits] [e [+-] digits]`, and whether that is exact. Without `round` it
/// always is: a digit that would be lost is a fault.
pub(super) fn decimal(
    text: &[u8],
    precision: u8,
    scale: u8,
    round: Option<Rounding>,
) -> Result<(i128, bool), Bad> {
    let (negative, body) = sign(text);
    let (number, exponent) = match memchr::memchr2(b'e', b'E', body) {
        Some(at) => (&body[..at], exponent(&body[at + 1..])?),
        None => (body, 0),
    };
    let (mut whole, mut fraction) = match memchr::memchr(b'.', number) {
        Some(at) => (&number[..at], &number[at + 1..]),
        None => (number, &number[..0]),
    };
    let are_digits = |text: &[u8]| text.iter().all(u8::is_ascii_digit);
    if whole.len() + fraction.len() == 0 || !are_digits(whole) || !are_digits(fraction) {
        return Err(BAD_DECIMAL);
    }
    // 1. Drop zeros that mean nothing. What is left is `count` digits to be multiplied by 10^`shift`.
    whole = strip_start(whole);
    fraction = strip_end(fraction);
    let mut shift = exponent + i64::from(scale) - length(fraction);
    if fraction.is_empty() {
        let stripped = strip_end(whole);
        shift += length(whole) - length(stripped);
        whole = stripped;
    }
    if whole.is_empty() {
        fraction = strip_start(fraction);
    }
    let count = length(whole) + length(fraction);
    if count == 0 {
        return Ok((0, true));
    }
    // 2. Now the number has exactly `count + shift` digits at the scale.
    let digits = count + shift;
    if digits > i64::from(precision) {
        return Err(OVERFLOW);
    }
    let signed = |value: i128| if negative { -value } else { value };
    let Ok(shift) = u32::try_from(shift) else {
        let round = round.ok_or(SCALE_LOSS)?;
        let value = rounded(whole, fraction, digits, round);
        if value >= 10_i128.pow(u32::from(precision)) {
            return Err(OVERFLOW);
        }
        return Ok((signed(value), false));
    };
    // 3. At most 38 digits, which an i128 holds; up to 18 fit into a register.
    let all = whole.iter().chain(fraction);
    let mut value = if count <= 18 {
        i128::from(all.fold(0_i64, |value, byte| value * 10 + i64::from(byte - b'0')))
    } else {
        all.fold(0_i128, |value, byte| value * 10 + i128::from(byte - b'0'))
    };
    value *= 10_i128.pow(shift);
    Ok((signed(value), true))
}

/// The first `keep` (at most 38) of the digits, rounded by those after them, of which the last is not zero.
#[cold]
fn rounded(whole: &[u8], fraction: &[u8], keep: i64, round: Rounding) -> i128 {
    // With fewer than no digits the number is below a tenth of the last place.
    let Ok(keep) = usize::try_from(keep) else {
        return 0;
    };
    let mut digits = whole.iter().chain(fraction).map(|byte| byte - b'0');
    let kept = digits
        .by_ref()
        .take(keep)
        .fold(0_i128, |value, digit| value * 10 + i128::from(digit));
    let first = digits.next().unwrap_or(0);
    let up = match (first.cmp(&5), digits.next().is_some()) {
        (Ordering::Greater, _) | (Ordering::Equal, true) => true,
        (Ordering::Less, _) => false,
        (Ordering::Equal, false) => round == Rounding::HalfUp || kept % 2 == 1,
    };
    kept + i128::from(up)
}

/// The power of ten; kept within bounds that make any number overflow or lose digits.
fn exponent(text: &[u8]) -> Result<i64, Bad> {
    const BOUND: i64 = 1_000_000_000;
    let (negative, body) = sign(text);
    if body.is_empty() || !body.iter().all(u8::is_ascii_digit) {
        return Err(BAD_DECIMAL);
    }
    let value = body.iter().fold(0_i64, |value, byte| {
        (value * 10 + i64::from(byte - b'0')).min(BOUND)
    });
    Ok(if negative { -value } else { value })
}

fn length(text: &[u8]) -> i64 {
    i64::try_from(text.len()).expect("a field is shorter than a chunk")
}

fn strip_start(text: &[u8]) -> &[u8] {
    &text[text
        .iter()
        .position(|&byte| byte != b'0')
        .unwrap_or(text.len())..]
}

fn strip_end(text: &[u8]) -> &[u8] {
    &text[..text
        .iter()
        .rposition(|&byte| byte != b'0')
        .map_or(0, |last| last + 1)]
}

/// Doubles. Texts for infinity and NaN are refused: no sum survives them.
#[derive(Debug)]
pub(super) struct Double;

impl Kernel for Double {
    type Native = f64;

    #[inline(always)]
    fn fast(&mut self, bytes: &[u8], start: usize, end: usize) -> Option<f64> {
        let text = bytes.get(start..end)?;
        // Whatever is quoted, empty or null begins otherwise.
        matches!(text.first()?, b'0'..=b'9' | b'-' | b'.')
            .then(|| double(text).ok())
            .flatten()
    }

    fn parse(&mut self, text: &[u8], lenient: bool) -> Result<f64, Bad> {
        let text = if lenient { trim(text) } else { text };
        double(text).map_err(|bad| hinted(bad, text, lenient))
    }

    fn array(&self, values: Vec<f64>, nulls: Option<NullBuffer>) -> ArrayRef {
        Arc::new(Float64Array::new(values.into(), nulls))
    }
}

fn double(text: &[u8]) -> Result<f64, Bad> {
    let of_number = |byte: &u8| matches!(byte, b'0'..=b'9' | b'+' | b'-' | b'.' | b'e' | b'E');
    if !text.iter().all(of_number) {
        return Err(BAD_DOUBLE);
    }
    let text = str::from_utf8(text).map_err(|_| BAD_DOUBLE)?;
    let value = text.parse::<f64>().map_err(|_| BAD_DOUBLE)?;
    if value.is_finite() {
        Ok(value)
    } else {
        Err(OVERFLOW)
    }
}

/// Truth values: `true`, `t`, `1`, `false`, `f`, `0` in any case.
#[derive(Debug)]
pub(super) struct Boolean;

impl Kernel for Boolean {
    type Native = bool;

    #[inline(always)]
    fn fast(&mut self, bytes: &[u8], start: usize, end: usize) -> Option<bool> {
        match bytes.get(start..end)? {
            b"true" | b"t" | b"1" => Some(true),
            b"false" | b"f" | b"0" => Some(false),
            _ => None,
        }
    }

    fn parse(&mut self, text: &[u8], lenient: bool) -> Result<bool, Bad> {
        let text = if lenient { trim(text) } else { text };
        if [&b"true"[..], b"t", b"1"]
            .iter()
            .any(|name| text.eq_ignore_ascii_case(name))
        {
            Ok(true)
        } else if [&b"false"[..], b"f", b"0"]
            .iter()
            .any(|name| text.eq_ignore_ascii_case(name))
        {
            Ok(false)
        } else {
            Err(Bad {
                code: BAD_BOOLEAN.code,
                hint: "true = […], false = […]?",
            })
        }
    }

    fn array(&self, values: Vec<bool>, nulls: Option<NullBuffer>) -> ArrayRef {
        Arc::new(BooleanArray::new(values.into(), nulls))
    }
}

/// Truth values in the job's own words, in any case.
#[derive(Debug)]
pub(super) struct Worded {
    words: Words,
}

impl Worded {
    /// A kernel for these words.
    pub(super) fn new(words: Words) -> Self {
        Self { words }
    }
}

impl Kernel for Worded {
    type Native = bool;

    #[inline(always)]
    fn fast(&mut self, bytes: &[u8], start: usize, end: usize) -> Option<bool> {
        let text = bytes.get(start..end)?;
        let is = |words: &[String]| words.iter().any(|word| word.as_bytes() == text);
        if is(&self.words.yes) {
            Some(true)
        } else {
            is(&self.words.no).then_some(false)
        }
    }

    fn parse(&mut self, text: &[u8], lenient: bool) -> Result<bool, Bad> {
        let text = if lenient { trim(text) } else { text };
        let text = str::from_utf8(text)
            .map_err(|_| BAD_BOOLEAN)?
            .to_lowercase();
        if self.words.yes.contains(&text) {
            Ok(true)
        } else if self.words.no.contains(&text) {
            Ok(false)
        } else {
            Err(BAD_BOOLEAN)
        }
    }

    fn parse_value(&mut self, text: &[u8], lenient: bool) -> Result<bool, Bad> {
        Boolean.parse(text, lenient)
    }

    fn array(&self, values: Vec<bool>, nulls: Option<NullBuffer>) -> ArrayRef {
        Boolean.array(values, nulls)
    }
}
