"""Run a soak: measure the capacity, offer a share of it with faults, then check that no accepted document is lost."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Awaitable

import httpx
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

from scripts.soak.faults import FAULTS
from scripts.soak.load import Load
from scripts.soak.record import Record, count_connections, count_open_files
from tests.support.gateways import Gateway

SHARE = 0.7
CALIBRATION_S, WORKERS = 10.0, 8
FAULT_EVERY_S, FIRST_FAULT_S = 60.0, 30.0
# Without faults this many documents are replaced again and again. A growing index would map more and more pages.
DOCUMENTS = 300


class Schedule:
    """An open-loop load: requests with exponential gaps, a fault every minute, a row of the record every second."""

    def __init__(self, gateway: Gateway, load: Load, record: Record, rate_rps: float, seed: int) -> None:
        self._gateway = gateway
        self._load = load
        self._record = record
        self._rate_rps = rate_rps
        self._seed = seed
        self._tasks: set[asyncio.Task[None]] = set()
        self._arrival_s, self._row_s, self._fault_s = 0.0, 1.0, FIRST_FAULT_S

    async def run(self, duration_s: float, *, faults: bool) -> None:
        """Offer load for `duration_s`, and wait for the last response."""
        begun_s = time.perf_counter()
        with Progress(TextColumn("{task.description}"), BarColumn(), TimeRemainingColumn()) as progress:
            bar = progress.add_task(f"{self._rate_rps:.0f} requests a second", total=duration_s)
            while (now_s := time.perf_counter() - begun_s) < duration_s:
                self._start_requests(now_s)
                if faults and now_s >= self._fault_s:
                    self._start_fault(now_s)
                if now_s >= self._row_s:
                    self._record.add_row(now_s, self._gateway)
                    progress.update(bar, completed=now_s)
                    self._row_s += 1.0
                await asyncio.sleep(min(0.02, max(0.0, self._arrival_s - now_s)))
        await asyncio.gather(*self._tasks)

    def _start_requests(self, now_s: float) -> None:
        while self._arrival_s <= now_s:
            self._start(self._load.send_request())
            gap = random.Random(f"{self._seed} {self._arrival_s}")  # noqa: S311
            self._arrival_s += gap.expovariate(self._rate_rps)

    def _start_fault(self, now_s: float) -> None:
        fault = FAULTS[len(self._record.faults) % len(FAULTS)]
        self._record.faults.append((now_s, fault.__name__))
        self._start(fault(self._gateway, self._load))
        self._fault_s += FAULT_EVERY_S

    def _start(self, work: Awaitable[None]) -> None:
        task = asyncio.ensure_future(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)


async def soak(gateway: Gateway, record: Record, *, minutes: float, faults: bool, seed: int) -> float:
    """Run a soak and fill `record`. Returns the offered rate in requests per second."""
    record.files_before = count_open_files(gateway)
    limits = httpx.Limits(max_connections=400, max_keepalive_connections=64)
    async with httpx.AsyncClient(base_url=gateway.url, timeout=90, trust_env=False, limits=limits) as http:
        load = Load(http, record, seed, None if faults else DOCUMENTS)
        rate_rps = SHARE * await measure_capacity(load, record)
        await Schedule(gateway, load, record, rate_rps, seed).run(minutes * 60, faults=faults)
        await check_documents(http, record)
    while count_connections(gateway):  # noqa: ASYNC110  (until the gateway has closed the last one)
        await asyncio.sleep(0.2)
    record.files_after = count_open_files(gateway)
    return rate_rps


async def measure_capacity(load: Load, record: Record) -> float:
    """Return the requests per second that a closed loop of WORKERS clients gets from this mix."""
    end_s = time.perf_counter() + CALIBRATION_S

    async def send_requests() -> None:
        while time.perf_counter() < end_s:
            await load.send_request()

    await asyncio.gather(*(send_requests() for _ in range(WORKERS)))
    answers = sum(record.answers.values())
    record.clear_answers()
    return answers / CALIBRATION_S


async def check_documents(http: httpx.AsyncClient, record: Record) -> None:
    """Wait for every accepted job and look up each of its documents. Adds failures to `record.errors`."""
    for job_id, documents in record.jobs.items():
        while (await http.get(f"/v1/jobs/{job_id}")).json()["finished_at"] is None:  # noqa: ASYNC110
            await asyncio.sleep(0.2)
        job = (await http.get(f"/v1/jobs/{job_id}")).json()
        if job["status"] != "completed":
            record.errors.append(f"job {job_id}: {job}")
        for document in documents:
            if (await http.get(f"/v1/documents/{document}")).status_code != 200:
                record.errors.append(f"document {document} of job {job_id} is missing")
