//! The difference type: statistics of the rows of one epoch, segment and window.
//!
//! Partials are added in any order and grouping, on any worker, and must give one result. So everything is an integer in
//! minor units: counts, Σ in wrapping 128 bits, Σ² in wrapping 192 bits, which is exact for 2^63 values of 64 bits. Values
//! that need more than 64 bits are not added but counted, and the statistic then has no number and an `overflow` verdict.
//!
//! Law: `plus_equals` is associative and commutative. Counts, sums and moments are a group; `negate` undoes them. Minimum
//! and maximum are a semilattice only: they have no negation, so they stand in windows over insert-only input. Counts of buckets are a group, and so are
//! different values as long as all of them are known.

use differential_dataflow::difference::{IsZero, Semigroup};
use serde::{Deserialize, Serialize};

use super::distinct::Distinct;
use super::sketch::Sketch;
use super::value::Value;
use super::wide::{Int192, mean, sample_variance};

/// Statistics of some rows; which ones is said by the [`super::Layout`] of the window.
///
/// Cost: 24 bytes, and 64 for each accumulator.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Partial {
    /// Number of rows.
    pub rows: i64,
    /// One for each of the layout's accumulators, in its order.
    pub accumulators: Box<[Accumulator]>,
}

/// One running statistic.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Accumulator {
    /// Number of values that are not null (and pass the filter).
    Count(i64),
    /// For `sum` and `avg`.
    Sum(Sum),
    /// For `var_samp` and `stddev_samp`, and for sums of the same values.
    Moments(Moments),
    /// The least value; null for none.
    Least(Value),
    /// The greatest value; null for none.
    Greatest(Value),
    /// Different values.
    Distinct(Box<Distinct>),
    /// Counts of values by buckets.
    Sketch(Box<Sketch>),
}

/// Number and sum of values.
///
/// Packed to eight bytes, since an `i128` asks for sixteen: an [`Accumulator`] has 64 bytes with it, and would have 80.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[repr(C, packed(8))]
pub struct Sum {
    /// Values added.
    pub n: i64,
    /// Values that were not added, as they need more than 64 bits or could not be worked out.
    pub wide: i64,
    /// Their sum in minor units, wrapping.
    pub sum: i128,
}

/// Number, sum and sum of squares of values.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Moments {
    /// Number and sum.
    pub first: Sum,
    /// Sum of the squares in squared minor units, wrapping.
    pub squares: Int192,
}

const _: () = assert!(
    size_of::<Accumulator>() == 64,
    "what a million windows cost"
);

impl Sum {
    /// Adds one value; `None` is one that is too wide.
    #[inline]
    pub(crate) fn add(&mut self, value: Option<i64>) {
        match value {
            Some(value) => {
                self.n += 1;
                self.sum = self.sum.wrapping_add(i128::from(value));
            }
            None => self.wide += 1,
        }
    }

    fn plus_equals(&mut self, other: &Self) {
        self.n += other.n;
        self.wide += other.wide;
        self.sum = self.sum.wrapping_add(other.sum);
    }

    /// The mean times 10^digits, rounded half to even; `None` for no values.
    pub(crate) fn mean(&self, digits: i32) -> Option<i128> {
        mean(self.sum, self.n, digits)
    }
}

impl Moments {
    /// Adds one value; `None` is one that is too wide.
    #[inline]
    pub(crate) fn add(&mut self, value: Option<i64>) {
        self.first.add(value);
        if let Some(value) = value {
            self.squares.add_square(value);
        }
    }

    fn plus_equals(&mut self, other: &Self) {
        self.first.plus_equals(&other.first);
        self.squares.plus_equals(&other.squares);
    }

    /// Sample variance in squared units of one, of values with `scale` decimal places; `None` for fewer than two values.
    pub(crate) fn sample_variance(&self, scale: u32) -> Option<f64> {
        sample_variance(self.first.n, self.first.sum, &self.squares, scale)
    }
}

impl Accumulator {
    /// The sum, where there is one.
    pub(crate) fn sum(&self) -> Option<&Sum> {
        match self {
            Self::Sum(sum) => Some(sum),
            Self::Moments(moments) => Some(&moments.first),
            _ => None,
        }
    }

    fn plus_equals(&mut self, other: &Self) {
        match (self, other) {
            (Self::Count(left), Self::Count(right)) => *left += right,
            (Self::Sum(left), Self::Sum(right)) => left.plus_equals(right),
            (Self::Moments(left), Self::Moments(right)) => left.plus_equals(right),
            (Self::Least(left), Self::Least(right)) => {
                if *right != Value::Null && (*left == Value::Null || right < left) {
                    left.clone_from(right);
                }
            }
            (Self::Greatest(left), Self::Greatest(right)) => {
                // Null is the least of all values.
                if right > left {
                    left.clone_from(right);
                }
            }
            (Self::Distinct(left), Self::Distinct(right)) => left.merge(right),
            (Self::Sketch(left), Self::Sketch(right)) => left.merge(right),
            (left, right) => panic!("partials of two layouts were added: {left:?} and {right:?}"),
        }
    }

    fn is_zero(&self) -> bool {
        match self {
            Self::Count(n) => *n == 0,
            Self::Sum(sum) => *sum == Sum::default(),
            Self::Moments(moments) => *moments == Moments::default(),
            Self::Least(value) | Self::Greatest(value) => *value == Value::Null,
            Self::Distinct(distinct) => distinct.is_nothing(),
            Self::Sketch(sketch) => sketch.is_nothing(),
        }
    }
}

impl Partial {
    /// Takes back all that was added.
    ///
    /// Panics where there is a minimum or maximum, which can't be taken back.
    pub fn negate(&mut self) {
        self.rows = -self.rows;
        for accumulator in &mut self.accumulators {
            match accumulator {
                Accumulator::Count(n) => *n = -*n,
                Accumulator::Sum(sum) => negate(sum),
                Accumulator::Moments(moments) => {
                    negate(&mut moments.first);
                    moments.squares.negate();
                }
                Accumulator::Distinct(distinct) => distinct.negate(),
                Accumulator::Sketch(sketch) => sketch.negate(),
                Accumulator::Least(_) | Accumulator::Greatest(_) => {
                    panic!(
                        "a minimum or maximum was retracted; it stands in windows over insert-only input only"
                    )
                }
            }
        }
    }
}

fn negate(sum: &mut Sum) {
    *sum = Sum {
        n: -sum.n,
        wide: -sum.wide,
        sum: sum.sum.wrapping_neg(),
    };
}

impl IsZero for Partial {
    fn is_zero(&self) -> bool {
        self.rows == 0 && self.accumulators.iter().all(Accumulator::is_zero)
    }
}

impl Semigroup for Partial {
    fn plus_equals(&mut self, other: &Self) {
        assert_eq!(
            self.accumulators.len(),
            other.accumulators.len(),
            "partials of two layouts were added"
        );
        self.rows += other.rows;
        for (left, right) in self.accumulators.iter_mut().zip(&other.accumulators) {
            left.plus_equals(right);
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn partial(value: Option<i64>) -> Partial {
        let (mut sum, mut moments) = (Sum::default(), Moments::default());
        sum.add(value);
        moments.add(value);
        Partial {
            rows: 1,
            accumulators: Box::new([
                Accumulator::Count(i64::from(value.is_some())),
                Accumulator::Sum(sum),
                Accumulator::Moments(moments),
            ]),
        }
    }

    fn extremes(value: i64) -> Partial {
        let value = Value::Int(value);
        Partial {
            rows: 1,
            accumulators: Box::new([
                Accumulator::Least(value.clone()),
                Accumulator::Greatest(value),
            ]),
        }
    }

    fn plus(left: &Partial, right: &Partial) -> Partial {
        let mut sum = left.clone();
        sum.plus_equals(right);
        sum
    }

    proptest! {
        #[test]
        fn addition_is_associative_and_commutative_and_undone_by_negation(a in any::<Option<i64>>(), b in any::<Option<i64>>(), c in any::<Option<i64>>()) {
            let (a, b, c) = (partial(a), partial(b), partial(c));
            prop_assert_eq!(plus(&a, &b), plus(&b, &a));
            prop_assert_eq!(plus(&plus(&a, &b), &c), plus(&a, &plus(&b, &c)));
            let mut back = b.clone();
            back.negate();
            prop_assert_eq!(plus(&plus(&a, &b), &back), a);
            prop_assert!(plus(&b, &back).is_zero());
        }

        #[test]
        fn extremes_are_associative_commutative_and_idempotent(a in any::<i64>(), b in any::<i64>(), c in any::<i64>()) {
            let (a, b, c) = (extremes(a), extremes(b), extremes(c));
            prop_assert_eq!(plus(&a, &b), plus(&b, &a));
            prop_assert_eq!(plus(&plus(&a, &b), &c), plus(&a, &plus(&b, &c)));
            prop_assert_eq!(plus(&a, &a).accumulators, a.accumulators);
        }
    }

    #[test]
    fn null_extremes_change_nothing() {
        let none = Partial {
            rows: 0,
            accumulators: Box::new([
                Accumulator::Least(Value::Null),
                Accumulator::Greatest(Value::Null),
            ]),
        };
        assert!(none.is_zero());
        assert_eq!(plus(&none, &extremes(3)), extremes(3));
        assert_eq!(plus(&extremes(3), &none), extremes(3));
    }
}
