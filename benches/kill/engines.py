"""The engines: how each is started, killed and started again, as its users would."""

import os
import signal
import subprocess
from pathlib import Path

HERE = Path(__file__).resolve().parent

# What Flink's own start scripts give a JVM of Java 17.
OPENED = [
    f"--add-opens=java.base/{package}=ALL-UNNAMED"
    for package in (
        "java.lang", "java.net", "java.io", "java.nio", "sun.nio.ch", "java.lang.reflect", "java.text", "java.time", "java.util",
        "java.util.concurrent", "java.util.concurrent.atomic", "java.util.concurrent.locks",
    )
]


class Engine:
    def __init__(self, bench, tag, root, settings):
        self.bench, self.tag, self.root, self.settings = bench, tag, root, settings
        self.process = None

    def spawn(self, words, env=None):
        log = open(self.root / "log", "ab")
        self.process = subprocess.Popen(
            [str(word) for word in words], env={**os.environ, **(env or {})}, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True)
        log.close()

    def kill(self):
        """All processes at once."""
        if self.is_alive():
            os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()

    def is_alive(self):
        return self.process is not None and self.process.poll() is None

    def cpu(self):
        """Seconds of all its threads."""
        user, system = Path(f"/proc/{self.process.pid}/stat").read_text().rsplit(") ", 1)[1].split()[11:13]
        return (int(user) + int(system)) / os.sysconf("SC_CLK_TCK")

    def log(self):
        return (self.root / "log").read_text(errors="replace")[-3000:]


class Caudal(Engine):
    """One process of two workers; started again by the same command."""

    words = ("run", "-w", "2")

    def start(self):
        env = {
            "KILL_BROKERS": self.bench.brokers, "KILL_TOPIC": self.bench.topic, "KILL_TAG": self.tag, "KILL_ROOT": str(self.root),
            "KILL_DIMS": str(self.bench.dims), "KILL_EPOCH": self.settings["epoch"], "KILL_CHECKPOINT": f"{self.settings['checkpoint']} seconds",
            "KILL_IN_FLIGHT": self.settings["in_flight"], "KILL_DELIVERY": self.settings["delivery"].replace("-", "_"),
        }
        command, *options = self.words
        self.spawn([self.bench.caudal, command, HERE / "ventas.toml", *options, "--quiet"], env)

    restart = start


class Launched(Caudal):
    """Two processes of a worker each, which `caudal launch` watches; both are killed, and it starts them again by itself."""

    words = ("launch", "-n", "2", "-w", "1")

    def workers(self):
        return Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children").read_text().split()

    def kill_workers(self):
        for worker in self.workers():
            os.kill(int(worker), signal.SIGKILL)

    def kill(self):
        if self.is_alive():
            self.process.send_signal(signal.SIGSTOP)
            self.kill_workers()
            self.process.kill()
            self.process.wait()

    def restart(self):
        pass


class Flink(Engine):
    """Job manager and task manager in one JVM, which is the least that can be started; started again from the newest checkpoint."""

    def start(self):
        self.run(None)

    def restart(self):
        whole = [found.parent for found in self.root.glob("checkpoints/*/chk-*/_metadata")]
        newest = max(whole, key=lambda folder: (folder / "_metadata").stat().st_mtime_ns, default=None)
        self.run(newest)

    def run(self, checkpoint):
        options = {
            "brokers": self.bench.brokers, "topic": self.bench.topic, "tag": self.tag, "look-ups": self.bench.dims,
            "delivery": self.settings["delivery"], "transactions": "POOLING",
            "parallelism.default": 2,
            "pipeline.object-reuse": "true",
            "state.backend.type": "hashmap",
            "execution.checkpointing.interval": f"{self.settings['checkpoint']} s",
            "execution.checkpointing.mode": "EXACTLY_ONCE",
            "execution.checkpointing.dir": (self.root / "checkpoints").as_uri(),
            "execution.checkpointing.externalized-checkpoint-retention": "RETAIN_ON_CANCELLATION",
            "table.optimizer.reuse-optimize-block-with-digest-enabled": "true",
            "table.local-time-zone": "UTC",
            "taskmanager.memory.managed.size": "512m",
            "taskmanager.memory.network.max": "128m",
            **self.settings.get("flink", {}),
        }
        if checkpoint:
            options["execution.state-recovery.path"] = checkpoint.as_uri()
        self.spawn([
            "java", "-Xmx3g", *OPENED, "-Dorg.slf4j.simpleLogger.defaultLogLevel=warn", "-Dorg.slf4j.simpleLogger.showDateTime=true",
            "-cp", f"{self.bench.cache}/flink/classes:{self.bench.cache}/flink/jars/*", "Ventas", *(f"{name}={value}" for name, value in options.items()),
        ])
