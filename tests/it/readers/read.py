"""What DuckDB and pyarrow find in a folder of Parquet files, as one JSON document: `read.py FOLDER QUERY`.

`FOLDER` stands in the query as `rows`. Every value comes as text; times as microseconds since 1970.
"""

import datetime
import decimal
import json
import sys

import duckdb
import pyarrow as pa
import pyarrow.dataset as ds
import pyarrow.parquet as pq

EPOCH = datetime.datetime(1970, 1, 1, tzinfo=datetime.timezone.utc)


def plain(table):
    columns = []
    for column in table.columns:
        if pa.types.is_timestamp(column.type):
            column = column.cast(pa.int64())
        columns.append([None if value is None else str(value) for value in column.to_pylist()])
    return [list(row) for row in zip(*columns)]


def by_duckdb(folder, query):
    connection = duckdb.connect()
    connection.execute("set TimeZone = 'UTC'")
    connection.execute(
        "create view rows as select * from read_parquet(?, hive_partitioning = true, hive_types_autocast = false)"
        .replace("?", "'%s/**/*.parquet'" % folder)
    )
    types = {name: kind for name, kind, *_ in connection.execute("describe rows").fetchall()}
    times = [name for name, kind in types.items() if kind.startswith("TIMESTAMP")]
    replaced = ", ".join('epoch_us("%s") as "%s"' % (name, name) for name in times)
    connection.execute(
        "create view plain as select *%s from rows" % (" replace (%s)" % replaced if replaced else "")
    )
    found = connection.execute("select columns(*)::varchar from (%s)" % query.replace("rows", "plain")).fetchall()
    return {"types": types, "rows": [list(row) for row in found]}


def by_pyarrow(folder):
    dataset = ds.dataset(folder, format="parquet", partitioning="hive")
    table = dataset.to_table()
    return {
        "types": {field.name: str(field.type) for field in table.schema},
        "nullable": {field.name: field.nullable for field in table.schema},
        "rows": plain(table),
        "negative": {
            field.name: dataset.count_rows(filter=ds.field(field.name) < pa.scalar(decimal.Decimal("0.00"), field.type))
            for field in table.schema
            if pa.types.is_decimal(field.type)
        },
        "files": len(dataset.files),
    }


def footers(folder):
    found = []
    for path in ds.dataset(folder, format="parquet", partitioning="hive").files:
        metadata = pq.ParquetFile(path).metadata
        for group in range(metadata.num_row_groups):
            for place in range(metadata.num_columns):
                column = metadata.row_group(group).column(place)
                kind = metadata.schema.column(place)
                statistics = column.statistics
                found.append({
                    "column": column.path_in_schema,
                    "physical": column.physical_type,
                    "logical": str(kind.logical_type),
                    "optional": kind.max_definition_level == 1,
                    "min": str(statistics.min) if statistics and statistics.has_min_max else None,
                    "max": str(statistics.max) if statistics and statistics.has_min_max else None,
                })
    return found


folder, query = sys.argv[1:]
print(json.dumps({"duckdb": by_duckdb(folder, query), "pyarrow": by_pyarrow(folder), "footers": footers(folder)}))
