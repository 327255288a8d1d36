//! Data of one schema to Arrow columns.
//!
//! What is done with each place of the schema is decided once, as a tree of [`Step`]s. A datum is read into one cell for each column
//! first; only when all of it was right do the cells go to the columns.

use std::sync::Arc;

use arrow_array::builder::{
    BinaryBuilder, BooleanBuilder, Decimal128Builder, Decimal256Builder, Float32Builder,
    Float64Builder, Int32Builder, Int64Builder, StringBuilder,
};
use arrow_array::{
    Array, ArrayRef, BinaryArray, DictionaryArray, Int64Array, RecordBatch, RecordBatchOptions,
    StringArray, new_null_array,
};
use arrow_buffer::i256;
use arrow_schema::{DataType, Field, Schema, SchemaRef, TimeUnit};

use super::cursor::Cursor;
use super::schema::{AvroSchema, Node, NodeId};
use super::{AvroError, BadDatum};

/// Reads data of one schema, one after the other, into columns.
#[derive(Debug)]
pub struct AvroReader {
    schema: AvroSchema,
    root: Step,
    names: Vec<String>,
    columns: Vec<Column>,
    rows: usize,
}

/// What is done at one place of the schema.
#[derive(Debug)]
enum Step {
    /// Nobody wants it.
    Skip(NodeId),
    /// Something of its members is wanted.
    Record(Vec<Step>),
    /// It is one of these.
    Union(Vec<Step>),
    /// It is a value of a column.
    Take { column: usize, node: NodeId },
    /// It is a value of a column of several types, and comes as text.
    TakeText { column: usize, node: NodeId },
}

/// A value of a column.
#[derive(Debug, Clone)]
enum Cell<'a> {
    Null,
    Boolean(bool),
    Int(i32),
    Long(i64),
    Float(f32),
    Double(f64),
    Bytes(&'a [u8]),
    Owned(String),
    Decimal(i256),
}

/// A column that is being collected.
#[derive(Debug)]
enum Column {
    /// The schema has nothing for it.
    Absent,
    Boolean(BooleanBuilder),
    Int(Int32Builder),
    Date(Int32Builder),
    Long(Int64Builder),
    /// Longs that are of another type.
    LongAs(Int64Builder, DataType),
    Float(Float32Builder),
    Double(Float64Builder),
    /// Text, which may be none.
    Text(BinaryBuilder),
    Bytes(BinaryBuilder),
    /// Names by number.
    Symbols(Int32Builder, Arc<[String]>),
    Decimal(Decimal128Builder),
    WideDecimal(Decimal256Builder),
    /// Values of several types, as text.
    Mixed(StringBuilder),
}

impl AvroReader {
    /// The schema as Arrow has it: what can be asked for. Records are structs; arrays and maps are there to be refused with
    /// their names, and types that hold themselves end at the third time.
    pub fn arrow_schema(schema: &AvroSchema) -> Result<SchemaRef, AvroError> {
        let fields = schema.members()?.iter().map(|member| {
            Field::new(
                &member.name,
                data_type(schema, member.node, &mut vec![schema.root]),
                true,
            )
        });
        Ok(Arc::new(Schema::new(fields.collect::<Vec<_>>())))
    }

    /// A reader of the values that `headers` lead to.
    ///
    /// # Errors
    /// The schema is not that of a record; a header leads to something that is no single value.
    pub fn new(schema: &AvroSchema, headers: &[&str]) -> Result<Self, AvroError> {
        schema.members()?;
        let wanted: Vec<(usize, &str)> = headers.iter().copied().enumerate().collect();
        let mut columns: Vec<Column> = headers.iter().map(|_| Column::Absent).collect();
        let root = plan(schema, schema.root, &wanted, &mut columns)?;
        Ok(Self {
            schema: schema.clone(),
            root,
            names: headers.iter().map(|&header| header.to_owned()).collect(),
            columns,
            rows: 0,
        })
    }

    /// Rows since the last batch.
    pub fn rows(&self) -> usize {
        self.rows
    }

    /// Reads one datum, which is all of `bytes`.
    ///
    /// # Errors
    /// The bytes are no datum of the schema, and no row comes of them.
    pub fn read_one(&mut self, bytes: &[u8]) -> Result<(), BadDatum> {
        if self.read(bytes, true)? == bytes.len() {
            Ok(())
        } else {
            Err(BadDatum::Long)
        }
    }

    /// Reads the datum that `bytes` begin with; gives its length.
    ///
    /// # Errors
    /// As [`Self::read_one`].
    pub fn read_next(&mut self, bytes: &[u8]) -> Result<usize, BadDatum> {
        self.read(bytes, false)
    }

    fn read(&mut self, bytes: &[u8], whole: bool) -> Result<usize, BadDatum> {
        let mut cells = vec![Cell::Null; self.columns.len()];
        let mut cursor = Cursor { rest: bytes };
        walk(&self.schema, &self.root, &mut cursor, &mut cells)?;
        let length = bytes.len() - cursor.rest.len();
        if whole && length < bytes.len() {
            return Err(BadDatum::Long);
        }
        for (column, cell) in self.columns.iter_mut().zip(cells) {
            column.push(cell);
        }
        self.rows += 1;
        Ok(length)
    }

    /// The rows since the last batch, with a column for each header that the schema has.
    pub fn finish(&mut self) -> RecordBatch {
        let rows = std::mem::take(&mut self.rows);
        let mut fields = Vec::new();
        let mut arrays = Vec::new();
        for (name, column) in self.names.iter().zip(&mut self.columns) {
            if let Some(array) = column.finish() {
                fields.push(Field::new(name, array.data_type().clone(), true));
                arrays.push(array);
            }
        }
        let options = RecordBatchOptions::new().with_row_count(Some(rows));
        RecordBatch::try_new_with_options(Arc::new(Schema::new(fields)), arrays, &options)
            .expect("each column has a cell for each row")
    }
}

/// How many times a path may lead through one type that holds itself, such as a customer's parent.
const MOST_TIMES: usize = 3;

/// The Arrow type of a node; `above` are the records it stands in.
fn data_type(schema: &AvroSchema, id: NodeId, above: &mut Vec<NodeId>) -> DataType {
    let (id, _) = schema.present(id);
    let item = |data_type| Arc::new(Field::new("item", data_type, true));
    match schema.node(id) {
        Node::Record(members) => {
            if above.iter().filter(|open| **open == id).count() == MOST_TIMES {
                return DataType::Null;
            }
            above.push(id);
            let members = members.iter().map(|member| {
                Field::new(&member.name, data_type(schema, member.node, above), true)
            });
            let members: Vec<Field> = members.collect();
            above.pop();
            DataType::Struct(members.into())
        }
        Node::Array(_) => DataType::List(item(DataType::Null)),
        Node::Map(_) => DataType::Map(item(DataType::Null), false),
        Node::Union(branches) if !branches.iter().all(|branch| is_plain(schema, *branch)) => {
            DataType::Union(
                arrow_schema::UnionFields::empty(),
                arrow_schema::UnionMode::Dense,
            )
        }
        _ => Column::of(schema, id).data_type(),
    }
}

/// Whether a value, one of several types, has a text of its own: times and decimals have one only with their type.
fn is_plain(schema: &AvroSchema, id: NodeId) -> bool {
    matches!(
        schema.node(id),
        Node::Null
            | Node::Boolean
            | Node::Int
            | Node::Long
            | Node::Float
            | Node::Double
            | Node::Bytes
            | Node::Text
            | Node::Fixed(_)
            | Node::FixedUuid
            | Node::Enum(_)
    )
}

/// Decides what is done at a node for those `wanted`: columns, and what is left of their paths.
fn plan(
    schema: &AvroSchema,
    id: NodeId,
    wanted: &[(usize, &str)],
    columns: &mut [Column],
) -> Result<Step, AvroError> {
    if wanted.is_empty() {
        return Ok(Step::Skip(id));
    }
    match schema.node(id) {
        Node::Record(members) => {
            let has = |name: &str| members.iter().any(|member| member.name == name);
            let mut steps = Vec::with_capacity(members.len());
            for member in members.iter() {
                // A name that is a member's as a whole is no path.
                let own = wanted.iter().find(|(_, path)| *path == member.name);
                let below: Vec<(usize, &str)> = wanted
                    .iter()
                    .filter(|(_, path)| !has(path))
                    .filter_map(|(column, path)| {
                        let (name, rest) = path.split_once('.')?;
                        (name == member.name).then_some((*column, rest))
                    })
                    .collect();
                steps.push(match own {
                    Some((column, _)) => take(schema, member.node, *column, columns)?,
                    None => plan(schema, member.node, &below, columns)?,
                });
            }
            Ok(Step::Record(steps))
        }
        Node::Union(branches) if schema.present(id).1 => {
            let steps: Result<Vec<Step>, AvroError> = branches
                .iter()
                .map(|branch| plan(schema, *branch, wanted, columns))
                .collect();
            Ok(Step::Union(steps?))
        }
        // A path does not go on below a single value.
        _ => Ok(Step::Skip(id)),
    }
}

fn take(
    schema: &AvroSchema,
    id: NodeId,
    column: usize,
    columns: &mut [Column],
) -> Result<Step, AvroError> {
    let (present, optional) = schema.present(id);
    match schema.node(present) {
        Node::Record(_) | Node::Array(_) | Node::Map(_) => {
            return Err(AvroError::schema(
                "a column is a record, an array or a map".to_owned(),
            ));
        }
        Node::Union(branches) if !branches.iter().all(|branch| is_plain(schema, *branch)) => {
            return Err(AvroError::schema(
                "a column is a union of types that have no text".to_owned(),
            ));
        }
        _ => {}
    }
    columns[column] = Column::of(schema, present);
    let one = |&node: &NodeId| {
        if optional {
            Step::Take { column, node }
        } else {
            Step::TakeText { column, node }
        }
    };
    Ok(match schema.node(id) {
        Node::Union(branches) => Step::Union(branches.iter().map(one).collect()),
        _ => Step::Take { column, node: id },
    })
}

fn walk<'a>(
    schema: &AvroSchema,
    step: &Step,
    cursor: &mut Cursor<'a>,
    cells: &mut [Cell<'a>],
) -> Result<(), BadDatum> {
    match step {
        Step::Skip(node) => cursor.skip(schema, *node),
        Step::Record(steps) => steps
            .iter()
            .try_for_each(|step| walk(schema, step, cursor, cells)),
        Step::Union(steps) => {
            let branch = cursor.branch(steps.len())?;
            walk(schema, &steps[branch], cursor, cells)
        }
        Step::Take { column, node } => {
            cells[*column] = cell(schema.node(*node), cursor)?;
            Ok(())
        }
        Step::TakeText { column, node } => {
            let node = schema.node(*node);
            cells[*column] = text(node, cell(node, cursor)?);
            Ok(())
        }
    }
}

fn cell<'a>(node: &Node, cursor: &mut Cursor<'a>) -> Result<Cell<'a>, BadDatum> {
    Ok(match node {
        Node::Null => Cell::Null,
        Node::Boolean => Cell::Boolean(cursor.boolean()?),
        Node::Int | Node::Date | Node::TimeMillis => Cell::Int(cursor.int()?),
        Node::Long | Node::TimeMicros | Node::Timestamp { .. } => Cell::Long(cursor.long()?),
        Node::Float => Cell::Float(f32::from_le_bytes(cursor.array()?)),
        Node::Double => Cell::Double(f64::from_le_bytes(cursor.array()?)),
        Node::Bytes | Node::Text => Cell::Bytes(cursor.bytes()?),
        Node::Fixed(size) => Cell::Bytes(cursor.take(*size)?),
        Node::Enum(symbols) => {
            let symbol = cursor.int()?;
            let known = usize::try_from(symbol).is_ok_and(|symbol| symbol < symbols.len());
            if !known {
                return Err(BadDatum::Symbol);
            }
            Cell::Int(symbol)
        }
        Node::Decimal { fixed, .. } => {
            let bytes = match fixed {
                Some(size) => cursor.take(*size)?,
                None => cursor.bytes()?,
            };
            Cell::Decimal(units(bytes)?)
        }
        Node::FixedUuid => Cell::Owned(uuid(cursor.array()?)),
        Node::Record(_) | Node::Array(_) | Node::Map(_) | Node::Union(_) => {
            unreachable!("only single values are taken")
        }
    })
}

/// Two's complement, highest byte first, of any length.
fn units(bytes: &[u8]) -> Result<i256, BadDatum> {
    let negative = bytes.first().is_some_and(|first| first & 0x80 != 0);
    let fill = if negative { 0xFF } else { 0 };
    let mut wide = [fill; 32];
    let (more, kept) = bytes.split_at(bytes.len().saturating_sub(32));
    let kept_negative = kept.first().is_some_and(|first| first & 0x80 != 0);
    if more.iter().any(|byte| *byte != fill) || (kept.len() == 32 && kept_negative != negative) {
        return Err(BadDatum::Decimal);
    }
    wide[32 - kept.len()..].copy_from_slice(kept);
    Ok(i256::from_be_bytes(wide))
}

fn uuid(bytes: [u8; 16]) -> String {
    let mut text = String::with_capacity(36);
    for (at, byte) in bytes.into_iter().enumerate() {
        if matches!(at, 4 | 6 | 8 | 10) {
            text.push('-');
        }
        for digit in [byte >> 4, byte & 0xF] {
            text.push(char::from_digit(digit.into(), 16).expect("four bits are a digit"));
        }
    }
    text
}

impl Column {
    /// A column for the values of a node.
    fn of(schema: &AvroSchema, id: NodeId) -> Self {
        let long_as = |data_type| Self::LongAs(Int64Builder::new(), data_type);
        match schema.node(id) {
            Node::Boolean => Self::Boolean(BooleanBuilder::new()),
            Node::Int | Node::TimeMillis => Self::Int(Int32Builder::new()),
            Node::Date => Self::Date(Int32Builder::new()),
            Node::Long => Self::Long(Int64Builder::new()),
            Node::TimeMicros => long_as(DataType::Time64(TimeUnit::Microsecond)),
            Node::Timestamp { unit, utc } => {
                long_as(DataType::Timestamp(*unit, utc.then(|| "UTC".into())))
            }
            Node::Float => Self::Float(Float32Builder::new()),
            Node::Double => Self::Double(Float64Builder::new()),
            Node::Text | Node::FixedUuid => Self::Text(BinaryBuilder::new()),
            Node::Bytes | Node::Fixed(_) => Self::Bytes(BinaryBuilder::new()),
            Node::Enum(symbols) => Self::Symbols(Int32Builder::new(), Arc::clone(symbols)),
            Node::Decimal {
                precision, scale, ..
            } => {
                // Digits beyond the schema's are a matter of the value, not of the type.
                if *precision <= 38 {
                    let values = Decimal128Builder::new();
                    Self::Decimal(values.with_data_type(DataType::Decimal128(*precision, *scale)))
                } else {
                    let values = Decimal256Builder::new();
                    Self::WideDecimal(
                        values.with_data_type(DataType::Decimal256(*precision, *scale)),
                    )
                }
            }
            Node::Union(_) => Self::Mixed(StringBuilder::new()),
            Node::Null | Node::Record(_) | Node::Array(_) | Node::Map(_) => Self::Absent,
        }
    }

    fn data_type(&self) -> DataType {
        match self {
            Self::Absent => DataType::Null,
            Self::Boolean(_) => DataType::Boolean,
            Self::Int(_) => DataType::Int32,
            Self::Date(_) => DataType::Date32,
            Self::Long(_) => DataType::Int64,
            Self::LongAs(_, data_type) => data_type.clone(),
            Self::Float(_) => DataType::Float32,
            Self::Double(_) => DataType::Float64,
            Self::Text(_) | Self::Mixed(_) => DataType::Utf8,
            Self::Bytes(_) => DataType::Binary,
            Self::Symbols(..) => {
                DataType::Dictionary(DataType::Int32.into(), DataType::Utf8.into())
            }
            Self::Decimal(_) => DataType::Decimal128(38, 0),
            Self::WideDecimal(_) => DataType::Decimal256(76, 0),
        }
    }

    fn push(&mut self, cell: Cell<'_>) {
        match (self, cell) {
            (Self::Absent, _) => {}
            (Self::Boolean(to), Cell::Boolean(value)) => to.append_value(value),
            (Self::Boolean(to), _) => to.append_null(),
            (Self::Int(to) | Self::Date(to) | Self::Symbols(to, _), Cell::Int(value)) => {
                to.append_value(value);
            }
            (Self::Int(to) | Self::Date(to) | Self::Symbols(to, _), _) => to.append_null(),
            (Self::Long(to) | Self::LongAs(to, _), Cell::Long(value)) => to.append_value(value),
            (Self::Long(to) | Self::LongAs(to, _), _) => to.append_null(),
            (Self::Float(to), Cell::Float(value)) => to.append_value(value),
            (Self::Float(to), _) => to.append_null(),
            (Self::Double(to), Cell::Double(value)) => to.append_value(value),
            (Self::Double(to), _) => to.append_null(),
            (Self::Text(to) | Self::Bytes(to), Cell::Bytes(value)) => to.append_value(value),
            (Self::Text(to), Cell::Owned(value)) => to.append_value(value),
            (Self::Text(to) | Self::Bytes(to), _) => to.append_null(),
            (Self::Decimal(to), Cell::Decimal(units)) => {
                // 38 digits are fewer than 128 bits hold; what is beyond has too many in any case.
                to.append_value(units.to_i128().unwrap_or(i128::MAX));
            }
            (Self::Decimal(to), _) => to.append_null(),
            (Self::WideDecimal(to), Cell::Decimal(units)) => to.append_value(units),
            (Self::WideDecimal(to), _) => to.append_null(),
            (Self::Mixed(to), Cell::Owned(text)) => to.append_value(text),
            (Self::Mixed(to), _) => to.append_null(),
        }
    }

    fn finish(&mut self) -> Option<ArrayRef> {
        Some(match self {
            Self::Absent => return None,
            Self::Boolean(values) => Arc::new(values.finish()),
            Self::Int(values) => Arc::new(values.finish()),
            Self::Date(values) => Arc::new(
                values
                    .finish()
                    .reinterpret_cast::<arrow_array::types::Date32Type>(),
            ),
            Self::Long(values) => Arc::new(values.finish()),
            Self::LongAs(values, data_type) => retyped(&values.finish(), data_type),
            Self::Float(values) => Arc::new(values.finish()),
            Self::Double(values) => Arc::new(values.finish()),
            Self::Text(values) => text_or_bytes(values.finish()),
            Self::Bytes(values) => Arc::new(values.finish()),
            Self::Symbols(codes, symbols) => {
                let symbols = StringArray::from_iter_values(symbols.iter());
                let array = DictionaryArray::try_new(codes.finish(), Arc::new(symbols));
                Arc::new(array.expect("symbols are known before their numbers are kept"))
            }
            Self::Decimal(values) => Arc::new(values.finish()),
            Self::WideDecimal(values) => Arc::new(values.finish()),
            Self::Mixed(values) => Arc::new(values.finish()),
        })
    }
}

/// Text; bytes where one of them is none, so that its row alone is at fault.
fn text_or_bytes(values: BinaryArray) -> ArrayRef {
    match StringArray::try_from_binary(values.clone()) {
        Ok(texts) => Arc::new(texts),
        Err(_) => Arc::new(values),
    }
}

fn retyped(values: &Int64Array, data_type: &DataType) -> ArrayRef {
    let data = values.to_data().into_builder().data_type(data_type.clone());
    match data.build() {
        Ok(data) => arrow_array::make_array(data),
        Err(_) => new_null_array(data_type, values.len()),
    }
}

/// A value among others of other types, as the text that its own type would read.
fn text<'a>(node: &Node, cell: Cell<'a>) -> Cell<'a> {
    let text = match (node, cell) {
        (Node::Enum(symbols), Cell::Int(symbol)) => {
            let symbol = usize::try_from(symbol).ok();
            symbol.and_then(|symbol| symbols.get(symbol)).cloned()
        }
        (_, Cell::Boolean(value)) => Some(value.to_string()),
        (_, Cell::Int(value)) => Some(value.to_string()),
        (_, Cell::Long(value)) => Some(value.to_string()),
        (_, Cell::Float(value)) => Some(value.to_string()),
        (_, Cell::Double(value)) => Some(value.to_string()),
        (_, Cell::Bytes(value)) => Some(crate::decode::detail::lossless(value)),
        (_, Cell::Owned(value)) => Some(value),
        (_, Cell::Null | Cell::Decimal(_)) => None,
    };
    text.map_or(Cell::Null, Cell::Owned)
}
