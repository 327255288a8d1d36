"""Soda Core on DuckDB: missing values, and mean and standard deviation of the hours before, by region, which are metrics of its own. What it calls
detection of anomalies is a service and not part of it."""
import json
import sys

# This file has the name of the package.
sys.path.pop(0)
import duckdb
from soda.scan import Scan

folder = sys.argv[1]
connection = duckdb.connect()
connection.execute(f"create view sales as select * from '{folder}/sales.parquet'")
connection.execute("""create table hours as select region, hour, turnover, date_diff('hour', hour, max(hour) over ()) - 1 as place
    from (select region, date_trunc('hour', ts) as hour, cast(sum(amount) as double) as turnover from sales group by all)""")
regions = [region for region, in connection.execute("select distinct region from hours order by 1").fetchall()]
lines = ["checks for sales:"]
for region in regions:
    for metric in ["missing_count(customer_id)", "row_count"]:
        lines += [f"  - {metric} >= 0:", f"      name: {metric[:3]}|{region}", f"      filter: region = '{region}'"]
lines.append("checks for hours:")
for region in regions:
    for metric, places in [("avg(turnover)", "between 1 and 10"), ("stddev(turnover)", "between 1 and 10"), ("max(turnover)", "= 0")]:
        lines += [f"  - {metric} >= 0:", f"      name: {metric[:3]}|{region}", f"      filter: region = '{region}' and place {places}"]
scan = Scan()
scan.disable_telemetry()
scan.add_duckdb_connection(connection)
scan.set_data_source_name("duckdb")
scan.add_sodacl_yaml_str("\n".join(lines))
scan.execute()
found = {check["name"]: check["diagnostics"]["value"] for check in scan.get_scan_results()["checks"]}
if scan.has_error_logs():
    sys.exit(scan.get_logs_text())
print(json.dumps({
    "completeness": {region: 1 - found[f"mis|{region}"] / found[f"row|{region}"] for region in regions},
    "z": {region: (float(found[f"max|{region}"]) - float(found[f"avg|{region}"])) / float(found[f"std|{region}"])
          for region in regions if found.get(f"max|{region}") is not None},
}))
