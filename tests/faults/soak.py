"""
The long form of the fault tests: minutes at a share of what a gateway can do, with a fault every minute.

    python -m tests.faults.soak --gateway split --minutes 20 --out results/<machine>/<date>-soak

Requests are of all kinds and random sizes. Each second becomes a row of soak.csv: what was answered, memory, open
files. At the end everything that was accepted must be there. Without faults (`--faults 0`) it is a test of memory.
"""

from __future__ import annotations

import argparse
import asyncio
import random
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pandas as pd
import psutil
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

from bench.datasets import squad
from tests.faults.soak_plot import draw
from tests.processes import Gateway, Process, describe

MIB = 1 << 20
SHARE = 0.7
CALIBRATION_S, WORKERS = 10.0, 8
FAULT_EVERY_S, FIRST_FAULT_S = 60.0, 30.0
SETTLE_MINUTES = 5.0  # caches and allocators fill before that
MOST_MIB_PER_MIN, MOST_FILES_MORE = 1.0, 20
# Without faults documents are replaced, so many of them: an index that grows maps more pages, as it should.
DOCUMENTS = 300
# While a process is away its clients are told 503, or cannot connect at all; all else is answered or refused in time.
EXPECTED = {200, 202, 429, 503, 0}


@dataclass
class Told:
    """What happened, for the CSV and the verdict."""

    answers: Counter[int] = field(default_factory=Counter)
    latencies_s: list[float] = field(default_factory=list)
    jobs: dict[str, list[str]] = field(default_factory=dict)
    rows: list[dict[str, Any]] = field(default_factory=list)
    faults: list[tuple[float, str]] = field(default_factory=list)
    wrong: list[str] = field(default_factory=list)
    # Of each role, when nobody is connected.
    files_before: dict[str, int] = field(default_factory=dict)
    files_after: dict[str, int] = field(default_factory=dict)


class Load:
    """Requests of random kinds and sizes; every text is asked for once."""

    def __init__(self, http: httpx.AsyncClient, told: Told, seed: int, documents: int | None) -> None:
        self._http = http
        self._documents = documents
        self._told = told
        self._random = random.Random(seed)  # noqa: S311
        dataset = squad.load()
        self._words = " ".join(dataset.passages.values()).split()
        self._number = 0

    def text(self, least: int, most: int) -> str:
        """Return so many words of the corpus, from anywhere, that were not asked for before."""
        self._number += 1
        length = self._random.randint(least, most)
        start = self._random.randrange(len(self._words) - length)
        return f"{self._number} {' '.join(self._words[start : start + length])}"

    async def one(self) -> None:
        """Make one request, and count what came of it."""
        kind = self._random.random()
        started_s = time.perf_counter()
        if kind < 0.5:
            status, _ = await self._post("/v1/search", {"query": self.text(3, 20)})
        elif kind < 0.85:
            status, _ = await self._post("/v1/embeddings", {"input": self.text(1, 120)})
        elif kind < 0.93:
            texts = [self.text(5, 120) for _ in range(self._random.randint(2, 24))]
            status, _ = await self._post("/v1/embeddings", {"input": texts})
        elif kind < 0.96:
            documents = [self.text(20, 120) for _ in range(self._random.randint(2, 12))]
            status, _ = await self._post("/v1/rerank", {"query": self.text(3, 12), "documents": documents})
        else:
            status = await self._ingest()
        self._told.answers[status] += 1
        if status == 200:
            self._told.latencies_s.append(time.perf_counter() - started_s)

    async def _ingest(self) -> int:
        texts = [self.text(20, 120) for _ in range(self._random.randint(1, 8))]
        numbers = [int(text.split()[0]) % (self._documents or sys.maxsize) for text in texts]
        documents = [{"id": f"soak-{number}", "text": text} for number, text in zip(numbers, texts, strict=True)]
        status, answer = await self._post("/v1/ingest", {"documents": documents})
        if status == 202:
            self._told.jobs[answer["job_id"]] = [document["id"] for document in documents]
        return status

    async def _post(self, path: str, body: dict[str, Any]) -> tuple[int, Any]:
        try:
            answer = await self._http.post(path, json=body)
        except httpx.TransportError:
            return 0, None
        if answer.status_code not in EXPECTED:
            self._told.wrong.append(f"{path}: {answer.status_code} {answer.text[:200]}")
        return answer.status_code, answer.json()


async def kill_front(gateway: Gateway, load: Load) -> None:
    """Kill -9 what clients speak to."""
    await _again(gateway.front)


async def kill_first(gateway: Gateway, load: Load) -> None:
    """Kill -9 what runs the model."""
    await _again(next(iter(gateway.processes.values())))


async def hang_up(gateway: Gateway, load: Load) -> None:
    """Fifty clients that ask for much and go away."""
    host, port = gateway.url.removeprefix("http://").split(":")
    for _ in range(50):
        _, writer = await asyncio.open_connection(host, int(port))
        body = httpx.Request("POST", gateway.url, json={"input": [load.text(50, 120) for _ in range(16)]}).read()
        fields = ["Host: here", "Content-Type: application/json", f"Content-Length: {len(body)}"]
        writer.write("\r\n".join(["POST /v1/embeddings HTTP/1.1", *fields, "", ""]).encode() + body)
        await writer.drain()
        writer.close()


async def half_requests(gateway: Gateway, load: Load) -> None:
    """A hundred clients that begin a request and stay."""
    host, port = gateway.url.removeprefix("http://").split(":")
    open_ones = [await asyncio.open_connection(host, int(port)) for _ in range(100)]
    for _, writer in open_ones:
        writer.write(b"POST /v1/embeddings HTTP/1.1\r\nHost: here\r\nContent-Le")
    await asyncio.sleep(5)
    for _, writer in open_ones:
        writer.close()


async def burst(gateway: Gateway, load: Load) -> None:
    """Three hundred requests at once."""
    await asyncio.gather(*(load.one() for _ in range(300)))


FAULTS: Sequence[Callable[[Gateway, Load], Awaitable[None]]] = (kill_front, hang_up, kill_first, half_requests, burst)


async def _again(process: Process) -> None:
    await asyncio.to_thread(process.kill)
    await asyncio.to_thread(process.start)


def look(gateway: Gateway) -> dict[str, float]:
    """Return memory and open files of every role."""
    found: dict[str, float] = {}
    for name, process in gateway.processes.items():
        assert process.popen is not None
        try:
            seen = psutil.Process(process.popen.pid)
            found[f"{name}_pss_mib"] = seen.memory_full_info().pss / MIB
            found[f"{name}_files"] = seen.num_fds()
        except psutil.NoSuchProcess:
            pass  # just killed
    return found


def files(gateway: Gateway) -> dict[str, int]:
    """Return the open files of every role."""
    return {
        name: psutil.Process(process.popen.pid).num_fds()
        for name, process in gateway.processes.items()
        if process.popen
    }


def connected(gateway: Gateway) -> int:
    """Return how many clients what they speak to has."""
    assert gateway.front.popen is not None
    seen = psutil.Process(gateway.front.popen.pid).net_connections("tcp")
    port = int(gateway.url.rpartition(":")[2])
    return sum(one.laddr.port == port and one.status != psutil.CONN_LISTEN for one in seen)


async def soak(gateway: Gateway, told: Told, *, minutes: float, faults: bool, seed: int) -> float:
    """Run it; the requests a second that were offered."""
    told.files_before = files(gateway)
    limits = httpx.Limits(max_connections=400, max_keepalive_connections=64)
    async with httpx.AsyncClient(base_url=gateway.url, timeout=90, trust_env=False, limits=limits) as http:
        load = Load(http, told, seed, None if faults else DOCUMENTS)
        capacity_rps = await _capacity(load, told)
        rate_rps = SHARE * capacity_rps
        begun_s = time.perf_counter()
        running: set[asyncio.Task[None]] = set()

        def run(work: Awaitable[None]) -> None:
            task = asyncio.ensure_future(work)
            running.add(task)
            task.add_done_callback(running.discard)

        with Progress(TextColumn("{task.description}"), BarColumn(), TimeRemainingColumn()) as progress:
            bar = progress.add_task(f"{rate_rps:.0f} requests a second", total=minutes * 60)
            due_s, row_s, fault_s, number = 0.0, 1.0, FIRST_FAULT_S, 0
            while (now_s := time.perf_counter() - begun_s) < minutes * 60:
                while due_s <= now_s:
                    run(load.one())
                    due_s += random.Random(f"{seed} {due_s}").expovariate(rate_rps)  # noqa: S311
                if faults and now_s >= fault_s:
                    fault = FAULTS[number % len(FAULTS)]
                    told.faults.append((now_s, fault.__name__))
                    run(fault(gateway, load))
                    fault_s, number = fault_s + FAULT_EVERY_S, number + 1
                if now_s >= row_s:
                    told.rows.append({"second": round(now_s, 1), **_second(told), **look(gateway)})
                    progress.update(bar, completed=now_s)
                    row_s += 1.0
                await asyncio.sleep(min(0.02, max(0.0, due_s - now_s)))
        await asyncio.gather(*running)
        await _hold_to_it(http, told)
    while connected(gateway):  # noqa: ASYNC110  (until the last of them is let go)
        await asyncio.sleep(0.2)
    told.files_after = files(gateway)
    return rate_rps


async def _capacity(load: Load, told: Told) -> float:
    """Measure with a closed loop what it can do of this mix."""
    end_s = time.perf_counter() + CALIBRATION_S

    async def work() -> None:
        while time.perf_counter() < end_s:
            await load.one()

    await asyncio.gather(*(work() for _ in range(WORKERS)))
    done = sum(told.answers.values())
    told.answers.clear()
    told.latencies_s.clear()
    return done / CALIBRATION_S


def _second(told: Told) -> dict[str, float]:
    """Return what was answered since the last row, and forget it."""
    answers, latencies_s = Counter(told.answers), sorted(told.latencies_s)
    told.answers.clear()
    told.latencies_s.clear()
    row = {f"status_{status}": float(number) for status, number in answers.items()}
    if latencies_s:
        row["p50_ms"], row["p99_ms"] = (1e3 * float(np.percentile(latencies_s, q)) for q in (50, 99))
    return row


async def _hold_to_it(http: httpx.AsyncClient, told: Told) -> None:
    """Wait for every job that was accepted, and look every document up."""
    for job_id, documents in told.jobs.items():
        while (await http.get(f"/v1/jobs/{job_id}")).json()["finished_at"] is None:  # noqa: ASYNC110
            await asyncio.sleep(0.2)
        job = (await http.get(f"/v1/jobs/{job_id}")).json()
        if job["status"] != "completed":
            told.wrong.append(f"job {job_id}: {job}")
        for document in documents:
            if (await http.get(f"/v1/documents/{document}")).status_code != 200:
                told.wrong.append(f"document {document} of job {job_id} is not there")


def verdict(told: Told, frame: pd.DataFrame) -> list[str]:
    """Return what did not hold: wrong answers, memory that grows, files that stay open."""
    failed = list(told.wrong[:20])
    settled = frame[frame["second"] > SETTLE_MINUTES * 60]
    for column in frame.columns:
        series = settled[["second", column]].dropna()
        if column.endswith("_pss_mib") and not told.faults and len(series) > 60:
            slope = float(np.polyfit(series["second"] / 60, series[column], 1)[0])
            print(f"{column}: {slope:+.3f} MiB a minute after minute {SETTLE_MINUTES:.0f}")
            if slope >= MOST_MIB_PER_MIN:
                failed.append(f"{column} grows by {slope:.2f} MiB a minute")
    for name, before in told.files_before.items():
        after = told.files_after[name]
        print(f"{name}: {before} open files before, {after} after")
        if after > before + MOST_FILES_MORE:
            failed.append(f"{name} keeps {after - before} files open")
    return failed


def main() -> None:
    """Read the command line, soak, write the CSV and the plot, and say what did not hold."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--gateway", default="split")
    parser.add_argument("--minutes", type=float, default=20.0)
    parser.add_argument("--faults", type=int, choices=(0, 1), default=1)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--out", type=Path, required=True)
    asked = parser.parse_args()
    told = Told()
    with tempfile.TemporaryDirectory() as folder:
        gateway = describe(asked.gateway, Path(folder), READ_TIMEOUT_S="10")
        try:
            gateway.start()
            rate_rps = asyncio.run(
                soak(gateway, told, minutes=asked.minutes, faults=bool(asked.faults), seed=asked.seed)
            )
        finally:
            gateway.kill()
    frame = pd.DataFrame(told.rows).round(2)
    asked.out.mkdir(parents=True, exist_ok=True)
    name = f"{asked.gateway}-{'faults' if asked.faults else 'calm'}"
    frame.to_csv(asked.out / f"{name}.csv", index=False)
    draw(frame, told.faults, f"{asked.gateway}: {rate_rps:.0f} requests a second", asked.out / f"{name}.png")
    statuses = [str(column) for column in frame if str(column).startswith("status_")]
    answers = {column: int(frame[column].sum()) for column in statuses}
    print(f"{answers}; {len(told.jobs)} jobs, all looked up; faults: {Counter(name for _, name in told.faults)}")
    if failed := verdict(told, frame):
        sys.exit("did not hold:\n" + "\n".join(failed))


if __name__ == "__main__":
    main()
