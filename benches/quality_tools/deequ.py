"""Deequ, through PyDeequ on Spark: completeness, mean and standard deviation (of a population) by region."""
import json
import os
import sys

os.environ.setdefault("SPARK_VERSION", "3.5")
import pydeequ
from pydeequ.analyzers import AnalysisRunner, AnalyzerContext, Completeness, Maximum, Mean, StandardDeviation
from pyspark.sql import SparkSession

folder = sys.argv[1]
spark = (SparkSession.builder.master("local[2]").config("spark.driver.memory", "4g").config("spark.ui.enabled", "false")
         .config("spark.jars", sys.argv[2])
         .config("spark.sql.session.timeZone", "UTC").getOrCreate())
spark.sparkContext.setLogLevel("ERROR")
sales = spark.read.parquet(f"{folder}/sales.parquet")
sales.createOrReplaceTempView("sales")
hours = spark.sql("select region, hour, turnover, cast((unix_timestamp(max(hour) over ()) - unix_timestamp(hour)) / 3600 as int) - 1 as place from "
                  "(select region, date_trunc('hour', ts) as hour, cast(sum(amount) as double) as turnover from sales group by 1, 2)").cache()
regions = [row.region for row in hours.select("region").distinct().collect()]


def analysed(frame, analyzers):
    """Values of analyzers, in their order."""
    runner = AnalysisRunner(spark).onData(frame)
    for analyzer in analyzers:
        runner = runner.addAnalyzer(analyzer)
    return AnalyzerContext.successMetricsAsDataFrame(spark, runner.run()).collect()


def by_region(rows, name):
    return {row["name"].split("region = '")[1].split("'")[0]: row["value"] for row in rows if row["name"].startswith(name)}


known = analysed(sales, [Completeness("customer_id", where=f"region = '{region}'") for region in regions])
of = lambda region, places: f"region = '{region}' and place {places}"
found = analysed(hours, [analyzer for region in regions for analyzer in [
    Mean("turnover", where=of(region, "between 1 and 10")), StandardDeviation("turnover", where=of(region, "between 1 and 10")),
    Maximum("turnover", where=of(region, "= 0"))]])
mean, deviation, at = by_region(found, "Mean"), by_region(found, "StandardDeviation"), by_region(found, "Maximum")
print(json.dumps({
    "completeness": by_region(known, "Completeness"),
    "z": {region: (at[region] - mean[region]) / deviation[region] for region in at}, "sd": "population",
}))
spark.sparkContext._gateway.close()
spark.stop()
