"""compare.py FAULTY QUIET SENT...: what two runs over one topic made visible, by DuckDB over the folders that people read, and beside
each its `topics`, where a consumer has written what it read.

Every message is one row: clean, dropped by the job's rule (reckoned here again), or refused; none is missing, none is there twice.
Both runs have the same rows, refused rows, windows and verdicts, each as a multiset.
"""
import sys
from urllib.parse import unquote, urlparse

import duckdb

faulty, quiet = sys.argv[1:3]
sent = [int(count) for count in sys.argv[3:]]
db = duckdb.connect()


def table(root, sink):
    # Checkpoints of a table's log are Parquet, too, and no rows.
    return f"read_parquet('{root}/{sink}/**/part-*.parquet', hive_partitioning = true, union_by_name = true)"


def topic(root, sink):
    """What a consumer of the sink's topic has read, with the types of the folder's columns."""
    columns = db.execute(f"describe select * from {table(root, sink)}").fetchall()
    types = ", ".join(f"'{name}': '{kind}'" for name, kind, *_ in columns)
    return f"read_json('{root}/../topics/{sink}.json', format = 'newline_delimited', columns = {{{types}}})"


def one(query):
    return db.execute(query).fetchone()


def check(what, got, expected):
    if got != expected:
        sys.exit(f"{what}: {got}, expected {expected}")


# Independent of the engine: which messages are faulty, and which the rule drops.
bad = sum(1 for partition, count in enumerate(sent) for number in range(count) if number % 50 == 7)
regions = "NSEW"
dropped = sum(
    1
    for partition, count in enumerate(sent)
    for number in range(count)
    if number % 50 != 7 and regions[(number * 7 + partition) % 4] == "E" and number % 97 == 0
)
for name, root in (("with faults", faulty), ("quiet", quiet)):
    rows, distinct = one(f"select count(*), count(distinct (part, number)) from {table(root, 'rows')}")
    refused, places = one(f'select count(*), count(distinct ("partition", "offset")) from {table(root, "refused")}')
    check(f"{name}: rows that are there twice", rows - distinct, 0)
    check(f"{name}: refused rows that are there twice", refused - places, 0)
    check(f"{name}: refused rows", refused, bad)
    check(f"{name}: rows", rows, sum(sent) - bad - dropped)
    moved = one(f"select count(*) from {table(root, 'rows')} where part <> at_partition or number <> at_offset")[0]
    check(f"{name}: rows at another place than they were sent to", moved, 0)
    amount = one(f"select sum(amount) from {table(root, 'rows')}")[0]
    print(f"{name}: {rows} rows, {refused} refused, {dropped} dropped, amount {amount}")

# Readers of the Delta table see what those of the folder do.
try:
    from deltalake import DeltaTable
except ImportError:
    print("skipped: the Delta tables, for want of deltalake")
else:
    for name, root in (("with faults", faulty), ("quiet", quiet)):
        columns = ", ".join(f'"{column[0]}"' for column in db.execute(f"describe select * from {table(root, 'rows')}").fetchall())
        folder = f"select {columns} from {table(root, 'rows')}"
        for sink in ("rows", "merged"):
            uris = DeltaTable(f"{root}/{sink}").file_uris()
            files = [unquote(urlparse(uri).path) for uri in uris]
            check(f"{name}: {sink}: files that the Delta table has twice", len(files) - len(set(files)), 0)
            listed = f"select {columns} from read_parquet({files!r}, hive_partitioning = true)"
            more = one(f"select count(*) from (({listed}) except all ({folder}))")[0]
            less = one(f"select count(*) from (({folder}) except all ({listed}))")[0]
            check(f"{name}: {sink}: rows that only the Delta table, or only the folder has", (more, less), (0, 0))
            put_together = sum("/merged-" in file for file in files)
            print(f"{name}: the Delta table {sink} is equal, in {len(files)} files, of which {put_together} are several put together")

# Topics hold what folders do, epochs and all.
for name, root in (("with faults", faulty), ("quiet", quiet)):
    for sink in ("rows", "refused", "minutes", "verdicts"):
        names = ", ".join(f'"{column[0]}"' for column in db.execute(f"describe select * from {table(root, sink)}").fetchall())
        messages, folder = (f"select {names} from {of(root, sink)}" for of in (topic, table))
        more = one(f"select count(*) from (({messages}) except all ({folder}))")[0]
        less = one(f"select count(*) from (({folder}) except all ({messages}))")[0]
        check(f"{name}: {sink} that only the topic, or only the folder has", (more, less), (0, 0))
        print(f"{name}: {sink}: {one(f'select count(*) from ({messages})')[0]} messages are the rows of the folder")

for sink, columns in (
    ("rows", "*"),
    ("refused", '* exclude ("epoch")'),
    ("minutes", "*"),
    ("numbers", "*"),
    ("verdicts", '* exclude ("epoch")'),
):
    # When rows came is another time in each run; the row law goes by it, and is held against the rows below.
    kept = "where \"check\" <> 'conservation'" if sink == "verdicts" else ""
    ours, theirs = (f"select {columns} from {table(root, sink)} {kept}" for root in (faulty, quiet))
    more = one(f"select count(*) from (({ours}) except all ({theirs}))")[0]
    less = one(f"select count(*) from (({theirs}) except all ({ours}))")[0]
    both = one(f"select count(*) from ({theirs})")[0]
    check(f"{sink}: rows that only one run has", (more, less), (0, 0))
    print(f"{sink}: {both} rows are equal")

# The row law: a minute in which rows came is said once, whatever faults came in it, and all of its rows are accounted for. The last is not over.
for name, root in (("with faults", faulty), ("quiet", quiet)):
    said, minutes, good, counted = one(
        f"""select count(*), count(distinct window_start), count(*) filter (status = 'pass' and numerator = denominator and numerator > 0
            and value = 1 and final and sign = 1 and window_end - window_start = interval 1 minute), coalesce(sum(numerator), 0)
        from {table(root, "verdicts")} where "check" = 'conservation'"""
    )
    check(f"{name}: verdicts of the row law: minutes, and those that pass", (minutes, good), (said, said))
    if counted > sum(sent):
        sys.exit(f"{name}: verdicts of the row law cover {counted} rows, and {sum(sent)} were sent")
    print(f"{name}: the row law holds in {said} minutes, of {counted} rows")
