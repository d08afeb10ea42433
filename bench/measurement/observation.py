"""What is observed in one timed window, and how it fills a row of runs.csv."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from bench.driver.load import I64, Load, Outcome
from bench.measurement import gpu_sampler
from bench.measurement.gpu_sampler import GpuUsage
from bench.measurement.process_sampler import Usage, memory, total
from bench.measurement.session import Session
from bench.records.runs_csv import Row
from bench.statistics import percentile


@dataclass(frozen=True)
class Environment:
    """
    The state of the machine in a window: CPU in cores lost to others, MiB swapped, and drift of its speed.

    `foreign_cores` is None beside an external server on this machine, and beside processes that the harness may not
    read, because their CPU cannot be separated from that of others. `looks` are the times of a fixed
    work before and after the window, over that at the campaign's start, minus 1; `drift` is the one farther from the
    usual.
    """

    steal: float
    foreign_cores: float | None
    swapped_mib: float
    drift: float
    looks: tuple[float, float]


@dataclass(frozen=True)
class Observation:
    """Everything observed in one window. `gpu` is None if the target runs on no GPU."""

    outcome: Outcome
    usage: Usage
    gpu: GpuUsage | None
    environment: Environment
    forwards: float | None
    checked: int
    agreed: int

    @property
    def validated(self) -> int:
        """The number of answers with a 2xx status and the promised shape."""
        return len(self.outcome.latency_ns)

    @property
    def rps(self) -> float:
        """Validated answers per second, from the window's start to the last answer; handed-over ones included."""
        return self.outcome.completed / self.outcome.wall_s


def fill_latencies(row: Row, latency_ns: I64, service_ns: I64) -> None:
    """Fill the latency columns of a row from the samples."""
    ordered, service = np.sort(latency_ns), np.sort(service_ns)
    row.p50_ms, row.p95_ms, row.p99_ms, row.p999_ms = (to_ms(percentile(ordered, p)) for p in (50, 95, 99, 99.9))
    row.service_p99_ms = to_ms(percentile(service, 99))
    row.mean_ms = float(ordered.mean()) / 1e6 if len(ordered) else None


def fill_load(row: Row, observation: Observation, load: Load) -> None:
    """Fill the columns of requests, rate, latency, CPU and the machine's state."""
    if load.schedule_s is not None:
        sent = max(1, observation.outcome.requests)
        row.offered_rps = sent / float(load.schedule_s[sent - 1])
    outcome, environment = observation.outcome, observation.environment
    row.requests, row.validated = outcome.requests, observation.validated
    row.errors, row.shed, row.empties = outcome.errors, outcome.shed, outcome.empties
    row.duration_s = outcome.wall_s
    row.forwards, row.checked, row.agreed = observation.forwards, observation.checked, observation.agreed
    row.steal, row.foreign_cores = environment.steal, environment.foreign_cores
    row.swapped_mib, row.drift = environment.swapped_mib, environment.drift
    row.drift_before, row.drift_after = environment.looks
    row.driver_cpu = outcome.driver_cpu_s / outcome.wall_s
    row.driver_lag = outcome.lag_s / outcome.wall_s
    row.late_p99_ms = to_ms(percentile(np.sort(outcome.late_ns), 99))
    row.reason = outcome.first_error[:200]
    if not observation.validated:
        return
    row.rps = observation.rps
    row.stall_ms = outcome.stall_ms()
    fill_latencies(row, outcome.latency_ns, outcome.service_ns)
    cpu_s = sum(observation.usage.cpu_s.values())
    if observation.usage.cpu_s:
        row.cpu_ms_per_req = 1000 * cpu_s / outcome.completed
        row.server_cores = cpu_s / outcome.wall_s
        row.cpu_roles_ms = pairs(
            {role: 1000 * role_s / outcome.completed for role, role_s in observation.usage.cpu_s.items()}, 3
        )


def fill_memory(row: Row, observation: Observation, session: Session) -> None:
    """Fill the columns of memory, in MiB; leave them empty for a server whose processes are not known."""
    if not session.server.processes:
        return
    steady, peak = observation.usage.steady(), observation.usage.peak()
    now = memory(session.server)
    row.rss_idle_mib = total(role.rss for role in session.idle.values())
    row.rss_steady_mib = total(steady.values())
    row.rss_peak_mib = total(peak.values())
    row.rss_recovered_mib = total(role.rss for role in now.values())
    row.pss_mib = total(role.pss for role in now.values())
    row.uss_mib = total(role.uss for role in now.values())
    row.rss_roles_mib = pairs(steady, 1)
    row.pss_roles_mib = pairs({name: role.pss for name, role in now.items()}, 1)


def fill_gpu(row: Row, observation: Observation, load: Load) -> None:
    """Fill the columns of the GPU; leave them empty for a target that runs on none."""
    if observation.gpu is None:
        return
    items = [load.calls[number].items for number in observation.outcome.numbers]
    texts = sum(items) if all(items) else None
    for name, value in gpu_sampler.row_columns(observation.gpu, texts).items():
        setattr(row, name, value)


def pairs(by_role: Mapping[str, float | None], digits: int) -> str:
    """Return numbers by role as a column of runs.csv: role=number, joined by spaces; "" if one is None."""
    known = {role: number for role, number in by_role.items() if number is not None}
    texts = [f"{role}={number:.{digits}f}" for role, number in known.items()]
    return " ".join(texts) if len(known) == len(by_role) else ""


def to_ms(value_ns: int | None) -> float | None:
    """Return nanoseconds as milliseconds, and None as None."""
    return None if value_ns is None else value_ns / 1e6
