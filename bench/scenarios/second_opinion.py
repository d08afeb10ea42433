"""The sweep's headline load again, by a client not ours: wrk where it is installed, Locust where asked for."""

from __future__ import annotations

import time

from bench import records
from bench.errors import BenchError
from bench.opinions import Ask, Opinion, children_cpu_s, locust, verdict, wrk
from bench.plan import BODIES_PER_SECOND, Cell, Options
from bench.records import Row
from bench.sampler import Sampler, SystemCpu
from bench.session import Bench, Live
from bench.statistics import FLOORS
from bench.targets import Target
from bench.validity import WindowEvidence, judge_window, refused

HEADLINE = "Whether another client counts as many requests a second as the driver"
NAME = "second_opinion"
VERIFIED = True
ROUTES = ("search", "embeddings")
HEADLINE_CONCURRENCY = 16
WRK_SECONDS = 8


def client_of(options: Options) -> str:
    """Who is asked: Locust where it has workers, else wrk where it is installed, else nobody."""
    if options.locust_workers:
        return "locust"
    return "wrk" if wrk.installed() else ""


def cells(target: Target, options: Options, block: int) -> list[Cell]:
    """Each of both routes at 16 in flight, or at the most that is measured; none where nobody can be asked."""
    plain = client_of(options) == "locust" or not target.url.startswith("https:")
    if not client_of(options) or not target.ingest or not plain:
        return []
    concurrency = HEADLINE_CONCURRENCY if HEADLINE_CONCURRENCY in options.concurrency else options.concurrency[-1]
    return [Cell(block, target, NAME, route, concurrency) for route in ROUTES if route in target.capabilities]


def run(bench: Bench, cell: Cell, live: Live | None) -> list[Row]:
    """One window with texts this server process has never seen, and whether its rate is the driver's."""
    if live is None or cell.concurrency is None:
        raise BenchError("a second opinion is asked for beside a verified server")
    seconds = bench.options.locust_seconds if client_of(bench.options) == "locust" else WRK_SECONDS
    texts = live.texts.take((seconds + 1) * BODIES_PER_SECOND)
    stamp = f"{cell.target.name}-{cell.route}-{time.time_ns() // 1_000_000 % 100_000_000}"
    asked = Ask(
        url=live.running.url,
        path=live.api.dialect.path(cell.route),
        headers=live.running.target.headers,
        bodies=bench.place.work / f"{stamp}.jsonl",
        concurrency=cell.concurrency,
        seconds=seconds,
        cores=bench.place.pinning.driver,
        log=bench.place.logs / f"{stamp}.log",
    )
    asked.bodies.write_bytes(b"\n".join(call.body for call in live.calls(cell.route, texts)) + b"\n")
    try:
        row, opinion = _watched(bench, cell, live, asked)
    except BenchError as error:
        row = bench.row(cell)
        row.client, row.codes, row.reason = client_of(bench.options), "E_CLIENT", str(error).splitlines()[0]
        return [row]
    live.texts.give_back(texts[opinion.sent :])
    if opinion.sent > len(texts):
        row.codes = "E_CACHE"
        row.reason = f"{opinion.sent} requests for {len(texts)} texts: some were asked twice"
    return [row]


def _watched(bench: Bench, cell: Cell, live: Live, asked: Ask) -> tuple[Row, Opinion]:
    row, watch = bench.row(cell), Sampler(live.running)
    forwards, before, began = live.api.forwards(), _system(), time.perf_counter()
    watch.start()
    try:
        opinion = _ask(bench, cell, live, asked)
    finally:
        usage = watch.stop()
    system, wall_s, after = _system(), time.perf_counter() - began, live.api.forwards()
    row.client, row.requests, row.errors = client_of(bench.options), opinion.requests, opinion.errors
    row.validated = opinion.requests - opinion.errors if row.client == "locust" else None
    row.duration_s, row.rps, row.driver_cpu = opinion.seconds, opinion.rps, opinion.cpu
    row.forwards = None if forwards is None or after is None else after - forwards
    row.steal = (system[0].stolen - before[0].stolen) / wall_s
    if live.running.accounted:
        spent = system[0].busy - before[0].busy - (system[1] - before[1]) - sum(usage.cpu_s.values())
        row.foreign_cores = max(0.0, spent / wall_s)
    if usage.cpu_s and opinion.requests:
        row.cpu_ms_per_req = 1000 * sum(usage.cpu_s.values()) / opinion.requests
    for column, percent in (("p50_ms", 50), ("p95_ms", 95), ("p99_ms", 99)):
        if opinion.requests - opinion.errors >= FLOORS[percent]:
            setattr(row, column, getattr(opinion, column))
    row.codes = " ".join(_judge(bench, live, row, opinion))
    row.reason = verdict(opinion.rps, driver_rps(records.read(bench.runs.file), cell))
    return row, opinion


def _system() -> tuple[SystemCpu, float]:
    """CPU of the machine, and of this process and the clients it awaited."""
    return SystemCpu.now(), time.process_time() + children_cpu_s()


def _ask(bench: Bench, cell: Cell, live: Live, asked: Ask) -> Opinion:
    bench.show.step(f"{cell.target.name} · {client_of(bench.options)}, {asked.seconds} s")
    if client_of(bench.options) == "locust":
        return locust.ask(asked, bench.options.locust_workers, live.running.target.dialect, cell.route)
    return wrk.ask(asked)


def _judge(bench: Bench, live: Live, row: Row, opinion: Opinion) -> list[str]:
    """The codes of a timed window, as far as another client lets them be seen: no answer of its is kept."""
    good = opinion.requests - opinion.errors
    return judge_window(
        WindowEvidence(
            requests=opinion.requests,
            errors=opinion.errors,
            empties=0,
            validated=good,
            rps=opinion.rps,
            ceiling_rps=None,
            driver_cpu=opinion.cpu,
            pinned=bench.place.pinning.apart and live.running.on_server_cores(),
            forwards=row.forwards,
            forwards_expected=good,
            has_model=row.forwards is not None and row.precision != "pseudo",
            steal=row.steal or 0.0,
            foreign_cores=row.foreign_cores or 0.0,
        )
    )


def driver_rps(rows: list[dict[str, str]], cell: Cell) -> float | None:
    """The driver's requests a second in the closed loop at the same load, in the same block where it has one."""
    alike = [
        row
        for row in rows
        if (row["target"], row["scenario"], row["route"], row["concurrency"])
        == (cell.target.name, "closed", cell.route, str(cell.concurrency))
        and row["rps"]
        and not refused(row["codes"].split())
    ]
    here = [row for row in alike if row["block"] == str(cell.block)]
    return float((here or alike)[-1]["rps"]) if alike else None
