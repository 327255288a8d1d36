//! Laws of columnar input.

use arrow_array::types::{Decimal128Type, Int32Type};
use arrow_array::{
    BinaryArray, BooleanArray, Date32Array, Decimal128Array, Float64Array, Int64Array, StringArray,
    StructArray, TimestampMillisecondArray, TimestampNanosecondArray,
};

use super::*;
use crate::job::plan::{EpochUnit, Format, Notation, Rounding};

fn column(id: usize, name: &str, column_type: ColumnType, not_null: bool) -> SourceColumn {
    SourceColumn {
        not_null,
        ..crate::decode::tests::column(id, name, column_type)
    }
}

#[test]
fn values_that_fit_are_cast_and_others_refuse_their_row() {
    let columns = [
        column(0, "quantity", ColumnType::Int, true),
        column(1, "price", ColumnType::Decimal(12, 2), false),
    ];
    let quantity: ArrayRef = Arc::new(Int64Array::from(vec![Some(3), Some(1 << 40), None]));
    let price: ArrayRef = Arc::new(Float64Array::from(vec![Some(0.1), Some(2.5), None]));
    let extra: ArrayRef = Arc::new(StringArray::from(vec!["a", "b", "c"]));
    let batch =
        RecordBatch::try_from_iter([("price", price), ("extra", extra), ("quantity", quantity)])
            .unwrap();
    bind_schema(&columns, &batch.schema()).unwrap();
    let mut decoder = Decoder::new(&columns, &Format::Parquet, 2);
    let draft = decoder.decode_table(batch, Arc::new(PathBuf::from("x.parquet")), 10, 0, 1);
    assert_eq!(
        draft.columns[0]
            .as_ref()
            .unwrap()
            .as_primitive::<Int32Type>()
            .value(0),
        3
    );
    assert_eq!(
        draft.columns[1]
            .as_ref()
            .unwrap()
            .as_primitive::<Decimal128Type>()
            .value(0),
        10
    );
    let faults: Vec<(usize, &str)> = draft
        .faults
        .iter()
        .map(|fault| (fault.row, &*fault.reason))
        .collect();
    assert_eq!(faults, [(1, "overflow"), (2, "missing_value")]);
}

fn shared(values: impl Array + 'static) -> ArrayRef {
    Arc::new(values)
}

#[test]
fn a_missing_column_refuses_the_file_unless_it_is_optional() {
    let schema = arrow_schema::Schema::new(vec![
        arrow_schema::Field::new("prise", DataType::Int64, true),
        arrow_schema::Field::new("id", DataType::Int64, true),
    ]);
    let price = |optional| {
        [SourceColumn {
            optional,
            ..column(0, "price", ColumnType::BigInt, false)
        }]
    };
    let error = bind_schema(&price(false), &schema).unwrap_err();
    assert!(error.to_string().contains("\"prise\""), "{error}");
    assert_eq!(error.code(), "missing_columns");
    let bound = bind_schema(&price(true), &schema).unwrap();
    assert_eq!(
        bound.missing,
        [("price".to_owned(), Some("prise".to_owned()))]
    );
    assert_eq!(bound.extra, ["prise", "id"]);
}

#[test]
fn a_column_twice_and_a_list_are_faults_of_the_file_and_a_path_leads_into_structs() {
    let field = |name: &str, data_type| arrow_schema::Field::new(name, data_type, true);
    let twice = arrow_schema::Schema::new(vec![
        field("a", DataType::Int64),
        field("a", DataType::Int32),
    ]);
    let bind = |header: &str, schema: &arrow_schema::Schema| {
        bind_schema(&[column(0, header, ColumnType::BigInt, true)], schema)
    };
    assert_eq!(bind("a", &twice).unwrap_err().code(), "duplicate_header");
    let list = DataType::List(Arc::new(field("item", DataType::Int64)));
    let lists = arrow_schema::Schema::new(vec![field("a", list)]);
    assert_eq!(bind("a", &lists).unwrap_err().code(), "nested_column");

    let inner: ArrayRef = Arc::new(Int64Array::from(vec![Some(1), None, Some(3), Some(4)]));
    let deep = StructArray::try_new(
        vec![field("id", DataType::Int64)].into(),
        vec![inner],
        Some(vec![true, true, false, true].into()),
    )
    .unwrap();
    let outer = StructArray::try_new(
        vec![field("deep", deep.data_type().clone())].into(),
        vec![Arc::new(deep)],
        Some(vec![true, true, true, false].into()),
    )
    .unwrap();
    let batch = RecordBatch::try_from_iter([("of", shared(outer))]).unwrap();
    let wanted = [column(0, "of.deep.id", ColumnType::Int, true)];
    assert_eq!(
        bind_schema(&wanted, &batch.schema()).unwrap(),
        Bound::default()
    );
    assert_eq!(json(&batch, 0), r#"{"of":{"deep":{"id":1}}}"#);
    assert_eq!(json(&batch, 3), r#"{"of":null}"#);
    let mut decoder = Decoder::new(&wanted, &Format::Parquet, 1);
    let draft = decoder.decode_table(batch, Arc::new(PathBuf::from("x.parquet")), 0, 0, 1);
    let values = draft.columns[0].as_ref().unwrap();
    let values: Vec<_> = values.as_primitive::<Int32Type>().iter().collect();
    assert_eq!(values, [Some(1), None, None, None]);
    let rows: Vec<usize> = draft.faults.iter().map(|fault| fault.row).collect();
    assert_eq!(rows, [1, 2, 3]);
}

#[test]
fn the_raw_row_is_json_without_loss() {
    let price = Decimal128Array::from(vec![10_i128.pow(37) + 1]);
    let price = price.with_precision_and_scale(38, 2).unwrap();
    let batch = RecordBatch::try_from_iter([
        ("price", shared(price)),
        ("big", Arc::new(Int64Array::from(vec![i64::MAX]))),
        ("real", Arc::new(Float64Array::from(vec![f64::NAN]))),
        ("name", Arc::new(StringArray::from(vec!["a\"\nn"]))),
        ("bytes", Arc::new(BinaryArray::from_vec(vec![b"\xFF"]))),
        ("day", Arc::new(Date32Array::from(vec![0]))),
        ("yes", Arc::new(BooleanArray::from(vec![true]))),
    ])
    .unwrap();
    let units = "100000000000000000000000000000000000.01";
    assert_eq!(
        json(&batch, 0),
        format!(
            r#"{{"price":{units},"big":9223372036854775807,"real":"NaN","name":"a\"\nn","bytes":"\\xFF","day":"1970-01-01","yes":true}}"#
        )
    );
}

/// What the values of one column become: each its text, `null`, or `reason detail`.
fn become_of(column: SourceColumn, values: impl Array + 'static) -> Vec<String> {
    let values: ArrayRef = Arc::new(values);
    let batch = RecordBatch::try_from_iter([(column.header.clone(), values)]).unwrap();
    let mut decoder = Decoder::new(&[column], &Format::Parquet, 1);
    let draft = decoder.decode_table(batch, Arc::new(PathBuf::from("x.parquet")), 0, 0, 1);
    let array = draft.columns[0].as_ref().unwrap();
    let text = arrow_cast::cast(array, &DataType::Utf8).unwrap();
    let text = text.as_string::<i32>();
    let show = |row: usize| {
        let fault = draft.faults.iter().find(|fault| fault.row == row);
        match fault {
            Some(fault) => format!("{} {}", fault.reason, fault.detail),
            None if text.is_null(row) => String::from("null"),
            None => text.value(row).to_owned(),
        }
    };
    (0..draft.rows).map(show).collect()
}

#[test]
fn no_fraction_and_no_digit_is_lost() {
    let int = || column(0, "n", ColumnType::Int, false);
    assert_eq!(
        become_of(
            int(),
            Float64Array::from(vec![Some(3.0), Some(1.5), None, Some(1e12)])
        ),
        ["3", "bad_integer 1.5", "null", "overflow 1000000000000"]
    );
    let decimal = || column(0, "d", ColumnType::Decimal(6, 2), false);
    let wide = Decimal128Array::from(vec![123_400, 123_450, 123_456_780_000]);
    let wide = wide.with_precision_and_scale(20, 4).unwrap();
    assert_eq!(
        become_of(decimal(), wide),
        ["12.34", "scale_loss 12.3450", "overflow 12345678.0000"]
    );
    assert_eq!(
        become_of(decimal(), BooleanArray::from(vec![true])),
        ["wrong_type true"]
    );
    let time = || column(0, "t", ColumnType::Timestamp, false);
    assert_eq!(
        become_of(time(), TimestampNanosecondArray::from(vec![1_000, 1_001])),
        [
            "1970-01-01T00:00:00.000001Z",
            "scale_loss 1970-01-01T00:00:00.000001001"
        ]
    );
}

#[test]
fn doubles_are_rounded_to_the_scale_where_the_column_says_how() {
    let strict = column(0, "d", ColumnType::Decimal(6, 2), false);
    assert_eq!(
        become_of(
            strict.clone(),
            Float64Array::from(vec![0.1, 2.5, 0.1 + 0.2, 7e-7])
        ),
        [
            "0.10",
            "2.50",
            "scale_loss 0.30000000000000004",
            "scale_loss 0.0000007"
        ]
    );
    let rounded = |round| SourceColumn {
        notation: Notation {
            round: Some(round),
            ..Notation::default()
        },
        ..strict.clone()
    };
    assert_eq!(
        become_of(
            rounded(Rounding::HalfUp),
            Float64Array::from(vec![0.125, -0.125, 2.675, 0.124])
        ),
        ["0.13", "-0.13", "2.68", "0.12"]
    );
    let wide = Decimal128Array::from(vec![1_250, 1_251, -1_250, 99_999_950]);
    let wide = wide.with_precision_and_scale(20, 4).unwrap();
    assert_eq!(
        become_of(rounded(Rounding::HalfEven), wide),
        ["0.12", "0.13", "-0.12", "overflow 9999.9950"]
    );
    let decimal = rounded(Rounding::HalfEven);
    let values = vec![
        0.125, 0.135, 2.675, -0.125, 9.999, -9.995, 0.1, 7.0, 1e-7, 9999.999,
    ];
    assert_eq!(
        become_of(decimal.clone(), Float64Array::from(values)),
        [
            "0.12",
            "0.14",
            "2.68",
            "-0.12",
            "10.00",
            "-10.00",
            "0.10",
            "7.00",
            "0.00",
            "overflow 9999.999"
        ]
    );
    assert_eq!(
        become_of(decimal, Float64Array::from(vec![f64::NAN, f64::INFINITY])),
        ["bad_decimal NaN", "bad_decimal inf"]
    );
}

#[test]
fn texts_are_read_as_in_a_text_file() {
    let mut day = column(0, "d", ColumnType::Date, true);
    day.formats = vec![String::from("%d/%m/%Y")];
    assert_eq!(
        become_of(
            day.clone(),
            StringArray::from(vec![Some("02/01/2026"), Some("x"), None])
        ),
        ["2026-01-02", "bad_date x", "missing_value "]
    );
    assert_eq!(
        become_of(day, Date32Array::from(vec![Some(0), None])),
        ["1970-01-01", "missing_value "]
    );
    let text = column(0, "v", ColumnType::Varchar, false);
    let bytes = BinaryArray::from_opt_vec(vec![Some(b"a\xC3\xB1"), Some(b"a\xFFb"), None]);
    assert_eq!(
        become_of(text.clone(), bytes),
        ["a\u{f1}", "invalid_utf8 a\\xFFb", "null"]
    );
    assert_eq!(become_of(text, Int64Array::from(vec![7])), ["7"]);
}

#[test]
fn times_keep_their_zone_and_numbers_their_unit() {
    let mut time = column(0, "t", ColumnType::Timestamp, false);
    time.time_zone = Some(chrono_tz::Europe::Madrid);
    let local = TimestampMillisecondArray::from(vec![1_773_446_400_000]);
    assert_eq!(
        become_of(time.clone(), local.clone()),
        ["2026-03-13T23:00:00Z"]
    );
    assert_eq!(
        become_of(time.clone(), local.with_timezone("UTC")),
        ["2026-03-14T00:00:00Z"]
    );
    assert_eq!(
        become_of(time.clone(), Date32Array::from(vec![20_526])),
        ["2026-03-13T23:00:00Z"]
    );
    time.unit = Some(EpochUnit::Seconds);
    assert_eq!(
        become_of(time, Int64Array::from(vec![1_773_446_400])),
        ["2026-03-14T00:00:00Z"]
    );
}
