"""Makes one Parquet file of the generated sales that can be read: FOLDER/sales.parquet."""
import sys

import duckdb

folder = sys.argv[1]
duckdb.execute(
    f"""
    copy (
        select try_cast(sale_id as bigint) as sale_id, try_cast(ts as timestamp) as ts, upper(trim(region_code)) as region,
            try_cast(customer_id as bigint) as customer_id,
            cast(try_cast(quantity as int) * try_cast(unit_price as decimal(12,2)) as decimal(18,2)) as amount
        from read_csv('{folder}/data/*/csv/*.csv', header = true, all_varchar = true)
        where try_cast(ts as timestamp) is not null and try_cast(quantity as int) > 0 and try_cast(unit_price as decimal(12,2)) >= 0
            and upper(trim(region_code)) in (select region_code from read_csv('{folder}/data/dims/regions.csv'))
    ) to '{folder}/sales.parquet' (format parquet)
    """
)
