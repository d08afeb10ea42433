"""One timed window: drive the load, sample the server, check sampled answers, and judge the evidence."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, replace

import numpy as np

from bench.driver.load import Load, Outcome
from bench.machine import speed as machine_speed
from bench.measurement.gpu_sampler import GpuSampler, GpuUsage
from bench.measurement.observation import (
    Environment,
    Observation,
    fill_gpu,
    fill_load,
    fill_memory,
    to_ms,
)
from bench.measurement.plan import Cell
from bench.measurement.process_sampler import Sampler, SystemCpu, Usage
from bench.measurement.session import Bench, Session
from bench.records import refusal_codes
from bench.records.drift import find_farther
from bench.records.refusal_codes import WindowEvidence
from bench.records.runs_csv import Row
from bench.statistics import percentile
from bench.verification import agreement

MAX_CHECKED = 60
RequestTexts = str | tuple[str, ...]


@dataclass(frozen=True)
class Measurement:
    """A finished row and its observation."""

    row: Row
    observation: Observation


def measure(
    bench: Bench,
    cell: Cell,
    session: Session,
    load: Load,
    texts: Sequence[RequestTexts],
    *,
    allow_shed: bool = False,
    excused: Collection[str] = (),
    finish: Callable[[Outcome], Outcome] = lambda outcome: outcome,
) -> Measurement:
    """
    Measure one window and return its row with the refusal codes; `texts` are those of `load.calls`, in order.

    With `allow_shed`, answers 429, 503 and 504 are no errors. `excused` are codes that the scenario provokes on
    purpose; they are not recorded. `finish` waits for work that answers precede, while the samplers still run, and
    returns the outcome with the longer wall time. Percentiles cover all validated answers; `fill_latencies` refills
    them for a part.
    """
    before = session.api.forwards()
    outcome, usage, gpu, environment = _drive(bench, session, load, finish)
    after = session.api.forwards()
    forwards = None if before is None or after is None else after - before
    checked, agreed = _check_answers(bench, cell, session, load, outcome, texts)
    observation = Observation(outcome, usage, gpu, environment, forwards, checked, agreed)
    row = bench.row(cell)
    row.client = load.client
    fill_load(row, observation, load)
    fill_memory(row, observation, session)
    fill_gpu(row, observation, load)
    codes = _judge(row, observation, bench, cell, session, load, allow_shed)
    row.codes = " ".join(code for code in codes if code not in excused)
    _save_samples(bench, row, outcome)
    return Measurement(row, observation)


def _drive(
    bench: Bench, session: Session, load: Load, finish: Callable[[Outcome], Outcome]
) -> tuple[Outcome, Usage, GpuUsage | None, Environment]:
    """Run the load with the samplers; measure the machine's speed before and after it."""
    server_cores = bench.place.pinning.server
    sampler, gpu_watch = Sampler(session.server), GpuSampler(session.server)
    before: list[tuple[SystemCpu, float]] = []
    speeds = [machine_speed.seconds(server_cores)]

    def opened() -> None:
        sampler.start()
        gpu_watch.start()
        before.append((SystemCpu.now(), time.process_time()))

    outcome = finish(bench.driver.run(load, opened))
    system, harness_s = SystemCpu.now(), time.process_time()
    usage, gpu = sampler.stop(), gpu_watch.stop()
    speeds.append(machine_speed.seconds(server_cores))
    system_before, harness_before_s = before[0]
    own_s = sum(usage.cpu_s.values()) + outcome.driver_cpu_s + harness_s - harness_before_s
    interference = system.interference(system_before, own_s, outcome.wall_s)
    looks = speeds[0] / bench.speed_s - 1, speeds[1] / bench.speed_s - 1
    environment = Environment(
        steal=interference.steal,
        foreign_cores=interference.foreign_cores if session.server.accounted and usage.cpu_readable else None,
        swapped_mib=system.swapped_mib - system_before.swapped_mib,
        drift=find_farther(looks, bench.runs.usual_drift()),
        looks=looks,
    )
    return outcome, usage, gpu, environment


def _check_answers(
    bench: Bench, cell: Cell, session: Session, load: Load, outcome: Outcome, texts: Sequence[RequestTexts]
) -> tuple[int, int]:
    """Compare kept answers with the reference; return how many were compared and how many agree. Skip empty ones."""
    if cell.target.precision == "pseudo":
        return 0, 0
    dialect, sample = session.api.dialect, []
    for number, raw in outcome.kept[:: max(1, len(outcome.kept) // MAX_CHECKED)]:
        call = load.calls[number]
        if agreement.has_reference(dialect, call.route) and dialect.check(call.route, raw, call.items):
            sample.append((call.route, texts_of(texts[number]), raw))
    # Encode all texts in one batch; the comparisons then find them in memory.
    bench.reference.vectors([text for _, inputs, _ in sample for text in inputs])
    agreed = [
        agreement.agrees(cell.target, route, dialect, bench.reference, inputs, raw) for route, inputs, raw in sample
    ]
    return len(agreed), sum(agreed)


def texts_of(request: RequestTexts) -> tuple[str, ...]:
    """Return the texts of one request as a tuple."""
    return (request,) if isinstance(request, str) else request


def _judge(
    row: Row, observation: Observation, bench: Bench, cell: Cell, session: Session, load: Load, allow_shed: bool
) -> list[str]:
    """Return the codes of a window; fill the row's client ceiling and reason."""
    row.ceiling_rps = bench.ceilings.find(cell.route, load.concurrency)
    evidence = _collect_evidence(row, observation, bench, cell, session, load, allow_shed)
    if (gpu := observation.gpu) is not None:
        evidence = replace(evidence, gpu_throttled=gpu.throttled, gpu_foreign=gpu.foreign)
    row.reason = row.reason or refusal_codes.describe_gpu_disturbance(evidence)
    return refusal_codes.judge_window(evidence)


def _collect_evidence(
    row: Row, observation: Observation, bench: Bench, cell: Cell, session: Session, load: Load, allow_shed: bool
) -> WindowEvidence:
    outcome, environment = observation.outcome, observation.environment
    return WindowEvidence(
        requests=outcome.requests,
        errors=outcome.errors - (outcome.shed if allow_shed else 0),
        empties=outcome.empties,
        validated=observation.validated,
        rps=observation.rps,
        ceiling_rps=row.ceiling_rps,
        driver_cpu=row.driver_cpu or 0.0,
        pinned=bench.place.pinning.disjoint or session.server.target.remote,
        on_own_cores=session.server.on_own_cores(),
        cores_used=row.server_cores or 0.0,
        cores=session.server.core_count,
        throttled=observation.usage.throttled,
        checked=observation.checked,
        agreed=observation.agreed,
        forwards=observation.forwards,
        forwards_expected=_count_items(load, outcome),
        has_model=cell.target.precision != "pseudo",
        steal=environment.steal,
        foreign_cores=environment.foreign_cores or 0.0,
        swapped_mib=environment.swapped_mib,
        drift=refusal_codes.relative_drift(environment.drift, bench.runs.usual_drift()),
        lag=row.driver_lag or 0.0,
        late_p99_ms=row.late_p99_ms or 0.0,
        stall_ms=row.stall_ms or 0.0,
        wall_s=outcome.wall_s,
        latency_p50_ms=to_ms(percentile(np.sort(outcome.latency_ns), 50)) or 0.0,
        service_p50_ms=to_ms(percentile(np.sort(outcome.service_ns), 50)) or 0.0,
        offered_rps=row.offered_rps,
        percent=cell.percent,
    )


def _count_items(load: Load, outcome: Outcome) -> int:
    """Return the number of texts and documents in the answered requests, those of the warm-up included."""
    warmup = [load.warmup[number] for number in outcome.warmup_numbers]
    answered = [load.calls[number] for number in outcome.numbers]
    return sum(call.items for call in [*warmup, *answered])


def _save_samples(bench: Bench, row: Row, outcome: Outcome) -> None:
    """Save every latency of the window, compressed, in a file named by the row's key and start time."""
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
