//! Splits a batch by the values of its partition columns.
//!
//! 1. Each partition column becomes codes that stay the same for the whole run: dictionary keys are looked up once a
//!    dictionary, other values once each time they change.
//! 2. The codes of several columns are paired from left to right; the last pair's number is the partition.
//! 3. Rows are ordered by partition with a counting sort, and every other column is taken once in that order, however many
//!    partitions the batch has. A batch of one partition is not copied.
//!
//! Cost: for each partition its folder and some 100 bytes; for each batch one pass a partition column and one `take` a
//! data column.

use arrow_array::{Array, ArrayRef, UInt32Array};
use arrow_schema::ArrowError;
use hashbrown::HashMap;

use super::hive;
use super::scalar::{Scalar, Values};

/// Number of a partition, in order of appearance on this worker.
pub(super) type PartitionId = usize;

/// Rows of one partition within the columns of a [`Split`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Piece {
    pub(super) partition: PartitionId,
    pub(super) start: usize,
    pub(super) len: usize,
}

/// A batch in the order of its partitions.
#[derive(Debug)]
pub(super) struct Split {
    /// The data columns.
    pub(super) columns: Vec<ArrayRef>,
    /// Which rows are whose; together all of them.
    pub(super) pieces: Vec<Piece>,
}

/// Numbers partitions and splits batches.
#[derive(Debug)]
pub(super) struct Splitter {
    /// Outermost first; none where the sink has no partitions.
    levels: Vec<Level>,
    /// Scratch: place of each partition in the batch at hand.
    place_of: Vec<u32>,
}

const NO_PLACE: u32 = u32::MAX;

impl Splitter {
    /// A splitter by columns of these names.
    pub(super) fn new(names: Vec<String>) -> Self {
        Self {
            levels: names.into_iter().map(Level::new).collect(),
            place_of: Vec::new(),
        }
    }

    /// How many partitions there have been.
    pub(super) fn partitions(&self) -> usize {
        self.levels.last().map_or(1, |level| level.folders.len())
    }

    /// Folder of a partition, relative to the sink's: `zone=EU/date=2026-03-14`.
    pub(super) fn folder(&self, partition: PartitionId) -> &str {
        self.levels
            .last()
            .map_or("", |level| &level.folders[partition])
    }

    /// Splits `data` by `keys`, which have `rows` > 0 rows each.
    pub(super) fn split(
        &mut self,
        keys: &[ArrayRef],
        data: Vec<ArrayRef>,
        rows: usize,
    ) -> Result<Split, ArrowError> {
        let whole = |partition| Piece {
            partition,
            start: 0,
            len: rows,
        };
        let Some(partitions) = self.number(keys) else {
            return Ok(Split {
                columns: data,
                pieces: vec![whole(0)],
            });
        };
        self.place_of.resize(self.partitions(), NO_PLACE);

        // Counting sort: which partitions there are, how many rows each has, where each starts.
        let mut seen: Vec<u32> = Vec::new();
        let mut counts: Vec<usize> = Vec::new();
        for &partition in &partitions {
            let place = &mut self.place_of[index(partition)];
            if *place == NO_PLACE {
                *place = number(seen.len());
                seen.push(partition);
                counts.push(0);
            }
            counts[index(*place)] += 1;
        }
        if let [partition] = seen[..] {
            self.place_of[index(partition)] = NO_PLACE;
            return Ok(Split {
                columns: data,
                pieces: vec![whole(index(partition))],
            });
        }
        let mut pieces = Vec::with_capacity(seen.len());
        let mut start = 0;
        for (&partition, &len) in seen.iter().zip(&counts) {
            pieces.push(Piece {
                partition: index(partition),
                start,
                len,
            });
            start += len;
        }
        let mut next: Vec<usize> = pieces.iter().map(|piece| piece.start).collect();
        let mut order = vec![0_u32; rows];
        for (row, &partition) in (0_u32..).zip(&partitions) {
            let slot = &mut next[index(self.place_of[index(partition)])];
            order[*slot] = row;
            *slot += 1;
        }
        for partition in seen {
            self.place_of[index(partition)] = NO_PLACE;
        }
        let order = UInt32Array::from(order);
        let columns = data
            .iter()
            .map(|column| arrow_select::take::take(column, &order, None))
            .collect::<Result<Vec<_>, _>>()?;
        Ok(Split { columns, pieces })
    }

    /// The partition of each row; `None` where there are no partition columns.
    fn number(&mut self, keys: &[ArrayRef]) -> Option<Vec<u32>> {
        let mut keys = keys.iter();
        let (first, rest) = self.levels.split_first_mut()?;
        let mut numbers = first.codes(keys.next().expect("one array a partition column"));
        while first.folders.len() < first.texts.len() {
            let folder = first.folder("", number(first.folders.len()));
            first.folders.push(folder);
        }
        let mut outer = &*first;
        for (level, array) in rest.iter_mut().zip(keys) {
            level.pair(&mut numbers, array, &outer.folders);
            outer = level;
        }
        Some(numbers)
    }
}

/// One partition column.
#[derive(Debug)]
struct Level {
    name: String,
    /// Text of each code; `None` is null.
    texts: Vec<Option<String>>,
    code_of: HashMap<String, u32>,
    /// The same by value, so that whole numbers and dates need no text for each row.
    code_of_number: HashMap<i64, u32>,
    /// (number at the level outside, code) → number at this level; not used by the outermost, whose numbers are its codes.
    number_of: HashMap<(u32, u32), u32>,
    /// Folder of each number, from the sink's folder down to this level.
    folders: Vec<String>,
}

impl Level {
    fn new(name: String) -> Self {
        Self {
            name,
            texts: Vec::new(),
            code_of: HashMap::new(),
            code_of_number: HashMap::new(),
            number_of: HashMap::new(),
            folders: Vec::new(),
        }
    }

    fn folder(&self, outer: &str, code: u32) -> String {
        let mut folder = outer.to_owned();
        hive::push_folder(&mut folder, &self.name, self.texts[index(code)].as_deref());
        folder
    }

    /// Turns numbers of the level outside into numbers of this one.
    fn pair(&mut self, numbers: &mut [u32], array: &ArrayRef, outer: &[String]) {
        let codes = self.codes(array);
        let mut last = None;
        for (slot, code) in numbers.iter_mut().zip(codes) {
            let pair = (*slot, code);
            *slot = match last {
                Some((same, number)) if same == pair => number,
                _ => {
                    let known = self.number_of.get(&pair).copied();
                    let number = known.unwrap_or_else(|| {
                        let new = number(self.folders.len());
                        let folder = self.folder(&outer[index(pair.0)], code);
                        self.folders.push(folder);
                        self.number_of.insert(pair, new);
                        new
                    });
                    last = Some((pair, number));
                    number
                }
            };
        }
    }

    /// The code of each row's value. Null and the empty text are one partition, as their folder is.
    fn codes(&mut self, array: &ArrayRef) -> Vec<u32> {
        let values = Values::of(array);
        if let Values::Coded(keys, texts) = values {
            let mut code_of_key: Vec<Option<u32>> = vec![None; texts.len()];
            return (0..keys.len())
                .map(|row| {
                    if keys.is_null(row) {
                        return self.code(Scalar::Null);
                    }
                    let key =
                        usize::try_from(keys.value(row)).expect("dictionary keys are not negative");
                    *code_of_key[key].get_or_insert_with(|| self.code(values.get(row)))
                })
                .collect();
        }
        let mut last: Option<(Scalar<'_>, u32)> = None;
        (0..array.len())
            .map(|row| {
                let scalar = values.get(row);
                match last {
                    Some((same, code)) if same == scalar => code,
                    _ => {
                        let code = self.code(scalar);
                        last = Some((scalar, code));
                        code
                    }
                }
            })
            .collect()
    }

    fn code(&mut self, scalar: Scalar<'_>) -> u32 {
        let as_number = match scalar {
            Scalar::Integer(value) => Some(value),
            Scalar::Date(days) => Some(i64::from(days)),
            _ => None,
        };
        let known = match (as_number, scalar) {
            (Some(value), _) => self.code_of_number.get(&value),
            (None, Scalar::Text(text)) => self.code_of.get(text),
            _ => None,
        };
        if let Some(&code) = known {
            return code;
        }
        let text = scalar.folder().unwrap_or_default();
        let next = number(self.texts.len());
        let code = *self.code_of.entry_ref(text.as_str()).or_insert(next);
        if code == next {
            self.texts.push(Some(text).filter(|text| !text.is_empty()));
        }
        if let Some(value) = as_number {
            self.code_of_number.insert(value, code);
        }
        code
    }
}

fn number(count: usize) -> u32 {
    u32::try_from(count).expect("there are fewer than 2^32 partitions")
}

fn index(number: u32) -> usize {
    usize::try_from(number).expect("32 bits fit into usize")
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow_array::cast::AsArray;
    use arrow_array::types::{Int32Type, Int64Type};
    use arrow_array::{Date32Array, DictionaryArray, Int64Array, StringArray};

    use super::*;

    fn split(
        splitter: &mut Splitter,
        keys: &[ArrayRef],
        data: Vec<i64>,
    ) -> Vec<(String, Vec<i64>)> {
        let rows = data.len();
        let split = splitter
            .split(keys, vec![Arc::new(Int64Array::from(data))], rows)
            .unwrap();
        let column = split.columns[0].as_primitive::<Int64Type>();
        let mut rows: Vec<(String, Vec<i64>)> = split
            .pieces
            .iter()
            .map(|piece| {
                let rows = column.values()[piece.start..piece.start + piece.len].to_vec();
                (splitter.folder(piece.partition).to_owned(), rows)
            })
            .collect();
        rows.sort();
        rows
    }

    #[test]
    fn rows_go_to_the_folder_of_their_values_in_their_order() {
        let mut splitter = Splitter::new(vec!["zone".to_owned(), "day".to_owned()]);
        let zones: ArrayRef = Arc::new(StringArray::from(vec![
            Some("EU"),
            None,
            Some("EU"),
            Some(""),
            Some("A/B"),
        ]));
        let days: ArrayRef = Arc::new(Date32Array::from(vec![
            Some(0),
            Some(0),
            Some(1),
            Some(0),
            None,
        ]));
        assert_eq!(
            split(&mut splitter, &[zones, days], vec![1, 2, 3, 4, 5]),
            [
                (
                    "zone=A%2FB/day=__HIVE_DEFAULT_PARTITION__".to_owned(),
                    vec![5]
                ),
                ("zone=EU/day=1970-01-01".to_owned(), vec![1]),
                ("zone=EU/day=1970-01-02".to_owned(), vec![3]),
                (
                    "zone=__HIVE_DEFAULT_PARTITION__/day=1970-01-01".to_owned(),
                    vec![2, 4]
                ),
            ]
        );
    }

    #[test]
    fn plain_and_coded_text_meet_in_one_partition() {
        let mut splitter = Splitter::new(vec!["zone".to_owned()]);
        let plain: ArrayRef = Arc::new(StringArray::from(vec!["EU", "US"]));
        let coded: DictionaryArray<Int32Type> = vec![Some("US"), None, Some("EU"), Some("US")]
            .into_iter()
            .collect();
        let _ = split(&mut splitter, &[plain], vec![1, 2]);
        let rows = split(&mut splitter, &[Arc::new(coded)], vec![1, 2, 3, 4]);
        assert_eq!(splitter.partitions(), 3);
        assert_eq!(rows[0], ("zone=EU".to_owned(), vec![3]));
        assert_eq!(rows[1], ("zone=US".to_owned(), vec![1, 4]));
    }

    #[test]
    fn a_batch_of_one_partition_is_not_copied() {
        let mut splitter = Splitter::new(vec!["zone".to_owned()]);
        let keys: ArrayRef = Arc::new(StringArray::from(vec!["EU", "EU"]));
        let data: ArrayRef = Arc::new(Int64Array::from(vec![1, 2]));
        let split = splitter.split(&[keys], vec![Arc::clone(&data)], 2).unwrap();
        assert!(Arc::ptr_eq(&split.columns[0], &data));
        let split = Splitter::new(Vec::new())
            .split(&[], vec![Arc::clone(&data)], 2)
            .unwrap();
        assert_eq!(
            split.pieces,
            [Piece {
                partition: 0,
                start: 0,
                len: 2
            }]
        );
    }

    #[test]
    fn numbers_stay_the_same_over_many_partitions_and_batches() {
        let mut splitter = Splitter::new(vec!["store".to_owned(), "day".to_owned()]);
        for _ in 0..2 {
            let store: ArrayRef =
                Arc::new(Int64Array::from_iter_values((0..5000).map(|row| row % 50)));
            let day: ArrayRef =
                Arc::new(Date32Array::from_iter_values((0..5000).map(|row| row / 50)));
            let rows = split(&mut splitter, &[store, day], (0..5000).collect());
            assert_eq!(rows.len(), 5000);
        }
        assert_eq!(splitter.partitions(), 5000);
    }
}
