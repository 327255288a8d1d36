//! Exact decimal arithmetic: products in one pass, and division and rounding by a named rule.
//!
//! Money is whole minor units with a scale ([`arrow_schema::DataType::Decimal128`]); nothing here goes through floats.
//!
//! **Products.** `cast(a * b as decimal(p,s))` of factors with scales s₁ and s₂ rounds nothing where
//! s ≥ s₁ + s₂, so that it is one integer product a row:
//!
//! ```text
//! value = a · b · 10^(s - s₁ - s₂), null and failed where |value| ≥ 10^p
//! ```
//!
//! DataFusion works it out in three passes (casts to decimals, checked product, cast); [`Product`] gives the same values
//! in one, which a property test holds it to.
//!
//! **Rounding.** With quotient q and remainder r of integer division towards zero, the next number away from zero is
//! taken where 2|r| > |d|, or where 2|r| = |d| and the rule says so: `half_up` always (away from zero, as PostgreSQL
//! rounds numerics), `half_even` where q is odd (IEEE 754 and Java's `HALF_EVEN`).

use std::sync::Arc;

use arrow_array::cast::AsArray;
use arrow_array::types::{Decimal128Type, Int16Type, Int32Type, Int64Type};
use arrow_array::{Array, ArrayRef, Decimal128Array};
use arrow_buffer::{BooleanBuffer, NullBuffer, i256};
use arrow_schema::DataType;

/// Largest precision of a decimal.
pub(super) const MOST_DIGITS: u8 = 38;

/// 10^`digits` as an i128; `None` beyond 38 digits.
pub(super) fn power_of_ten(digits: u32) -> Option<i128> {
    10_i128.checked_pow(digits)
}

/// Digits and scale of an integer or decimal type.
pub(super) fn digits(data_type: &DataType) -> Option<(u8, i8)> {
    match data_type {
        DataType::Int16 => Some((5, 0)),
        DataType::Int32 => Some((10, 0)),
        DataType::Int64 => Some((19, 0)),
        DataType::Decimal128(precision, scale) => Some((*precision, *scale)),
        _ => None,
    }
}

/// The exact product of two columns.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Product {
    /// Positions of the factors among the inputs.
    pub(super) factors: [usize; 2],
    /// Precision and scale of the result.
    precision: u8,
    scale: i8,
    /// 10^(scale - exact scale).
    shift: i128,
    /// Whether values of the declared types can't leave i128 on the way.
    fits: bool,
    /// Whether a value of the declared types can exceed the precision.
    may_exceed: bool,
}

impl Product {
    /// The product of columns of these types as `decimal(precision, scale)`; `None` where it would have to be rounded or
    /// a column is neither an integer nor a decimal.
    pub(super) fn new(
        factors: [usize; 2],
        types: [&DataType; 2],
        precision: u8,
        scale: i8,
    ) -> Option<Self> {
        let (left_digits, left_scale) = digits(types[0])?;
        let (right_digits, right_scale) = digits(types[1])?;
        let shift_digits =
            u32::try_from(scale.checked_sub(left_scale)?.checked_sub(right_scale)?).ok()?;
        let shift = power_of_ten(shift_digits)?;
        let digits = u32::from(left_digits) + u32::from(right_digits) + shift_digits;
        Some(Self {
            factors,
            precision,
            scale,
            shift,
            fits: digits <= u32::from(MOST_DIGITS),
            may_exceed: digits > u32::from(precision),
        })
    }

    /// The products, null where a factor is null or the product exceeds the precision, and the rows where it does.
    ///
    /// Cost: one pass, 16 bytes written a row.
    pub(super) fn evaluate(&self, left: &ArrayRef, right: &ArrayRef) -> (ArrayRef, Vec<usize>) {
        let nulls = NullBuffer::union(left.nulls(), right.nulls());
        let Products { values, exceeded } = match left.data_type() {
            DataType::Int16 => self.by(left.as_primitive::<Int16Type>().values(), right),
            DataType::Int32 => self.by(left.as_primitive::<Int32Type>().values(), right),
            DataType::Int64 => self.by(left.as_primitive::<Int64Type>().values(), right),
            _ => self.by(left.as_primitive::<Decimal128Type>().values(), right),
        };
        let (nulls, failed) = if exceeded.is_empty() {
            (nulls, Vec::new())
        } else {
            without(nulls.as_ref(), exceeded, values.len())
        };
        let array = Decimal128Array::new(values.into(), nulls)
            .with_precision_and_scale(self.precision, self.scale)
            .expect("the planner gave the precision and scale");
        (Arc::new(array), failed)
    }

    fn by<L: Copy + Into<i128>>(&self, left: &[L], right: &ArrayRef) -> Products {
        match right.data_type() {
            DataType::Int16 => self.multiply(left, right.as_primitive::<Int16Type>().values()),
            DataType::Int32 => self.multiply(left, right.as_primitive::<Int32Type>().values()),
            DataType::Int64 => self.multiply(left, right.as_primitive::<Int64Type>().values()),
            _ => self.multiply(left, right.as_primitive::<Decimal128Type>().values()),
        }
    }

    fn multiply<L: Copy + Into<i128>, R: Copy + Into<i128>>(
        &self,
        left: &[L],
        right: &[R],
    ) -> Products {
        let limit = power_of_ten(u32::from(self.precision)).expect("precisions go to 38");
        let rows = left.iter().zip(right);
        if !self.fits {
            let product = |(a, b): (&L, &R)| {
                let product = (*a)
                    .into()
                    .checked_mul((*b).into())?
                    .checked_mul(self.shift)?;
                (product.unsigned_abs() < limit.unsigned_abs()).then_some(product)
            };
            let values: Vec<Option<i128>> = rows.map(product).collect();
            let exceeded = values
                .iter()
                .enumerate()
                .filter(|(_, value)| value.is_none())
                .map(|(row, _)| row)
                .collect();
            return Products {
                values: values.into_iter().map(Option::unwrap_or_default).collect(),
                exceeded,
            };
        }
        let mut exceeds = false;
        let may_exceed = self.may_exceed;
        let shift = self.shift;
        // Factors within their precisions can't leave i128 here; `fits` says so.
        let product = |(a, b): (&L, &R)| (*a).into().wrapping_mul((*b).into());
        // |value| < limit as one comparison: moved up by limit - 1, what is too small wraps to what is too large.
        let most = limit - 1;
        let span = most.cast_unsigned() * 2;
        let mut note = |value: i128| {
            exceeds |= may_exceed & (value.wrapping_add(most).cast_unsigned() > span);
            value
        };
        let values: Vec<i128> = if shift == 1 {
            rows.map(|row| note(product(row))).collect()
        } else {
            rows.map(|row| note(product(row).wrapping_mul(shift)))
                .collect()
        };
        let exceeded = if exceeds {
            values
                .iter()
                .enumerate()
                .filter(|(_, value)| **value >= limit || **value <= -limit)
                .map(|(row, _)| row)
                .collect()
        } else {
            Vec::new()
        };
        Products { values, exceeded }
    }
}

struct Products {
    values: Vec<i128>,
    /// Rows whose product does not fit, whether or not a factor is null.
    exceeded: Vec<usize>,
}

/// The nulls with those rows added, and the rows that were not null.
fn without(
    nulls: Option<&NullBuffer>,
    mut exceeded: Vec<usize>,
    rows: usize,
) -> (Option<NullBuffer>, Vec<usize>) {
    if let Some(nulls) = nulls {
        exceeded.retain(|row| nulls.is_valid(*row));
    }
    let mut failed = exceeded.iter().copied().peekable();
    let valid = BooleanBuffer::collect_bool(rows, |row| failed.next_if_eq(&row).is_none());
    (
        NullBuffer::union(nulls, Some(&NullBuffer::new(valid))),
        exceeded,
    )
}

/// What becomes of a quotient halfway between two numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rounding {
    /// The even one is taken.
    HalfEven,
    /// The one away from zero is taken.
    HalfUp,
}

/// Why there is no quotient.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum NoQuotient {
    /// The divisor is zero.
    DivisionByZero,
    /// It has more than 38 digits.
    Overflow,
}

/// Divides decimals by one rule and to one scale.
#[derive(Debug, Clone, Copy)]
pub(super) struct Division {
    /// Quotients are `a · 10^shift / b`; −38 ..= 76.
    shift: i32,
    /// 10^|shift|, where 128 bits hold it.
    factor: Option<i128>,
    rounding: Rounding,
}

impl Division {
    pub(super) fn new(shift: i32, rounding: Rounding) -> Self {
        Self {
            shift,
            factor: power_of_ten(shift.unsigned_abs()),
            rounding,
        }
    }

    /// `a · 10^shift / b`, rounded to a whole number of at most 38 digits.
    ///
    /// 256 bits suffice: where `a · 10^shift` leaves them, the quotient by a `b` of 38 digits has more than 38 digits.
    pub(super) fn divide(&self, a: i128, b: i128) -> Result<i128, NoQuotient> {
        if b == 0 {
            return Err(NoQuotient::DivisionByZero);
        }
        if a == 0 {
            return Ok(0);
        }
        let scaled = |value: i128| self.factor.and_then(|factor| value.checked_mul(factor));
        let (above, below) = if self.shift >= 0 {
            (scaled(a), Some(b))
        } else {
            (Some(a), scaled(b))
        };
        let quotient = match (above, below) {
            (Some(above), Some(below)) => narrow(above, below, self.rounding),
            _ => wide(a, b, self.shift, self.rounding).ok_or(NoQuotient::Overflow)?,
        };
        let limit = power_of_ten(u32::from(MOST_DIGITS)).expect("10^38 is an i128");
        if quotient.unsigned_abs() < limit.unsigned_abs() {
            Ok(quotient)
        } else {
            Err(NoQuotient::Overflow)
        }
    }
}

fn narrow(above: i128, below: i128, rounding: Rounding) -> i128 {
    // Most money fits 64 bits, where division is several times faster.
    let quotient = match (i64::try_from(above), i64::try_from(below)) {
        (Ok(above), Ok(below)) if below != -1 => i128::from(above / below),
        _ => above.wrapping_div(below),
    };
    let rest = above - quotient * below;
    let (rest, below_size) = (rest.unsigned_abs(), below.unsigned_abs());
    let other_half = below_size - rest;
    let away = match rounding {
        _ if rest != other_half => rest > other_half,
        Rounding::HalfUp => true,
        Rounding::HalfEven => quotient % 2 != 0,
    };
    if away {
        quotient + if (above < 0) == (below < 0) { 1 } else { -1 }
    } else {
        quotient
    }
}

fn wide(a: i128, b: i128, shift: i32, rounding: Rounding) -> Option<i128> {
    let factor = i256::from_i128(10).checked_pow(shift.unsigned_abs())?;
    let (mut above, mut below) = (i256::from_i128(a), i256::from_i128(b));
    if shift >= 0 {
        above = above.checked_mul(factor)?;
    } else {
        below = below.checked_mul(factor)?;
    }
    let (quotient, rest) = (above.checked_div(below)?, above.checked_rem(below)?);
    let quotient = quotient.to_i128()?;
    let (rest, below_size) = (rest.checked_abs()?, below.checked_abs()?);
    let other_half = below_size.checked_sub(rest)?;
    let away = match rounding {
        _ if rest != other_half => rest > other_half,
        Rounding::HalfUp => true,
        Rounding::HalfEven => quotient % 2 != 0,
    };
    let step = if (a < 0) == (b < 0) { 1 } else { -1 };
    if away {
        quotient.checked_add(step)
    } else {
        Some(quotient)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn divide(a: i128, b: i128, shift: i32, rounding: Rounding) -> Result<i128, NoQuotient> {
        Division::new(shift, rounding).divide(a, b)
    }

    const LARGEST: i128 = 10_i128.pow(38) - 1;

    #[test]
    fn halves_go_by_the_rule() {
        for (a, b, shift, half_even, half_up) in [
            (1, 2, 0, 0, 1),
            (3, 2, 0, 2, 2),
            (5, 2, 0, 2, 3),
            (-1, 2, 0, 0, -1),
            (1, -2, 0, 0, -1),
            (-5, 2, 0, -2, -3),
            (-5, -2, 0, 2, 3),
            (-7, 2, 0, -4, -4),
            (1, 3, 2, 33, 33),
            (2, 3, 2, 67, 67),
            (-2, 3, 2, -67, -67),
            (1005, 1, -1, 100, 101),
            (1015, 1, -1, 102, 102),
            (1006, 1, -1, 101, 101),
            (1004, 1, -1, 100, 100),
            (25, 1, -2, 0, 0),
            (50, 1, -2, 0, 1),
            (0, 7, 5, 0, 0),
            (LARGEST, LARGEST, 37, 10_i128.pow(37), 10_i128.pow(37)),
            (LARGEST, 1, -38, 1, 1),
            (LARGEST, LARGEST, -38, 0, 0),
            (
                1,
                3,
                38,
                33_333_333_333_333_333_333_333_333_333_333_333_333,
                33_333_333_333_333_333_333_333_333_333_333_333_333,
            ),
        ] {
            assert_eq!(
                divide(a, b, shift, Rounding::HalfEven),
                Ok(half_even),
                "{a} * 10^{shift} / {b}"
            );
            assert_eq!(
                divide(a, b, shift, Rounding::HalfUp),
                Ok(half_up),
                "{a} * 10^{shift} / {b}"
            );
        }
    }

    #[test]
    fn what_has_no_quotient_says_why() {
        assert_eq!(
            divide(1, 0, 0, Rounding::HalfUp),
            Err(NoQuotient::DivisionByZero)
        );
        assert_eq!(
            divide(0, 0, 0, Rounding::HalfUp),
            Err(NoQuotient::DivisionByZero)
        );
        assert_eq!(
            divide(1, 1, 38, Rounding::HalfUp),
            Err(NoQuotient::Overflow)
        );
        assert_eq!(
            divide(LARGEST, 1, 76, Rounding::HalfUp),
            Err(NoQuotient::Overflow)
        );
        assert_eq!(
            divide(LARGEST, 2, 1, Rounding::HalfUp),
            Err(NoQuotient::Overflow)
        );
    }

    proptest! {
        /// The rule by doubling: the whole part of (2|n| + |d|) / 2|d|, one less where halves meet an odd number.
        #[test]
        fn quotients_are_those_of_doubling(a in -10_i128.pow(20)..10_i128.pow(20), b in -10_000_i128..10_000, shift in -6_i32..6) {
            prop_assume!(b != 0);
            let (n, d) = if shift >= 0 { (a * 10_i128.pow(shift.unsigned_abs()), b) } else { (a, b * 10_i128.pow(shift.unsigned_abs())) };
            let up = (2 * n.abs() + d.abs()) / (2 * d.abs());
            let tie = (2 * n.abs() + d.abs()) % (2 * d.abs()) == 0;
            let sign = n.signum() * d.signum();
            prop_assert_eq!(divide(a, b, shift, Rounding::HalfUp), Ok(sign * up));
            prop_assert_eq!(divide(a, b, shift, Rounding::HalfEven), Ok(sign * (up - i128::from(tie && up % 2 != 0))));
        }

        #[test]
        fn narrow_and_wide_agree(a in -LARGEST..LARGEST, b in -LARGEST..LARGEST, small in 1_i128..1000, even in any::<bool>()) {
            let rounding = if even { Rounding::HalfEven } else { Rounding::HalfUp };
            for b in [b, small] {
                prop_assume!(b != 0);
                prop_assert_eq!(Some(narrow(a, b, rounding)), wide(a, b, 0, rounding));
            }
        }
    }
}
