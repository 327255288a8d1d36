"""What must come out of a topic of sales, worked out here and shared with no engine, and what topics are held against it."""

import json
from collections import Counter, defaultdict

import numpy
import orjson

DISORDER_SECONDS = 30


def table(path):
    with open(path, encoding="utf-8") as file:
        return [line.rstrip("\n").split(",") for line in file][1:]


class Truth:
    """For each sale whether it is clean, and its amount in cents; the reasons; for each region and minute rows, nulls and cents."""

    def __init__(self, folder, dims):
        with open(folder / "truth.json", encoding="utf-8") as file:
            told = json.load(file)
        self.messages = told["rows"]
        self.is_clean = numpy.zeros(self.messages + 1, bool)
        self.cents = numpy.zeros(self.messages + 1, numpy.int64)
        self.windows = defaultdict(lambda: [0, 0, 0])
        self.reasons = Counter()
        regions = {alias: int(region) for alias, region, *_ in table(dims / "regions.csv")}
        products = {int(product) for product, *_ in table(dims / "products.csv")}
        currencies = {currency for currency, _ in table(dims / "fx.csv")}
        newest = []
        for part in sorted((folder / "json").glob("part-*.jsonl")):
            latest = 0
            with open(part, "rb") as file:
                for line in file:
                    latest = max(latest, self.take(orjson.loads(line), regions, products, currencies))
            newest.append(latest)
        # A window is closed when each partition's newest event is older by the disorder than its end; a second more is for rounding.
        self.closed_before = (min(newest) - DISORDER_SECONDS - 1) // 60
        self.must = {window for window in self.windows if window[1] < self.closed_before}
        self.hold(told)

    def take(self, sale, regions, products, currencies):
        """One sale; gives the second of its day."""
        sale_id, ts, price, quantity = sale["sale_id"], sale["ts"] or "", sale["unit_price"], sale["quantity"]
        region = regions.get((sale["region_code"] or "").strip(" ").upper())
        if len(ts) != 24:
            reason = "bad_ts"
        elif not (sale["region_code"] or "").strip(" "):
            reason = "missing_region"
        elif region is None:
            reason = "unknown_region"
        elif sale["product_id"] not in products:
            reason = "unknown_product"
        elif not isinstance(quantity, int):
            reason = "bad_quantity"
        elif quantity == 0:
            reason = "zero_quantity"
        elif not price:
            reason = "missing_price"
        elif price.startswith("-"):
            reason = "negative_price"
        elif sale["currency"] not in currencies:
            reason = "unknown_currency"
        else:
            reason = None
        if reason:
            self.reasons[reason] += 1
        else:
            cents = quantity * int(price.replace(".", ""))
            self.is_clean[sale_id] = True
            self.cents[sale_id] = cents
            window = self.windows[region, minute(ts)]
            window[0] += 1
            window[1] += sale["customer_id"] is None
            window[2] += cents
        return 0 if len(ts) != 24 else minute(ts) * 60 + int(ts[17:19])

    def hold(self, told):
        """Against what the generator says of its data."""
        ids = numpy.arange(self.messages + 1)
        for what, ours, its in [
            ("valid", int(self.is_clean.sum()), told["valid"]),
            ("reasons", dict(self.reasons), {reason: rows for reason, rows in told["reasons"].items() if rows}),
            ("sum_sale_id", int(ids[self.is_clean].sum()), told["sum_sale_id"]),
            ("sum_amount", int(self.cents.sum()), int(told["sum_amount"].replace(".", ""))),
            ("windows", len(self.windows), told["quality"]["rows"]),
        ]:
            if ours != its:
                raise SystemExit(f"{what}: reckoned {ours}, the generator says {its}")


def minute(ts):
    """Of the day, of a text such as 2026-03-14T13:37:00.000Z; all sales are of one day."""
    return int(ts[11:13]) * 60 + int(ts[14:16])


class Seen:
    """What topics held until now."""

    def __init__(self, truth):
        self.truth = truth
        self.ids = {sink: numpy.zeros(truth.messages + 1, numpy.int32) for sink in ("enriched", "quarantine")}
        self.windows = Counter()
        self.reasons = Counter()
        self.wrong = Counter()
        self.distinct = 0

    def take(self, sink, value):
        row = orjson.loads(value)
        if sink == "quality":
            window = row["region_id"], minute(row["window_start"])
            self.windows[window] += 1
            is_right = self.truth.windows.get(window) == [row["rows"], row["null_customers"], cents(row["sum_amount"])]
        else:
            sale_id = int(row["sale_id"])
            ids = self.ids[sink]
            self.distinct += ids[sale_id] == 0
            ids[sale_id] += 1
            if sink == "enriched":
                is_right = self.truth.is_clean[sale_id] and self.truth.cents[sale_id] == cents(row["amount"])
            else:
                is_right = not self.truth.is_clean[sale_id]
                self.reasons[row["reason"]] += 1
        self.wrong[sink] += not is_right

    def is_whole(self):
        return self.distinct >= self.truth.messages and self.truth.must <= self.windows.keys()

    def verdict(self):
        """Of each topic the rows that are lost, doubled (each time more than once) and wrong."""
        told = {}
        for sink, belongs in [("enriched", self.truth.is_clean), ("quarantine", ~self.truth.is_clean)]:
            expected = belongs[1:]
            ids = self.ids[sink][1:]
            told[sink] = {
                "rows": int(ids.sum()),
                "lost": int((expected & (ids == 0)).sum()),
                "doubled": int(numpy.maximum(ids - 1, 0).sum()),
                "wrong": self.wrong[sink],
            }
        told["quality"] = {
            "rows": self.windows.total(),
            "lost": len(self.truth.must - self.windows.keys()),
            "doubled": self.windows.total() - len(self.windows),
            "wrong": self.wrong["quality"],
        }
        told["reasons_differ"] = self.reasons != self.truth.reasons
        return told


def cents(amount):
    """A double holds the cents of a sale, and of a minute, exactly enough."""
    return round(float(amount) * 100)
