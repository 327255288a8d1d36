//! Members of an envelope and of what stands in it, by name.
//!
//! An envelope is an object in an object, whose inner values mean what its schema says; that is why it is taken apart as values, and not
//! into columns in one pass. Numbers are read from their text here, too, so that none goes through a double.

use std::borrow::Cow;

use serde::de::IgnoredAny;

use crate::decode::column::Collect;
use crate::decode::json::WRONG_TYPE;
use crate::job::plan::{ColumnType, SourceColumn};
use crate::record::Fault;

/// A member's value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::decode) enum Value<'a> {
    Null,
    /// `true` or `false`.
    Boolean(&'a [u8]),
    /// As written.
    Number(&'a [u8]),
    /// Without quotes and escapes; may be no UTF-8.
    Text(Cow<'a, [u8]>),
    /// An array or object as written.
    Nested(&'a [u8]),
}

impl Value<'_> {
    /// The value as quarantine shows it; empty for null.
    pub(in crate::decode) fn text(&self) -> &[u8] {
        match self {
            Self::Null => &[],
            Self::Boolean(text) | Self::Number(text) | Self::Nested(text) => text,
            Self::Text(text) => text,
        }
    }
}

/// The members of an object that are columns, in the order of `columns`; of two members with one name the later counts.
/// `None` where the line is no JSON object.
pub(in crate::decode) fn object<'a>(
    line: &'a [u8],
    columns: &[SourceColumn],
) -> Option<Vec<Option<Value<'a>>>> {
    let mut values = vec![None; columns.len()];
    let mut cursor = Cursor { rest: line };
    // Members mostly come in the order of the columns.
    let mut guess = 0;
    cursor.expect(b'{')?;
    if cursor.peek()? == b'}' {
        cursor.expect(b'}')?;
    } else {
        loop {
            cursor.expect(b'"')?;
            let name = cursor.string()?;
            cursor.expect(b':')?;
            let value = cursor.value()?;
            let is_named = |column: &SourceColumn| column.header.as_bytes() == &*name;
            let place = if columns.get(guess).is_some_and(is_named) {
                Some(guess)
            } else {
                columns.iter().position(is_named)
            };
            if let Some(place) = place {
                values[place] = Some(value);
                guess = place + 1;
            }
            match cursor.next()? {
                b',' => {}
                b'}' => break,
                _ => return None,
            }
        }
    }
    cursor
        .rest
        .iter()
        .all(|byte| is_blank(*byte))
        .then_some(values)
}

/// Gives a member's value to its column.
pub(in crate::decode) fn give(
    value: Option<&Value<'_>>,
    column: &SourceColumn,
    to: &mut dyn Collect,
    row: usize,
    faults: &mut Vec<Fault>,
) {
    let fits = match value {
        None | Some(Value::Null) => return to.absent(row, false, faults),
        Some(Value::Nested(_)) => false,
        Some(Value::Boolean(_)) => column.column_type == ColumnType::Boolean,
        Some(Value::Number(_)) => match column.column_type {
            ColumnType::SmallInt
            | ColumnType::Int
            | ColumnType::BigInt
            | ColumnType::Double
            | ColumnType::Decimal(..) => true,
            ColumnType::Timestamp => column.unit.is_some(),
            ColumnType::Boolean => column.lenient,
            ColumnType::Varchar | ColumnType::Date => false,
        },
        Some(Value::Text(_)) => match column.column_type {
            ColumnType::Varchar
            | ColumnType::Decimal(..)
            | ColumnType::Date
            | ColumnType::Timestamp => true,
            ColumnType::SmallInt
            | ColumnType::Int
            | ColumnType::BigInt
            | ColumnType::Double
            | ColumnType::Boolean => column.lenient,
        },
    };
    let text = value.map_or(&[][..], Value::text);
    if fits && matches!(value, Some(Value::Number(_) | Value::Boolean(_))) {
        to.value(row, text, faults);
    } else if fits {
        // As if unquoted: a column may say which texts mean null.
        to.text(row, text, false, faults);
    } else {
        to.misfit(row, WRONG_TYPE, text, faults);
    }
}

const fn is_blank(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t' | b'\n' | b'\r')
}

/// What is left of a line.
#[derive(Debug)]
struct Cursor<'a> {
    rest: &'a [u8],
}

impl<'a> Cursor<'a> {
    /// The next byte that is no blank.
    fn peek(&mut self) -> Option<u8> {
        while let Some((&byte, rest)) = self.rest.split_first() {
            if !is_blank(byte) {
                return Some(byte);
            }
            self.rest = rest;
        }
        None
    }

    fn next(&mut self) -> Option<u8> {
        let byte = self.peek()?;
        self.rest = &self.rest[1..];
        Some(byte)
    }

    fn expect(&mut self, byte: u8) -> Option<()> {
        (self.next()? == byte).then_some(())
    }

    /// A string whose opening quote has been read.
    fn string(&mut self) -> Option<Cow<'a, [u8]>> {
        let text = self.rest;
        let mut at = memchr::memchr2(b'"', b'\\', text)?;
        let escaped = text[at] == b'\\';
        while text.get(at)? == &b'\\' {
            at = at + 2 + memchr::memchr2(b'"', b'\\', text.get(at + 2..)?)?;
        }
        let inner = &text[..at];
        self.rest = &text[at + 1..];
        if inner.iter().any(|&byte| byte < b' ') {
            return None;
        }
        if !escaped {
            return Some(Cow::Borrowed(inner));
        }
        let quoted = [b"\"", inner, b"\""].concat();
        serde_json::from_slice::<String>(&quoted)
            .ok()
            .map(|text| Cow::Owned(text.into_bytes()))
    }

    fn value(&mut self) -> Option<Value<'a>> {
        match self.peek()? {
            b'"' => {
                self.rest = &self.rest[1..];
                self.string().map(Value::Text)
            }
            b'{' | b'[' => {
                let mut values =
                    serde_json::Deserializer::from_slice(self.rest).into_iter::<IgnoredAny>();
                values.next()?.ok()?;
                Some(Value::Nested(self.take(values.byte_offset())))
            }
            b'-' | b'0'..=b'9' => self.number().map(Value::Number),
            _ => {
                let length = self
                    .rest
                    .iter()
                    .take_while(|byte| byte.is_ascii_alphabetic())
                    .count();
                match self.take(length) {
                    b"null" => Some(Value::Null),
                    word @ (b"true" | b"false") => Some(Value::Boolean(word)),
                    _ => None,
                }
            }
        }
    }

    fn take(&mut self, length: usize) -> &'a [u8] {
        let (taken, rest) = self.rest.split_at(length);
        self.rest = rest;
        taken
    }

    /// A number, held to the grammar of JSON.
    fn number(&mut self) -> Option<&'a [u8]> {
        let is_part = |byte: &&u8| matches!(byte, b'0'..=b'9' | b'+' | b'-' | b'.' | b'e' | b'E');
        let text = self.take(self.rest.iter().take_while(is_part).count());
        let mut rest = text.strip_prefix(b"-").unwrap_or(text);
        let digits = |from: &mut &[u8]| {
            let count = from.iter().take_while(|byte| byte.is_ascii_digit()).count();
            *from = &from[count..];
            count
        };
        let leading_zero = rest.first() == Some(&b'0');
        let whole = digits(&mut rest);
        if whole == 0 || (leading_zero && whole > 1) {
            return None;
        }
        if let Some(after) = rest.strip_prefix(b".") {
            rest = after;
            if digits(&mut rest) == 0 {
                return None;
            }
        }
        if let [b'e' | b'E', after @ ..] = rest {
            rest = match after {
                [b'+' | b'-', after @ ..] => after,
                _ => after,
            };
            if digits(&mut rest) == 0 {
                return None;
            }
        }
        rest.is_empty().then_some(text)
    }
}
