"""One timed window: drive it, watch the server, check sampled answers, judge the evidence."""

from __future__ import annotations

import resource
from dataclasses import dataclass

import numpy as np

from bench import validity, verify
from bench.driver.load import Load, Outcome
from bench.plan import Cell
from bench.records import Row
from bench.sampler import Sampler, SystemCpu, Usage, memory
from bench.session import Bench, Live
from bench.statistics import percentile
from bench.validity import WindowEvidence

MAX_CHECKED = 60


@dataclass(frozen=True)
class Seen:
    """Everything observed in one window."""

    outcome: Outcome
    usage: Usage
    forwards: float | None
    steal: float
    foreign_cores: float
    checked: int = 0
    agreed: int = 0

    @property
    def validated(self) -> int:
        """Answers with status 200 and the promised shape."""
        return len(self.outcome.latency_ns)

    @property
    def rps(self) -> float:
        """Validated answers a second, from the first request sent to the last answer awaited."""
        return self.validated / self.outcome.wall_s


@dataclass(frozen=True)
class Measured:
    """A finished row, and how many of the warm-up's texts were sent."""

    row: Row
    warmed: int


def window(bench: Bench, cell: Cell, live: Live, load: Load, texts: list[str]) -> Measured:
    """Measure one window; `texts` are those of `load.bodies`, in order. Always gives a row, coded where void."""
    forwards_before = live.api.forwards()
    outcome, usage, steal, foreign = _drive(bench, live, load)
    forwards_after = live.api.forwards()
    moved = None if forwards_before is None or forwards_after is None else forwards_after - forwards_before
    checked, agreed = _check(bench, cell, live, outcome, texts)
    seen = Seen(outcome, usage, moved, steal, foreign, checked, agreed)
    row = bench.row(cell)
    row.client = load.client
    _fill_load(row, seen)
    _fill_memory(row, seen, live)
    _judge(row, seen, bench, cell, live)
    return Measured(row, outcome.warmed)


def _drive(bench: Bench, live: Live, load: Load) -> tuple[Outcome, Usage, float, float]:
    watch = Sampler(live.running)
    before: list[tuple[SystemCpu, float]] = []

    def opened() -> None:
        watch.start()
        before.append((SystemCpu.now(), _own_cpu_s()))

    outcome = bench.driver.run(load, opened)
    system, own = SystemCpu.now(), _own_cpu_s()
    usage = watch.stop()
    (system_before, own_before) = before[0]
    known = sum(usage.cpu_s.values()) + outcome.driver_cpu_s + own - own_before
    foreign = (system.busy - system_before.busy - known) / outcome.wall_s
    return outcome, usage, (system.stolen - system_before.stolen) / outcome.wall_s, max(0.0, foreign)


def _own_cpu_s() -> float:
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


def _check(bench: Bench, cell: Cell, live: Live, outcome: Outcome, texts: list[str]) -> tuple[int, int]:
    """How many of the kept answers were compared with the reference, and how many agree; empty ones say nothing."""
    if cell.target.precision == "pseudo":
        return 0, 0
    step = max(1, len(outcome.kept) // MAX_CHECKED)
    told = [(texts[number], raw) for number, raw in outcome.kept[::step] if live.api.dialect.check(cell.route, raw)]
    bench.reference.vectors([text for text, _ in told])
    agreed = [
        verify.agrees(cell.target, cell.route, live.api.dialect, bench.reference, text, raw) for text, raw in told
    ]
    return len(agreed), sum(agreed)


def _fill_load(row: Row, seen: Seen) -> None:
    ordered = np.sort(seen.outcome.latency_ns)
    row.requests = seen.outcome.requests
    row.validated = seen.validated
    row.errors = seen.outcome.errors
    row.empties = seen.outcome.empties
    row.duration_s = seen.outcome.wall_s
    row.forwards, row.checked, row.agreed = seen.forwards, seen.checked, seen.agreed
    row.steal, row.foreign_cores = seen.steal, seen.foreign_cores
    row.driver_cpu = seen.outcome.driver_cpu_s / seen.outcome.wall_s
    row.reason = seen.outcome.first_error[:200]
    if not seen.validated:
        return
    row.rps = seen.rps
    row.p50_ms, row.p95_ms, row.p99_ms = (_ms(percentile(ordered, percent)) for percent in (50, 95, 99))
    row.mean_ms = float(ordered.mean()) / 1e6
    cpu_s = sum(seen.usage.cpu_s.values())
    row.cpu_ms_per_req = 1000 * cpu_s / seen.validated
    row.server_cores = cpu_s / seen.outcome.wall_s


def _ms(value_ns: int | None) -> float | None:
    return None if value_ns is None else value_ns / 1e6


def _fill_memory(row: Row, seen: Seen, live: Live) -> None:
    steady, peak = seen.usage.steady(), seen.usage.peak()
    now = memory(live.running)
    row.rss_idle_mib = sum(role.rss for role in live.idle.values())
    row.rss_steady_mib = sum(steady.values())
    row.rss_peak_mib = sum(peak.values())
    row.pss_mib = sum(role.pss for role in now.values())
    row.uss_mib = sum(role.uss for role in now.values())
    row.rss_roles_mib = " ".join(f"{role}={mib:.1f}" for role, mib in steady.items())


def _judge(row: Row, seen: Seen, bench: Bench, cell: Cell, live: Live) -> None:
    row.ceiling_rps = bench.ceilings[cell.route, cell.concurrency or 1]
    evidence = WindowEvidence(
        requests=seen.outcome.requests,
        errors=seen.outcome.errors,
        empties=seen.outcome.empties,
        validated=seen.validated,
        rps=seen.rps,
        ceiling_rps=row.ceiling_rps,
        driver_cpu=row.driver_cpu or 0.0,
        pinned=bench.place.pinning.apart and live.running.on_server_cores(),
        checked=seen.checked,
        agreed=seen.agreed,
        forwards=seen.forwards,
        forwards_expected=seen.outcome.warmed + seen.outcome.requests - seen.outcome.errors,
        has_model=cell.target.precision != "pseudo",
        steal=seen.steal,
        foreign_cores=seen.foreign_cores,
    )
    row.codes = " ".join(validity.judge_window(evidence))
