"""Files as others write them: `write.py FOLDER` makes Avro of every codec, Feather and a stream of Arrow."""

import datetime
import decimal
import sys
import uuid

import fastavro
import pyarrow as pa
import pyarrow.feather as feather
import pyarrow.ipc as ipc

folder = sys.argv[1]
ROWS = 5000
START = datetime.datetime(2026, 3, 14, 10, tzinfo=datetime.timezone.utc)

SCHEMA = {
    "type": "record",
    "name": "Sale",
    "namespace": "shop",
    "fields": [
        {"name": "id", "type": "long"},
        {"name": "kind", "type": {"type": "enum", "name": "Kind", "symbols": ["WEB", "SHOP"]}},
        {"name": "tags", "type": {"type": "array", "items": "string"}},
        {"name": "price", "type": ["null", {"type": "bytes", "logicalType": "decimal", "precision": 9, "scale": 2}]},
        {"name": "cost", "type": {"type": "fixed", "name": "Cost", "size": 8, "logicalType": "decimal", "precision": 18, "scale": 4}},
        {"name": "day", "type": {"type": "int", "logicalType": "date"}},
        {"name": "ms", "type": {"type": "long", "logicalType": "timestamp-millis"}},
        {"name": "us", "type": {"type": "long", "logicalType": "timestamp-micros"}},
        {"name": "local", "type": {"type": "long", "logicalType": "local-timestamp-micros"}},
        {"name": "key", "type": {"type": "string", "logicalType": "uuid"}},
        {"name": "mixed", "type": ["string", "null", "long"]},
        {"name": "extra", "type": {"type": "map", "values": ["null", "double"]}},
        {"name": "customer", "type": ["null", {"type": "record", "name": "Customer", "fields": [
            {"name": "id", "type": "int"},
            {"name": "parent", "type": ["null", "Customer"]},
        ]}]},
    ],
}


def row(number):
    time = START + datetime.timedelta(seconds=number, microseconds=number)
    customer = {"id": number % 7, "parent": {"id": number % 3, "parent": None}}
    return {
        "id": number,
        "kind": ["WEB", "SHOP"][number % 2],
        "tags": ["x"] * (number % 4),
        "price": None if number % 5 == 0 else decimal.Decimal(number - 2500) / 100,
        "cost": decimal.Decimal(number - 2500) / 10000,
        "day": time.date(),
        "ms": time,
        "us": time,
        "local": time.replace(tzinfo=None),
        "key": uuid.UUID(int=number),
        "mixed": [None, number, "t%d" % number][number % 3],
        "extra": {"a": 1.5, "b": None},
        "customer": None if number % 4 == 0 else customer,
    }


for codec in ["null", "deflate", "snappy", "zstandard", "bzip2"]:
    try:
        with open("%s/%s.avro" % (folder, codec), "wb") as file:
            fastavro.writer(file, SCHEMA, (row(number) for number in range(ROWS)), codec=codec, sync_interval=4000)
    except ValueError as error:
        # A codec whose library is not there.
        print("not written: %s: %s" % (codec, error), file=sys.stderr)
        import os
        os.remove("%s/%s.avro" % (folder, codec))

table = pa.table({
    "id": pa.array(range(ROWS), pa.int32()),
    "price": pa.array([decimal.Decimal(number - 2500) / 100 for number in range(ROWS)], pa.decimal128(9, 2)),
    "region": pa.array([["ES", "FR", None][number % 3] for number in range(ROWS)]).dictionary_encode(),
    "at": pa.array([START + datetime.timedelta(seconds=number) for number in range(ROWS)], pa.timestamp("ns", "UTC")),
    "customer": pa.array([{"id": number % 7} for number in range(ROWS)]),
})
for packing in ["lz4", "zstd", "uncompressed"]:
    feather.write_feather(table, "%s/%s.arrow" % (folder, packing), compression=packing, chunksize=700)
with ipc.new_stream("%s/plain.arrows" % folder, table.schema) as stream:
    stream.write_table(table, max_chunksize=700)
with ipc.new_stream("%s/lz4.arrows" % folder, table.schema, options=ipc.IpcWriteOptions(compression="lz4", emit_dictionary_deltas=True)) as stream:
    stream.write_table(table, max_chunksize=700)
