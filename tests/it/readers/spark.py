"""What Spark finds in a folder of Parquet files, as one JSON document: `spark.py FOLDER QUERY`, with `rows` in the query."""

import json
import sys

from pyspark.sql import SparkSession

folder, query = sys.argv[1:]
spark = (
    SparkSession.builder.master("local[1]")
    .config("spark.ui.enabled", "false")
    .config("spark.sql.session.timeZone", "UTC")
    .config("spark.sql.sources.partitionColumnTypeInference.enabled", "false")
    .config("spark.driver.bindAddress", "127.0.0.1")
    .config("spark.driver.host", "127.0.0.1")
    .getOrCreate()
)
rows = spark.read.parquet(folder)
types = dict(rows.dtypes)
times = [name for name, kind in types.items() if kind == "timestamp"]
rows.selectExpr(*("unix_micros(`%s`) as `%s`" % (name, name) if name in times else "`%s`" % name for name in types)) \
    .createOrReplaceTempView("rows")
found = [[None if value is None else str(value) for value in row] for row in spark.sql(query).collect()]
print(json.dumps({"types": types, "rows": found}))
spark.stop()
