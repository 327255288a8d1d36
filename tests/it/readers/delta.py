"""Reads a Delta table again and again while a job adds to it, by Polars and DuckDB.

Usage: delta.py FOLDER ROWS. Ends when the table has so many rows; says what it saw as JSON. Each version must hold each id once, and
of each partition of the topic all ids up to some number: ids of partition p are p, p + 2, p + 4, ... in their order there.
"""

import json
import sys
import time
import urllib.parse

import duckdb
import polars
from deltalake import DeltaTable

folder, rows = sys.argv[1], int(sys.argv[2])
deadline = time.monotonic() + 120


def check(ids):
    assert len(ids) == len(set(ids)), "an id is there twice"
    for partition in (0, 1):
        seen = sorted(number for number in ids if number % 2 == partition)
        wanted = [2 * number + partition for number in range(len(seen))]
        assert seen == wanted, f"ids of partition {partition} are missing before {seen[-1]}"


seen, versions, compacted = 0, set(), False
while seen < rows:
    assert time.monotonic() < deadline, f"{seen} of {rows} rows after 120 s"
    try:
        table = DeltaTable(folder)
    except Exception as error:
        if "table" in str(error).lower():
            time.sleep(0.05)
            continue
        raise
    version = table.version()
    if version in versions:
        time.sleep(0.02)
        continue
    versions.add(version)
    ids = polars.read_delta(folder, version=version)["id"].to_list()
    check(ids)
    files = [urllib.parse.unquote(urllib.parse.urlparse(file).path) for file in table.file_uris()]
    if files:
        query = "select id from read_parquet(?, hive_partitioning = true) order by id"
        again = [row[0] for row in duckdb.execute(query, [files]).fetchall()]
        assert again == sorted(ids), "DuckDB sees others than Polars"
    assert len(ids) >= seen, f"{len(ids)} rows after {seen}"
    seen = len(ids)
    if not compacted and seen >= rows // 3:
        # Someone merges small files while the job runs, and takes the old ones away.
        table.optimize.compact()
        DeltaTable(folder).vacuum(retention_hours=0, enforce_retention_duration=False, dry_run=False)
        compacted = True
        check(polars.read_delta(folder)["id"].to_list())

table = DeltaTable(folder)
schema = {field.name: str(field.type) for field in table.schema().fields}
print(json.dumps({"rows": seen, "versions": len(versions), "compacted": compacted, "schema": schema, "partitions": table.metadata().partition_columns}))
