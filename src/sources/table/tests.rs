//! Laws of files of rows, whatever their format: parts hold each row once, and no bytes do anything but give rows or an
//! error.

use std::fs;

use ::parquet::arrow::ArrowWriter;
use ::parquet::file::properties::WriterProperties;
use arrow_array::cast::AsArray;
use arrow_array::types::{Int32Type, Int64Type};
use arrow_array::{ArrayRef, DictionaryArray, Float64Array, Int64Array, StringArray};
use arrow_avro::compression::CompressionCodec;
use arrow_avro::writer::WriterBuilder;
use arrow_avro::writer::format::AvroOcfFormat;
use arrow_ipc::CompressionType;
use arrow_ipc::writer::{FileWriter, IpcWriteOptions, StreamWriter};
use arrow_schema::DataType;

use super::*;
use crate::decode::avro::AvroError;
use crate::job::plan::ColumnType;

fn columns() -> Vec<SourceColumn> {
    [("id", ColumnType::BigInt), ("name", ColumnType::Varchar)]
        .into_iter()
        .enumerate()
        .map(|(id, (name, column_type))| SourceColumn::plain(id, name, column_type))
        .collect()
}

fn batch(rows: std::ops::Range<i64>) -> RecordBatch {
    let id: ArrayRef = Arc::new(Int64Array::from_iter_values(rows.clone()));
    let name: ArrayRef = Arc::new(StringArray::from_iter_values(
        rows.clone().map(|row| format!("name {}", row % 50)),
    ));
    let other: ArrayRef = Arc::new(
        rows.map(|row| Some(f64::from(i32::try_from(row).unwrap())))
            .collect::<Float64Array>(),
    );
    RecordBatch::try_from_iter([("id", id), ("other", other), ("name", name)]).unwrap()
}

/// A file of one row group.
fn parquet_bytes(rows: i64) -> Vec<u8> {
    let batch = batch(0..rows);
    let properties = WriterProperties::builder()
        .set_max_row_group_row_count(None)
        .set_data_page_row_count_limit(5_000)
        .build();
    let mut bytes = Vec::new();
    let mut writer = ArrowWriter::try_new(&mut bytes, batch.schema(), Some(properties)).unwrap();
    writer.write(&batch).unwrap();
    writer.close().unwrap();
    bytes
}

/// Every id of a file, part by part, in the order of parts; checks that rows have their numbers.
fn ids(path: &Path, format: &Format) -> Result<(usize, Vec<i64>), TableError> {
    let (schema, parts) = look(&File::open(path)?, format)?;
    if decode::bind_schema(&columns(), &schema).is_err() {
        return Err(TableError::Changed);
    }
    let mut ids = Vec::new();
    for part in &parts {
        let mut rows = Rows::open(path, part, &columns())?;
        while let Some((first_row, batch)) = rows.next()? {
            assert_eq!(first_row, length(ids.len()));
            if let Some(id) = batch
                .column_by_name("id")
                .and_then(|id| id.as_primitive_opt::<Int64Type>())
            {
                ids.extend(id.iter().flatten());
            }
        }
    }
    Ok((parts.len(), ids))
}

#[test]
fn a_large_row_group_is_read_in_parts_that_hold_each_row_once() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.parquet");
    let rows = 700_000;
    fs::write(&path, parquet_bytes(rows)).unwrap();
    let (parts, ids) = ids(&path, &Format::Parquet).unwrap();
    assert!(parts > 1, "one row group is not one part: {parts}");
    assert!(ids.into_iter().eq(0..rows));
}

#[test]
fn stretches_cover_all_rows_once_for_any_width() {
    for rows in [0, 1, 16_384, 16_385, 1_469_307] {
        for row_bytes in [0, 1, 30, 1_000, 1 << 40] {
            let mut next = 0;
            for (first, length) in stretches(rows, row_bytes) {
                assert_eq!(first, next);
                assert!(length > 0);
                next += length;
            }
            assert_eq!(next, rows, "{row_bytes}");
        }
    }
    assert_eq!(stretches(1_469_307, 0).count(), 1);
    assert_eq!(stretches(1_469_307, 1_000).count(), 90);
}

/// A name, and what is done to a file.
type Spoil = (&'static str, fn(&Path));

#[test]
fn a_file_that_changes_after_it_was_opened_is_an_error() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.parquet");
    let changes: [Spoil; 3] = [
        ("another file of that name", |path| {
            let next = path.with_extension("next");
            fs::write(&next, parquet_bytes(40_000)).unwrap();
            fs::rename(next, path).unwrap();
        }),
        ("cut short", |path| {
            let file = fs::OpenOptions::new().write(true).open(path).unwrap();
            file.set_len(100).unwrap();
        }),
        ("written again", |path| {
            fs::write(path, parquet_bytes(30_000)).unwrap();
        }),
    ];
    for (what, change) in changes {
        fs::write(&path, parquet_bytes(40_000)).unwrap();
        let (_, parts) = look(&File::open(&path).unwrap(), &Format::Parquet).unwrap();
        change(&path);
        let opened = Rows::open(&path, &parts[0], &columns());
        assert!(
            matches!(opened, Err(TableError::Changed)),
            "{what}: {opened:?}"
        );
    }
    // After the first batch; a rename leaves an open file as it is.
    for (what, change) in &changes[1..] {
        fs::write(&path, parquet_bytes(40_000)).unwrap();
        let (_, parts) = look(&File::open(&path).unwrap(), &Format::Parquet).unwrap();
        let mut rows = Rows::open(&path, &parts[0], &columns()).unwrap();
        rows.next().unwrap().unwrap();
        change(&path);
        let ended = loop {
            match rows.next() {
                Ok(Some(_)) => {}
                other => break other,
            }
        };
        assert!(ended.is_err(), "{what}: {ended:?}");
    }
}

/// Changes bytes of a file in many places, and cuts it in many: rows or an error come of each.
fn survives(bytes: &[u8], format: &Format) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a");
    let mut errors = 0;
    let step = (bytes.len() / 150).max(1);
    let ends = bytes.len().saturating_sub(200)..bytes.len();
    let places: Vec<usize> = (0..bytes.len())
        .step_by(step)
        .chain(0..120.min(bytes.len()))
        .chain(ends)
        .collect();
    for place in places {
        for value in [0xFF, bytes[place] ^ 1] {
            let mut broken = bytes.to_vec();
            broken[place] = value;
            fs::write(&path, &broken).unwrap();
            errors += u32::from(ids(&path, format).is_err());
        }
        fs::write(&path, &bytes[..place]).unwrap();
        errors += u32::from(ids(&path, format).is_err());
    }
    assert!(
        errors > 100,
        "{errors} of the changed files were found faulty"
    );
}

/// The rows in batches of an Arrow file or stream.
fn arrow_bytes(rows: i64, stream: bool, compression: Option<CompressionType>) -> Vec<u8> {
    let options = IpcWriteOptions::default()
        .try_with_compression(compression)
        .unwrap();
    let schema = arrow_batch(0..1).schema();
    let batches = (0..rows)
        .step_by(30_000)
        .map(|start| arrow_batch(start..(start + 30_000).min(rows)));
    let mut bytes = Vec::new();
    if stream {
        let mut writer = StreamWriter::try_new_with_options(&mut bytes, &schema, options).unwrap();
        batches.for_each(|batch| writer.write(&batch).unwrap());
        writer.finish().unwrap();
    } else {
        let mut writer = FileWriter::try_new_with_options(&mut bytes, &schema, options).unwrap();
        batches.for_each(|batch| writer.write(&batch).unwrap());
        writer.finish().unwrap();
    }
    bytes
}

/// With a dictionary, which in a stream is another one for each batch.
fn arrow_batch(rows: std::ops::Range<i64>) -> RecordBatch {
    let plain = batch(rows.clone());
    let codes: DictionaryArray<Int32Type> = rows
        .clone()
        .map(|row| Some(format!("{} {}", row / 30_000, row % 7)))
        .collect::<Vec<_>>()
        .iter()
        .map(Option::as_deref)
        .collect();
    RecordBatch::try_from_iter([
        ("id", Arc::clone(plain.column(0))),
        ("other", Arc::clone(plain.column(1))),
        ("name", Arc::new(codes)),
    ])
    .unwrap()
}

#[test]
fn arrow_files_and_streams_are_read_in_parts_packed_or_not() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.arrow");
    for compression in [
        None,
        Some(CompressionType::LZ4_FRAME),
        Some(CompressionType::ZSTD),
    ] {
        // A file has one dictionary for all of it.
        fs::write(&path, arrow_bytes(30_000, false, compression)).unwrap();
        let (_, found) = ids(&path, &Format::Arrow).unwrap();
        assert!(found.into_iter().eq(0..30_000), "{compression:?}");
        fs::write(&path, arrow_bytes(700_000, true, compression)).unwrap();
        let (parts, found) = ids(&path, &Format::Arrow).unwrap();
        assert!(found.into_iter().eq(0..700_000), "{compression:?}");
        assert!(parts > 1 || compression.is_some(), "{parts}");
        // Each part finds the dictionary of its batches.
        let (_, parts) = look(&File::open(&path).unwrap(), &Format::Arrow).unwrap();
        for part in parts {
            let mut rows = Rows::open(&path, &part, &columns()).unwrap();
            while let Some((first_row, batch)) = rows.next().unwrap() {
                let names =
                    arrow_cast::cast(batch.column_by_name("name").unwrap(), &DataType::Utf8)
                        .unwrap();
                let expected = format!("{} {}", first_row / 30_000, first_row % 7);
                assert_eq!(names.as_string::<i32>().value(0), expected);
            }
        }
    }
}

#[test]
fn a_stream_without_an_end_mark_is_whole_and_one_cut_in_a_message_is_not() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.arrows");
    let bytes = arrow_bytes(100, true, None);
    fs::write(&path, &bytes[..bytes.len() - 8]).unwrap();
    assert_eq!(ids(&path, &Format::Arrow).unwrap().1.len(), 100);
    fs::write(&path, &bytes[..bytes.len() - 20]).unwrap();
    let error = ids(&path, &Format::Arrow).unwrap_err();
    assert!(
        error.to_string().contains("ends after the end of the file"),
        "{error}"
    );
}

#[test]
fn a_batch_that_says_it_unpacks_to_gigabytes_is_refused_before_it_is_unpacked() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.arrow");
    let mut bytes = arrow_bytes(20_000, true, Some(CompressionType::ZSTD));
    // The first packed buffer begins with its length, that of 20,000 numbers of eight bytes.
    let length = 160_000_i64.to_le_bytes();
    let place = bytes
        .windows(8)
        .position(|window| window == length)
        .unwrap();
    bytes[place..place + 8].copy_from_slice(&(1_i64 << 60).to_le_bytes());
    fs::write(&path, &bytes).unwrap();
    let error = ids(&path, &Format::Arrow).unwrap_err();
    assert!(error.to_string().contains("unpacks to"), "{error}");
}

#[test]
fn broken_arrow_is_an_error_or_rows() {
    for (stream, compression) in [
        (false, None),
        (true, None),
        (false, Some(CompressionType::LZ4_FRAME)),
        (true, Some(CompressionType::ZSTD)),
    ] {
        survives(&arrow_bytes(300, stream, compression), &Format::Arrow);
    }
}

/// A container file with blocks of 5,000 rows.
fn avro_bytes(rows: i64, codec: Option<CompressionCodec>) -> Vec<u8> {
    let builder = WriterBuilder::new(batch(0..1).schema().as_ref().clone()).with_compression(codec);
    let mut writer = builder.build::<_, AvroOcfFormat>(Vec::new()).unwrap();
    for start in (0..rows).step_by(5_000) {
        writer
            .write(&batch(start..(start + 5_000).min(rows)))
            .unwrap();
    }
    writer.finish().unwrap();
    writer.into_inner()
}

#[test]
fn avro_files_are_read_in_parts_with_every_codec() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.avro");
    let codecs = [
        CompressionCodec::Deflate,
        CompressionCodec::Snappy,
        CompressionCodec::ZStandard,
    ];
    for codec in std::iter::once(None).chain(codecs.map(Some)) {
        fs::write(&path, avro_bytes(400_000, codec)).unwrap();
        let (parts, found) = ids(&path, &Format::Avro).unwrap();
        assert!(found.into_iter().eq(0..400_000), "{codec:?}");
        assert!(parts > 1 || codec.is_some(), "{parts}");
    }
}

#[test]
fn a_broken_block_is_told_with_its_place_and_nothing_is_unpacked_without_end() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.avro");
    let told = |bytes: &[u8]| {
        fs::write(&path, bytes).unwrap();
        ids(&path, &Format::Avro).unwrap_err().to_string()
    };
    let good = avro_bytes(20_000, None);
    let header = decode::avro::container_header(&good).unwrap().unwrap();
    // The mark behind the last block.
    let mut broken = good.clone();
    *broken.last_mut().unwrap() ^= 1;
    let error = told(&broken);
    assert!(
        error.contains("the block at byte") && error.contains("mark"),
        "{error}"
    );
    // More data than it has.
    let mut broken = good.clone();
    broken[header.length] ^= 2;
    let error = told(&broken);
    assert!(
        error.contains(&format!("the block at byte {}", header.length)),
        "{error}"
    );
    // A gigabyte of zeros, packed.
    let zeros = {
        let mut encoder =
            flate2::write::DeflateEncoder::new(Vec::new(), flate2::Compression::best());
        let piece = vec![0; 1 << 20];
        (0..300).for_each(|_| std::io::Write::write_all(&mut encoder, &piece).unwrap());
        encoder.finish().unwrap()
    };
    let packed = avro_bytes(10, Some(CompressionCodec::Deflate));
    let header = decode::avro::container_header(&packed).unwrap().unwrap();
    let long = |mut value: usize| {
        let mut bytes = Vec::new();
        value <<= 1;
        while value > 0x7F {
            bytes.push(u8::try_from(value & 0x7F).unwrap() | 0x80);
            value >>= 7;
        }
        bytes.push(u8::try_from(value).unwrap());
        bytes
    };
    let bomb = [
        &packed[..header.length],
        &long(5),
        &long(zeros.len()),
        &zeros,
        &header.mark,
    ]
    .concat();
    let error = told(&bomb);
    assert!(error.contains("unpacks to more than"), "{error}");
    let huge = [
        &packed[..header.length],
        &long(5),
        &long(1 << 50),
        &header.mark[..],
    ]
    .concat();
    let error = told(&huge);
    assert!(error.contains("larger than 256 MiB"), "{error}");
    let other = String::from_utf8_lossy(b"bzip2").into_owned();
    assert!(AvroError::Codec(other).to_string().contains("zstandard"));
}

#[test]
fn broken_avro_is_an_error_or_rows() {
    for codec in [
        None,
        Some(CompressionCodec::Deflate),
        Some(CompressionCodec::Snappy),
    ] {
        survives(&avro_bytes(300, codec), &Format::Avro);
    }
}

#[test]
fn broken_parquet_is_an_error_or_rows() {
    survives(&parquet_bytes(2_000), &Format::Parquet);
}
