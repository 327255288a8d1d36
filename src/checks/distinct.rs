//! How many different values there are: exact up to [`LIMIT`], from then on an estimate by `HyperLogLog`.
//!
//! Up to the limit each value is kept with how often it came, which is a group: values can be taken back. Beyond it only the
//! greatest rank of the hashes in each of [`REGISTERS`] registers is kept, whose standard error is 1.04 / √4096 = 1.6 %. Which of both it is
//! depends on the values alone, not on the order in which they or parts of them came: a part of few values is few values of many.
//!
//! The estimate is O. Ertl's ("New cardinality estimation algorithms for `HyperLogLog` sketches", 2017, algorithm 6), which has no bias to be
//! corrected and is worked out with + − × ÷ √ alone, so that every machine gives the same.

use std::collections::BTreeMap;

use hashbrown::HashMap;
use serde::{Deserialize, Serialize};

use super::codes::ValueCodes;
use super::digits::{Digits, Read};
use super::value::{Segment, Value};
use crate::cluster::exchange::mix;

/// Values up to which the number is exact.
pub const LIMIT: usize = 4_096;

/// Bits of a hash that say which register it belongs to.
const INDEX_BITS: u32 = 12;

/// Registers of an estimate.
pub const REGISTERS: usize = 1 << INDEX_BITS;

/// Bits of a hash that are ranked.
const RANKED_BITS: u8 = 64 - 12;

/// What an estimate is, in words.
pub const ESTIMATED: &str =
    "an exact number up to 4096; above it HyperLogLog, with a standard error of 1.6 %";

/// Different values.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Distinct {
    /// All of them in their order, each with how often it came; none of them 0 times.
    Exact(Vec<(Value, i64)>),
    /// The greatest rank in each register; 0 for none.
    Estimated(Box<[u8]>),
}

impl Default for Distinct {
    fn default() -> Self {
        Self::Exact(Vec::new())
    }
}

impl Distinct {
    /// Whether there are none.
    pub(crate) fn is_nothing(&self) -> bool {
        matches!(self, Self::Exact(values) if values.is_empty())
    }

    /// Whether the number is an estimate.
    pub(crate) fn is_estimated(&self) -> bool {
        matches!(self, Self::Estimated(_))
    }

    /// How many there are.
    pub(crate) fn number(&self) -> i64 {
        match self {
            Self::Exact(values) => {
                let there = values.iter().filter(|(_, times)| *times > 0);
                i64::try_from(there.count()).expect("a length fits")
            }
            Self::Estimated(registers) => estimate(registers),
        }
    }

    /// Adds other values.
    pub(crate) fn merge(&mut self, other: &Self) {
        match (&mut *self, other) {
            (Self::Exact(left), Self::Exact(right)) => {
                let mut all: BTreeMap<Value, i64> = std::mem::take(left).into_iter().collect();
                for (value, times) in right {
                    *all.entry(value.clone()).or_default() += times;
                }
                all.retain(|_, times| *times != 0);
                *self = Self::of(all);
            }
            (Self::Estimated(left), Self::Exact(right)) => {
                for (value, _) in right {
                    note(left, value);
                }
            }
            (Self::Exact(left), Self::Estimated(right)) => {
                let mut registers = right.clone();
                for (value, _) in left.iter() {
                    note(&mut registers, value);
                }
                *self = Self::Estimated(registers);
            }
            (Self::Estimated(left), Self::Estimated(right)) => {
                let ranks = left.iter_mut().zip(right);
                ranks.for_each(|(left, right)| *left = (*left).max(*right));
            }
        }
    }

    /// Takes all of them back.
    ///
    /// # Panics
    /// Where there are more than can be told apart.
    pub(crate) fn negate(&mut self) {
        match self {
            Self::Exact(values) => values.iter_mut().for_each(|(_, times)| *times = -*times),
            Self::Estimated(_) => panic!(
                "an estimate of different values was retracted; more than {LIMIT} stand in windows over insert-only input only"
            ),
        }
    }

    fn of(values: BTreeMap<Value, i64>) -> Self {
        if values.len() <= LIMIT {
            return Self::Exact(values.into_iter().collect());
        }
        let mut registers = no_registers();
        for value in values.keys() {
            note(&mut registers, value);
        }
        Self::Estimated(registers)
    }

    /// As text that is the same wherever it is written.
    pub(crate) fn to_text(&self) -> String {
        let mut digits = Digits::default();
        match self {
            Self::Exact(values) => {
                digits.uint(0);
                digits.count(values.len());
                for (value, times) in values {
                    match value {
                        Value::Null => digits.uint(0),
                        Value::Int(value) => {
                            digits.uint(1);
                            digits.int(*value);
                        }
                        Value::Wide(value) => {
                            digits.uint(2);
                            let [low, high] = halves(*value);
                            digits.uint(low);
                            digits.uint(high);
                        }
                        Value::Text(text) => {
                            digits.uint(3);
                            digits.count(text.len());
                            digits.0.push_str(text);
                        }
                    }
                    digits.int(*times);
                }
            }
            Self::Estimated(registers) => {
                digits.uint(1);
                registers
                    .iter()
                    .for_each(|rank| digits.uint(u64::from(*rank)));
            }
        }
        digits.0
    }

    /// What such a text says; `None` where it says nothing.
    pub(crate) fn from_text(text: &str) -> Option<Self> {
        let mut read = Read(text);
        let distinct = match read.uint()? {
            0 => {
                let mut values: Vec<(Value, i64)> = Vec::new();
                for _ in 0..read.count()? {
                    let value = match read.uint()? {
                        0 => Value::Null,
                        1 => Value::Int(read.int()?),
                        2 => Value::Wide(whole([read.uint()?, read.uint()?])),
                        3 => {
                            let length = read.count()?;
                            Value::Text(read.text(length)?.into())
                        }
                        _ => return None,
                    };
                    let times = read.int().filter(|times| *times != 0)?;
                    if values.last().is_some_and(|(before, _)| *before >= value) {
                        return None;
                    }
                    values.push((value, times));
                }
                (values.len() <= LIMIT).then_some(Self::Exact(values))?
            }
            1 => {
                let rank = |read: &mut Read<'_>| {
                    let rank = u8::try_from(read.uint()?).ok()?;
                    (rank <= RANKED_BITS + 1).then_some(rank)
                };
                let registers: Option<Vec<u8>> = (0..REGISTERS).map(|_| rank(&mut read)).collect();
                Self::Estimated(registers?.into())
            }
            _ => return None,
        };
        read.0.is_empty().then_some(distinct)
    }
}

fn halves(value: i128) -> [u64; 2] {
    let bytes = value.to_le_bytes();
    let half = |from: usize| {
        let half = bytes[from..from + 8].try_into();
        u64::from_le_bytes(half.expect("eight bytes"))
    };
    [half(0), half(8)]
}

fn whole([low, high]: [u64; 2]) -> i128 {
    (u128::from(low) | (u128::from(high) << 64)).cast_signed()
}

fn no_registers() -> Box<[u8]> {
    vec![0; REGISTERS].into()
}

/// Notes a value in the register of its hash.
fn note(registers: &mut [u8], value: &Value) {
    // A hash of its own: what decides the owner of a segment must not decide the register.
    let hash = mix(Segment(Box::new([value.clone()])).placement() ^ 0x9E37_79B9_7F4A_7C15);
    let index = usize::try_from(hash >> RANKED_BITS).expect("twelve bits");
    let rank = (hash << INDEX_BITS)
        .leading_zeros()
        .min(u32::from(RANKED_BITS))
        + 1;
    let rank = u8::try_from(rank).expect("53 at most");
    registers[index] = registers[index].max(rank);
}

/// Ertl's estimate, rounded.
#[expect(
    clippy::as_conversions,
    clippy::cast_possible_truncation,
    reason = "an estimate of counts that are far below 2^53, rounded"
)]
fn estimate(registers: &[u8]) -> i64 {
    let mut of_rank = [0_u32; 64];
    for rank in registers {
        of_rank[usize::from(*rank)] += 1;
    }
    let count = |rank: u8| f64::from(of_rank[usize::from(rank)]);
    let all = f64::from(u32::try_from(registers.len()).expect("they are 4096"));
    let mut sum = all * tau(1.0 - count(RANKED_BITS + 1) / all);
    for rank in (1..=RANKED_BITS).rev() {
        sum = 0.5 * (sum + count(rank));
    }
    sum += all * sigma(count(0) / all);
    // 1 / (2 ln 2)
    let alpha = 0.721_347_520_444_481_7;
    (alpha * all * all / sum).round() as i64
}

fn sigma(mut x: f64) -> f64 {
    if x >= 1.0 {
        return f64::INFINITY;
    }
    let (mut y, mut sum) = (1.0, x);
    loop {
        x *= x;
        let before = sum;
        sum += x * y;
        y += y;
        if sum.to_bits() == before.to_bits() {
            return sum;
        }
    }
}

fn tau(mut x: f64) -> f64 {
    if x <= 0.0 || x >= 1.0 {
        return 0.0;
    }
    let (mut y, mut sum) = (1.0, 1.0 - x);
    loop {
        x = x.sqrt();
        let before = sum;
        y *= 0.5;
        sum -= (1.0 - x) * (1.0 - x) * y;
        if sum.to_bits() == before.to_bits() {
            return sum / 3.0;
        }
    }
}

/// Different values of all groups of an epoch.
#[derive(Debug, Default)]
pub(crate) struct DistinctSlots {
    codes: ValueCodes,
    numbers: Vec<u32>,
    groups: Vec<Gathered>,
}

/// Of a group: how often each value came by its number, or registers.
#[derive(Debug, Clone, Default)]
struct Gathered {
    seen: HashMap<u32, i64>,
    registers: Option<Box<[u8]>>,
}

impl DistinctSlots {
    pub(crate) fn resize(&mut self, groups: usize) {
        self.groups.resize_with(groups, Gathered::default);
    }

    pub(crate) fn clear(&mut self) {
        self.codes.clear();
        self.groups.clear();
    }

    /// Adds rows of a batch to the groups that `group_of` names.
    pub(crate) fn add(
        &mut self,
        array: &dyn arrow_array::Array,
        rows: impl Iterator<Item = usize>,
        group_of: impl Fn(usize) -> usize,
    ) {
        self.codes.assign(array, &mut self.numbers);
        for row in rows {
            let number = self.numbers[row];
            let gathered = &mut self.groups[group_of(row)];
            if let Some(registers) = &mut gathered.registers {
                note(registers, self.codes.value(number));
                continue;
            }
            *gathered.seen.entry(number).or_default() += 1;
            if gathered.seen.len() > LIMIT {
                let mut registers = no_registers();
                for number in std::mem::take(&mut gathered.seen).into_keys() {
                    note(&mut registers, self.codes.value(number));
                }
                gathered.registers = Some(registers);
            }
        }
    }

    pub(crate) fn take(&mut self, group: usize) -> Distinct {
        let Gathered { seen, registers } = std::mem::take(&mut self.groups[group]);
        if let Some(registers) = registers {
            return Distinct::Estimated(registers);
        }
        let values = seen.into_iter();
        let mut values: Vec<(Value, i64)> = values
            .map(|(number, times)| (self.codes.value(number).clone(), times))
            .collect();
        values.sort_unstable();
        Distinct::Exact(values)
    }
}

#[cfg(test)]
mod tests {
    use arrow_array::Int64Array;
    use proptest::prelude::*;

    use super::*;

    fn of(values: impl IntoIterator<Item = i64>) -> Distinct {
        let values: Vec<i64> = values.into_iter().collect();
        let rows = values.len();
        let mut slots = DistinctSlots::default();
        slots.resize(1);
        slots.add(&Int64Array::from(values), 0..rows, |_| 0);
        slots.take(0)
    }

    fn plus(left: &Distinct, right: &Distinct) -> Distinct {
        let mut sum = left.clone();
        sum.merge(right);
        sum
    }

    #[test]
    fn it_is_exact_up_to_the_limit_and_near_above_it() {
        let limit = i64::try_from(LIMIT).unwrap();
        for number in [0, 1, 2, 100, limit] {
            let distinct = of((0..number).chain(0..number / 2));
            assert_eq!(
                (distinct.number(), distinct.is_estimated()),
                (number, false)
            );
        }
        for number in [limit + 1, 6_000, 10_000, 20_000, 100_000, 1_000_000] {
            let distinct = of((0..number).map(|one| one * 1_000_003 - 500_000_000));
            assert!(distinct.is_estimated());
            #[expect(
                clippy::as_conversions,
                clippy::cast_precision_loss,
                reason = "a share"
            )]
            let off = (distinct.number() - number) as f64 / number as f64;
            // Three standard errors.
            assert!(off.abs() < 0.049, "{number}: {off}");
        }
    }

    #[test]
    fn the_estimate_has_the_spread_that_it_is_said_to_have() {
        let number = 10_000_i64;
        let mut squares = 0.0;
        for seed in 0..60_i64 {
            let distinct = of((0..number).map(|one| one + seed * 1_000_000_007));
            #[expect(
                clippy::as_conversions,
                clippy::cast_precision_loss,
                reason = "a share"
            )]
            let off = (distinct.number() - number) as f64 / number as f64;
            squares += off * off;
        }
        let spread = (squares / 60.0).sqrt();
        assert!((0.010..0.022).contains(&spread), "{spread}");
    }

    #[test]
    fn values_can_be_taken_back_as_long_as_all_are_known() {
        let all = of([5, 5, 7, 9]);
        let mut back = of([5, 9]);
        back.negate();
        let left = plus(&all, &back);
        assert_eq!(left, of([5, 7]));
        let mut back = left.clone();
        back.negate();
        assert!(plus(&left, &back).is_nothing());
    }

    proptest! {
        #[test]
        fn parts_are_added_in_any_order_and_grouping(
            parts in proptest::collection::vec((0..20_000_i64, 0..3_000_i64), 1..6),
            order in any::<u64>(),
        ) {
            let all: Vec<i64> = parts.iter().flat_map(|(from, count)| *from..from + count).collect();
            let expected = of(all.clone());
            let mut apart: Vec<Distinct> = parts.iter().map(|(from, count)| of(*from..from + count)).collect();
            let places = u64::try_from(apart.len()).unwrap();
            apart.rotate_left(usize::try_from(order % places).unwrap());
            let forward = apart.iter().fold(Distinct::default(), |sum, part| plus(&sum, part));
            let backward = apart.iter().rev().fold(Distinct::default(), |sum, part| plus(part, &sum));
            prop_assert_eq!(&forward, &expected);
            prop_assert_eq!(&backward, &expected);
            let unique: std::collections::BTreeSet<i64> = all.into_iter().collect();
            if unique.len() <= LIMIT {
                prop_assert_eq!(forward.number(), i64::try_from(unique.len()).unwrap());
            }
            let text = expected.to_text();
            prop_assert_eq!(Distinct::from_text(&text), Some(expected));
            prop_assert_eq!(Distinct::from_text(&text[..text.len() - 1]), None);
        }
    }

    #[test]
    fn values_of_every_kind_come_back_from_text() {
        let values = [
            (Value::Int(-3), 2),
            (Value::Wide(i128::MIN), 1),
            (Value::Wide(-1), -4),
            (Value::Text("".into()), 1),
            (Value::Text("é\u{7f}".into()), 9),
        ];
        let distinct = Distinct::Exact(values.to_vec());
        assert_eq!(Distinct::from_text(&distinct.to_text()), Some(distinct));
        // Values stand in their order, once, and came at least once.
        for wrong in [
            Distinct::Exact(vec![(Value::Int(2), 1), (Value::Int(1), 1)]),
            Distinct::Exact(vec![(Value::Int(2), 1), (Value::Int(2), 1)]),
            Distinct::Exact(vec![(Value::Int(2), 0)]),
        ] {
            assert_eq!(Distinct::from_text(&wrong.to_text()), None, "{wrong:?}");
        }
        assert_eq!(Distinct::from_text(""), None);
        assert_eq!(Distinct::from_text("\u{5}"), None);
    }
}
