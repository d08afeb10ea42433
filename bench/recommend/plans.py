"""Plans: the replicas of a shape for a rate and their cost, the cheapest plan, and the rates where it changes."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby, pairwise

from bench.recommend.candidates import Shape
from bench.recommend.needs import Needs
from bench.statistics import EQUIVALENT

BEYOND = 1.25  # times the measured rates of the recommended number of replicas; above that nothing is claimed
MIB_PER_GIB = 1024


@dataclass(frozen=True)
class Plan:
    """The processes of each role of a shape for a rate; `machines` and `cost_million` are None if not known."""

    shape: Shape
    rps: float
    replicas: int
    roles: Mapping[str, int]
    pss_mib: float
    cores: int
    machines: int | None = None
    cost_million: float | None = None

    @property
    def gpus(self) -> int:
        """GPUs of the plan: one for each replica of a GPU shape, else 0."""
        return self.replicas if self.shape.gpu else 0

    @property
    def core_hours_million(self) -> float:
        """Core hours for a million requests at this rate."""
        return self.cores * 1e6 / (self.rps * 3600)

    @property
    def gpu_hours_million(self) -> float:
        """GPU hours for a million requests at this rate."""
        return self.gpus * 1e6 / (self.rps * 3600)

    @property
    def price(self) -> tuple[float, float, float]:
        """Sort key of plans: cost if known, else machines, else cores; then memory; then spare capacity."""
        costs = (value for value in (self.cost_million, self.machines) if value is not None)
        return (next(costs, self.cores), self.pss_mib, -(self.shape.low or 0.0))


def plan(shape: Shape, needs: Needs, rps: float) -> Plan | None:
    """Return the fewest replicas whose lower bounds, times headroom, reach the rate; None if no machine is enough."""
    replicas = count(rps, (shape.low or 0.0) * needs.headroom)
    fronts = count(rps, shape.thin_rps * needs.headroom) if shape.thin_rps else replicas
    *_, front = shape.pss_mib
    roles = {role: min(fronts, replicas) if role == front else replicas for role in shape.pss_mib}
    pss_mib = sum(number * shape.pss_mib[role] for role, number in roles.items())
    cores = replicas * shape.cores
    machines = _count_machines(shape, needs, replicas, pss_mib)
    if machines == 0:
        return None
    cost, price_hour = None, needs.gpu_price_hour if shape.gpu else needs.price_hour
    if price_hour is not None and machines is not None:
        cost = machines * price_hour * 1e6 / (rps * 3600)
    return Plan(shape, rps, replicas, roles, pss_mib, cores, machines, cost)


def count(rps: float, each: float) -> int:
    """Return how many replicas of `each` requests a second reach a rate, robust to rounding errors."""
    return max(1, math.ceil(rps / each * (1 - 1e-9)))


def _count_machines(shape: Shape, needs: Needs, replicas: int, pss_mib: float) -> int | None:
    """Return the machines for `replicas` (on GPUs: one each); None without a machine size, 0 if no replica fits."""
    if shape.gpu:
        too_small = needs.ram_gib is not None and sum(shape.pss_mib.values()) > needs.ram_gib * MIB_PER_GIB
        return 0 if too_small else replicas
    if needs.vcpu is None and needs.ram_gib is None:
        return None
    by_cores = by_memory = 1
    if needs.vcpu is not None:
        by_cores = math.ceil(replicas / max(1, int(needs.vcpu // shape.cores)))
    if needs.ram_gib is not None:
        ram_mib = needs.ram_gib * MIB_PER_GIB
        if sum(shape.pss_mib.values()) > ram_mib:
            return 0
        by_memory = math.ceil(pss_mib / ram_mib)
    return max(by_cores, by_memory)


def cheapest(shapes: Sequence[Shape], needs: Needs, rps: float) -> Plan | None:
    """Return the cheapest plan of the eligible shapes; None if none fits."""
    plans = [plan(shape, needs, rps) for shape in shapes if shape.eligible]
    return min((fitting for fitting in plans if fitting), key=lambda fitting: fitting.price, default=None)


@dataclass(frozen=True)
class Span:
    """
    A range of rates, above `low` up to `high` requests a second, and the targets that are the cheapest in it.

    Several `targets` mean that ranges too short to tell apart follow each other; the first range's target is first.
    """

    low: float
    high: float
    targets: tuple[str, ...]

    @property
    def short(self) -> bool:
        """Whether the span is at most 5 % wide, the margin of equivalence."""
        return self.high <= self.low * (1 + EQUIVALENT)


def spans(shapes: Sequence[Shape], needs: Needs, replicas: int) -> list[Span]:
    """Return the cheapest targets from 1 request a second to 1.25 times the measured rate of `replicas`."""
    eligible = [shape for shape in shapes if shape.eligible]
    highest = BEYOND * replicas * max((shape.low or 0.0 for shape in eligible), default=0.0)
    steps = {step for shape in eligible for step in _list_steps(shape, needs, highest)}
    ranges: list[Span] = []
    for low, high in pairwise([1.0, *sorted(step for step in steps if 1.0 < step < highest), highest]):
        best = cheapest(eligible, needs, high)
        if best is None:
            continue
        if ranges and ranges[-1].targets == (best.shape.target,):
            low = ranges.pop().low
        ranges.append(Span(low, high, (best.shape.target,)))
    return _merge_short(ranges)


def _merge_short(ranges: Sequence[Span]) -> list[Span]:
    """Return the spans with each run of short ones merged, into the span before it if the run is short as well."""
    merged: list[Span] = []
    for short, run in groupby(ranges, key=lambda span: span.short):
        spans = list(run)
        if short:
            targets = dict.fromkeys(target for span in spans for target in span.targets)
            turns = Span(spans[0].low, spans[-1].high, tuple(targets))
            spans = [Span(turns.low, turns.high, merged[-1].targets)] if merged and turns.short else [turns]
        for span in spans:
            if merged and merged[-1].targets == span.targets:
                span = Span(merged.pop().low, span.high, span.targets)
            merged.append(span)
    return merged


def _list_steps(shape: Shape, needs: Needs, highest: float) -> list[float]:
    """Return the rates at which one more process is needed, up to `highest`."""
    each = [rps * needs.headroom for rps in (shape.low, shape.thin_rps) if rps]
    return [number * rps for rps in each for number in range(1, count(highest, rps))]
