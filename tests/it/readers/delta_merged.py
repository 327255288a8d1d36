"""Reads a Delta table again and again while a job adds to it and puts its small files together, by Polars and DuckDB.

Usage: delta_merged.py FOLDER ROWS. Ends when the table has so many rows and fewer files than commits; says what it saw as JSON. Each
version must hold the ids 0, 1, 2, ... once each, up to some number, and no version fewer than the one before.
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
seen, versions, fewest, merged = 0, set(), None, False
while seen < rows or not merged:
    assert time.monotonic() < deadline, f"{seen} of {rows} rows after 120 s, merged: {merged}"
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
    ids = sorted(polars.read_delta(folder, version=version)["id"].to_list())
    assert ids == list(range(len(ids))), f"version {version} has a gap, or rows twice"
    files = [urllib.parse.unquote(urllib.parse.urlparse(file).path) for file in table.file_uris()]
    if files:
        again = [row[0] for row in duckdb.execute("select id from read_parquet(?) order by id", [files]).fetchall()]
        assert again == ids, "DuckDB sees others than Polars"
    assert len(ids) >= seen, f"{len(ids)} rows after {seen}"
    seen = len(ids)
    merged |= any("/merged-" in file for file in files)

history = [entry["operation"] for entry in DeltaTable(folder).history()]
# Readers of versions from before the merges find their files still.
first = DeltaTable(folder, version=30)
before = sorted(polars.read_delta(folder, version=30)["id"].to_list())
assert before == list(range(len(before))), "an older version can't be read any more"
print(json.dumps({"rows": seen, "versions": len(versions), "files": len(files), "merges": history.count("OPTIMIZE"), "fences": history.count("FENCE")}))
