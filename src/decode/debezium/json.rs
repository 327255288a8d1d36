//! Envelopes in JSON, with or without Kafka Connect's schema around them.

use std::borrow::Cow;

use chrono::{DateTime, NaiveDate, TimeDelta};

use super::members::{Value, object};
use super::order::file_number;
use super::{Change, Effect, Nothing, Order, effect};
use crate::job::plan::{ColumnType, SourceColumn};

/// Members of an envelope, and of what stands around it and in it.
const ENVELOPE: [&str; 10] = [
    "schema",
    "payload",
    "before",
    "after",
    "op",
    "source",
    "ts_ms",
    "status",
    "ddl",
    "tableChanges",
];
const SOURCE: [&str; 6] = ["lsn", "file", "pos", "row", "scn", "ts_ms"];
const SCHEMA: [&str; 4] = ["fields", "field", "name", "parameters"];

/// Reads envelopes of one table.
#[derive(Debug)]
pub(in crate::decode) struct Envelopes {
    envelope: Vec<SourceColumn>,
    source: Vec<SourceColumn>,
    schema: Vec<SourceColumn>,
    scale: Vec<SourceColumn>,
    /// The schema before, as text, and what it says of each column: envelopes of one table have one for a long time.
    seen: (Vec<u8>, Vec<Kind>),
}

/// An envelope, read.
#[derive(Debug, PartialEq, Eq)]
pub(in crate::decode) enum Envelope<'a> {
    /// A change, and the values of its row in the order of the columns.
    Change(Change, Vec<Option<Value<'a>>>),
    /// Nothing that concerns rows.
    Nothing(Nothing),
}

/// How Kafka Connect's schema says that a column is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    AsIs,
    /// Days since 1970.
    Days,
    /// Units since 1970, so many in a second.
    Time(i64),
    /// Two's complement in base64, with a scale.
    Decimal(usize),
}

impl Envelopes {
    pub(in crate::decode) fn new() -> Self {
        Self {
            envelope: named(&ENVELOPE),
            source: named(&SOURCE),
            schema: named(&SCHEMA),
            scale: named(&["scale"]),
            seen: (Vec::new(), Vec::new()),
        }
    }

    /// Reads one message.
    ///
    /// # Errors
    /// It is no JSON, or no envelope; with words for people.
    pub(in crate::decode) fn read<'a>(
        &mut self,
        line: &'a [u8],
        columns: &[SourceColumn],
    ) -> Result<Envelope<'a>, &'static str> {
        const NO_JSON: &str = "it is no JSON object";
        if line.trim_ascii() == b"null" {
            return Ok(Envelope::Nothing(Nothing::Tombstone));
        }
        let mut members = object(line, &self.envelope).ok_or(NO_JSON)?;
        let mut kinds = vec![Kind::AsIs; columns.len()];
        if members[4].is_none()
            && let Some(payload) = members[1].take()
        {
            let schema = members[0].take();
            members = match payload {
                Value::Null => return Ok(Envelope::Nothing(Nothing::Tombstone)),
                Value::Nested(payload) => object(payload, &self.envelope).ok_or(NO_JSON)?,
                _ => return Err("its payload is no JSON object"),
            };
            if let Some(Value::Nested(schema)) = schema {
                kinds = self.kinds(schema, columns);
            }
        }
        let [_, _, before, after, op, source, ts_ms, status, ddl, changes] =
            <[Option<Value<'a>>; 10]>::try_from(members).map_err(|_| NO_JSON)?;
        let op = match op {
            Some(Value::Text(op)) => op,
            Some(_) => return Err("its op is no text"),
            None if status.is_some() => return Ok(Envelope::Nothing(Nothing::Transaction)),
            None if ddl.is_some() || changes.is_some() => {
                return Ok(Envelope::Nothing(Nothing::Schema));
            }
            None if ts_ms.is_some() && before.is_none() && after.is_none() => {
                return Ok(Envelope::Nothing(Nothing::Heartbeat));
            }
            None => return Err("it has no op"),
        };
        let effect = match effect(&op) {
            Some(Ok(effect)) => effect,
            Some(Err(nothing)) => return Ok(Envelope::Nothing(nothing)),
            None => return Err("its op is none of c, r, u, d, t, m"),
        };
        let order = self.order(source.as_ref());
        let row = match effect {
            Effect::Upsert => after,
            Effect::Delete => before,
            Effect::Truncate => {
                return Ok(Envelope::Change(
                    Change { effect, order },
                    vec![None; columns.len()],
                ));
            }
        };
        let row = match row {
            Some(Value::Nested(row)) => object(row, columns).ok_or("its row is no JSON object")?,
            _ if effect == Effect::Delete => {
                return Err("a deletion has no row in before: the key is not known");
            }
            _ => return Err("an insert, update or snapshot has no row in after"),
        };
        let values = row.into_iter().zip(kinds).zip(columns);
        let values =
            values.map(|((value, kind), column)| value.map(|value| meant(value, kind, column)));
        Ok(Envelope::Change(Change { effect, order }, values.collect()))
    }

    fn order(&self, source: Option<&Value<'_>>) -> Order {
        let Some(Value::Nested(source)) = source else {
            return Order::default();
        };
        let Some(members) = object(source, &self.source) else {
            return Order::default();
        };
        let text = |at: usize| members[at].as_ref().map(Value::text);
        let whole = |at: usize| std::str::from_utf8(text(at)?).ok()?.parse::<i64>().ok();
        let binlog = text(1).and_then(file_number).zip(whole(2));
        Order {
            lsn: whole(0),
            binlog: binlog.map(|(file, place)| (file, place, whole(3).unwrap_or(0))),
            scn: text(4).and_then(|scn| std::str::from_utf8(scn).ok()?.parse().ok()),
            ts_ms: whole(5),
        }
    }

    /// What a schema says of the columns of `after`, or where that has none, of `before`.
    fn kinds(&mut self, schema: &[u8], columns: &[SourceColumn]) -> Vec<Kind> {
        if self.seen.0 == schema {
            return self.seen.1.clone();
        }
        let kinds = self.read_kinds(schema, columns);
        let kinds = kinds.unwrap_or_else(|| vec![Kind::AsIs; columns.len()]);
        self.seen = (schema.to_vec(), kinds.clone());
        kinds
    }

    fn read_kinds(&self, schema: &[u8], columns: &[SourceColumn]) -> Option<Vec<Kind>> {
        let envelope = self.fields(schema)?;
        let row = envelope.iter().find(|(name, _)| name == b"after");
        let row = row.or_else(|| envelope.iter().find(|(name, _)| name == b"before"))?;
        let fields = self.fields(row.1)?;
        let kind = |column: &SourceColumn| {
            let field = fields
                .iter()
                .find(|(name, _)| name == column.header.as_bytes());
            field.map_or(Kind::AsIs, |(_, field)| self.kind(field))
        };
        Some(columns.iter().map(kind).collect())
    }

    /// The fields of a struct in a schema: name, and the text of each.
    fn fields<'a>(&self, schema: &'a [u8]) -> Option<Vec<(Vec<u8>, &'a [u8])>> {
        let members = object(schema, &self.schema)?;
        let Some(Value::Nested(fields)) = members[0] else {
            return None;
        };
        let mut named = Vec::new();
        for field in elements(fields)? {
            let members = object(field, &self.schema)?;
            if let Some(Value::Text(name)) = &members[1] {
                named.push((name.to_vec(), field));
            }
        }
        Some(named)
    }

    fn kind(&self, field: &[u8]) -> Kind {
        let Some(members) = object(field, &self.schema) else {
            return Kind::AsIs;
        };
        match members[2].as_ref().map(Value::text) {
            Some(b"io.debezium.time.Date" | b"org.apache.kafka.connect.data.Date") => Kind::Days,
            Some(b"io.debezium.time.Timestamp" | b"org.apache.kafka.connect.data.Timestamp") => {
                Kind::Time(1_000)
            }
            Some(b"io.debezium.time.MicroTimestamp") => Kind::Time(1_000_000),
            Some(b"io.debezium.time.NanoTimestamp") => Kind::Time(1_000_000_000),
            Some(b"org.apache.kafka.connect.data.Decimal") => {
                let scale = match &members[3] {
                    Some(Value::Nested(parameters)) => object(parameters, &self.scale),
                    _ => None,
                };
                let scale = scale.and_then(|members| {
                    std::str::from_utf8(members.first()?.as_ref()?.text())
                        .ok()?
                        .parse()
                        .ok()
                });
                scale.map_or(Kind::AsIs, Kind::Decimal)
            }
            _ => Kind::AsIs,
        }
    }
}

/// The elements of a JSON array, as written.
fn elements(array: &[u8]) -> Option<Vec<&[u8]>> {
    let mut rest = array.trim_ascii().strip_prefix(b"[")?.trim_ascii_start();
    let mut found = Vec::new();
    while !rest.starts_with(b"]") {
        let mut values =
            serde_json::Deserializer::from_slice(rest).into_iter::<serde::de::IgnoredAny>();
        values.next()?.ok()?;
        let (element, after) = rest.split_at(values.byte_offset());
        found.push(element);
        rest = after.trim_ascii_start();
        rest = rest.strip_prefix(b",").unwrap_or(rest).trim_ascii_start();
    }
    Some(found)
}

/// A value as its column reads it.
fn meant<'a>(value: Value<'a>, kind: Kind, column: &SourceColumn) -> Value<'a> {
    let told = match (&value, kind) {
        (Value::Number(days), Kind::Days) => day(days),
        (Value::Number(days), Kind::AsIs) if column.column_type == ColumnType::Date => day(days),
        (Value::Number(units), Kind::Time(a_second)) if column.unit.is_none() => {
            time(units, a_second)
        }
        (Value::Text(bytes), Kind::Decimal(scale)) => decimal(bytes, scale),
        _ => None,
    };
    told.map_or(value, |text| Value::Text(Cow::Owned(text.into_bytes())))
}

fn whole(text: &[u8]) -> Option<i64> {
    std::str::from_utf8(text).ok()?.parse().ok()
}

fn day(days: &[u8]) -> Option<String> {
    let days = TimeDelta::try_days(whole(days)?)?;
    let day = NaiveDate::default().checked_add_signed(days)?;
    Some(day.format("%Y-%m-%d").to_string())
}

/// Without a zone, so that the column's counts: such times stand for what a clock showed.
fn time(units: &[u8], a_second: i64) -> Option<String> {
    let units = whole(units)?;
    let nanos = units.rem_euclid(a_second) * (1_000_000_000 / a_second);
    let time = DateTime::from_timestamp(units.div_euclid(a_second), u32::try_from(nanos).ok()?)?;
    Some(time.format("%Y-%m-%dT%H:%M:%S%.f").to_string())
}

/// Two's complement in base64 as a number.
fn decimal(text: &[u8], scale: usize) -> Option<String> {
    let bytes = from_base64(text)?;
    let negative = bytes.first()? & 0x80 != 0;
    let fill = if negative { -1 } else { 0 };
    if bytes.len() > 16 {
        return None;
    }
    let units = bytes
        .iter()
        .fold(fill, |units: i128, byte| (units << 8) | i128::from(*byte));
    let digits = format!("{:0width$}", units.unsigned_abs(), width = scale + 1);
    let (whole, fraction) = digits.split_at(digits.len() - scale);
    let sign = if units < 0 { "-" } else { "" };
    let dot = if fraction.is_empty() { "" } else { "." };
    Some(format!("{sign}{whole}{dot}{fraction}"))
}

fn from_base64(text: &[u8]) -> Option<Vec<u8>> {
    let letters = text
        .strip_suffix(b"==")
        .or_else(|| text.strip_suffix(b"="))
        .unwrap_or(text);
    let mut bytes = Vec::with_capacity(letters.len() * 3 / 4);
    let (mut word, mut bits) = (0_u32, 0);
    for letter in letters {
        let value = match letter {
            b'A'..=b'Z' => letter - b'A',
            b'a'..=b'z' => letter - b'a' + 26,
            b'0'..=b'9' => letter - b'0' + 52,
            b'+' => 62,
            b'/' => 63,
            _ => return None,
        };
        word = ((word << 6) | u32::from(value)) & 0xFFFF;
        bits += 6;
        if bits >= 8 {
            bits -= 8;
            bytes.push(u8::try_from((word >> bits) & 0xFF).ok()?);
        }
    }
    Some(bytes)
}

/// Columns that only have names: what members are found by.
fn named(names: &[&str]) -> Vec<SourceColumn> {
    let column = |(id, name): (usize, &&str)| SourceColumn::plain(id, name, ColumnType::Varchar);
    names.iter().enumerate().map(column).collect()
}
