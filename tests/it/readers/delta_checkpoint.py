"""Reads a Delta table that has only its newest checkpoint and what came after it.

Usage: delta_checkpoint.py FOLDER. The table is copied, and the versions up to its checkpoint are taken away from the copy: readers that
look at them fail. Says what is in it as JSON, by deltalake, Polars and DuckDB; and what is in the table itself.
"""

import json
import pathlib
import shutil
import sys
import tempfile
import urllib.parse

import duckdb
import polars
from deltalake import DeltaTable

folder = pathlib.Path(sys.argv[1])


def ids(table):
    seen = polars.read_delta(table)["id"].to_list()
    files = [urllib.parse.unquote(urllib.parse.urlparse(file).path) for file in DeltaTable(table).file_uris()]
    query = "select id from read_parquet(?, hive_partitioning = true)"
    again = [row[0] for row in duckdb.execute(query, [files]).fetchall()]
    assert sorted(again) == sorted(seen), "DuckDB sees others than Polars"
    return sorted(seen)


with tempfile.TemporaryDirectory() as scratch:
    copy = pathlib.Path(scratch) / "table"
    shutil.copytree(folder, copy)
    log = copy / "_delta_log"
    said = json.loads((log / "_last_checkpoint").read_text())
    gone = [path for path in log.glob("*.json") if int(path.stem) <= said["version"]]
    for path in gone:
        path.unlink()
    table = DeltaTable(str(copy))
    print(
        json.dumps(
            {
                "ids": ids(str(folder)),
                "of_copy": ids(str(copy)),
                "checkpoint": said["version"],
                "gone": len(gone),
                "version": table.version(),
                "transaction": table.transaction_version("caudal/sales/rows"),
                "files": len(table.file_uris()),
            }
        )
    )
