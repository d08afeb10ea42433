"""wrk as an independent client, if installed: an HTTP load generator in C that shares no code with the driver."""

from __future__ import annotations

import shutil
from pathlib import Path

import orjson

from bench.cross_check import ClientResult, LoadRequest, children_cpu_s, started, wait
from bench.errors import BenchError

SCRIPT = Path(__file__).with_suffix(".lua")
GRACE_S = 30


def installed() -> bool:
    """Return whether wrk is on the PATH."""
    return shutil.which("wrk") is not None


def run(request: LoadRequest) -> ClientResult:
    """Run wrk and return its result. wrk checks the status of answers and nothing else."""
    threads = max(1, min(len(request.cores), request.concurrency))
    headers = {"content-type": "application/json", **request.headers}
    argv = ["wrk", f"-t{threads}", f"-c{request.concurrency}", f"-d{request.seconds}s", "--timeout", "60s"]
    argv += ["-s", str(SCRIPT), *(word for name, value in headers.items() for word in ("-H", f"{name}: {value}"))]
    argv += [request.url, "--", request.path, str(request.bodies), str(threads)]
    before = children_cpu_s()
    with started(argv, request.log, request.cores) as popen:
        wait(popen, request.log, request.seconds + GRACE_S)
    return read(request.log.read_text(), children_cpu_s() - before, max(1, len(request.cores)))


def read(output: str, cpu_s: float, cores: int) -> ClientResult:
    """Return the result that wrk.lua printed. Raises BenchError if there is none."""
    lines = [line for line in output.splitlines() if line.startswith('{"requests"')]
    if not lines:
        raise BenchError(f"wrk printed no counts:\n{output[-500:]}")
    counts = orjson.loads(lines[-1])
    seconds = counts["duration_us"] / 1e6
    return ClientResult(
        requests=counts["requests"] + counts["broken"],
        errors=counts["refused"] + counts["broken"],
        sent=counts["sent"],
        seconds=seconds,
        cpu=cpu_s / seconds / cores,
        p50_ms=counts["p50_us"] / 1e3,
        p95_ms=counts["p95_us"] / 1e3,
        p99_ms=counts["p99_us"] / 1e3,
    )
