"""kill -9 in the middle of a drain: what is lost, what is doubled, and how long until output flows again.

`run`, beside this file, prepares what it needs and says what its variables are. Each line of JSON is one kill, or one drain. All of an engine's
processes are killed at once while it empties a topic of sales into three topics; it is started again as its users would, and when all
came out the topics are held, row by row, against what the sales say must be there.

- `seen_s`: from the kill until the first row is seen in `enriched`, by who reads what is committed, that was not to be seen before. It may
  have been written before the kill, where an engine commits what the one before had prepared.
- `flows_s`: the same for a row that was written after the kill.
- `first_s`: from the first start until its first row is seen.

A name that ends in `-whole` is a drain that nobody disturbs: `messages_per_second` and `messages_per_cpu_second`, of all the engine's own
seconds, from its start until as many rows are seen as there are sales.
"""

import contextlib
import itertools
import json
import os
import subprocess
import sys
import threading
import time
from pathlib import Path

from engines import Caudal, Flink, Launched
from topics import SINKS, Ends, First, Reader, Topics
from truth import Seen, Truth

PATIENCE = 300.0
# How much is to be seen, of the sales, before a kill; it comes up to a checkpoint's interval later, at another time of it in each run.
SEEN_BEFORE = 0.25

# What caudal may have between readers and sinks; this is its default.
IN_FLIGHT = os.environ.get("KILL_IN_FLIGHT", "64 MiB")

WHAT = {
    "caudal": (Caudal, {"delivery": "exactly-once", "epoch": "1 second", "checkpoint": 10, "in_flight": IN_FLIGHT}),
    "caudal-quick": (Caudal, {"delivery": "exactly-once", "epoch": "20 ms", "checkpoint": 1, "in_flight": IN_FLIGHT}),
    "caudal-launch": (Launched, {"delivery": "exactly-once", "epoch": "1 second", "checkpoint": 10, "in_flight": IN_FLIGHT}),
    "flink": (Flink, {"delivery": "exactly-once", "checkpoint": 10}),
    "flink-quick": (Flink, {"delivery": "exactly-once", "checkpoint": 1}),
    "caudal-at-least-once": (Caudal, {"delivery": "at-least-once", "epoch": "1 second", "checkpoint": 10, "in_flight": IN_FLIGHT}),
    "flink-at-least-once": (Flink, {"delivery": "at-least-once", "checkpoint": 10}),
    "caudal-whole": (Caudal, {"delivery": "exactly-once", "epoch": "1 second", "checkpoint": 10, "in_flight": IN_FLIGHT}),
    "flink-whole": (Flink, {"delivery": "exactly-once", "checkpoint": 10}),
}


class Bench:
    """What all kills share."""

    def __init__(self):
        self.brokers = os.environ["KILL_BROKERS"]
        self.cache = Path(os.environ["KILL_CACHE"])
        self.scratch = Path(os.environ["KILL_SCRATCH"])
        self.caudal = Path(os.environ["KILL_CAUDAL"])
        self.rows = int(os.environ.get("KILL_ROWS", 5_000_000))
        self.runs = int(os.environ.get("KILL_RUNS", 3))
        self.quiet_by = os.environ.get("KILL_QUIET")
        self.topics = Topics(self.brokers)
        data = self.scratch / "data"
        subprocess.run(
            [self.caudal, "generate", "ventas", "--rows", str(self.rows), "--seed", "1", "--only", "json", "--out", data], check=True, stderr=subprocess.DEVNULL)
        self.dims = data / "dims"
        [truth] = data.glob("*/truth.json")
        self.topic = f"sales-{self.rows}"
        self.topics.make([self.topic])
        self.topics.fill(self.topic, truth.parent)
        self.truth = Truth(truth.parent, self.dims)

    @contextlib.contextmanager
    def quiet(self):
        """A stretch that is timed."""
        self.tell_quiet("on")
        try:
            yield
        finally:
            self.tell_quiet("off")

    def tell_quiet(self, word):
        if self.quiet_by:
            subprocess.run([*self.quiet_by.split(), word], check=True, stdout=sys.stderr)


def await_that(what, engine, find, patience=PATIENCE):
    until = time.monotonic() + patience
    while not (found := find()):
        if time.monotonic() > until:
            raise SystemExit(f"{what}: not within {patience:.0f} s; it told:\n{engine.log()}")
        if not engine.is_alive():
            raise SystemExit(f"{what}: it ended; it told:\n{engine.log()}")
        time.sleep(0.02)
    return found


@contextlib.contextmanager
def prepared(bench, name, run):
    """An engine that is not started, its tag, and the names of its topics; nothing of it is left behind."""
    kind, settings = WHAT[name]
    tag = f"{name}-{run}"
    root = bench.scratch / tag
    root.mkdir()
    names = [f"{sink}-{tag}" for sink in SINKS]
    bench.topics.make(names)
    engine = kind(bench, tag, root, settings)
    try:
        yield engine, tag, names
    finally:
        engine.kill()
    bench.topics.remove(names)
    subprocess.run(["rm", "-r", root], check=True)


def whole(bench, name, run):
    """A drain that nobody disturbs."""
    settings = WHAT[name][1]
    with prepared(bench, name, run) as (engine, tag, names):
        # A sale comes out as a row or is refused. Ends count the records that close transactions, too: some hundred.
        rows = Ends(bench.topics, names[:2], "read_committed")
        with bench.quiet():
            began = time.monotonic()
            engine.start()
            await_that("all rows", engine, lambda: sum(rows.now()) >= bench.rows)
            wall, cpu = time.monotonic() - began, engine.cpu()
        seen = count(bench, engine, tag, settings)
        rows.close()
    return {
        "bench": "kill", "what": name, "run": run, **settings, "messages": bench.rows, "wall_s": round(wall, 3), "cpu_s": round(cpu, 3),
        "messages_per_second": round(bench.rows / wall), "messages_per_cpu_second": round(bench.rows / cpu), **faults(seen.verdict()),
    }


def one(bench, name, run):
    """A kill in the middle of a drain."""
    settings = WHAT[name][1]
    with prepared(bench, name, run) as (engine, tag, names):
        enriched = names[:1]
        committed, written = Ends(bench.topics, enriched, "read_committed"), Ends(bench.topics, enriched, "read_uncommitted")
        with bench.quiet():
            began = time.monotonic()
            engine.start()
            await_that("the first row", engine, lambda: sum(committed.now()) > 0)
            first = time.monotonic() - began
            await_that("rows before the kill", engine, lambda: sum(committed.now()) >= SEEN_BEFORE * bench.rows)
            # Not a wait for anything: the phase of the kill between two checkpoints.
            time.sleep((run + 0.5) / bench.runs * settings["checkpoint"])
            times = kill(bench, engine, enriched[0], committed, written)
        if times["seen_before"] > 0.9 * bench.rows:
            raise SystemExit(f"{name}: {times['seen_before']} of {bench.rows} were out when it was killed; take more rows (KILL_ROWS)")
        seen = count(bench, engine, tag, settings)
        committed.close()
        written.close()
    times = {key: round(value, 3) if key.endswith("_s") else value for key, value in times.items()}
    return {
        "bench": "kill", "what": name, "run": run, **settings, "messages": bench.rows, "killed_at_s": round(times.pop("at") - began, 3),
        "first_s": round(first, 3), **times, **faults(seen.verdict()),
    }


def faults(verdict):
    """What was lost, doubled and wrong, in all topics and in each."""
    rows = [verdict[sink] for sink in SINKS]
    return {**{fault: sum(of_sink[fault] for of_sink in rows) for fault in ("lost", "doubled", "wrong")}, **verdict}


def kill(bench, engine, topic, committed, written):
    before = sum(committed.now())
    at = time.monotonic()
    if isinstance(engine, Launched):
        engine.kill_workers()
    else:
        engine.kill()
    dead = time.monotonic()
    # What the dead one had on its way is there now; what is seen behind these offsets is new, and what is written behind those as well.
    ends = written.settled(), committed.settled()
    flows, seen = First(bench.topics, topic, ends[0]), First(bench.topics, topic, ends[1])
    again = time.monotonic()
    engine.restart()
    found = {}

    def wait(name, first):
        while name not in found and time.monotonic() - at < PATIENCE:
            if first.seen(0.1):
                found[name] = time.monotonic() - at

    waiting = [threading.Thread(target=wait, args=pair) for pair in (("seen_s", seen), ("flows_s", flows))]
    for thread in waiting:
        thread.start()
    for thread in waiting:
        thread.join()
    seen.close()
    flows.close()
    if len(found) < 2 or not engine.is_alive():
        raise SystemExit(f"no rows after the kill: {found}; it told:\n{engine.log()}")
    return {"at": at, "seen_before": before, **found, "died_s": dead - at, "restarted_s": again - at}


def count(bench, engine, tag, settings):
    """Reads all topics until everything is there, or nothing comes any more; then for as long as rows could still come twice."""
    seen, reader = Seen(bench.truth), Reader(bench.topics, tag)
    silence = 60 + 3 * settings["checkpoint"]
    last = time.monotonic()
    while not seen.is_whole() and time.monotonic() - last < silence:
        for sink, value in reader.some():
            seen.take(sink, value)
            last = time.monotonic()
        if not engine.is_alive():
            raise SystemExit(f"it ended; it told:\n{engine.log()}")
    until = time.monotonic() + 2 * settings["checkpoint"] + 2
    while time.monotonic() < until or not reader.is_at_end():
        for sink, value in reader.some():
            seen.take(sink, value)
    reader.close()
    return seen


def main():
    bench = Bench()
    asked = os.environ.get("KILL_WHAT", ",".join(WHAT)).split(",")
    for name in asked:
        if name not in WHAT:
            raise SystemExit(f"KILL_WHAT: {name} is not known; expected some of {', '.join(WHAT)}")
    for run, name in itertools.product(range(bench.runs), asked):
        measure = whole if name.endswith("-whole") else one
        line = json.dumps(measure(bench, name, run))
        print(line, flush=True)
        if len(sys.argv) > 1:
            with open(sys.argv[1], "a", encoding="utf-8") as file:
                file.write(line + "\n")


main()
