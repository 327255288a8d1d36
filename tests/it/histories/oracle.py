"""Holds histories against what DuckDB works out: reads the folder of them, prints what differs as JSON.

The folder has `histories.jsonl`, a line about each, and for each the folder of its number with `out/{rows,refused,windows,verdicts}`.
"""
import json
import pathlib
import sys

import duckdb

folder = pathlib.Path(sys.argv[1])
connection = duckdb.connect()
connection.execute("set timezone = 'UTC'; set preserve_insertion_order = false")
numbers = [json.loads(line)["history"] for line in open(folder / "histories.jsonl")]


def table(name, columns):
    """A view of what all histories wrote to a sink, or no rows."""
    files = [str(file) for number in numbers for file in (folder / str(number) / "out" / name).rglob("*.parquet")]
    columns = [(column, kind) for column, kind in columns]
    if files:
        known = connection.execute("select * from read_parquet($files, union_by_name = true) limit 0", {"files": files})
        known = {column[0] for column in known.description}
        chosen = ", ".join(
            f'cast("{column}" as {kind}) as "{column}"' if column in known else f'cast(null as {kind}) as "{column}"'
            for column, kind in columns
        )
        connection.execute(
            f"create table got_{name} as select cast(regexp_extract(filename, '/(\\d+)/out/{name}/', 1) as int) as history, {chosen} "
            "from read_parquet($files, union_by_name = true, filename = true)",
            {"files": files},
        )
    else:
        typed = ", ".join(f'"{column}" {kind}' for column, kind in columns)
        connection.execute(f"create table got_{name} (history int, {typed})")


SALES = [("id", "bigint"), ("ts", "timestamptz"), ("region", "varchar"), ("channel", "varchar"), ("customer", "varchar"),
         ("amount", "decimal(12,2)"), ("promised", "bigint")]
table("rows", SALES)
table("refused", [("id", "bigint"), ("ts", "varchar"), ("region", "varchar"), ("reason", "varchar")])
STATISTICS = [("rows", "bigint"), ("total", "decimal(38,2)"), ("mean", "decimal(38,6)"), ("least", "decimal(12,2)"),
              ("greatest", "decimal(12,2)"), ("spread", "double"), ("deviation", "double"), ("web", "bigint"), ("buyers", "bigint"),
              ("median", "double"), ("high", "double"), ("promised", "bigint")]
WINDOW = [("window_start", "timestamptz"), ("window_end", "timestamptz")]
CHANGE = [("final", "boolean"), ("sign", "int")]
table("windows", [("region", "varchar"), ("channel", "varchar")] + WINDOW + STATISTICS + CHANGE)
table("verdicts", [("check", "varchar"), ("segment", "varchar")] + WINDOW
      + [("status", "varchar"), ("value", "double"), ("numerator", "bigint"), ("denominator", "bigint"), ("expected", "varchar"),
         ("baseline", "double")] + CHANGE)

connection.execute(
    "create table parameters as select * from read_json($file, columns = {history: 'int', kind: 'varchar', every: 'bigint', panes: 'bigint', "
    "zone: 'varchar', per: 'varchar[]', bounded: 'boolean', as_of: 'timestamptz', late: 'bigint', sent: 'bigint', checks: 'json[]'})",
    {"file": str(folder / "histories.jsonl")},
)
script = pathlib.Path(__file__).with_suffix(".sql").read_text()
connection.execute(script)


def found(query):
    return json.loads(connection.execute(f"select coalesce(to_json(list(found)), '[]') from ({query}) as found").fetchone()[0])


wrong = found("from wrong order by history, what, segment, number limit 1000")
print(json.dumps({
    "wrong": wrong,
    "sums": found("from sums")[0],
    "histories": [one["counts"] for one in found("select history, struct_pack(accepted, refused, verdicts, said) as counts from counts order by history")],
}))
