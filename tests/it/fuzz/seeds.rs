//! Files that are right, or whose faults are those of the real world.

use std::io::Write;
use std::sync::Arc;

use arrow_array::{
    ArrayRef, BooleanArray, Date32Array, Decimal128Array, Float64Array, Int64Array, RecordBatch,
    StringArray, TimestampMicrosecondArray,
};
use parquet::arrow::ArrowWriter;
use parquet::basic::{Compression, ZstdLevel};
use parquet::file::properties::WriterProperties;

const CSV: &str = "id,price,day,at,note,ok,weight\n\
    1,10.00,2026-03-02,2026-03-02T10:00:00Z,plain,true,1.5\n\
    2,-0.01,2026-03-03,2026-03-02 10:00:00.123456,\"quoted, with \"\"quotes\"\"\nand a line\",false,1e-3\n\
    \n\
    id,price,day,at,note,ok,weight\n\
    ,,,,,,\n\
    9223372036854775807,9999999999.99,1970-01-01,1970-01-01T00:00:00+01:00,\u{e9}\u{1f600},TRUE,\n\
    x,1.234,2026-02-30,yesterday,NULL,maybe,inf\n\
    3,1.00\n";

/// Delimited text.
pub(super) fn csv(delimiter: char) -> Vec<Vec<u8>> {
    let text = CSV.replace(',', &delimiter.to_string());
    let crlf = text.replace('\n', "\r\n");
    let many: String = (0..200)
        .map(|id| format!("{id}{delimiter}{id}.25\n"))
        .collect();
    vec![
        text.clone().into_bytes(),
        crlf.into_bytes(),
        [b"\xEF\xBB\xBF", text.as_bytes()].concat(),
        format!("id{delimiter}price\n{many}").into_bytes(),
    ]
}

/// The same in other encodings, declared or marked.
pub(super) fn encoded() -> Vec<(&'static str, Vec<Vec<u8>>)> {
    let text = CSV.replace('\u{1f600}', "x");
    let wide = |unit: fn(u16) -> [u8; 2]| text.encode_utf16().flat_map(unit).collect::<Vec<u8>>();
    // What is one byte in the pages is one character here.
    let page: Vec<u8> = text
        .chars()
        .map(|c| u8::try_from(u32::from(c)).unwrap_or(b'?'))
        .collect();
    let (low, high) = (wide(u16::to_le_bytes), wide(u16::to_be_bytes));
    let marked = |mark: &[u8], text: &[u8]| [mark, text].concat();
    vec![
        ("utf-16le", vec![low.clone(), marked(b"\xFF\xFE", &low)]),
        ("utf-16be", vec![high.clone(), marked(b"\xFE\xFF", &high)]),
        (
            "windows-1252",
            vec![page.clone(), text.clone().into_bytes()],
        ),
        ("cp437", vec![page]),
    ]
}

/// Numbers and times as people write them.
pub(super) fn notations() -> Vec<Vec<u8>> {
    let rows = [
        "id;price;share;at;ok",
        "1;€ 1.234,50;12.5%;02/01/26 10:00;ja",
        "2;(0,005);0.1 %;31.12.2026 23:59:59;NEIN",
        "3;12,00-;100%;29/03/26 02:30;ja",
        "4;\u{2212}1,5;-1%;25/10/26 02:30;",
        "",
    ];
    vec![rows.join("\n").into()]
}

/// Changes with and without a schema around them.
pub(super) fn changes() -> Vec<Vec<u8>> {
    let bare = r#"{"before":null,"after":{"id":1,"price":"10.50","day":20500,"note":"a"},"op":"r","source":{"lsn":1},"ts_ms":1}
{"before":{"id":1},"after":{"id":1,"price":"11.00","day":20501,"note":null},"op":"u","source":{"lsn":2,"file":"bin.000001","pos":4}}
null
{"before":{"id":1},"after":null,"op":"d","source":{"lsn":3}}
{"status":"BEGIN","id":"7"}
{"op":"t","source":{"lsn":4}}
"#;
    let with_schema = r#"{"schema":{"type":"struct","fields":[{"field":"after","fields":[{"field":"id","type":"int64"},{"field":"price","name":"org.apache.kafka.connect.data.Decimal","parameters":{"scale":"2"}},{"field":"day","name":"io.debezium.time.Date"}]}]},"payload":{"before":null,"after":{"id":2,"price":"BBo=","day":20500,"note":"b"},"op":"c"}}
"#;
    vec![
        bare.into(),
        with_schema.into(),
        format!("{bare}{with_schema}").into(),
    ]
}

/// JSON records, with what stands between them.
pub(super) fn json(records: &str) -> Vec<Vec<u8>> {
    let good = [
        r#"{"id":1,"price":10.00,"day":"2026-03-02","at":"2026-03-02T10:00:00Z","note":"plain","ok":true,"weight":1.5,"items":[{"price":1,"note":"a"},{"price":"2.5","note":[1,{"x":null}]}]}"#,
        r#"{"id":9007199254740993,"price":"0.10","day":null,"at":"2026-03-02 10:00:00","note":"a \"quote\", \\ \u00e9 \ud83d\ude00","ok":false,"weight":-1e-3,"items":[]}"#,
        r#"{"note":{"nested":[1,2,{"x":null}]},"id":3,"items":null}"#,
        r#"{"ok":null,"extra":[[[]]],"id":6,"at":"soon","items":[3,null]}"#,
    ];
    let faulty = [r#"{"id":"4","id":5,"price":NaN}"#, "[1,2]", "", "{}"];
    let (between, first, last) = match records {
        "array" => (",\n", "[", "]"),
        _ => ("\n", "", "\n"),
    };
    let bad = [good, faulty].concat().join(between);
    let good = format!("{first}{}{last}", good.join(between));
    vec![
        good.clone().into(),
        good.replace('\n', "\r\n").into(),
        format!("{first}{bad}{last}").into(),
    ]
}

/// Rows of every type.
fn batch() -> RecordBatch {
    let rows: i64 = 40;
    let texts = (0..rows).map(|row| (row % 7 != 0).then(|| format!("note {}", row % 5)));
    let columns: Vec<(&str, ArrayRef)> = vec![
        ("id", Arc::new(Int64Array::from_iter_values(0..rows))),
        (
            "price",
            Arc::new(
                Decimal128Array::from_iter_values((0..rows).map(|row| i128::from(row) * 25 - 100))
                    .with_precision_and_scale(12, 2)
                    .unwrap(),
            ),
        ),
        (
            "day",
            Arc::new(Date32Array::from_iter_values(
                (0..rows).map(|row| i32::try_from(row).unwrap()),
            )),
        ),
        (
            "at",
            Arc::new(
                TimestampMicrosecondArray::from_iter_values((0..rows).map(|row| row * 1_000_001))
                    .with_timezone("UTC"),
            ),
        ),
        ("note", Arc::new(texts.collect::<StringArray>())),
        (
            "ok",
            Arc::new(
                (0..rows)
                    .map(|row| (row % 3 != 0).then_some(row % 2 == 0))
                    .collect::<BooleanArray>(),
            ),
        ),
        (
            "weight",
            Arc::new(Float64Array::from_iter_values(
                (0..rows).map(|row| f64::from(i32::try_from(row).unwrap()) / 4.0),
            )),
        ),
    ];
    RecordBatch::try_from_iter(columns).unwrap()
}

/// Arrow IPC: a file, a stream, and one that is compressed.
pub(super) fn arrow() -> Vec<Vec<u8>> {
    use arrow_ipc::CompressionType;
    use arrow_ipc::writer::{FileWriter, IpcWriteOptions, StreamWriter};

    let batch = batch();
    let schema = batch.schema();
    let mut file = FileWriter::try_new(Vec::new(), &schema).unwrap();
    file.write(&batch).unwrap();
    file.write(&batch.slice(3, 9)).unwrap();
    file.finish().unwrap();
    let stream = |compression| {
        let options = IpcWriteOptions::default();
        let options = options.try_with_compression(compression).unwrap();
        let stream = StreamWriter::try_new_with_options(Vec::new(), &schema, options);
        let mut stream = stream.unwrap();
        stream.write(&batch).unwrap();
        stream.finish().unwrap();
        stream.into_inner().unwrap()
    };
    vec![
        file.into_inner().unwrap(),
        stream(None),
        stream(Some(CompressionType::ZSTD)),
    ]
}

/// Avro container files.
pub(super) fn avro() -> Vec<Vec<u8>> {
    let batch = batch();
    let schema = batch.schema().as_ref().clone();
    let mut writer = arrow_avro::writer::AvroWriter::new(Vec::new(), schema).unwrap();
    writer.write(&batch).unwrap();
    writer.write(&batch.slice(5, 7)).unwrap();
    writer.finish().unwrap();
    vec![writer.into_inner()]
}

/// Parquet in one row group and in several.
pub(super) fn parquet() -> Vec<Vec<u8>> {
    let batch = batch();
    let written = |group: usize, compression: Compression, dictionary: bool| {
        let properties = WriterProperties::builder()
            .set_max_row_group_row_count(Some(group))
            .set_compression(compression)
            .set_dictionary_enabled(dictionary)
            .build();
        let mut bytes = Vec::new();
        let mut writer =
            ArrowWriter::try_new(&mut bytes, batch.schema(), Some(properties)).unwrap();
        writer.write(&batch).unwrap();
        writer.close().unwrap();
        bytes
    };
    vec![
        written(1000, Compression::UNCOMPRESSED, true),
        written(9, Compression::SNAPPY, false),
        written(1000, Compression::ZSTD(ZstdLevel::default()), true),
    ]
}

/// Small delimited files, compressed in every way that is read.
pub(super) fn compressed() -> Vec<(&'static str, Vec<Vec<u8>>)> {
    let text: String = (0..50)
        .map(|id| format!("{id},{id}.25,note {id}\n"))
        .collect();
    let text = format!("id,price,note\n{text}").into_bytes();
    let gzip = |bytes: &[u8]| {
        let mut writer = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
        writer.write_all(bytes).unwrap();
        writer.finish().unwrap()
    };
    let zstd = |bytes: &[u8]| zstd::encode_all(bytes, 3).unwrap();
    let bzip2 = |bytes: &[u8]| {
        let mut writer = bzip2::write::BzEncoder::new(Vec::new(), bzip2::Compression::fast());
        writer.write_all(bytes).unwrap();
        writer.finish().unwrap()
    };
    let xz = |bytes: &[u8]| {
        let mut writer = liblzma::write::XzEncoder::new(Vec::new(), 1);
        writer.write_all(bytes).unwrap();
        writer.finish().unwrap()
    };
    let (first, second) = text.split_at(100);
    let in_two = |packed: &dyn Fn(&[u8]) -> Vec<u8>| {
        vec![packed(&text), [packed(first), packed(second)].concat()]
    };
    vec![
        ("gzip", in_two(&gzip)),
        ("zstd", in_two(&zstd)),
        ("bzip2", in_two(&bzip2)),
        ("xz", in_two(&xz)),
    ]
}
