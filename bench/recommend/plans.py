"""How many of a shape serve a rate, what they take together, which is cheapest, and where that changes."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby, pairwise

from bench.recommend.measured import Shape
from bench.recommend.needs import Needs
from bench.statistics import EQUIVALENT

BEYOND = 1.25  # times the rates measured, with as many replicas as are recommended: further on nothing is said
MIB_PER_GIB = 1024


@dataclass(frozen=True)
class Plan:
    """So many processes of each role of a shape for a rate; `machines` and `cost_million` where they can be told."""

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
        """One for each replica of a shape that runs on one."""
        return self.replicas if self.shape.gpu else 0

    @property
    def core_hours_million(self) -> float:
        """Hours of one core a million requests take at this rate."""
        return self.cores * 1e6 / (self.rps * 3600)

    @property
    def gpu_hours_million(self) -> float:
        """Hours of one GPU a million requests take at this rate."""
        return self.gpus * 1e6 / (self.rps * 3600)

    @property
    def price(self) -> tuple[float, float, float]:
        """What plans are compared by: money where it is said, else machines, else cores; then memory, then room."""
        known = (value for value in (self.cost_million, self.machines) if value is not None)
        return (next(known, self.cores), self.pss_mib, -(self.shape.low or 0.0))


def plan(shape: Shape, needs: Needs, rps: float) -> Plan | None:
    """The fewest replicas whose lower bounds, with headroom, hold the rate; None where a machine is too small."""
    replicas = count(rps, (shape.low or 0.0) * needs.headroom)
    fronts = count(rps, shape.thin_rps * needs.headroom) if shape.thin_rps else replicas
    *_, front = shape.pss_mib
    roles = {role: min(fronts, replicas) if role == front else replicas for role in shape.pss_mib}
    pss_mib = sum(number * shape.pss_mib[role] for role, number in roles.items())
    cores = replicas * shape.cores
    machines = _machines(shape, needs, replicas, pss_mib)
    if machines == 0:
        return None
    cost, price_hour = None, needs.gpu_price_hour if shape.gpu else needs.price_hour
    if price_hour is not None and machines is not None:
        cost = machines * price_hour * 1e6 / (rps * 3600)
    return Plan(shape, rps, replicas, roles, pss_mib, cores, machines, cost)


def count(rps: float, each: float) -> int:
    """How many hold a rate together; a rounding error does not make one more."""
    return max(1, math.ceil(rps / each * (1 - 1e-9)))


def _machines(shape: Shape, needs: Needs, replicas: int, pss_mib: float) -> int | None:
    """Machines for so many replicas, one each with a GPU; None where none is described, 0 where no replica fits."""
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
    """The plan of least price among the shapes that may be recommended; None where none fits."""
    plans = [plan(shape, needs, rps) for shape in shapes if shape.eligible]
    return min((made for made in plans if made), key=lambda made: made.price, default=None)


@dataclass(frozen=True)
class Span:
    """
    From above `low` to `high` requests a second a target is the cheapest, but for a stretch too short to tell.

    Where such stretches follow each other, all that are cheapest in one of them are `targets`, the first one first.
    """

    low: float
    high: float
    targets: tuple[str, ...]

    @property
    def short(self) -> bool:
        """Whether it is too short to tell one from another that is equivalent."""
        return self.high <= self.low * (1 + EQUIVALENT)


def spans(shapes: Sequence[Shape], needs: Needs, replicas: int) -> list[Span]:
    """Who is cheapest from 1 request a second to 1.25 × the rates measured with so many replicas."""
    eligible = [shape for shape in shapes if shape.eligible]
    highest = BEYOND * replicas * max((shape.low or 0.0 for shape in eligible), default=0.0)
    steps = {step for shape in eligible for step in _steps(shape, needs, highest)}
    made: list[Span] = []
    for low, high in pairwise([1.0, *sorted(step for step in steps if 1.0 < step < highest), highest]):
        best = cheapest(eligible, needs, high)
        if best is None:
            continue
        if made and made[-1].targets == (best.shape.target,):
            low = made.pop().low
        made.append(Span(low, high, (best.shape.target,)))
    return _told_apart(made)


def _told_apart(made: Sequence[Span]) -> list[Span]:
    """Spans without those that make 5 % or less together; more of them in a row are one, whose shapes take turns."""
    kept: list[Span] = []
    for short, run in groupby(made, key=lambda span: span.short):
        spans = list(run)
        if short:
            targets = dict.fromkeys(target for span in spans for target in span.targets)
            turns = Span(spans[0].low, spans[-1].high, tuple(targets))
            spans = [Span(turns.low, turns.high, kept[-1].targets)] if kept and turns.short else [turns]
        for span in spans:
            if kept and kept[-1].targets == span.targets:
                span = Span(kept.pop().low, span.high, span.targets)
            kept.append(span)
    return kept


def _steps(shape: Shape, needs: Needs, highest: float) -> list[float]:
    """The rates at which one more process is needed."""
    each = [rps * needs.headroom for rps in (shape.low, shape.thin_rps) if rps]
    return [number * rps for rps in each for number in range(1, count(highest, rps))]
