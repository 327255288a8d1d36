//! Parquet as others write it: INT96 and every unit of time, dictionaries, decimals of each physical type, columns that are
//! missing or that nobody asked for. Files are written column by column, below Arrow.

use std::fs::{self, File};
use std::path::Path;
use std::process::{Command, Output};
use std::sync::Arc;

use arrow_array::types::Int16Type;
use arrow_array::{
    ArrayRef, BinaryArray, DictionaryArray, LargeStringArray, RecordBatch, StringViewArray,
};
use parquet::arrow::ArrowWriter;
use parquet::basic::Encoding;
use parquet::data_type::{
    ByteArray, ByteArrayType, DataType, DoubleType, FixedLenByteArray, FixedLenByteArrayType,
    Int32Type, Int64Type, Int96, Int96Type,
};
use parquet::file::properties::WriterProperties;
use parquet::file::reader::{FileReader, SerializedFileReader};
use parquet::file::writer::{SerializedFileWriter, SerializedRowGroupWriter};
use parquet::schema::parser::parse_message_type;

const HEAD: &str = r#"format = 1
[job]
name = "case"
output = "out"
max_refused = "100 %"
[sources.sales]
files = { paths = ["input.parquet"] }
parquet = {}
[sinks.rows]
files = { path = "rows" }
csv = {}
[sinks.refused]
from = "refused"
files = { path = "refused" }
csv = {}
columns = { row = "byte", reason = "reason" }
[sources.sales.columns]
"#;

/// Writes a file of one row group; `columns` writes them in order.
fn write(
    place: &Path,
    schema: &str,
    columns: impl FnOnce(&mut SerializedRowGroupWriter<'_, File>),
) {
    let schema = Arc::new(parse_message_type(schema).unwrap());
    let file = File::create(place.join("input.parquet")).unwrap();
    let properties = Arc::new(WriterProperties::builder().build());
    let mut writer = SerializedFileWriter::new(file, schema, properties).unwrap();
    let mut group = writer.next_row_group().unwrap();
    columns(&mut group);
    group.close().unwrap();
    writer.close().unwrap();
}

/// Writes the next column; `None` is null, in an optional column.
fn column<T: DataType>(group: &mut SerializedRowGroupWriter<'_, File>, values: &[Option<T::T>]) {
    let mut column = group.next_column().unwrap().expect("the schema has it");
    let present: Vec<T::T> = values.iter().flatten().cloned().collect();
    let levels: Vec<i16> = values
        .iter()
        .map(|value| i16::from(value.is_some()))
        .collect();
    let levels = (present.len() < values.len()).then_some(&levels[..]);
    let written = column
        .typed::<T>()
        .write_batch(&present, levels, None)
        .unwrap();
    assert_eq!(written, present.len());
    column.close().unwrap();
}

fn some<T: Clone>(values: &[T]) -> Vec<Option<T>> {
    values.iter().cloned().map(Some).collect()
}

fn run(place: &Path, columns: &str) -> Output {
    run_job(place, &format!("{HEAD}{columns}"))
}

fn run_job(place: &Path, job: &str) -> Output {
    fs::write(place.join("job.toml"), job).unwrap();
    Command::new("timeout")
        .args(["60", env!("CARGO_BIN_EXE_caudal")])
        .args(["run", "job.toml", "--json", "--quiet", "-w", "2"])
        .current_dir(place)
        .output()
        .unwrap()
}

/// The lines of a sink, header first.
fn lines(output: &Output, place: &Path, sink: &str) -> Vec<String> {
    let told = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(0), "{told}");
    let mut lines = Vec::new();
    for file in super::tables::visible_files(&place.join("out").join(sink)) {
        let text = fs::read_to_string(file).unwrap();
        let header = usize::from(!lines.is_empty());
        lines.extend(text.lines().skip(header).map(str::to_owned));
    }
    lines[1..].sort();
    lines
}

/// A time as INT96 has it: nanoseconds of a Julian day.
fn int96(days_since_1970: i64, nanos: u64) -> Int96 {
    let day = u32::try_from(days_since_1970 + 2_440_588).unwrap();
    let mut value = Int96::new();
    let low = u32::try_from(nanos & 0xFFFF_FFFF).unwrap();
    value.set_data(low, u32::try_from(nanos >> 32).unwrap(), day);
    value
}

const HOUR: u64 = 3_600_000_000_000;

#[test]
fn int96_is_a_time_or_a_refused_row() {
    let place = tempfile::tempdir().unwrap();
    let schema = "message m { required int32 id; optional int96 ts; }";
    let times = [
        Some(int96(0, 0)),
        // 2026-03-14.
        Some(int96(20_526, 10 * HOUR + 123_456_000)),
        None,
        Some(int96(-1, 23 * HOUR)),
        // 9999-12-31 and 1600-01-01, as some writers mark "for ever" and "never": beyond 64 bits of nanoseconds.
        Some(int96(2_932_896, 12 * HOUR)),
        Some(int96(-135_140, 0)),
        // A nanosecond that microseconds can't hold, in our days and in the year 9999.
        Some(int96(20_526, 1)),
        Some(int96(2_932_896, 1)),
        // The last day that INT96 can name, which no timestamp holds.
        Some(int96(i64::from(i32::MAX) - 2_440_588, 0)),
        // 75039-04-04: 125 times 2^64 nanoseconds, which 64 bits take for 1970.
        Some(int96(26_687_997, 68_413_693_952_000)),
    ];
    write(place.path(), schema, |group| {
        column::<Int32Type>(group, &some(&[1, 2, 3, 4, 5, 6, 7, 8, 9, 10]));
        column::<Int96Type>(group, &times);
    });
    let output = run(
        place.path(),
        "id = \"int not null\"\nts = { type = \"timestamp\", min = \"0001-01-01\" }\n",
    );
    assert_eq!(
        lines(&output, place.path(), "rows"),
        [
            "id,ts",
            "1,1970-01-01T00:00:00.000Z",
            "10,+75039-04-04T19:00:13.693952Z",
            "2,2026-03-14T10:00:00.123456Z",
            "3,",
            "4,1969-12-31T23:00:00.000Z",
            "5,9999-12-31T12:00:00.000Z",
            "6,1600-01-01T00:00:00.000Z",
        ]
    );
    assert_eq!(
        lines(&output, place.path(), "refused"),
        [
            "row,reason",
            "6,scale_loss",
            "7,scale_loss",
            "8,bad_timestamp"
        ]
    );
}

#[test]
fn every_unit_of_time_is_the_same_time() {
    let place = tempfile::tempdir().unwrap();
    let schema = "message m {
        required int64 ms (TIMESTAMP(MILLIS,true));
        required int64 us (TIMESTAMP(MICROS,true));
        required int64 ns (TIMESTAMP(NANOS,true));
        required int64 local (TIMESTAMP(MILLIS,false));
        required int64 old_ms (TIMESTAMP_MILLIS);
        required int64 seconds;
        required int32 day (DATE);
    }";
    // 2026-03-14T10:00:00.250Z, and a moment before 1970.
    let millis = [1_773_482_400_250, -1];
    let times = |unit: i64| some(&millis.map(|time| time * unit));
    write(place.path(), schema, |group| {
        column::<Int64Type>(group, &times(1));
        column::<Int64Type>(group, &times(1000));
        column::<Int64Type>(group, &times(1_000_000));
        column::<Int64Type>(group, &times(1));
        column::<Int64Type>(group, &times(1));
        column::<Int64Type>(group, &some(&[1_773_482_400, 0]));
        column::<Int32Type>(group, &some(&[20_526, -1]));
    });
    // A number of seconds is a time where the job says so: Parquet has no such type. The third time has a zone of its own.
    let columns = r#"
        ms = { type = "timestamp", min = "0001-01-01" }
        us = { type = "timestamp", min = "0001-01-01" }
        ns = { type = "timestamp", min = "0001-01-01" }
        local = { type = "timestamp", min = "0001-01-01", time_zone = "Europe/Madrid" }
        old_ms = { type = "timestamp", min = "0001-01-01" }
        seconds = { type = "timestamp", min = "0001-01-01", unit = "seconds" }
        day = "date"
    "#;
    let output = run(place.path(), columns);
    let (new, old) = ("2026-03-14T10:00:00.250Z", "1969-12-31T23:59:59.999Z");
    let (new_local, old_local) = ("2026-03-14T09:00:00.250Z", "1969-12-31T22:59:59.999Z");
    assert_eq!(
        lines(&output, place.path(), "rows"),
        [
            "ms,us,ns,local,old_ms,seconds,day".to_owned(),
            format!("{old},{old},{old},{old_local},{old},1970-01-01T00:00:00.000Z,1969-12-31"),
            format!("{new},{new},{new},{new_local},{new},2026-03-14T10:00:00.000Z,2026-03-14"),
        ]
    );
}

#[test]
fn decimals_of_every_physical_type_are_exact() {
    let place = tempfile::tempdir().unwrap();
    let schema = "message m {
        required int32 small (DECIMAL(9,2));
        required int64 middle (DECIMAL(18,4));
        required fixed_len_byte_array(16) wide (DECIMAL(38,6));
        required fixed_len_byte_array(3) short (DECIMAL(6,2));
        required binary bytes (DECIMAL(20,1));
        required int64 finer (DECIMAL(18,4));
    }";
    let wide = [10_i128.pow(38) - 1, -1];
    let fixed = |bytes: &[u8]| FixedLenByteArray::from(bytes.to_vec());
    write(place.path(), schema, |group| {
        column::<Int32Type>(group, &some(&[999_999_999, -1]));
        column::<Int64Type>(group, &some(&[999_999_999_999_999_999, -1]));
        column::<FixedLenByteArrayType>(
            group,
            &some(&wide.map(|units| fixed(&units.to_be_bytes()))),
        );
        // Three bytes of two's complement: 1234.56, −0.01.
        column::<FixedLenByteArrayType>(
            group,
            &some(&[fixed(&[0x01, 0xE2, 0x40]), fixed(&[0xFF; 3])]),
        );
        column::<ByteArrayType>(
            group,
            &some(&[ByteArray::from(vec![0x0C]), ByteArray::from(vec![0xFF])]),
        );
        // 1.2500 is a decimal of two places, 0.0001 is not.
        column::<Int64Type>(group, &some(&[12_500, 1]));
    });
    let columns = "small = \"decimal(9,2)\"\nmiddle = \"decimal(20,4)\"\nwide = \"decimal(38,6)\"
        short = \"decimal(12,2)\"\nbytes = \"decimal(20,1)\"\nfiner = { type = \"decimal(18,2)\", on_bad = \"null\" }\n";
    let output = run(place.path(), columns);
    let nines = "9".repeat(32);
    assert_eq!(
        lines(&output, place.path(), "rows"),
        [
            "small,middle,wide,short,bytes,finer".to_owned(),
            "-0.01,-0.0001,-0.000001,-0.01,-0.1,".to_owned(),
            format!("9999999.99,99999999999999.9999,{nines}.999999,1234.56,1.2,1.25"),
        ]
    );
}

#[test]
fn dictionaries_and_columns_nobody_asked_for() {
    let place = tempfile::tempdir().unwrap();
    let schema = "message m {
        required binary nobody_asked (UTF8);
        optional binary region (UTF8);
        required group nested { required int32 inner; }
        required int32 id;
    }";
    let names = ["ES", "FR", "ñandú"].map(|name| Some(ByteArray::from(name)));
    let regions: Vec<Option<ByteArray>> = (0..3000)
        .map(|row| names.get(row % 4).cloned().flatten())
        .collect();
    let ids: Vec<i32> = (0..3000).collect();
    write(place.path(), schema, |group| {
        column::<ByteArrayType>(group, &some(&vec![ByteArray::from("x"); 3000]));
        column::<ByteArrayType>(group, &regions);
        column::<Int32Type>(group, &some(&ids));
        column::<Int32Type>(group, &some(&ids));
    });
    let file = SerializedFileReader::new(File::open(place.path().join("input.parquet")).unwrap());
    let file = file.unwrap();
    let encodings = file.metadata().row_group(0).column(1).encodings();
    let encodings: Vec<Encoding> = encodings.collect();
    assert!(
        encodings.contains(&Encoding::RLE_DICTIONARY),
        "the file has a dictionary: {encodings:?}"
    );
    let output = run(
        place.path(),
        "id = \"int not null\"\nregion = \"varchar\"\n",
    );
    let mut expected: Vec<String> = (0..3000)
        .map(|row| format!("{row},{}", ["ES", "FR", "ñandú", ""][row % 4]))
        .collect();
    expected.sort();
    expected.insert(0, "id,region".to_owned());
    assert_eq!(lines(&output, place.path(), "rows"), expected);
}

#[test]
fn a_missing_column_refuses_the_file_unless_it_is_optional() {
    let place = tempfile::tempdir().unwrap();
    write(
        place.path(),
        "message m { required int32 id; required int32 quantitty; }",
        |group| {
            column::<Int32Type>(group, &some(&[1]));
            column::<Int32Type>(group, &some(&[1]));
        },
    );
    fs::copy(
        place.path().join("input.parquet"),
        place.path().join("again.parquet"),
    )
    .unwrap();
    let output = run(place.path(), "id = \"int\"\nquantity = \"int\"\n");
    let told = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(3), "{told}");
    for piece in ["input.parquet", "quantity", "\"quantitty\""] {
        assert!(told.contains(piece), "{piece:?} is not in:\n{told}");
    }
    assert!(super::tables::visible_files(&place.path().join("out")).is_empty());

    let head = HEAD.replace("\"input.parquet\"", "\"input.parquet\", \"again.parquet\"");
    let output = run_job(
        place.path(),
        &format!("{head}id = \"int\"\nquantity = {{ type = \"int\", optional = true }}\n"),
    );
    assert_eq!(
        lines(&output, place.path(), "rows"),
        ["id,quantity", "1,", "1,"]
    );
    let told = String::from_utf8_lossy(&output.stderr);
    let warning = "warning: sources.sales: column \"quantity\" is not in input.parquet: its rows have null there (\"quantitty\" is near; a column's name in the file is its `header`)";
    assert_eq!(
        told.lines().collect::<Vec<_>>(),
        [warning],
        "told once for two files"
    );
}

#[test]
fn a_refused_row_has_its_number_and_its_values_as_json() {
    let place = tempfile::tempdir().unwrap();
    write(
        place.path(),
        "message m { required int32 id; optional double price; required binary other (UTF8); }",
        |group| {
            column::<Int32Type>(group, &some(&[1, 2, 3]));
            column::<DoubleType>(group, &[Some(0.5), None, Some(0.125)]);
            column::<ByteArrayType>(group, &some(&["a", "b", "c"].map(ByteArray::from)));
        },
    );
    let head = HEAD.replace(
        "columns = { row = \"byte\", reason = \"reason\" }",
        "columns = { file = \"file\", line = \"line\", row = \"byte\", reason = \"reason\", raw = \"raw\", price = \"rows.price\" }",
    );
    let columns = "id = \"int\"\nprice = \"decimal(6,2) not null\"\n";
    let output = run_job(place.path(), &format!("{head}{columns}"));
    assert_eq!(lines(&output, place.path(), "rows"), ["id,price", "1,0.50"]);
    assert_eq!(
        lines(&output, place.path(), "refused"),
        [
            "file,line,row,reason,raw,price",
            r#"input.parquet,0,1,missing_value,"{""id"":2,""price"":null}","#,
            r#"input.parquet,0,2,scale_loss,"{""id"":3,""price"":0.125}",0.125"#,
        ]
    );
}

/// The header of a column's first page overwritten: the footer stays whole.
fn spoil_a_page(place: &Path) {
    let path = place.join("input.parquet");
    let file = SerializedFileReader::new(File::open(&path).unwrap()).unwrap();
    let (start, _) = file.metadata().row_group(0).column(0).byte_range();
    let start = usize::try_from(start).unwrap();
    let mut bytes = fs::read(&path).unwrap();
    bytes[start..start + 8].fill(0xFF);
    fs::write(&path, bytes).unwrap();
}

/// A name, and what is done to the file of a folder.
type Spoil = (&'static str, fn(&Path));

#[test]
fn a_broken_file_stops_the_run_or_is_refused_as_one_row() {
    let place = tempfile::tempdir().unwrap();
    let write_good = || {
        write(place.path(), "message m { required int32 id; }", |group| {
            column::<Int32Type>(group, &some(&(0..50_000).collect::<Vec<_>>()));
        });
    };
    write_good();
    fs::copy(
        place.path().join("input.parquet"),
        place.path().join("whole.parquet"),
    )
    .unwrap();
    let breaks: [Spoil; 4] = [
        ("a spoilt page", spoil_a_page),
        ("a footer cut off", |place| {
            let file = fs::OpenOptions::new()
                .write(true)
                .open(place.join("input.parquet"));
            let file = file.unwrap();
            file.set_len(file.metadata().unwrap().len() - 5).unwrap();
        }),
        ("a column that is missing", |place| {
            write(place, "message m { required int32 di; }", |group| {
                column::<Int32Type>(group, &some(&[1]));
            });
        }),
        ("an empty file", |place| {
            fs::write(place.join("input.parquet"), "").unwrap();
        }),
    ];
    let columns = "id = \"int not null\"\n";
    let two = HEAD.replace("\"input.parquet\"", "\"input.parquet\", \"whole.parquet\"");
    for (what, spoil) in breaks {
        write_good();
        spoil(place.path());
        let output = run_job(place.path(), &format!("{two}{columns}"));
        let told = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(3), "{what}: {told}");
        assert!(told.contains("input.parquet"), "{what}: {told}");
        assert!(told.contains("on_bad_file = \"refuse\""), "{what}: {told}");
        assert!(super::tables::visible_files(&place.path().join("out")).is_empty());

        let job = format!("{two}{columns}").replace("[job]", "[job]\non_bad_file = \"refuse\"");
        let output = run_job(place.path(), &job);
        let refused = lines(&output, place.path(), "refused");
        assert_eq!(
            refused.len(),
            2,
            "{what}: one row stands for the file: {refused:?}"
        );
        assert_eq!(lines(&output, place.path(), "rows").len(), 50_001, "{what}");
        fs::remove_dir_all(place.path().join("out")).unwrap();
    }
}

#[test]
fn a_limit_takes_so_many_rows_of_a_row_group() {
    let place = tempfile::tempdir().unwrap();
    write(place.path(), "message m { required int32 id; }", |group| {
        column::<Int32Type>(group, &some(&(0..1_500_000).collect::<Vec<_>>()));
    });
    fs::write(
        place.path().join("job.toml"),
        format!("{HEAD}id = \"int not null\"\n"),
    )
    .unwrap();
    for limit in [1, 40_000, 1_200_000, 2_000_000] {
        let output = Command::new("timeout")
            .args([
                "60",
                env!("CARGO_BIN_EXE_caudal"),
                "run",
                "job.toml",
                "--json",
                "--quiet",
            ])
            .args(["-w", "2", "--limit", &limit.to_string()])
            .current_dir(place.path())
            .output()
            .unwrap();
        let told = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(0), "{told}");
        let mut ids: Vec<i32> = Vec::new();
        for file in super::tables::visible_files(&place.path().join("out/rows")) {
            let text = fs::read_to_string(file).unwrap();
            ids.extend(text.lines().skip(1).map(|id| id.parse::<i32>().unwrap()));
        }
        ids.sort_unstable();
        assert!(ids.into_iter().eq(0..limit.min(1_500_000)), "{limit}");
    }
}

#[test]
fn texts_of_every_arrow_type_are_texts() {
    let place = tempfile::tempdir().unwrap();
    let texts = ["a", "ñandú and more than twelve bytes", ""];
    let batch = RecordBatch::try_from_iter([
        (
            "large",
            Arc::new(LargeStringArray::from(texts.to_vec())) as ArrayRef,
        ),
        ("view", Arc::new(StringViewArray::from(texts.to_vec()))),
        ("bytes", Arc::new(BinaryArray::from_iter_values(texts))),
        (
            "codes",
            Arc::new(
                texts
                    .iter()
                    .copied()
                    .collect::<DictionaryArray<Int16Type>>(),
            ),
        ),
    ])
    .unwrap();
    let file = File::create(place.path().join("input.parquet")).unwrap();
    let mut writer = ArrowWriter::try_new(file, batch.schema(), None).unwrap();
    writer.write(&batch).unwrap();
    writer.close().unwrap();
    let columns =
        ["large", "view", "bytes", "codes"].map(|name| format!("{name} = \"varchar not null\"\n"));
    let output = run(place.path(), &columns.concat());
    let expected = texts.map(|text| [if text.is_empty() { "\"\"" } else { text }; 4].join(","));
    let [first, second, third] = expected;
    assert_eq!(
        lines(&output, place.path(), "rows"),
        ["large,view,bytes,codes".to_owned(), third, first, second]
    );
}
