//! Batches as bytes, for workers of other processes.
//!
//! The Arrow IPC stream format, padded to eight bytes, as timely asks. Budget does not travel: the receiver's process has its
//! own.

use arrow_ipc::reader::StreamReader;
use arrow_ipc::writer::StreamWriter;
use timely::bytes::arc::Bytes;
use timely::dataflow::channels::ContainerBytes;

use crate::record::Batch;

/// Bytes of the head: the epoch and the length of the body, 64 bits each, little-endian.
const HEAD_BYTES: usize = 16;

impl ContainerBytes for Batch {
    fn from_bytes(bytes: Bytes) -> Self {
        let word =
            |at: usize| u64::from_le_bytes(bytes[at..at + 8].try_into().expect("eight bytes"));
        let (epoch, length) = (
            word(0),
            usize::try_from(word(8)).expect("a message fits memory"),
        );
        if length == 0 {
            return Self {
                rows: None,
                epoch,
                lease: None,
            };
        }
        let body = &bytes[HEAD_BYTES..HEAD_BYTES + length];
        let mut reader = StreamReader::try_new(body, None)
            .expect("a peer of the same build sends batches that decode");
        let rows = reader
            .next()
            .expect("a message holds one batch")
            .expect("a peer of the same build sends batches that decode");
        Self {
            rows: Some(rows),
            epoch,
            lease: None,
        }
    }

    fn length_in_bytes(&self) -> usize {
        (HEAD_BYTES + self.body().len()).next_multiple_of(8)
    }

    fn into_bytes<W: std::io::Write>(&self, writer: &mut W) {
        let body = self.body();
        let mut head = self.epoch.to_le_bytes().to_vec();
        head.extend(
            u64::try_from(body.len())
                .expect("a length fits 64 bits")
                .to_le_bytes(),
        );
        let padding =
            vec![0; (HEAD_BYTES + body.len()).next_multiple_of(8) - HEAD_BYTES - body.len()];
        for part in [head, body, padding] {
            writer
                .write_all(&part)
                .expect("timely gives room for length_in_bytes");
        }
    }
}

impl Batch {
    fn body(&self) -> Vec<u8> {
        let Some(rows) = &self.rows else {
            return Vec::new();
        };
        let mut body = Vec::new();
        let mut writer = StreamWriter::try_new(&mut body, &rows.schema())
            .expect("a batch's schema can be written");
        writer
            .write(rows)
            .and_then(|()| writer.finish())
            .expect("writing to memory does not fail");
        drop(writer);
        body
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow_array::{ArrayRef, DictionaryArray, Int64Array, RecordBatch, types::Int32Type};
    use timely::bytes::arc::BytesMut;

    use super::*;

    #[test]
    fn a_batch_comes_back_as_it_was() {
        let texts: DictionaryArray<Int32Type> =
            vec![Some("a"), None, Some("b")].into_iter().collect();
        let numbers: ArrayRef = Arc::new(Int64Array::from(vec![Some(1), Some(2), None]));
        let texts: ArrayRef = Arc::new(texts);
        let rows =
            RecordBatch::try_from_iter_with_nullable([("0", numbers, true), ("1", texts, true)])
                .unwrap();
        for batch in [
            Batch::new(rows, 7),
            Batch {
                rows: None,
                epoch: 3,
                lease: None,
            },
        ] {
            let mut bytes = Vec::new();
            batch.into_bytes(&mut bytes);
            assert_eq!(bytes.len(), batch.length_in_bytes());
            assert_eq!(bytes.len() % 8, 0);
            let back = Batch::from_bytes(BytesMut::from(bytes).freeze());
            assert_eq!((back.epoch, back.rows), (batch.epoch, batch.rows));
        }
    }
}
