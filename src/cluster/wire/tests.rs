//! Batches of every type come back as they were, whatever they were cut from.

use arrow_array::{
    Date32Array, Decimal128Array, Float64Array, Int16Array, Int32Array, Int64Array,
    TimestampMicrosecondArray,
};
use timely::bytes::arc::BytesMut;

use super::*;

/// Through bytes and back, as timely does it.
fn sent(batch: &Batch) -> Batch {
    let mut bytes = Vec::new();
    batch.into_bytes(&mut bytes);
    assert_eq!(bytes.len(), batch.length_in_bytes());
    assert_eq!(bytes.len() % 8, 0);
    Batch::from_bytes(BytesMut::from(bytes).freeze())
}

/// Eleven rows of every type, with nulls.
fn everything() -> RecordBatch {
    let some = |row: i64| row % 3 != 1;
    let rows = 0..11_i64;
    let small = |row: i64| i16::try_from(row).unwrap();
    let texts: Vec<Option<String>> = rows
        .clone()
        .map(|row| some(row).then(|| "ñ".repeat(usize::try_from(row).unwrap())))
        .collect();
    let few: DictionaryArray<Int32Type> = rows
        .clone()
        .map(|row| some(row).then_some(if row % 2 == 0 { "even" } else { "odd" }))
        .collect();
    let columns: Vec<ArrayRef> = vec![
        Arc::new(BooleanArray::from_iter(
            rows.clone().map(|row| some(row).then_some(row % 2 == 0)),
        )),
        Arc::new(Int16Array::from_iter(
            rows.clone().map(|row| some(row).then(|| small(row))),
        )),
        Arc::new(Int32Array::from_iter_values(
            rows.clone().map(|row| i32::from(small(row)) << 20),
        )),
        Arc::new(Int64Array::from_iter(
            rows.clone().map(|row| some(row).then_some(row << 40)),
        )),
        Arc::new(Date32Array::from_iter(
            rows.clone()
                .map(|row| some(row).then(|| i32::from(small(row)))),
        )),
        Arc::new(
            TimestampMicrosecondArray::from_iter(
                rows.clone().map(|row| some(row).then_some(row - (1 << 50))),
            )
            .with_data_type(timestamp_type()),
        ),
        Arc::new(Float64Array::from_iter(
            rows.clone()
                .map(|row| some(row).then(|| f64::from(small(row)) / 7.0)),
        )),
        Arc::new(
            Decimal128Array::from_iter(rows.map(|row| some(row).then(|| i128::from(row) << 70)))
                .with_data_type(DataType::Decimal128(38, 9)),
        ),
        Arc::new(StringArray::from(texts)),
        Arc::new(few),
    ];
    let fields: Vec<Field> = columns
        .iter()
        .zip([4, 1, 0, 77, 5, 6, 7, 8, 9, 10])
        .map(|(column, number): (&ArrayRef, i32)| {
            Field::new(number.to_string(), column.data_type().clone(), true)
        })
        .collect();
    RecordBatch::try_new(Arc::new(Schema::new(fields)), columns).unwrap()
}

#[test]
fn a_batch_comes_back_as_it_was() {
    let rows = everything();
    for (from, length) in [(0, 11), (1, 10), (3, 5), (7, 1), (10, 0), (2, 9)] {
        let batch = Batch::new(rows.slice(from, length), 7);
        let back = sent(&batch);
        assert_eq!(back.epoch, 7);
        let (back, rows) = (back.rows.unwrap(), batch.rows.unwrap());
        // A dictionary of more values than rows comes as text.
        let plain = |rows: &RecordBatch| -> Vec<ArrayRef> {
            rows.columns().iter().map(text::to_plain).collect()
        };
        assert_eq!(plain(&back), plain(&rows), "{from}, {length}");
        if length > 1 {
            assert_eq!(back, rows, "{from}, {length}");
        }
    }
}

#[test]
fn a_batch_without_rows_or_columns_keeps_its_epoch_and_count() {
    let empty = Batch {
        rows: None,
        epoch: 3,
        lease: None,
    };
    let back = sent(&empty);
    assert_eq!((back.epoch, back.rows), (3, None));
    let options = RecordBatchOptions::new().with_row_count(Some(5));
    let counted =
        RecordBatch::try_new_with_options(Arc::new(Schema::empty()), vec![], &options).unwrap();
    assert_eq!(sent(&Batch::new(counted, 1)).len(), 5);
}

#[test]
fn columns_of_64_bits_share_the_received_bytes() {
    let column: ArrayRef = Arc::new(Int64Array::from_iter_values(0..1000));
    let rows = RecordBatch::try_from_iter([("0", column)]).unwrap();
    let mut bytes = Vec::new();
    Batch::new(rows, 1).into_bytes(&mut bytes);
    let bytes = BytesMut::from(bytes).freeze();
    let place = bytes.as_ptr_range();
    let back = Batch::from_bytes(bytes).rows.unwrap();
    let values = back.column(0).as_primitive::<Int64Type>().values().inner();
    assert!(place.contains(&values.as_ptr()));
}
