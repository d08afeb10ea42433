"""A second opinion: the sweep's headline load sent by an independent client, wrk if installed, or Locust."""

from __future__ import annotations

import time

from bench.cross_check import ClientResult, LoadRequest, children_cpu_s, locust, verdict, wrk
from bench.errors import BenchError
from bench.measurement.plan import BODIES_PER_SECOND, Cell, Options
from bench.measurement.process_sampler import Sampler, SystemCpu
from bench.measurement.session import Bench, Session
from bench.records import runs_csv
from bench.records.refusal_codes import WindowEvidence, judge_window, refused
from bench.records.runs_csv import HEADLINE_CONCURRENCY, Row
from bench.statistics import FLOORS
from bench.targets import Target

HEADLINE = "Agreement of an independent client with the driver on requests per second"
NAME = "second_opinion"
ROUTES = ("search", "embeddings")
WRK_SECONDS = 8


def client_of(options: Options) -> str:
    """Return the independent client: "locust" if it has workers, else "wrk" if installed, else ""."""
    if options.locust_workers:
        return "locust"
    return "wrk" if wrk.installed() else ""


def cells(target: Target, options: Options, block: int) -> list[Cell]:
    """Return a cell for each route at 16 in flight, else at the largest concurrency; [] without a client."""
    speaks_scheme = client_of(options) == "locust" or not target.url.startswith("https:")
    if not client_of(options) or not target.ingest or not speaks_scheme:
        return []
    concurrency = HEADLINE_CONCURRENCY if HEADLINE_CONCURRENCY in options.concurrency else options.concurrency[-1]
    return [Cell(block, target, NAME, route, concurrency) for route in ROUTES if route in target.capabilities]


def run(bench: Bench, cell: Cell, session: Session) -> list[Row]:
    """Measure one window over texts that this server has never seen, and compare its rate with the driver's."""
    assert cell.concurrency is not None  # noqa: S101  (`cells` sets it)
    seconds = bench.options.locust_seconds if client_of(bench.options) == "locust" else WRK_SECONDS
    texts = session.texts.take((seconds + 1) * BODIES_PER_SECOND)
    stamp = f"{cell.target.name}-{cell.route}-{time.time_ns() // 1_000_000 % 100_000_000}"
    request = LoadRequest(
        url=session.server.url,
        path=session.api.dialect.path(cell.route),
        headers=session.server.target.headers,
        bodies=bench.place.work / f"{stamp}.jsonl",
        concurrency=cell.concurrency,
        seconds=seconds,
        cores=bench.place.pinning.driver,
        log=bench.place.logs / f"{stamp}.log",
    )
    request.bodies.write_bytes(b"\n".join(call.body for call in session.calls(cell.route, texts)) + b"\n")
    try:
        row, result = _measure(bench, cell, session, request)
    except BenchError as error:
        row = bench.row(cell)
        row.client, row.codes, row.reason = client_of(bench.options), "E_CLIENT", str(error).splitlines()[0]
        return [row]
    session.texts.give_back(texts[result.sent :])
    if result.sent > len(texts):
        row.codes = "E_CACHE"
        row.reason = f"{result.sent} requests for {len(texts)} texts, so some texts were sent twice"
    return [row]


def _measure(bench: Bench, cell: Cell, session: Session, request: LoadRequest) -> tuple[Row, ClientResult]:
    """Run the client and sample the server; return the row and the client's result."""
    row, sampler = bench.row(cell), Sampler(session.server)
    forwards_before, start_s = session.api.forwards(), time.perf_counter()
    system_before, harness_before_s = SystemCpu.now(), time.process_time() + children_cpu_s()
    sampler.start()
    try:
        result = _run_client(bench, cell, session, request)
    finally:
        usage = sampler.stop()
    system, harness_s = SystemCpu.now(), time.process_time() + children_cpu_s()
    wall_s, forwards = time.perf_counter() - start_s, session.api.forwards()
    _fill_result(row, result, client_of(bench.options))
    row.forwards = None if forwards is None or forwards_before is None else forwards - forwards_before
    server_s = sum(usage.cpu_s.values())
    interference = system.interference(system_before, server_s + harness_s - harness_before_s, wall_s)
    row.steal = interference.steal
    row.foreign_cores = interference.foreign_cores if session.server.accounted and usage.cpu_readable else None
    if usage.cpu_s and result.requests:
        row.cpu_ms_per_req = 1000 * server_s / result.requests
    row.codes = " ".join(_judge(bench, session, row, result))
    row.reason = verdict(result.rps, driver_rps(runs_csv.read(bench.runs.file), cell))
    return row, result


def _fill_result(row: Row, result: ClientResult, client: str) -> None:
    """Fill the columns that the client counted. Only Locust validates answers."""
    row.client, row.requests, row.errors = client, result.requests, result.errors
    row.validated = result.requests - result.errors if client == "locust" else None
    row.duration_s, row.rps, row.driver_cpu = result.seconds, result.rps, result.cpu
    for column, percent in (("p50_ms", 50), ("p95_ms", 95), ("p99_ms", 99)):
        if result.requests - result.errors >= FLOORS[percent]:
            setattr(row, column, getattr(result, column))


def _run_client(bench: Bench, cell: Cell, session: Session, request: LoadRequest) -> ClientResult:
    bench.show.step(f"{cell.target.name} · {client_of(bench.options)}, {request.seconds} s")
    if client_of(bench.options) == "locust":
        return locust.run(request, bench.options.locust_workers, session.server.target.dialect, cell.route)
    return wrk.run(request)


def _judge(bench: Bench, session: Session, row: Row, result: ClientResult) -> list[str]:
    """Return the codes that can be judged with an independent client, which keeps no answers."""
    good = result.requests - result.errors
    return judge_window(
        WindowEvidence(
            requests=result.requests,
            errors=result.errors,
            empties=0,
            validated=good,
            rps=result.rps,
            ceiling_rps=None,
            driver_cpu=result.cpu,
            pinned=bench.place.pinning.disjoint or session.server.target.remote,
            on_own_cores=session.server.on_own_cores(),
            forwards=row.forwards,
            forwards_expected=good,
            has_model=row.forwards is not None and row.precision != "pseudo",
            steal=row.steal or 0.0,
            foreign_cores=row.foreign_cores or 0.0,
        )
    )


def driver_rps(rows: list[dict[str, str]], cell: Cell) -> float | None:
    """Return the driver's closed-loop rate at the same load, of the same block if possible; None without one."""
    same_load = [
        row
        for row in rows
        if (row["target"], row["scenario"], row["route"], row["concurrency"])
        == (cell.target.name, "closed", cell.route, str(cell.concurrency))
        and row["rps"]
        and not refused(row["codes"].split())
    ]
    same_block = [row for row in same_load if row["block"] == str(cell.block)]
    return float((same_block or same_load)[-1]["rps"]) if same_load else None
