"""What caudal's run wrote, as JSON: completeness and z by region."""
import json
import sys

import duckdb

folder = sys.argv[1]
shares = duckdb.execute(f"select region, share from '{folder}/out/**/all/*.parquet'").fetchall()
hours = f"'{folder}/out/**/hours/*.parquet'"
# The last hour may not be whole; the one before is judged.
z = duckdb.execute(f"""
    select region, z from {hours}
    where window_start = (select max(window_start) - interval 1 hour from {hours})""").fetchall()
windows = duckdb.execute(f"select count(*) from {hours}").fetchone()[0]
print(json.dumps({"completeness": dict(shares), "z": dict(z), "windows": windows}))
