"""What other tools of data quality need for two questions that caudal answers in one run, over the same file.

    python3 benches/quality_tools/compare.py CAUDAL FOLDER [ROWS]

For each region: how complete is `customer_id`, and how many standard deviations is the turnover of the last whole hour from the ten before? The rows
are those of `caudal generate ventas` (10,000,000 unless ROWS says otherwise), made one Parquet file in FOLDER. Each tool runs in a process of its own and
with the interpreter of its own folder `FOLDER/TOOL`, which is made with pip where it is missing; one that can't be had, or does not run here, is told as such.
Its numbers are held against caudal's before a line of JSON says what it took: wall and CPU seconds of the whole process, and the most memory of it.

CAUDAL is the program, as `cargo build --release` leaves it.
"""
import json
import math
import os
import pathlib
import subprocess
import sys
import threading
import time
import venv

here = pathlib.Path(__file__).parent
program, folder = pathlib.Path(sys.argv[1]).resolve(), pathlib.Path(sys.argv[2]).resolve()
rows = int(sys.argv[3]) if len(sys.argv) > 3 else 10_000_000
folder.mkdir(parents=True, exist_ok=True)

TOOLS = {
    "great_expectations": ["great-expectations==1.24.1", "pandas", "pyarrow"],
    "soda": ["soda-core-duckdb==3.5.6", "setuptools<81"],
    "deequ": ["pydeequ==1.5.0", "pyspark==3.5.3", "setuptools<81"],
}

DEEQU = "com.amazon.deequ:deequ:2.0.7-spark-3.5"


def python(name, packages):
    """The interpreter that has these packages."""
    place = folder / name
    stamp = place / "complete"
    if not stamp.exists() or stamp.read_text() != " ".join(packages):
        venv.create(place, with_pip=True)
        subprocess.run([place / "bin/pip", "install", "--quiet", "--disable-pip-version-check", *packages], check=True)
        stamp.write_text(" ".join(packages))
    return place / "bin/python"


def descendants(root):
    """Numbers of a process and all that it has started, which are found by their parents."""
    parents = {}
    for entry in pathlib.Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                parents[int(entry.name)] = int((entry / "stat").read_text().rsplit(")", 1)[1].split()[1])
            except (OSError, ValueError):
                continue
    found, more = {root}, True
    while more:
        more = {process for process, parent in parents.items() if parent in found} - found
        found |= more
    return found


class Watch(threading.Thread):
    """Looks at a process and all of its children: CPU seconds of each, and the most memory of all at once."""

    def __init__(self, root):
        super().__init__(daemon=True)
        self.root, self.cpu, self.peak, self.is_over = root, {}, 0, False

    def run(self):
        while not self.is_over:
            memory = 0
            for process in descendants(self.root):
                try:
                    fields = pathlib.Path(f"/proc/{process}/stat").read_text().rsplit(")", 1)[1].split()
                except OSError:
                    continue
                self.cpu[process] = (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
                memory += int(fields[21]) * os.sysconf("SC_PAGE_SIZE")
            self.peak = max(self.peak, memory)
            time.sleep(0.05)


def timed(command, variables=None):
    """Runs a command; gives what it printed, and what it took with all that it has started."""
    began = time.monotonic()
    child = subprocess.Popen([str(word) for word in command], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                             env={**os.environ, **(variables or {})})
    watch = Watch(child.pid)
    watch.start()
    printed, errors = child.communicate()
    watch.is_over = True
    watch.join()
    took = {
        "wall_seconds": round(time.monotonic() - began, 2),
        "cpu_seconds": round(sum(watch.cpu.values()), 2),
        "peak_memory_mib": watch.peak >> 20,
    }
    if child.returncode:
        raise RuntimeError(errors[-2000:])
    return printed, took


def tell(**line):
    print(json.dumps(line), flush=True)


duckdb = python("duckdb", ["duckdb"])
sales = folder / "sales.parquet"
if not sales.exists() or (folder / "rows").read_text() != str(rows):
    subprocess.run([program, "generate", "ventas", "--rows", str(rows), "--seed", "1", "--only", "csv", "--out", folder / "data"], check=True)
    subprocess.run([duckdb, here / "prepare.py", folder], check=True)
    (folder / "rows").write_text(str(rows))

# caudal: a run of a job, whose windows DuckDB reads.
_, took = timed([program, "run", here / "quality.toml", "--json", "--quiet", "-w", "2"], {"QUALITY": str(folder)})
wanted = json.loads(timed([duckdb, here / "read.py", folder])[0])
tell(tool="caudal", rows=rows, regions=len(wanted["completeness"]), windows=wanted["windows"], **took)



def words_of(tool):
    """What a tool's script must know besides the folder: where Deequ itself is, which Maven brings."""
    if tool != "deequ":
        return []
    subprocess.run(["mvn", "-q", "dependency:copy", f"-Dartifact={DEEQU}", f"-DoutputDirectory={folder}"], check=True, capture_output=True)
    return [next(folder.glob("deequ-*.jar"))]


for tool, packages in TOOLS.items():
    try:
        printed, took = timed([python(tool, packages), here / f"{tool}.py", folder, *words_of(tool)])
        got = json.loads(printed.strip().splitlines()[-1])
    except Exception as error:  # It is told why, and the others go on.
        tell(tool=tool, does_not_run_here=str(error)[-500:])
        continue
    # Deequ's standard deviation is that of a population: n where the others have n - 1.
    factor = math.sqrt(got.get("history", 10) / (got.get("history", 10) - 1)) if got.get("sd") == "population" else 1.0
    apart = max(abs(got["completeness"][region] - share) for region, share in wanted["completeness"].items())
    z_apart = max(abs(got["z"][region] / factor - z) for region, z in wanted["z"].items())
    if apart > 1e-12 or z_apart > 1e-6:
        tell(tool=tool, differs={"completeness": apart, "z": z_apart})
        continue
    tell(tool=tool, version=packages[0], rows=rows, completeness_differs_by=apart, z_differs_by=z_apart, sd=got.get("sd", "sample"), **took)
