"""Locust's opinion: a master and its workers here, as they would run on many machines."""

from __future__ import annotations

import csv
import sys
from contextlib import ExitStack

import orjson

from bench import paths
from bench.errors import BenchError
from bench.opinions import Ask, Opinion, started, wait
from bench.processes import free_port

FILE = paths.ROOT / "bench" / "locustfile.py"
START_S, STOP_S = 60, 15


def ask(asked: Ask, workers: int, dialect: str, route: str) -> Opinion:
    """Run so many workers and their master on 127.0.0.1 until the time is up; they check every answer."""
    common = [sys.executable, "-m", "locust", "-f", str(FILE), "--headless", "--host", asked.url]
    common += ["--dialect", dialect, "--route", route, "--bodies", str(asked.bodies), "--shares", str(workers)]
    common += [word for name, value in asked.headers.items() for word in ("--header", f"{name}: {value}")]
    port = str(free_port())
    prefix = asked.log.with_suffix("")
    master = [*common, "--master", "--master-bind-host", "127.0.0.1", "--master-bind-port", port]
    master += ["--expect-workers", str(workers), "--expect-workers-max-wait", str(START_S), "--only-summary"]
    master += ["-u", str(asked.concurrency), "-r", str(asked.concurrency), "-t", f"{asked.seconds}s"]
    master += ["--stop-timeout", str(STOP_S), "--csv", str(prefix), "--exit-code-on-error", "0"]
    worker = [*common, "--worker", "--master-host", "127.0.0.1", "--master-port", port]
    logs = [asked.log.with_name(f"{prefix.name}-worker{number}.log") for number in range(workers)]
    with ExitStack() as running:
        popen = running.enter_context(started(master, asked.log, asked.cores))
        ended = [running.enter_context(started(worker, log, asked.cores)) for log in logs]
        wait(popen, asked.log, START_S + asked.seconds + STOP_S)
        for each, log in zip(ended, logs, strict=True):
            wait(each, log, STOP_S)
    stats = prefix.with_name(f"{prefix.name}_stats.csv").read_text()
    return read(stats, [log.read_text() for log in logs], max(1, len(asked.cores)))


def read(stats: str, logs: list[str], cores: int) -> Opinion:
    """The opinion in Locust's CSV (its percentiles are rounded) and in what its workers said when they ended."""
    total = next((row for row in csv.DictReader(stats.splitlines()) if row["Name"] == "Aggregated"), None)
    if total is None or not float(total["Requests/s"]):
        raise BenchError(f"Locust counted nothing; is the target there?\n{stats[-300:]}")
    told = [orjson.loads(line) for log in logs for line in log.splitlines() if line.startswith('{"sent"')]
    if len(told) != len(logs):
        raise BenchError(f"{len(logs) - len(told)} of {len(logs)} Locust workers did not say what they did")
    requests = int(total["Request Count"])
    return Opinion(
        requests=requests,
        errors=int(total["Failure Count"]),
        sent=max(worker["sent"] for worker in told) * len(logs),
        seconds=requests / float(total["Requests/s"]),
        cpu=sum(worker["cpu"] for worker in told) / cores,
        p50_ms=float(total["50%"]),
        p95_ms=float(total["95%"]),
        p99_ms=float(total["99%"]),
    )
