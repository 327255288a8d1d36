//! Quantiles by counts of buckets that are a fixed share of their values wide: a sketch of the kind of `DDSketch` (Masson, Rim and Lee, "`DDSketch`: a fast
//! and fully-mergeable quantile sketch with relative-error guarantees", 2019).
//!
//! A bucket is all doubles with one sign, one exponent and the same first seven bits of the fraction, so a value and the middle of its bucket are less than
//! 1/256 of the value apart ([`WITHIN`]). Which bucket that is, is read off the bits, without a logarithm, and is the same on every machine. Counts are a
//! group: sketches are added in any order and parts are taken back.
//!
//! The quantile q of n values is the one at place ⌈q·n⌉ in their order, the first at least: a value that is there, as far as buckets tell. Of whole
//! numbers and decimals it is a whole number of minor units, and exact below 256 of them.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::digits::{Digits, Read};
use super::value::{double, ordered};

/// Bits of a double that do not tell buckets apart: 52 of the fraction without seven.
const SHIFT: u32 = 45;

/// How far a quantile is from its value at most, as a share of it.
pub const WITHIN: f64 = 1.0 / 256.0;

/// Parts of one that quantiles are told in.
pub const MILLION: u32 = 1_000_000;

/// Counts of values by buckets.
#[derive(Debug, Clone, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Sketch {
    /// Values that were not added, as they are no number or could not be worked out.
    pub(crate) wide: i64,
    /// In the order of buckets; none has no values.
    buckets: Vec<(i64, i64)>,
}

impl Sketch {
    /// Of these counts.
    pub(crate) fn of(wide: i64, counts: impl IntoIterator<Item = (i64, i64)>) -> Self {
        let mut buckets: Vec<(i64, i64)> = counts.into_iter().collect();
        buckets.retain(|(_, count)| *count != 0);
        buckets.sort_unstable();
        Self { wide, buckets }
    }

    /// The bucket of a value; none for what is no number.
    #[inline]
    pub(crate) fn bucket(value: f64) -> Option<i64> {
        (!value.is_nan()).then(|| ordered(value) >> SHIFT)
    }

    pub(crate) fn is_nothing(&self) -> bool {
        self.wide == 0 && self.buckets.is_empty()
    }

    /// Adds other values.
    pub(crate) fn merge(&mut self, other: &Self) {
        let mut all: BTreeMap<i64, i64> = std::mem::take(&mut self.buckets).into_iter().collect();
        for (bucket, count) in &other.buckets {
            *all.entry(*bucket).or_default() += count;
        }
        *self = Self::of(self.wide + other.wide, all);
    }

    /// Takes all of them back.
    pub(crate) fn negate(&mut self) {
        self.wide = -self.wide;
        self.buckets
            .iter_mut()
            .for_each(|(_, count)| *count = -*count);
    }

    /// The quantile of so many millionths; `is_whole` where values are whole numbers. `None` for no values.
    pub(crate) fn quantile(&self, millionths: u32, is_whole: bool) -> Option<f64> {
        let all: i128 = self
            .buckets
            .iter()
            .map(|(_, count)| i128::from(*count))
            .sum();
        if all <= 0 {
            return None;
        }
        let million = i128::from(MILLION);
        let place = (all * i128::from(millionths) + million - 1) / million;
        let place = place.clamp(1, all);
        let mut before = 0;
        let found = self.buckets.iter().find(|(_, count)| {
            before += i128::from(*count);
            before >= place
        });
        found.map(|(bucket, _)| middle(*bucket, is_whole))
    }

    /// As text that is the same wherever it is written.
    pub(crate) fn to_text(&self) -> String {
        let mut digits = Digits::default();
        digits.int(self.wide);
        digits.count(self.buckets.len());
        let mut before = 0_i64;
        for (bucket, count) in &self.buckets {
            digits.int(bucket - before);
            digits.int(*count);
            before = *bucket;
        }
        digits.0
    }

    /// What such a text says; `None` where it says nothing.
    pub(crate) fn from_text(text: &str) -> Option<Self> {
        let mut read = Read(text);
        let wide = read.int()?;
        let mut buckets: Vec<(i64, i64)> = Vec::new();
        let least = i64::MIN >> SHIFT;
        for _ in 0..read.count()? {
            let before = buckets.last().map(|(bucket, _)| *bucket);
            let bucket = before.unwrap_or(0).checked_add(read.int()?)?;
            let is_behind = before.is_none_or(|before| bucket > before);
            let is_bucket = (least..=i64::MAX >> SHIFT).contains(&bucket);
            let count = read.int().filter(|count| *count != 0)?;
            if !is_behind || !is_bucket {
                return None;
            }
            buckets.push((bucket, count));
        }
        read.0.is_empty().then_some(Self { wide, buckets })
    }
}

/// The value that stands for those of a bucket.
fn middle(bucket: i64, is_whole: bool) -> f64 {
    let first = bucket << SHIFT;
    let (least, greatest) = (double(first), double(first | ((1 << SHIFT) - 1)));
    // What is all but 0, or infinite, has no middle.
    if least <= 0.0 && (-1..=0).contains(&bucket) {
        return 0.0;
    }
    if !least.is_finite() || !greatest.is_finite() {
        return if least.is_nan() { greatest } else { least };
    }
    let middle = least / 2.0 + greatest / 2.0;
    if !is_whole {
        return middle;
    }
    let whole = middle.round_ties_even();
    let next = least.ceil();
    if (least..=greatest).contains(&whole) {
        whole
    } else if next <= greatest {
        next
    } else {
        middle
    }
}

/// Counts of all groups of an epoch.
#[derive(Debug, Default)]
pub(crate) struct SketchSlots(Vec<(i64, BTreeMap<i64, i64>)>);

impl SketchSlots {
    pub(crate) fn resize(&mut self, groups: usize) {
        self.0.resize_with(groups, Default::default);
    }

    pub(crate) fn clear(&mut self) {
        self.0.clear();
    }

    /// Adds a value to a group.
    pub(crate) fn add(&mut self, group: usize, value: Option<f64>) {
        let (wide, counts) = &mut self.0[group];
        match value.and_then(Sketch::bucket) {
            Some(bucket) => *counts.entry(bucket).or_default() += 1,
            None => *wide += 1,
        }
    }

    pub(crate) fn take(&mut self, group: usize) -> Sketch {
        let (wide, counts) = std::mem::take(&mut self.0[group]);
        Sketch::of(wide, counts)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn of(values: &[f64]) -> Sketch {
        let mut slots = SketchSlots::default();
        slots.resize(1);
        for value in values {
            slots.add(0, Some(*value));
        }
        slots.take(0)
    }

    fn plus(left: &Sketch, right: &Sketch) -> Sketch {
        let mut sum = left.clone();
        sum.merge(right);
        sum
    }

    /// The value at place ⌈q·n⌉ of all in order.
    fn exact(values: &[f64], millionths: u32) -> f64 {
        let mut sorted = values.to_vec();
        sorted.sort_unstable_by(f64::total_cmp);
        let place =
            (u64::from(millionths) * u64::try_from(values.len()).unwrap()).div_ceil(1_000_000);
        sorted[usize::try_from(place.max(1)).unwrap() - 1]
    }

    #[test]
    fn small_whole_numbers_are_exact() {
        let values: Vec<f64> = (1..=255).map(f64::from).collect();
        let sketch = of(&values);
        for (millionths, expected) in [
            (0, 1.0),
            (1, 1.0),
            (500_000, 128.0),
            (950_000, 243.0),
            (1_000_000, 255.0),
        ] {
            assert_eq!(
                sketch.quantile(millionths, true),
                Some(expected),
                "{millionths}"
            );
        }
        assert_eq!(of(&[-7.0, 0.0, 3.0]).quantile(1, true), Some(-7.0));
        assert_eq!(of(&[-7.0, 0.0, 3.0]).quantile(500_000, true), Some(0.0));
    }

    #[test]
    fn nothing_has_no_quantile_and_no_number_is_counted_apart() {
        assert_eq!(of(&[]).quantile(500_000, true), None);
        let sketch = of(&[f64::NAN, 2.5]);
        assert_eq!(
            (sketch.wide, sketch.quantile(500_000, false).map(f64::round)),
            (1, Some(3.0))
        );
        assert_eq!(
            of(&[f64::INFINITY]).quantile(500_000, false),
            Some(f64::INFINITY)
        );
        assert_eq!(
            of(&[f64::NEG_INFINITY]).quantile(500_000, false),
            Some(f64::NEG_INFINITY)
        );
    }

    proptest! {
        #[test]
        fn quantiles_are_near_those_of_all_values_in_order(
            values in proptest::collection::vec(prop_oneof![-1e9..1e9_f64, -1.0..1.0_f64, Just(0.0)], 1..300),
            millionths in 0..=1_000_000_u32,
        ) {
            let expected = exact(&values, millionths);
            let found = of(&values).quantile(millionths, false).unwrap();
            prop_assert!((found - expected).abs() <= WITHIN * expected.abs(), "{} for {}", found, expected);
        }

        #[test]
        fn parts_are_added_in_any_order_and_taken_back(
            left in proptest::collection::vec(any::<f64>(), 0..50),
            right in proptest::collection::vec(any::<f64>(), 0..50),
        ) {
            let all: Vec<f64> = left.iter().chain(&right).copied().collect();
            let (left, right, all) = (of(&left), of(&right), of(&all));
            prop_assert_eq!(&plus(&left, &right), &all);
            prop_assert_eq!(&plus(&right, &left), &all);
            let mut back = right.clone();
            back.negate();
            prop_assert_eq!(&plus(&all, &back), &left);
            let text = all.to_text();
            prop_assert_eq!(Sketch::from_text(&text), Some(all));
            prop_assert_eq!(Sketch::from_text(&format!("{text}\0")), None);
        }
    }
}
