"""One timed window: drive it, watch the server, check sampled answers, judge the evidence."""

from __future__ import annotations

import resource
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from bench import agreement, calibrate, gpu_watch, validity
from bench.driver.load import I64, Load, Outcome
from bench.gpu_watch import Use, Watch
from bench.plan import Cell
from bench.records import Row
from bench.sampler import Sampler, SystemCpu, Usage, memory
from bench.session import Bench, Live
from bench.statistics import percentile
from bench.validity import WindowEvidence

MAX_CHECKED = 60
Asked = str | tuple[str, ...]


@dataclass(frozen=True)
class Environment:
    """
    What the machine did to a window: shares of a core, MiB swapped, and its speed against the campaign's start.

    `foreign_cores` is None beside a server of others on this machine, whose own CPU cannot be told from the rest.
    """

    steal: float
    foreign_cores: float | None
    swapped_mib: float
    drift: float


@dataclass(frozen=True)
class Seen:
    """Everything observed in one window; `gpu` is None for a target that runs on no card."""

    outcome: Outcome
    usage: Usage
    gpu: Use | None
    environment: Environment
    forwards: float | None
    checked: int
    agreed: int

    @property
    def validated(self) -> int:
        """Answers with a 2xx status and the promised shape."""
        return len(self.outcome.latency_ns)

    @property
    def rps(self) -> float:
        """Validated answers a second, from the window's start to the last answer awaited."""
        return self.validated / self.outcome.wall_s


@dataclass(frozen=True)
class Measured:
    """A finished row, and what it was made from."""

    row: Row
    seen: Seen


def window(
    bench: Bench,
    cell: Cell,
    live: Live,
    load: Load,
    asked: Sequence[Asked],
    *,
    allow_shed: bool = False,
    excused: Collection[str] = (),
) -> Measured:
    """
    Measure one window; `asked` are the texts of `load.calls`, in order. Always gives a row, coded where void.

    With `allow_shed`, answers 429, 503 and 504 are the target's right and not errors; `excused` are codes for what
    the scenario is there to measure. The percentiles are over all validated answers; `latencies` fills them anew
    for a part of them.
    """
    before = live.api.forwards()
    outcome, usage, gpu, environment = _drive(bench, live, load)
    after = live.api.forwards()
    moved = None if before is None or after is None else after - before
    seen = Seen(outcome, usage, gpu, environment, moved, *_check(bench, cell, live, load, outcome, asked))
    row = bench.row(cell)
    row.client = load.client
    if load.schedule_s is not None:
        row.offered_rps = len(load.schedule_s) / float(load.schedule_s[-1])
    _fill_load(row, seen)
    _fill_memory(row, seen, live)
    _fill_gpu(row, seen, load)
    codes = _judge(row, seen, bench, cell, live, load, allow_shed)
    row.codes = " ".join(code for code in codes if code not in excused)
    _keep_samples(bench, row, outcome)
    return Measured(row, seen)


def latencies(row: Row, latency_ns: I64, service_ns: I64) -> None:
    """Fill the latency columns from these samples."""
    ordered, service = np.sort(latency_ns), np.sort(service_ns)
    row.p50_ms, row.p95_ms, row.p99_ms, row.p999_ms = (_ms(percentile(ordered, p)) for p in (50, 95, 99, 99.9))
    row.service_p99_ms = _ms(percentile(service, 99))
    row.mean_ms = float(ordered.mean()) / 1e6 if len(ordered) else None


def _drive(bench: Bench, live: Live, load: Load) -> tuple[Outcome, Usage, Use | None, Environment]:
    on = bench.place.pinning.server
    watch, card = Sampler(live.running), Watch(live.running)
    before: list[tuple[SystemCpu, float]] = []
    speeds = [calibrate.seconds(on)]

    def opened() -> None:
        watch.start()
        card.start()
        before.append((SystemCpu.now(), _own_cpu_s()))

    outcome = bench.driver.run(load, opened)
    system, own = SystemCpu.now(), _own_cpu_s()
    usage, gpu = watch.stop(), card.stop()
    speeds.append(calibrate.seconds(on))
    (system_before, own_before) = before[0]
    known = sum(usage.cpu_s.values()) + outcome.driver_cpu_s + own - own_before
    foreign = (system.busy - system_before.busy - known) / outcome.wall_s
    drifts = [speed / bench.speed_s - 1 for speed in speeds]
    environment = Environment(
        steal=(system.stolen - system_before.stolen) / outcome.wall_s,
        foreign_cores=max(0.0, foreign) if live.running.accounted else None,
        swapped_mib=system.swapped_mib - system_before.swapped_mib,
        drift=max(drifts, key=abs),
    )
    return outcome, usage, gpu, environment


def _own_cpu_s() -> float:
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


def _check(
    bench: Bench, cell: Cell, live: Live, load: Load, outcome: Outcome, asked: Sequence[Asked]
) -> tuple[int, int]:
    """How many of the kept answers were compared with the reference, and how many agree; empty ones say nothing."""
    if cell.target.precision == "pseudo":
        return 0, 0
    dialect, told = live.api.dialect, []
    for number, raw in outcome.kept[:: max(1, len(outcome.kept) // MAX_CHECKED)]:
        call = load.calls[number]
        if agreement.has_reference(dialect, call.route) and dialect.check(call.route, raw, call.items):
            told.append((call.route, texts_of(asked[number]), raw))
    bench.reference.vectors([text for _, texts, _ in told for text in texts])
    agreed = [
        agreement.agrees(cell.target, route, dialect, bench.reference, texts, raw) for route, texts, raw in told
    ]
    return len(agreed), sum(agreed)


def _fill_load(row: Row, seen: Seen) -> None:
    outcome, environment = seen.outcome, seen.environment
    row.requests, row.validated = outcome.requests, seen.validated
    row.errors, row.shed, row.empties = outcome.errors, outcome.shed, outcome.empties
    row.duration_s = outcome.wall_s
    row.forwards, row.checked, row.agreed = seen.forwards, seen.checked, seen.agreed
    row.steal, row.foreign_cores = environment.steal, environment.foreign_cores
    row.swapped_mib, row.drift = environment.swapped_mib, environment.drift
    row.driver_cpu = outcome.driver_cpu_s / outcome.wall_s
    row.driver_lag = outcome.lag_s / outcome.wall_s
    row.late_p99_ms = _ms(percentile(np.sort(outcome.late_ns), 99))
    row.reason = outcome.first_error[:200]
    if not seen.validated:
        return
    row.rps = seen.rps
    row.stall_ms = outcome.stall_ms()
    latencies(row, outcome.latency_ns, outcome.service_ns)
    cpu_s = sum(seen.usage.cpu_s.values())
    if seen.usage.cpu_s:
        row.cpu_ms_per_req = 1000 * cpu_s / seen.validated
        row.server_cores = cpu_s / outcome.wall_s
        row.cpu_roles_ms = pairs(
            {role: 1000 * spent_s / seen.validated for role, spent_s in seen.usage.cpu_s.items()}, 3
        )


def _ms(value_ns: int | None) -> float | None:
    return None if value_ns is None else value_ns / 1e6


def _fill_memory(row: Row, seen: Seen, live: Live) -> None:
    if not live.running.processes:
        return
    steady, peak = seen.usage.steady(), seen.usage.peak()
    now = memory(live.running)
    row.rss_idle_mib = sum(role.rss for role in live.idle.values())
    row.rss_steady_mib = sum(steady.values())
    row.rss_peak_mib = sum(peak.values())
    row.rss_recovered_mib = sum(role.rss for role in now.values())
    row.pss_mib = sum(role.pss for role in now.values())
    row.uss_mib = sum(role.uss for role in now.values())
    row.rss_roles_mib = pairs(steady, 1)
    row.pss_roles_mib = pairs({name: role.pss for name, role in now.items()}, 1)


def _fill_gpu(row: Row, seen: Seen, load: Load) -> None:
    if seen.gpu is None:
        return
    items = [load.calls[number].items for number in seen.outcome.numbers]
    texts = sum(items) if all(items) else None
    for name, value in gpu_watch.columns(seen.gpu, texts).items():
        setattr(row, name, value)


def pairs(by_role: Mapping[str, float], digits: int) -> str:
    """Numbers by role as columns have them: role=number, joined by spaces."""
    return " ".join(f"{role}={number:.{digits}f}" for role, number in by_role.items())


def texts_of(asked: Asked) -> tuple[str, ...]:
    """The texts of one call."""
    return (asked,) if isinstance(asked, str) else asked


def _judge(row: Row, seen: Seen, bench: Bench, cell: Cell, live: Live, load: Load, allow_shed: bool) -> list[str]:
    outcome = seen.outcome
    row.ceiling_rps = bench.ceilings.of(cell.route, load.concurrency)
    errors = outcome.errors - (outcome.shed if allow_shed else 0)
    evidence = WindowEvidence(
        requests=outcome.requests,
        errors=errors,
        empties=outcome.empties,
        validated=seen.validated,
        rps=seen.rps,
        ceiling_rps=row.ceiling_rps,
        driver_cpu=row.driver_cpu or 0.0,
        pinned=bench.place.pinning.apart and live.running.on_server_cores(),
        checked=seen.checked,
        agreed=seen.agreed,
        forwards=seen.forwards,
        forwards_expected=sum(call.items for call in load.warmup[: outcome.warmed])
        + sum(load.calls[number].items for number in outcome.numbers),
        has_model=cell.target.precision != "pseudo",
        steal=seen.environment.steal,
        foreign_cores=seen.environment.foreign_cores or 0.0,
        swapped_mib=seen.environment.swapped_mib,
        drift=validity.apart(seen.environment.drift, bench.runs.usual_drift()),
        lag=row.driver_lag or 0.0,
        late_p99_ms=row.late_p99_ms or 0.0,
        stall_ms=row.stall_ms or 0.0,
        wall_s=outcome.wall_s,
        latency_p50_ms=_ms(percentile(np.sort(outcome.latency_ns), 50)) or 0.0,
        service_p50_ms=_ms(percentile(np.sort(outcome.service_ns), 50)) or 0.0,
        offered_rps=row.offered_rps,
        percent=cell.percent,
        gpu_throttled=seen.gpu.throttled if seen.gpu else (),
        gpu_foreign=seen.gpu.foreign if seen.gpu else (),
    )
    row.reason = row.reason or validity.gpu_disturbed(evidence)
    return validity.judge_window(evidence)


def _keep_samples(bench: Bench, row: Row, outcome: Outcome) -> None:
    """Every latency of the window, compressed, beside runs.csv; the file is named by the row's key and its time."""
    bench.samples.mkdir(exist_ok=True)
    name = "-".join(part for part in row.key if part)
    stamp = row.started_utc.replace(":", "").partition("+")[0]
    np.savez_compressed(
        bench.samples / f"{name}-{stamp}.npz",
        numbers=outcome.numbers,
        done_ns=outcome.done_ns,
        service_ns=outcome.service_ns,
        latency_ns=outcome.latency_ns,
        late_ns=outcome.late_ns,
    )
