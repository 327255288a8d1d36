"""Great Expectations on pandas: values that are not null, and mean and standard deviation of the hours before, by region."""
import json
import os
import sys

os.environ["GX_ANALYTICS_ENABLED"] = "false"
# This file has the name of the package.
sys.path.pop(0)
import great_expectations as gx
import pandas as pd

folder = sys.argv[1]
context = gx.get_context(mode="ephemeral")
context.variables.progress_bars = {"globally": False}
sales = pd.read_parquet(f"{folder}/sales.parquet", columns=["ts", "region", "customer_id", "amount"])
sales["amount"] = sales["amount"].astype("float64")
regions = sorted(sales["region"].unique())
hours = sales.groupby(["region", sales["ts"].dt.floor("h")])["amount"].sum().reset_index()
last = hours["ts"].max() - pd.Timedelta(hours=1)
hours["place"] = ((last - hours["ts"]) / pd.Timedelta(hours=1)).astype("int64")
source = context.data_sources.add_pandas("pandas")


def validated(name, frame, expectations):
    """What is found of a frame."""
    asset = source.add_dataframe_asset(name)
    batch = asset.add_batch_definition_whole_dataframe("whole").get_batch({"dataframe": frame})
    return batch.validate(gx.ExpectationSuite(name, expectations=expectations), result_format="SUMMARY").results


def of(region, more=""):
    return {"row_condition": f'region == "{region}"{more}', "condition_parser": "pandas", "meta": {"region": region}}


known = validated("sales", sales, [gx.expectations.ExpectColumnValuesToNotBeNull(column="customer_id", mostly=0.85, **of(region)) for region in regions])
before = " and place > 0 and place <= 10"
means = validated("means", hours, [gx.expectations.ExpectColumnMeanToBeBetween(column="amount", min_value=0, **of(region, before)) for region in regions])
deviations = validated("deviations", hours, [gx.expectations.ExpectColumnStdevToBeBetween(column="amount", min_value=0, **of(region, before)) for region in regions])
at = hours[hours["place"] == 0].set_index("region")["amount"]


def region_of(result):
    return result.expectation_config.meta["region"]


mean = {region_of(result): result.result["observed_value"] for result in means}
deviation = {region_of(result): result.result["observed_value"] for result in deviations}
share = {region_of(result): 1 - result.result["unexpected_count"] / result.result["element_count"] for result in known}
print(json.dumps({
    "completeness": share,
    "z": {region: (float(at[region]) - mean[region]) / deviation[region] for region in regions if region in at},
}))
