"""wrk's opinion, where it is installed: an HTTP load generator in C that shares no line with the driver."""

from __future__ import annotations

import shutil
from pathlib import Path

import orjson

from bench.errors import BenchError
from bench.opinions import Ask, Opinion, children_cpu_s, started, wait

SCRIPT = Path(__file__).with_suffix(".lua")
GRACE_S = 30


def installed() -> bool:
    """Whether there is a wrk on the path."""
    return shutil.which("wrk") is not None


def ask(asked: Ask) -> Opinion:
    """Run wrk; it waits for answers only, and checks their status and nothing else."""
    threads = max(1, min(len(asked.cores), asked.concurrency))
    headers = {"content-type": "application/json", **asked.headers}
    argv = ["wrk", f"-t{threads}", f"-c{asked.concurrency}", f"-d{asked.seconds}s", "--timeout", "60s"]
    argv += ["-s", str(SCRIPT), *(word for name, value in headers.items() for word in ("-H", f"{name}: {value}"))]
    argv += [asked.url, "--", asked.path, str(asked.bodies), str(threads)]
    before = children_cpu_s()
    with started(argv, asked.log, asked.cores) as popen:
        wait(popen, asked.log, asked.seconds + GRACE_S)
    return read(asked.log.read_text(), children_cpu_s() - before, max(1, len(asked.cores)))


def read(output: str, cpu_s: float, cores: int) -> Opinion:
    """The opinion in what wrk printed with our script; raises BenchError where there is none."""
    lines = [line for line in output.splitlines() if line.startswith('{"requests"')]
    if not lines:
        raise BenchError(f"wrk printed no counts:\n{output[-500:]}")
    told = orjson.loads(lines[-1])
    seconds = told["duration_us"] / 1e6
    return Opinion(
        requests=told["requests"] + told["broken"],
        errors=told["refused"] + told["broken"],
        sent=told["sent"],
        seconds=seconds,
        cpu=cpu_s / seconds / cores,
        p50_ms=told["p50_us"] / 1e3,
        p95_ms=told["p95_us"] / 1e3,
        p99_ms=told["p99_us"] / 1e3,
    )
