"""Locust as an independent client: a master and workers on this machine, set up as for many machines."""

from __future__ import annotations

import csv
import sys
from contextlib import ExitStack
from pathlib import Path

import orjson

from bench.cross_check import ClientResult, LoadRequest, started, wait
from bench.errors import BenchError
from bench.targets.ports import free_port

FILE = Path(__file__).with_name("locustfile.py")
START_S, STOP_S = 60, 15


def run(request: LoadRequest, workers: int, dialect: str, route: str) -> ClientResult:
    """Run a master and `workers` workers, which validate every answer, for `request.seconds`; return their result."""
    common = [sys.executable, "-m", "locust", "-f", str(FILE), "--headless", "--host", request.url]
    common += ["--dialect", dialect, "--route", route, "--bodies", str(request.bodies), "--shares", str(workers)]
    common += [word for name, value in request.headers.items() for word in ("--header", f"{name}: {value}")]
    port = str(free_port())
    prefix = request.log.with_suffix("")
    master = [*common, "--master", "--master-bind-host", "127.0.0.1", "--master-bind-port", port]
    master += ["--expect-workers", str(workers), "--expect-workers-max-wait", str(START_S), "--only-summary"]
    master += ["-u", str(request.concurrency), "-r", str(request.concurrency), "-t", f"{request.seconds}s"]
    master += ["--stop-timeout", str(STOP_S), "--csv", str(prefix), "--exit-code-on-error", "0"]
    worker = [*common, "--worker", "--master-host", "127.0.0.1", "--master-port", port]
    logs = [request.log.with_name(f"{prefix.name}-worker{number}.log") for number in range(workers)]
    with ExitStack() as stack:
        popen = stack.enter_context(started(master, request.log, request.cores))
        processes = [stack.enter_context(started(worker, log, request.cores)) for log in logs]
        wait(popen, request.log, START_S + request.seconds + STOP_S)
        for process, log in zip(processes, logs, strict=True):
            wait(process, log, STOP_S)
    stats = prefix.with_name(f"{prefix.name}_stats.csv").read_text()
    return read(stats, [log.read_text() for log in logs], max(1, len(request.cores)))


def read(stats: str, logs: list[str], cores: int) -> ClientResult:
    """Return the result from Locust's CSV, whose percentiles are rounded, and from the last lines of the workers."""
    total = next((row for row in csv.DictReader(stats.splitlines()) if row["Name"] == "Aggregated"), None)
    if total is None or not float(total["Requests/s"]):
        raise BenchError(f"Locust counted no requests; does the target answer?\n{stats[-300:]}")
    reports = [orjson.loads(line) for log in logs for line in log.splitlines() if line.startswith('{"sent"')]
    if len(reports) != len(logs):
        raise BenchError(f"{len(logs) - len(reports)} of {len(logs)} Locust workers wrote no report")
    requests = int(total["Request Count"])
    return ClientResult(
        requests=requests,
        errors=int(total["Failure Count"]),
        sent=max(worker["sent"] for worker in reports) * len(logs),
        seconds=requests / float(total["Requests/s"]),
        cpu=sum(worker["cpu"] for worker in reports) / cores,
        p50_ms=float(total["50%"]),
        p95_ms=float(total["95%"]),
        p99_ms=float(total["99%"]),
    )
