"""Reads the files of a job's first source with DuckDB or Polars, into the types that the job gives its columns.

    python read.py duckdb|polars JOB

Prints rows and seconds as JSON, or why the tool can't. Values that can't be read become nulls or lose their row, as the tool has
it: only whole files that fail count as failures. The tool's import is not timed; the file is in the page cache.
"""

import glob
import json
import os
import re
import sys
import time
import tomllib


def expand(text):
    """Puts in variables, as caudal does: ${NAME} and ${NAME:-default}."""
    return re.sub(r"\$\{(\w+)(?::-([^}]*))?\}", lambda m: os.environ.get(m[1], m[2]), text)


def source(job):
    """Files, options of CSV (None: Parquet) and columns: (name in the file, type, options)."""
    with open(job, "rb") as file:
        spec = next(iter(tomllib.load(file)["sources"].values()))
    files = [name for path in spec["files"]["paths"] for name in sorted(glob.glob(expand(path)))]
    columns = []
    for name, column in spec["columns"].items():
        column = column if isinstance(column, dict) else {"type": column}
        kind = column["type"].removesuffix(" not null")
        columns.append((column.get("header", name), kind, column))
    return files, spec.get("csv"), columns


ENCODINGS = {"windows-1252": "CP1252", "cp437": "CP437"}


def with_duckdb(job):
    import duckdb

    files, csv, columns = source(job)
    quoted = lambda name: '"' + name.replace('"', '""') + '"'
    text = lambda value: "'" + str(value).replace("'", "''") + "'"
    lists = lambda values: "[" + ", ".join(text(value) for value in values) + "]"
    read, out = {}, []
    for number, (name, kind, column) in enumerate(columns):
        name = name or f"column{number}"
        how = quoted(name)
        as_read = kind
        if csv is not None and "formats" in column:
            as_read, how = "varchar", f"try_strptime({how}, {lists(column['formats'])})"
        elif csv is not None and column.get("lenient"):
            as_read = "double"
        read[name] = as_read
        out.append(f"cast({how} as {kind}) as {quoted(name)}")
    if csv is None:
        table = f"read_parquet({lists(files)})"
    else:
        types = ", ".join(f"{text(name)}: {text(kind)}" for name, kind in read.items())
        options = [f"header = {csv.get('header', True)}", f"delim = {text(csv.get('delimiter', ','))}",
                   f"columns = {{{types}}}", f"nullstr = {lists(csv.get('nulls', ['']))}",
                   "auto_detect = false", "ignore_errors = true"]
        if "encoding" in csv:
            encoding = ENCODINGS.get(csv["encoding"].lower(), csv["encoding"])
            options.append(f"encoding = {text(encoding)}")
        table = f"read_csv({lists(files)}, {', '.join(options)})"
    connection = duckdb.connect()
    begin = time.perf_counter()
    connection.execute(f"create table t as select {', '.join(out)} from {table}")
    seconds = time.perf_counter() - begin
    return connection.execute("select count(*) from t").fetchone()[0], seconds


def with_polars(job):
    import polars as pl

    files, csv, columns = source(job)

    def typed(kind):
        if decimal := re.fullmatch(r"decimal\((\d+),\s*(\d+)\)", kind):
            return pl.Decimal(int(decimal[1]), int(decimal[2]))
        return {"smallint": pl.Int16, "int": pl.Int32, "bigint": pl.Int64, "double": pl.Float64, "varchar": pl.String,
                "boolean": pl.Boolean, "date": pl.Date, "timestamp": pl.Datetime("us")}[kind]

    schema, out = {}, []
    for name, kind, column in columns:
        value, want = pl.col(name), typed(kind)
        schema[name] = want
        if csv is not None and kind in ("date", "timestamp"):
            schema[name] = pl.String
            formats = column.get("formats", ["%Y-%m-%d"] if kind == "date" else ["%Y-%m-%d %H:%M:%S%.f"])
            value = pl.coalesce(value.str.strptime(want, format, strict=False) for format in formats)
        elif csv is not None and kind == "boolean":
            schema[name] = pl.String
            value = value.is_in(["1", "true"])
        elif csv is not None and column.get("lenient"):
            schema[name] = pl.Float64
        out.append(value.cast(want).alias(name))

    def table(file):
        if csv is None:
            return pl.read_parquet(file, columns=list(schema))
        return pl.read_csv(file, schema=schema, separator=csv.get("delimiter", ","), null_values=csv.get("nulls"),
                           has_header=csv.get("header", True), ignore_errors=True, truncate_ragged_lines=True,
                           encoding=csv.get("encoding", "utf8"))

    begin = time.perf_counter()
    rows = pl.concat([table(file) for file in files]).select(out)
    return rows.height, time.perf_counter() - begin


def main():
    read = {"duckdb": with_duckdb, "polars": with_polars}[sys.argv[1]]
    try:
        rows, seconds = read(sys.argv[2])
        print(json.dumps({"rows": rows, "seconds": seconds}))
    except ImportError:
        raise
    except Exception as error:
        print(json.dumps({"error": str(error).split("\n")[0]}))


main()
