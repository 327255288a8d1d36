//! Integers wider than 128 bits, as far as exact sums of squares and their variance need them.
//!
//! A value has 64 bits, its square 126, and 2^63 squares fit in 189: three words. The numerator of the variance,
//! n·Σ² − (Σ)², has at most 252 bits. A big-integer crate would allocate for each window and row; this is two additions.

use serde::{Deserialize, Serialize};

/// A 192-bit integer in two's complement that wraps, least word first: the Σ² of a statistic.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Int192([u64; 3]);

impl Int192 {
    /// Zero.
    pub const ZERO: Self = Self([0; 3]);

    /// Its words, least first.
    pub(crate) fn words(self) -> [u64; 3] {
        self.0
    }

    /// The integer with these words, least first.
    pub(crate) fn from_words(words: [u64; 3]) -> Self {
        Self(words)
    }

    fn low(self) -> u128 {
        u128::from(self.0[0]) | (u128::from(self.0[1]) << 64)
    }

    fn set(&mut self, low: u128, high: u64) {
        *self = Self([low_word(low), low_word(low >> 64), high]);
    }

    /// Adds the square of a value.
    #[inline]
    pub(crate) fn add_square(&mut self, value: i64) {
        let magnitude = u128::from(value.unsigned_abs());
        let (low, carry) = self.low().overflowing_add(magnitude * magnitude);
        self.set(low, self.0[2].wrapping_add(u64::from(carry)));
    }

    /// Adds, wrapping.
    pub(crate) fn plus_equals(&mut self, other: &Self) {
        let (low, carry) = self.low().overflowing_add(other.low());
        self.set(
            low,
            self.0[2]
                .wrapping_add(other.0[2])
                .wrapping_add(u64::from(carry)),
        );
    }

    /// Changes the sign, wrapping.
    pub(crate) fn negate(&mut self) {
        let (low, carry) = (!self.low()).overflowing_add(1);
        self.set(low, (!self.0[2]).wrapping_add(u64::from(carry)));
    }
}

#[expect(
    clippy::as_conversions,
    reason = "keeps the low word, which is what it is for; try_from would refuse"
)]
#[expect(clippy::cast_possible_truncation, reason = "as above")]
fn low_word(wide: u128) -> u64 {
    wide as u64
}

/// An unsigned integer of 256 bits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Unsigned256 {
    high: u128,
    low: u128,
}

impl Unsigned256 {
    /// The full product.
    fn product(left: u128, right: u128) -> Self {
        const MASK: u128 = (1 << 64) - 1;
        let (left_high, left_low) = (left >> 64, left & MASK);
        let (right_high, right_low) = (right >> 64, right & MASK);
        let lowest = left_low * right_low;
        // Each middle product is below 2^128 - 2^65, so adding one word to the first can't overflow.
        let middle = left_high * right_low + (lowest >> 64);
        let (middle, carry) = middle.overflowing_add(left_low * right_high);
        Self {
            high: left_high * right_high + (middle >> 64) + (u128::from(carry) << 64),
            low: (middle << 64) | (lowest & MASK),
        }
    }

    /// `self - other`, which must not be negative.
    fn minus(self, other: Self) -> Self {
        let (low, borrow) = self.low.overflowing_sub(other.low);
        Self {
            high: self
                .high
                .wrapping_sub(other.high)
                .wrapping_sub(u128::from(borrow)),
            low,
        }
    }
}

/// Sample variance of n integers of 10^-`scale` from their exact sums; `None` for n < 2 and for sums that no n values have
/// (which an excess of retractions makes).
///
/// (Σ² − (Σ)²/n) / (n − 1) = (n·Σ² − (Σ)²) / (n·(n − 1)), as in the NIST/SEMATECH e-Handbook of Statistical Methods,
/// section 1.3.5.6 (sample standard deviation, squared). Numerator and denominator are exact integers, and their quotient is
/// rounded once: the result is the double nearest to the variance.
pub(crate) fn sample_variance(n: i64, sum: i128, squares: &Int192, scale: u32) -> Option<f64> {
    let n = u64::try_from(n).ok().filter(|n| *n >= 2)?;
    let mut scaled = Unsigned256::product(squares.low(), u128::from(n));
    scaled.high = scaled
        .high
        .checked_add(u128::from(squares.0[2]).checked_mul(u128::from(n))?)?;
    let square_of_sum = Unsigned256::product(sum.unsigned_abs(), sum.unsigned_abs());
    if scaled < square_of_sum {
        return None;
    }
    let pairs = u128::from(n) * u128::from(n - 1);
    // At most 128 bits times 10^76, which has 253: the 512 are never left.
    let mut below = Unsigned512::from(Unsigned256 {
        high: 0,
        low: pairs,
    });
    for _ in 0..2 * scale {
        below.times_ten();
    }
    Some(Unsigned512::from(scaled.minus(square_of_sum)).divided_by(below))
}

/// An unsigned integer of 512 bits, most significant word first, so that the derived order is that of the numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Unsigned512([u64; 8]);

impl From<Unsigned256> for Unsigned512 {
    fn from(value: Unsigned256) -> Self {
        let [high, low] = [value.high, value.low];
        Self([
            0,
            0,
            0,
            0,
            low_word(high >> 64),
            low_word(high),
            low_word(low >> 64),
            low_word(low),
        ])
    }
}

impl Unsigned512 {
    const ZERO: Self = Self([0; 8]);

    /// Number of bits up to the highest that is set.
    fn bits(self) -> u32 {
        let zeros: u32 = self
            .0
            .iter()
            .scan(true, |leading, word| {
                let zeros = if *leading { word.leading_zeros() } else { 0 };
                *leading &= *word == 0;
                Some(zeros)
            })
            .sum();
        512 - zeros
    }

    fn times_ten(&mut self) {
        let mut carry = 0;
        for word in self.0.iter_mut().rev() {
            let product = u128::from(*word) * 10 + carry;
            *word = low_word(product);
            carry = product >> 64;
        }
        assert_eq!(carry, 0, "more than 512 bits");
    }

    fn double(&mut self) {
        let mut carry = 0;
        for word in self.0.iter_mut().rev() {
            let highest = *word >> 63;
            *word = (*word << 1) | carry;
            carry = highest;
        }
    }

    /// Takes away `other`, which is not larger.
    fn subtract(&mut self, other: &Self) {
        let mut borrow = false;
        for (word, taken) in self.0.iter_mut().zip(other.0).rev() {
            let (left, first) = word.overflowing_sub(taken);
            let (left, second) = left.overflowing_sub(u64::from(borrow));
            *word = left;
            borrow = first || second;
        }
    }

    /// The double nearest to the quotient, ties to even; `other` is not zero and neither has more than 500 bits.
    fn divided_by(mut self, mut other: Self) -> f64 {
        /// Bits of the quotient that are worked out: more than a double has, and one that says whether any follow.
        const BITS: u32 = 66;
        if self == Self::ZERO {
            return 0.0;
        }
        // 1. Both get the same number of bits; the quotient is then between 1/2 and 2.
        let (above, below) = (self.bits(), other.bits());
        (below..above).for_each(|_| other.double());
        (above..below).for_each(|_| self.double());
        // 2. Bit by bit, as on paper.
        let mut quotient = 0_u128;
        for _ in 0..BITS {
            quotient <<= 1;
            if self >= other {
                self.subtract(&other);
                quotient |= 1;
            }
            self.double();
        }
        quotient |= u128::from(self != Self::ZERO);
        // 3. One rounding; the power of two only moves the point.
        #[expect(
            clippy::as_conversions,
            clippy::cast_precision_loss,
            reason = "u128 to f64 rounds to nearest even, which is the purpose, and `From` does not exist for it"
        )]
        let rounded = quotient as f64;
        let exponent = i64::from(above) - i64::from(below) - i64::from(BITS - 1);
        let biased = u64::try_from(1023 + exponent).expect("neither number has more than 512 bits");
        rounded * f64::from_bits(biased << 52)
    }
}

/// `sum / n · 10^digits`, rounded half to even; `digits` in −1..=4. `None` for n = 0.
///
/// The sum of n values of 64 bits is at most n·2^63, so the quotient has at most 64 bits and times 10^4 fits easily.
pub(crate) fn mean(sum: i128, n: i64, digits: i32) -> Option<i128> {
    if n == 0 {
        return None;
    }
    let mut n = i128::from(n);
    let mut factor = 1;
    for _ in 0..digits {
        factor *= 10;
    }
    for _ in digits..0 {
        n *= 10;
    }
    let (whole, rest) = (sum.div_euclid(n), sum.rem_euclid(n));
    let (part, left) = ((rest * factor).div_euclid(n), (rest * factor).rem_euclid(n));
    let floor = whole.checked_mul(factor)?.checked_add(part)?;
    let twice = left * 2;
    let up = twice > n || (twice == n && floor.rem_euclid(2) == 1);
    Some(floor + i128::from(up))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn squares(values: &[i64]) -> Int192 {
        let mut sum = Int192::ZERO;
        for value in values {
            sum.add_square(*value);
        }
        sum
    }

    #[test]
    fn squares_carry_into_the_third_word() {
        let mut sum = squares(&[i64::MIN; 4]);
        assert_eq!(sum, Int192([0, 0, 1]));
        let mut negative = sum;
        negative.negate();
        sum.plus_equals(&negative);
        assert_eq!(sum, Int192::ZERO);
    }

    #[test]
    fn products_are_whole() {
        let most = u128::MAX;
        assert_eq!(
            Unsigned256::product(most, most),
            Unsigned256 {
                high: most - 1,
                low: 1
            }
        );
        assert_eq!(
            Unsigned256::product(1 << 64, 1 << 64),
            Unsigned256 { high: 1, low: 0 }
        );
        assert_eq!(
            Unsigned256::product(0, most),
            Unsigned256 { high: 0, low: 0 }
        );
    }

    #[test]
    fn quotients_round_once_to_nearest_even() {
        let wide = |high: u128, low: u128| Unsigned512::from(Unsigned256 { high, low });
        let two_to_128 = 340_282_366_920_938_463_463_374_607_431_768_211_456.0_f64;
        for (above, below, expected) in [
            (wide(1, 0), wide(0, 1), two_to_128),
            (wide(0, 1), wide(1, 0), 1.0 / two_to_128),
            (wide(0, 200), wide(0, 6), 100.0 / 3.0),
            (wide(0, 2_000_000), wide(0, 60_000), 100.0 / 3.0),
            (wide(0, 1), wide(0, 10), 0.1),
            (wide(0, 7), wide(0, 7), 1.0),
            // 2^181 + 2^128 is a tie at 53 bits: down to even; one more and it goes up.
            (
                wide((1 << 53) + 1, 0),
                wide(0, 1),
                9_007_199_254_740_992.0 * two_to_128,
            ),
            (
                wide((1 << 53) + 1, 1),
                wide(0, 1),
                9_007_199_254_740_994.0 * two_to_128,
            ),
        ] {
            assert_eq!(
                above.divided_by(below).to_bits(),
                expected.to_bits(),
                "{expected}"
            );
        }
        assert!(
            wide(u128::MAX, u128::MAX)
                .divided_by(wide(0, 1))
                .is_finite()
        );
    }

    #[test]
    fn the_variance_of_decimals_is_the_nearest_double() {
        // 5, 5 and -5 with two places: 100 / 3.
        let values = [500, 500, -500];
        assert_eq!(
            sample_variance(3, 500, &squares(&values), 2),
            Some(100.0 / 3.0)
        );
        assert_eq!(
            sample_variance(3, 5, &squares(&[5, 5, -5]), 0),
            Some(100.0 / 3.0)
        );
        assert!(sample_variance(2, 0, &squares(&[i64::MAX, -i64::MAX]), 38).unwrap() > 0.0);
    }

    #[test]
    fn variance_of_the_widest_values_has_no_overflow() {
        let values = [i64::MIN, i64::MAX];
        let sum = values.iter().map(|v| i128::from(*v)).sum();
        let got = sample_variance(2, sum, &squares(&values), 0).unwrap();
        // (2^64 - 1)^2 / 2
        assert!(
            (got / 1.701_411_834_604_692_3e38 - 1.0).abs() < 1e-15,
            "{got}"
        );
    }

    #[test]
    fn variance_needs_two_values() {
        assert_eq!(sample_variance(0, 0, &Int192::ZERO, 0), None);
        assert_eq!(sample_variance(1, 5, &squares(&[5]), 0), None);
        assert_eq!(sample_variance(2, 10, &squares(&[5, 5]), 0), Some(0.0));
        assert_eq!(sample_variance(2, 0, &squares(&[1, -1]), 0), Some(2.0));
        assert_eq!(sample_variance(2, 1000, &squares(&[1]), 0), None);
    }

    #[test]
    fn means_round_half_to_even() {
        assert_eq!(mean(1, 2, 0), Some(0));
        assert_eq!(mean(3, 2, 0), Some(2));
        assert_eq!(mean(-1, 2, 0), Some(0));
        assert_eq!(mean(-3, 2, 0), Some(-2));
        assert_eq!(mean(10, 3, 4), Some(33_333));
        assert_eq!(mean(20, 3, 4), Some(66_667));
        assert_eq!(mean(-20, 3, 4), Some(-66_667));
        assert_eq!(mean(25, 1, -1), Some(2));
        assert_eq!(mean(35, 1, -1), Some(4));
        assert_eq!(mean(5, 0, 4), None);
        assert_eq!(
            mean(i128::from(i64::MIN) * 3, 3, 4),
            Some(i128::from(i64::MIN) * 10_000)
        );
    }

    proptest! {
        #[test]
        fn variance_agrees_with_the_sum_of_squared_deviations(values in proptest::collection::vec(-1_000_000_i64..1_000_000, 2..50)) {
            let n = i64::try_from(values.len()).unwrap();
            let sum: i128 = values.iter().map(|v| i128::from(*v)).sum();
            // n²·Σ(x − mean)² in integers.
            let deviations: i128 = values.iter().map(|v| (i128::from(*v) * i128::from(n) - sum).pow(2)).sum();
            #[expect(clippy::as_conversions, clippy::cast_precision_loss, reason = "an oracle")]
            let expected = deviations as f64 / (n * n) as f64 / (n - 1) as f64;
            let got = sample_variance(n, sum, &squares(&values), 0).unwrap();
            prop_assert!((got - expected).abs() <= expected * 1e-14);
        }
    }
}
