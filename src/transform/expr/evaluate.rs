//! Evaluation of an expression over a batch.
//!
//! - A column is handed on as it is.
//! - Where the one input is a dictionary, the expression is worked out over its distinct values and null, and the rows
//!   gather the results by their keys; the results are kept for the next batches that share the dictionary.
//! - Where a batch errs, it is halved until the rows that err stand alone: they become null and are listed. With f of n
//!   rows failing that costs at most 2 f (1 + log n) evaluations of ever smaller pieces.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use arrow_array::cast::AsArray;
use arrow_array::types::{Decimal128Type, Int32Type};
use arrow_array::{
    Array, ArrayRef, DictionaryArray, Int32Array, RecordBatch, RecordBatchOptions,
    TimestampMicrosecondArray, new_null_array,
};
use arrow_cast::cast;
use arrow_schema::DataType;
use arrow_select::concat::concat;
use arrow_select::take::take;
use datafusion_common::DataFusionError;

use super::{Evaluated, Inner, words};
use crate::transform::money::MOST_DIGITS;

/// Dictionaries whose results an expression keeps: a few workers, each with the dictionaries of a source or two.
const KEPT: usize = 8;

/// A dictionary with more values than this many times the rows is evaluated by row: most of its values would be worked
/// out for nothing.
const VALUES_PER_ROW: usize = 2;

/// Results over the distinct values of dictionaries that were met last. Holds up to [`KEPT`] of both.
#[derive(Debug, Default)]
pub(super) struct DistinctCache(Mutex<Vec<Arc<Distinct>>>);

/// An expression over a dictionary's values and, last, null.
#[derive(Debug)]
struct Distinct {
    values: ArrayRef,
    results: Evaluated,
}

impl DistinctCache {
    fn get(&self, values: &ArrayRef) -> Option<Arc<Distinct>> {
        let kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        kept.iter()
            .find(|distinct| same(&distinct.values, values))
            .map(Arc::clone)
    }

    fn put(&self, distinct: Arc<Distinct>) {
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if kept.len() == KEPT {
            kept.remove(0);
        }
        kept.push(distinct);
    }
}

fn same(a: &ArrayRef, b: &ArrayRef) -> bool {
    std::ptr::addr_eq(Arc::as_ptr(a), Arc::as_ptr(b))
}

/// Evaluates over `rows` rows; an input that is not there counts as null.
pub(super) fn evaluate(
    inner: &Inner,
    columns: &[Option<ArrayRef>],
    rows: usize,
    now: i64,
) -> Evaluated {
    let column = |id: usize| columns.get(id).and_then(Option::as_ref);
    if let Some(id) = inner.column {
        let array = column(id).map_or_else(|| new_null_array(&inner.data_type, rows), Arc::clone);
        return Evaluated {
            array,
            failed: Vec::new(),
        };
    }
    if let [id] = inner.inputs.as_slice()
        && let Some(dictionary) = column(*id).and_then(dictionary)
        && let Some(distinct) = distinct(inner, dictionary, rows, now)
    {
        return gather(&distinct.results, dictionary, &inner.data_type);
    }
    if inner.inputs.is_empty() {
        return repeat(&over(inner, Vec::new(), 1, now), rows);
    }
    let inputs = inner.inputs.iter().zip(inner.schema.fields());
    let inputs = inputs.map(|(id, field)| {
        column(*id).map_or_else(
            || new_null_array(field.data_type(), rows),
            |array| plain(array, field.data_type()),
        )
    });
    over(inner, inputs.collect(), rows, now)
}

fn dictionary(array: &ArrayRef) -> Option<&DictionaryArray<Int32Type>> {
    array.as_any().downcast_ref()
}

/// The array in the type that the expression was planned for.
fn plain(array: &ArrayRef, data_type: &DataType) -> ArrayRef {
    if array.data_type() == data_type {
        return Arc::clone(array);
    }
    cast(array, data_type)
        .expect("an array of a column's type or a dictionary of it can be cast to it")
}

fn distinct(
    inner: &Inner,
    dictionary: &DictionaryArray<Int32Type>,
    rows: usize,
    now: i64,
) -> Option<Arc<Distinct>> {
    let values = dictionary.values();
    if !inner.uses_now
        && let Some(known) = inner.distinct.get(values)
    {
        return Some(known);
    }
    if values.len() > rows.saturating_mul(VALUES_PER_ROW) {
        return None;
    }
    let field = inner.schema.field(0).data_type();
    let null = new_null_array(field, 1);
    let with_null = concat(&[plain(values, field).as_ref(), null.as_ref()])
        .expect("both are of the planned type");
    let count = with_null.len();
    let results = over(inner, vec![with_null], count, now);
    let found = Arc::new(Distinct {
        values: Arc::clone(values),
        results,
    });
    if !inner.uses_now {
        inner.distinct.put(Arc::clone(&found));
    }
    Some(found)
}

/// Gives each row the result of its value.
fn gather(
    results: &Evaluated,
    dictionary: &DictionaryArray<Int32Type>,
    data_type: &DataType,
) -> Evaluated {
    let keys = dictionary.keys();
    let values = dictionary.values().len();
    let of_null =
        i32::try_from(values).expect("a dictionary with 32-bit keys has fewer than 2^31 values");
    let null_stays_null = results.array.is_null(values);
    let keys = if null_stays_null {
        keys.clone()
    } else {
        keys.iter()
            .map(|key| Some(key.unwrap_or(of_null)))
            .collect()
    };
    let array = if data_type == &DataType::Utf8 {
        let values_null = results.array.null_count() - usize::from(null_stays_null);
        let keys = if values_null == 0 {
            keys
        } else {
            without_null_values(&keys, &results.array)
        };
        let values = if null_stays_null {
            results.array.slice(0, values)
        } else {
            Arc::clone(&results.array)
        };
        Arc::new(DictionaryArray::new(keys, values))
    } else {
        take(&results.array, &keys, None).expect("keys lie within the dictionary")
    };
    let mut failed = Vec::new();
    if !results.failed.is_empty() {
        let reasons: HashMap<usize, &String> = results
            .failed
            .iter()
            .map(|(value, reason)| (*value, reason))
            .collect();
        for (row, key) in dictionary.keys().iter().enumerate() {
            let value = key.map_or(values, |key| {
                usize::try_from(key).expect("keys of valid rows are not negative")
            });
            if let Some(reason) = reasons.get(&value) {
                failed.push((row, (*reason).clone()));
            }
        }
    }
    Evaluated { array, failed }
}

/// Keys that are null where their value is, so that whoever asks a row for null need not look at the values.
fn without_null_values(keys: &Int32Array, values: &ArrayRef) -> Int32Array {
    keys.iter()
        .map(|key| {
            key.filter(|key| usize::try_from(*key).is_ok_and(|value| values.is_valid(value)))
        })
        .collect()
}

/// The one result of an expression without inputs, for every row.
fn repeat(one: &Evaluated, rows: usize) -> Evaluated {
    let keys = Int32Array::from(vec![0; rows]);
    let array = take(&one.array, &keys, None).expect("there is one value");
    let failed = one
        .failed
        .first()
        .map(|(_, reason)| (0..rows).map(|row| (row, reason.clone())).collect());
    Evaluated {
        array,
        failed: failed.unwrap_or_default(),
    }
}

/// Evaluates over arrays of the planned types.
fn over(inner: &Inner, mut inputs: Vec<ArrayRef>, rows: usize, now: i64) -> Evaluated {
    if let Some(product) = &inner.product {
        let [left, right] = product.factors;
        let (array, failed) = product.evaluate(&inputs[left], &inputs[right]);
        let reason = || {
            format!(
                "{}: the product does not fit {}",
                words::OVERFLOW,
                words::type_name(&inner.data_type)
            )
        };
        return Evaluated {
            array,
            failed: failed.into_iter().map(|row| (row, reason())).collect(),
        };
    }
    if inner.uses_now {
        inputs.push(Arc::new(
            TimestampMicrosecondArray::from_value(now, rows).with_timezone("UTC"),
        ));
    }
    let options = RecordBatchOptions::new().with_row_count(Some(rows));
    let batch = RecordBatch::try_new_with_options(Arc::clone(&inner.schema), inputs, &options)
        .expect("inputs are of the planned types and of one length");
    let mut pieces = Vec::new();
    let mut failed = Vec::new();
    judge(inner, &batch, 0, &mut pieces, &mut failed);
    let array = match pieces.as_slice() {
        [whole] => Arc::clone(whole),
        pieces => concat(&pieces.iter().map(AsRef::as_ref).collect::<Vec<_>>())
            .expect("all pieces are of one type"),
    };
    Evaluated { array, failed }
}

/// Evaluates a piece of a batch that starts at row `first`, halving it where it errs.
fn judge(
    inner: &Inner,
    batch: &RecordBatch,
    first: usize,
    pieces: &mut Vec<ArrayRef>,
    failed: &mut Vec<(usize, String)>,
) {
    let rows = batch.num_rows();
    match run(inner, batch) {
        Ok(array) => pieces.push(array),
        Err(error) if rows <= 1 => {
            pieces.push(new_null_array(&inner.data_type, rows));
            failed.extend((0..rows).map(|row| (first + row, words::failure(&error))));
        }
        Err(_) => {
            let half = rows / 2;
            judge(inner, &batch.slice(0, half), first, pieces, failed);
            judge(
                inner,
                &batch.slice(half, rows - half),
                first + half,
                pieces,
                failed,
            );
        }
    }
}

fn run(inner: &Inner, batch: &RecordBatch) -> Result<ArrayRef, DataFusionError> {
    let array = inner
        .physical
        .evaluate(batch)?
        .into_array(batch.num_rows())?;
    let array = if array.data_type() == &inner.data_type {
        array
    } else {
        cast(&array, &inner.data_type)?
    };
    if let DataType::Decimal128(MOST_DIGITS, _) = inner.data_type {
        // Kernels check i128 only, which holds some numbers of 39 digits.
        array
            .as_primitive::<Decimal128Type>()
            .validate_decimal_precision(MOST_DIGITS)?;
    }
    Ok(array)
}
