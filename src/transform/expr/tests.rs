//! Laws of expressions, over one set of columns.

mod aggregates;
mod arithmetic;
mod names;
mod rows;
mod values;

use std::sync::Arc;

use arrow_array::cast::AsArray;
use arrow_array::types::{
    Date32Type, Decimal128Type, Int32Type, Int64Type, TimestampMicrosecondType,
};
use arrow_array::{
    Array, ArrayRef, Decimal128Array, DictionaryArray, Int32Array, StringArray,
    TimestampMicrosecondArray,
};
use arrow_cast::cast;
use arrow_schema::DataType;
use chrono_tz::Tz;
use proptest::prelude::*;

use super::{Compiler, DistinctCache, Evaluated, Expression, ExpressionError, Inner};
use crate::job::plan::{AggregateFunction, Column, timestamp_type};

fn column(relations: &[&str], name: &str, data_type: DataType, nullable: bool) -> Column {
    Column {
        relations: relations.iter().map(ToString::to_string).collect(),
        name: name.to_owned(),
        data_type,
        nullable,
    }
}

const QUANTITY: usize = 0;
const PRICE: usize = 1;
const SALES_REGION: usize = 2;
const REGION: usize = 3;
const TS: usize = 4;
const ORDER_ID: usize = 5;
const UNIT_PRICE_ACCENTS: usize = 6;
const AMOUNT: usize = 7;
const CUSTOMER: usize = 8;
const UPPER_QUANTITY: usize = 9;

fn columns() -> Vec<Column> {
    vec![
        column(&["sales", "returns"], "quantity", DataType::Int32, false),
        column(&["sales"], "unit_price", DataType::Decimal128(12, 2), false),
        column(&["sales"], "region_code", DataType::Utf8, true),
        column(&["regions"], "region_code", DataType::Utf8, true),
        column(&["sales"], "ts", timestamp_type(), false),
        column(&["sales"], "Order ID", DataType::Int64, true),
        column(&["sales"], "Preço Unitário", DataType::Float64, true),
        column(&[], "amount", DataType::Decimal128(18, 2), true),
        column(&["sales"], "customer_id", DataType::Int64, true),
        column(&["sales"], "Quantity", DataType::Int32, true),
    ]
}

fn compiler() -> Compiler {
    Compiler::new(&columns(), Tz::Europe__Madrid)
}

fn compile(text: &str) -> Expression {
    compiler().compile(text).unwrap()
}

fn fault(text: &str) -> ExpressionError {
    compiler().compile(text).unwrap_err()
}

fn with(given: Vec<(usize, ArrayRef)>) -> Vec<Option<ArrayRef>> {
    let mut columns: Vec<Option<ArrayRef>> = vec![None; 10];
    for (id, array) in given {
        columns[id] = Some(array);
    }
    columns
}

fn texts(values: &[Option<&str>]) -> ArrayRef {
    Arc::new(StringArray::from(values.to_vec()))
}

fn money(values: &[Option<i128>]) -> ArrayRef {
    Arc::new(
        Decimal128Array::from(values.to_vec())
            .with_precision_and_scale(12, 2)
            .unwrap(),
    )
}

fn whole(values: &[Option<i32>]) -> ArrayRef {
    Arc::new(Int32Array::from(values.to_vec()))
}

fn at(texts: &[&str]) -> ArrayRef {
    cast(&StringArray::from(texts.to_vec()), &timestamp_type()).unwrap()
}

fn words(evaluated: &Evaluated) -> Vec<Option<String>> {
    let plain = cast(&evaluated.array, &DataType::Utf8).unwrap();
    plain
        .as_string::<i32>()
        .iter()
        .map(|value| value.map(ToOwned::to_owned))
        .collect()
}
