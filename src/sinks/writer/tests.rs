//! Staged files read back, by the Parquet crate's own reader.

use std::collections::BTreeMap;

use ::parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use ::parquet::basic::{Compression as Codec, LogicalType, Type};
use arrow_array::{
    BooleanArray, Date32Array, Decimal128Array, DictionaryArray, Float64Array, Int16Array,
    Int32Array, Int64Array, StringArray, TimestampMicrosecondArray,
};

use super::*;
use crate::job::plan::{Compression, SinkFrom, timestamp_type};

fn plan(format: SinkFormat, partition_by: Vec<usize>) -> SinkPlan {
    SinkPlan {
        delta: None,
        name: "enriched".to_owned(),
        from: SinkFrom::Rows,
        to: SinkTo::Files {
            path: "enriched".into(),
            partition_by,
        },
        format,
        columns: Vec::new(),
    }
}

fn parquet(partition_by: Vec<usize>) -> SinkPlan {
    plan(SinkFormat::Parquet(Compression::Zstd), partition_by)
}

fn batch(columns: Vec<(&str, ArrayRef)>) -> RecordBatch {
    let columns = columns.into_iter().map(|(name, array)| (name, array, true));
    RecordBatch::try_from_iter_with_nullable(columns).unwrap()
}

/// The logical schema of a batch: text is `Utf8` whatever its encoding.
fn logical(batch: &RecordBatch) -> SchemaRef {
    let schema = batch.schema();
    let fields = schema.fields().iter().map(|field| match field.data_type() {
        DataType::Dictionary(_, _) => Field::new(field.name(), DataType::Utf8, true),
        _ => field.as_ref().clone(),
    });
    Arc::new(Schema::new(fields.collect::<Vec<_>>()))
}

fn read(path: &Path) -> Vec<RecordBatch> {
    let builder = ParquetRecordBatchReaderBuilder::try_new(fs::File::open(path).unwrap()).unwrap();
    builder
        .with_batch_size(1 << 20)
        .build()
        .unwrap()
        .map(Result::unwrap)
        .collect()
}

/// Writes the batches and gives back all rows of each folder.
fn round_trip(
    plan: &SinkPlan,
    batches: &[RecordBatch],
    memory: usize,
) -> BTreeMap<String, Vec<RecordBatch>> {
    let stage = tempfile::tempdir().unwrap();
    let mut writer = SinkWriter::new(plan, &logical(&batches[0]), stage.path(), 3)
        .unwrap()
        .with_memory(memory);
    for batch in batches {
        writer.write(batch).unwrap();
        assert!(
            writer.held_bytes() <= memory + (4 << 20),
            "{} bytes held",
            writer.held_bytes()
        );
    }
    let mut rows: BTreeMap<String, Vec<RecordBatch>> = BTreeMap::new();
    for file in writer.finish().unwrap() {
        let path = staged_folder(stage.path(), &file.sink).join(&file.path);
        assert_eq!(fs::metadata(&path).unwrap().len(), file.bytes);
        let batches = read(&path);
        assert_eq!(
            batches.iter().map(RecordBatch::num_rows).sum::<usize>(),
            usize::try_from(file.rows).unwrap()
        );
        let folder = file
            .path
            .rsplit_once('/')
            .map_or(String::new(), |(folder, _)| folder.to_owned());
        rows.entry(folder).or_default().extend(batches);
    }
    rows
}

fn numbers(batches: &[RecordBatch]) -> Vec<Option<i64>> {
    batches
        .iter()
        .flat_map(|batch| {
            batch
                .column(0)
                .as_primitive::<arrow_array::types::Int64Type>()
                .iter()
                .collect::<Vec<_>>()
        })
        .collect()
}

fn texts(batches: &[RecordBatch], column: usize) -> Vec<Option<String>> {
    let texts = |batch: &RecordBatch| -> Vec<Option<String>> {
        batch
            .column(column)
            .as_string::<i32>()
            .iter()
            .map(|text| text.map(str::to_owned))
            .collect()
    };
    batches.iter().flat_map(texts).collect()
}

fn every_type(rows: i32) -> RecordBatch {
    let some = |row: &i32| row % 7 != 3;
    let rows: Vec<i32> = (0..rows).collect();
    let each = |f: &dyn Fn(i32) -> i64| {
        rows.iter()
            .map(|row| some(row).then(|| f(*row)))
            .collect::<Vec<_>>()
    };
    let wide = |row: i32| i64::from(row) * 1_000_003 - 5_000_000_000;
    let decimal = |precision, scale, factor: i128| {
        let values = rows
            .iter()
            .map(|row| some(row).then(|| i128::from(*row - 50) * factor));
        Decimal128Array::from_iter(values)
            .with_precision_and_scale(precision, scale)
            .unwrap()
    };
    let word = |row: &i32| some(row).then(|| format!("word {}", row % 5));
    batch(vec![
        ("id", Arc::new(Int64Array::from(each(&wide)))),
        (
            "small",
            Arc::new(Int16Array::from_iter(
                rows.iter().map(|row| some(row).then_some(-1_i16)),
            )),
        ),
        (
            "int",
            Arc::new(Int32Array::from_iter(
                rows.iter().map(|row| some(row).then(|| i32::MAX - row)),
            )),
        ),
        (
            "day",
            Arc::new(Date32Array::from_iter(
                rows.iter().map(|row| some(row).then_some(20_526 - row)),
            )),
        ),
        (
            "ts",
            Arc::new(TimestampMicrosecondArray::from(each(&wide)).with_data_type(timestamp_type())),
        ),
        ("price", Arc::new(decimal(9, 2, 3))),
        ("amount", Arc::new(decimal(18, 6, 1_000_000_007))),
        ("total", Arc::new(decimal(38, 10, 10_i128.pow(30)))),
        (
            "ok",
            Arc::new(BooleanArray::from_iter(
                rows.iter().map(|row| some(row).then_some(row % 2 == 0)),
            )),
        ),
        (
            "ratio",
            Arc::new(Float64Array::from_iter(
                rows.iter()
                    .map(|row| some(row).then(|| f64::from(*row) / 3.0)),
            )),
        ),
        (
            "text",
            Arc::new(StringArray::from_iter(rows.iter().map(word))),
        ),
        (
            "unique",
            Arc::new(StringArray::from_iter(
                rows.iter()
                    .map(|row| some(row).then(|| format!("{row:x}-é"))),
            )),
        ),
    ])
}

#[test]
fn every_type_reads_back_as_it_was() {
    for compression in [Compression::Zstd, Compression::Snappy, Compression::None] {
        for rows in [1, 20, 50_000] {
            let batch = every_type(rows);
            let plan = plan(SinkFormat::Parquet(compression), Vec::new());
            let files = round_trip(&plan, std::slice::from_ref(&batch), MEMORY_BYTES);
            assert_eq!(files[""].len(), 1);
            for (read, written) in files[""][0].columns().iter().zip(batch.columns()) {
                assert_eq!(read, written);
            }
        }
    }
}

#[test]
fn parquet_types_are_those_that_every_reader_knows() {
    let stage = tempfile::tempdir().unwrap();
    let batch = every_type(100);
    let mut writer =
        SinkWriter::new(&parquet(Vec::new()), &logical(&batch), stage.path(), 0).unwrap();
    writer.write(&batch).unwrap();
    let files = writer.finish().unwrap();
    let path = staged_folder(stage.path(), "enriched").join(&files[0].path);
    let builder = ParquetRecordBatchReaderBuilder::try_new(fs::File::open(path).unwrap()).unwrap();
    let metadata = builder.metadata();
    assert!(metadata.file_metadata().key_value_metadata().is_none());
    let columns = metadata.row_group(0).columns();
    let physical: Vec<Type> = columns
        .iter()
        .map(parquet::file::metadata::ColumnChunkMetaData::column_type)
        .collect();
    let (i32, i64) = (Type::INT32, Type::INT64);
    let rest = [
        Type::FIXED_LEN_BYTE_ARRAY,
        Type::BOOLEAN,
        Type::DOUBLE,
        Type::BYTE_ARRAY,
        Type::BYTE_ARRAY,
    ];
    assert_eq!(physical[..7], [i64, i32, i32, i32, i64, i32, i64]);
    assert_eq!(physical[7..], rest);
    let logical = columns[4].column_descr().logical_type_ref();
    assert!(
        matches!(logical, Some(LogicalType::Timestamp(ts)) if ts.is_adjusted_to_u_t_c),
        "{logical:?}"
    );
    for column in columns {
        assert!(matches!(column.compression(), Codec::ZSTD(_)));
        assert_eq!(column.statistics().unwrap().null_count_opt(), Some(14));
    }
}

#[test]
fn plain_and_coded_text_mix_in_one_file() {
    let coded = |texts: &[Option<&str>]| -> ArrayRef {
        let array: DictionaryArray<Int32Type> = texts.iter().copied().collect();
        Arc::new(array)
    };
    let first = batch(vec![(
        "t",
        coded(&[Some("web"), None, Some("store"), Some("web")]),
    )]);
    let second = batch(vec![(
        "t",
        Arc::new(StringArray::from(vec![Some("app"), Some("web"), None])),
    )]);
    let third = batch(vec![("t", coded(&[Some("app"), Some("")]))]);
    let unused = first.slice(1, 1);
    let files = round_trip(
        &parquet(Vec::new()),
        &[first, second, third, unused],
        MEMORY_BYTES,
    );
    let expected = [
        Some("web"),
        None,
        Some("store"),
        Some("web"),
        Some("app"),
        Some("web"),
        None,
        Some("app"),
        Some(""),
        None,
    ];
    assert_eq!(
        texts(&files[""], 0),
        expected.map(|text| text.map(str::to_owned))
    );
}

/// `rows` rows from `first` on, spread over `partitions` partitions.
fn spread(first: i64, rows: i64, partitions: i64) -> RecordBatch {
    let ids = Int64Array::from_iter_values(first..first + rows);
    let notes = StringArray::from_iter_values((first..first + rows).map(|id| format!("note {id}")));
    let stores =
        Int64Array::from_iter_values((first..first + rows).map(|id| id * 7919 % partitions));
    batch(vec![
        ("id", Arc::new(ids)),
        ("store", Arc::new(stores)),
        ("note", Arc::new(notes)),
    ])
}

fn check_spread(files: &BTreeMap<String, Vec<RecordBatch>>, rows: i64, partitions: i64) {
    let mut seen = 0;
    for (folder, batches) in files {
        let store: i64 = folder.strip_prefix("store=").unwrap().parse().unwrap();
        let ids: Vec<i64> = numbers(batches).into_iter().flatten().collect();
        assert!(
            ids.iter().all(|id| id * 7919 % partitions == store),
            "{folder}"
        );
        assert_eq!(
            texts(batches, 1),
            ids.iter()
                .map(|id| Some(format!("note {id}")))
                .collect::<Vec<_>>()
        );
        let mut ids = ids;
        ids.sort_unstable();
        ids.dedup();
        seen += i64::try_from(ids.len()).unwrap();
    }
    assert_eq!(seen, rows);
}

#[test]
fn few_partitions_get_one_file_each() {
    let batches: Vec<_> = (0..8)
        .map(|part| spread(part * 10_000, 10_000, 6))
        .collect();
    let files = round_trip(&parquet(vec![1]), &batches, MEMORY_BYTES);
    assert_eq!(files.len(), 6);
    check_spread(&files, 80_000, 6);
}

#[test]
fn many_partitions_keep_every_row_within_little_memory() {
    let batches: Vec<_> = (0..20)
        .map(|part| spread(part * 5000, 5000, 3001))
        .collect();
    let files = round_trip(&parquet(vec![1]), &batches, 3 << 20);
    assert_eq!(files.len(), 3001);
    check_spread(&files, 100_000, 3001);
}

#[test]
fn more_open_partitions_than_files_keep_every_row() {
    let batches: Vec<_> = (0..10)
        .map(|part| spread(part * 100_000, 100_000, 50))
        .collect();
    let files = round_trip(
        &plan(SinkFormat::Parquet(Compression::Snappy), vec![1]),
        &batches,
        MEMORY_BYTES,
    );
    check_spread(&files, 1_000_000, 50);
}

#[test]
fn null_partitions_are_hives_and_partition_columns_stand_in_the_path_only() {
    let zones: ArrayRef = Arc::new(StringArray::from(vec![Some("a=b"), None, Some("a=b")]));
    let days: ArrayRef = Arc::new(Date32Array::from(vec![20_526; 3]));
    let ids: ArrayRef = Arc::new(Int64Array::from(vec![1, 2, 3]));
    let rows = batch(vec![("zone", zones), ("id", ids), ("date", days)]);
    let files = round_trip(&parquet(vec![0, 2]), &[rows], MEMORY_BYTES);
    let folders: Vec<&str> = files.keys().map(String::as_str).collect();
    assert_eq!(
        folders,
        [
            "zone=__HIVE_DEFAULT_PARTITION__/date=2026-03-14",
            "zone=a%3Db/date=2026-03-14"
        ]
    );
    assert_eq!(
        numbers(&files["zone=a%3Db/date=2026-03-14"]),
        [Some(1), Some(3)]
    );
    assert_eq!(files["zone=a%3Db/date=2026-03-14"][0].num_columns(), 1);
}

#[test]
fn no_rows_give_no_file_but_one_can_be_asked_for() {
    let stage = tempfile::tempdir().unwrap();
    let rows = every_type(3);
    let mut writer = SinkWriter::new(&parquet(vec![3]), &logical(&rows), stage.path(), 0).unwrap();
    writer.write(&rows.slice(0, 0)).unwrap();
    assert_eq!(writer.finish().unwrap(), []);
    let file = write_empty(&parquet(vec![3]), &logical(&rows), stage.path()).unwrap();
    assert_eq!(
        (file.rows, file.path.as_str()),
        (0, "day=__HIVE_DEFAULT_PARTITION__/part-0-0.parquet")
    );
    let path = staged_folder(stage.path(), "enriched").join(&file.path);
    let builder = ParquetRecordBatchReaderBuilder::try_new(fs::File::open(path).unwrap()).unwrap();
    assert_eq!(builder.schema().fields().len(), 11);
}

#[test]
fn text_formats_are_partitioned_as_well() {
    let stage = tempfile::tempdir().unwrap();
    let rows = spread(0, 6, 2);
    let plan = plan(SinkFormat::Csv { delimiter: b',' }, vec![1]);
    let mut writer = SinkWriter::new(&plan, &logical(&rows), stage.path(), 0).unwrap();
    writer.write(&rows).unwrap();
    let files = writer.finish().unwrap();
    assert_eq!(
        files
            .iter()
            .map(|file| file.path.as_str())
            .collect::<Vec<_>>(),
        ["store=0/part-0-0.csv", "store=1/part-0-0.csv"]
    );
    let text =
        fs::read_to_string(staged_folder(stage.path(), "enriched").join(&files[0].path)).unwrap();
    assert_eq!(text, "id,note\n0,note 0\n2,note 2\n4,note 4\n");
}

#[test]
fn what_expressions_give_is_brought_to_the_types_of_the_job_file() {
    let rows = batch(vec![(
        "n",
        Arc::new(arrow_array::UInt32Array::from(vec![u32::MAX])),
    )]);
    let files = round_trip(&parquet(Vec::new()), &[rows], MEMORY_BYTES);
    assert_eq!(numbers(&files[""]), [Some(i64::from(u32::MAX))]);
    let list = Field::new("l", DataType::Binary, true);
    let refused = SinkWriter::new(
        &parquet(Vec::new()),
        &Arc::new(Schema::new(vec![list])),
        Path::new("x"),
        0,
    );
    assert!(matches!(refused, Err(SinkError::Type { .. })));
    let only = Field::new("k", DataType::Int64, true);
    let refused = SinkWriter::new(
        &parquet(vec![0]),
        &Arc::new(Schema::new(vec![only])),
        Path::new("x"),
        0,
    );
    assert!(matches!(refused, Err(SinkError::NoColumns { .. })));
}
