//! Avro messages as Confluent's serializers frame them: a zero, the id of the writer's schema in four bytes (highest first),
//! and one datum.
//!
//! Whoever calls gives the schema of an id; it is asked for once for each id that is met. Rows come out as the reader's columns whatever version of the
//! schema wrote them: bound by name, null where a version lacks a column.

use std::collections::HashMap;

use arrow_array::RecordBatch;

use super::{AvroError, AvroReader, AvroSchema, BadDatum};

/// Bytes before the datum.
const FRAME_BYTES: usize = 5;

/// Decodes framed messages.
#[derive(Debug)]
pub struct Framed {
    headers: Vec<String>,
    /// A reader for each schema, or why there is none: a schema that can't be used stays so.
    readers: HashMap<u32, Result<AvroReader, AvroError>>,
}

/// The rows of some messages.
#[derive(Debug, Default)]
pub struct Messages {
    /// Rows by schema, in the order in which schemas were first met.
    pub pieces: Vec<Rows>,
    /// Messages that are no rows, in order.
    pub faults: Vec<MessageFault>,
    /// Messages without a value, in order: they stand for a deletion.
    pub empty: Vec<usize>,
}

/// Rows that were written with one schema.
#[derive(Debug)]
pub struct Rows {
    /// A column for each of the reader's that the schema has, under its name in the file.
    pub batch: RecordBatch,
    /// For each row, the number of its message.
    pub messages: Vec<usize>,
}

/// Why a message is no row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MessageFault {
    /// The number of the message.
    pub message: usize,
    /// Bounded reason code.
    pub reason: &'static str,
    /// Why, for people.
    pub detail: String,
}

impl Framed {
    /// A decoder of the values that `headers` lead to in the messages' records.
    pub fn new(headers: &[&str]) -> Self {
        Self {
            headers: headers.iter().map(|&header| header.to_owned()).collect(),
            readers: HashMap::new(),
        }
    }

    /// Decodes some messages; `None` is a message without a value. `schema_of` gives the schema of an id.
    ///
    /// # Errors
    /// Those of `schema_of`, which are faults of the world and not of a message: nothing is given out then, and the same messages may
    /// be decoded again. A schema that came but can't be used is a fault of its messages.
    pub fn decode<E>(
        &mut self,
        messages: &[Option<&[u8]>],
        mut schema_of: impl FnMut(u32) -> Result<AvroSchema, E>,
    ) -> Result<Messages, E> {
        // 1. The schemas, before any row is read.
        for bytes in messages.iter().flatten() {
            if let Ok((id, _)) = unframed(bytes)
                && !self.readers.contains_key(&id)
            {
                let schema = schema_of(id)?;
                let headers: Vec<&str> = self.headers.iter().map(String::as_str).collect();
                self.readers.insert(id, AvroReader::new(&schema, &headers));
            }
        }
        // 2. The rows.
        let mut decoded = Messages::default();
        let mut of_schema: Vec<(u32, Vec<usize>)> = Vec::new();
        for (message, bytes) in messages.iter().enumerate() {
            let Some(bytes) = bytes else {
                decoded.empty.push(message);
                continue;
            };
            match self.read(bytes) {
                Ok(id) => match of_schema.iter_mut().find(|(known, _)| *known == id) {
                    Some((_, rows)) => rows.push(message),
                    None => of_schema.push((id, vec![message])),
                },
                Err((reason, detail)) => decoded.faults.push(MessageFault {
                    message,
                    reason,
                    detail,
                }),
            }
        }
        for (id, messages) in of_schema {
            if let Some(Ok(reader)) = self.readers.get_mut(&id) {
                let batch = reader.finish();
                decoded.pieces.push(Rows { batch, messages });
            }
        }
        Ok(decoded)
    }

    fn read(&mut self, bytes: &[u8]) -> Result<u32, (&'static str, String)> {
        let (id, datum) = unframed(bytes).map_err(|why| ("bad_frame", why))?;
        let reader = self.readers.get_mut(&id).expect("step 1 has met every id");
        match reader {
            Ok(reader) => reader
                .read_one(datum)
                .map(|()| id)
                .map_err(|error: BadDatum| ("bad_avro", format!("schema {id}: {error}"))),
            Err(error) => Err(("bad_schema", format!("schema {id}: {error}"))),
        }
    }
}

/// The id of the schema that a message names.
///
/// # Errors
/// It has no frame.
pub fn schema_id(message: &[u8]) -> Result<u32, String> {
    unframed(message).map(|(id, _)| id)
}

/// The id of the schema, and the datum.
fn unframed(bytes: &[u8]) -> Result<(u32, &[u8]), String> {
    match bytes.split_at_checked(FRAME_BYTES) {
        Some(([0, id @ ..], datum)) => {
            let id = id.first_chunk().map_or(0, |id| u32::from_be_bytes(*id));
            Ok((id, datum))
        }
        Some(([b'{' | b'[', ..], _)) => Err(
            "it begins like JSON, not with 0 and a schema's id; `json` reads such messages"
                .to_owned(),
        ),
        Some(([first, ..], _)) => Err(format!(
            "it begins with {first}, not with 0 and a schema's id, as writers with a registry frame it"
        )),
        _ => Err(format!(
            "it has {} bytes; a frame alone has {FRAME_BYTES}",
            bytes.len()
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use arrow_array::cast::AsArray;
    use arrow_array::types::{Int32Type, Int64Type};

    fn schema(fields: &str) -> AvroSchema {
        let text = format!(r#"{{"type":"record","name":"r","fields":[{fields}]}}"#);
        AvroSchema::parse(text.as_bytes()).unwrap()
    }

    #[test]
    fn versions_of_a_schema_become_the_readers_columns_and_faults_stay_with_their_message() {
        let asked = std::cell::RefCell::new(Vec::new());
        let schema_of = |id| {
            asked.borrow_mut().push(id);
            match id {
                1 => Ok(schema(r#"{"name":"id","type":"int"}"#)),
                2 => Ok(schema(
                    r#"{"name":"note","type":"string"},{"name":"id","type":"long"},{"name":"qty","type":["null","int"]}"#,
                )),
                3 => Ok(AvroSchema::parse(b"\"string\"").unwrap()),
                _ => Err("the registry has no such schema"),
            }
        };
        let messages: [&[u8]; 8] = [
            &[0, 0, 0, 0, 1, 14],
            &[0, 0, 0, 0, 2, 2, b'x', 16, 2, 6],
            &[],
            &[0, 0, 0, 0, 1, 0xFF],
            &[1, 0, 0, 0, 1, 14],
            &[0, 0, 0, 0, 3, 0],
            &[0, 0, 0, 0, 1, 18, 0],
            &[0, 0, 0, 0, 1, 20],
        ];
        let mut messages: Vec<Option<&[u8]>> = messages.into_iter().map(Some).collect();
        messages.push(None);
        let mut framed = Framed::new(&["id", "qty"]);
        let decoded = framed.decode(&messages, schema_of).unwrap();
        assert_eq!(asked.take(), [1, 2, 3]);
        let [first, second] = &decoded.pieces[..] else {
            panic!("{:?}", decoded.pieces);
        };
        assert_eq!(
            (&first.messages[..], &second.messages[..]),
            (&[0, 7][..], &[1][..])
        );
        assert_eq!(
            first.batch.column(0).as_primitive::<Int32Type>().values()[..],
            [7, 10]
        );
        assert_eq!(first.batch.num_columns(), 1, "this version has no qty");
        assert_eq!(
            second.batch.column(0).as_primitive::<Int64Type>().value(0),
            8
        );
        assert_eq!(
            second.batch.column(1).as_primitive::<Int32Type>().value(0),
            3
        );
        let faults: Vec<(usize, &str)> = decoded
            .faults
            .iter()
            .map(|fault| (fault.message, fault.reason))
            .collect();
        assert_eq!(
            faults,
            [
                (2, "bad_frame"),
                (3, "bad_avro"),
                (4, "bad_frame"),
                (5, "bad_schema"),
                (6, "bad_avro")
            ]
        );
        assert_eq!(decoded.empty, [8]);

        // Known schemas are not asked for again; an unknown one leaves everything as it was.
        let again = framed.decode(&messages[..1], schema_of).unwrap();
        assert_eq!(again.pieces[0].batch.num_rows(), 1);
        assert!(asked.take().is_empty());
        let unknown: [Option<&[u8]>; 2] = [messages[0], Some(&[0, 0, 0, 0, 9, 0])];
        assert_eq!(
            framed.decode(&unknown, schema_of).unwrap_err(),
            "the registry has no such schema"
        );
        let again = framed.decode(&messages[..1], schema_of).unwrap();
        assert_eq!(
            again.pieces[0].batch.num_rows(),
            1,
            "no row is left of the failed try"
        );
    }
}
