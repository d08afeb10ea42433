"""The recommendation for given needs, from the rows of one campaign."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from bench.analysis.decisions import noise
from bench.analysis.summary import Campaign
from bench.errors import BenchError
from bench.recommend import gpus
from bench.recommend.candidates import OPEN_LOOP, Shape, shapes
from bench.recommend.needs import Needs
from bench.recommend.plans import Plan, Span, cheapest, spans


@dataclass(frozen=True)
class Answer:
    """
    A recommendation: all shapes, the cheapest plans, and the rates at which another shape becomes the cheapest.

    `best` and `best_fp32` are None if nothing fits. `missing` names the command-line options that a comparison of GPU
    shapes with CPU shapes needs and that were not passed.

    `ties` and `ties_fp32` are the targets that cannot be told apart, the best among them.
    """

    needs: Needs
    shapes: list[Shape]
    best: Plan | None
    best_fp32: Plan | None
    spans: list[Span]
    spans_fp32: list[Span]
    missing: list[str]
    ties: list[str] = field(default_factory=list)
    ties_fp32: list[str] = field(default_factory=list)


def answer(campaign: Campaign, needs: Needs) -> Answer:
    """Return the cheapest measured shapes; raises BenchError if the campaign has no open-loop rows of the route."""
    needs.check()
    open_loop = campaign.runs[campaign.runs.scenario.isin(OPEN_LOOP)]
    if open_loop.empty:
        raise BenchError(
            "this campaign has no open-loop rows, and what holds a latency is known from nothing else: make bench"
        )
    if needs.route not in set(open_loop.route):
        raise BenchError(f"--route is one of {', '.join(sorted(set(open_loop.route)))} here, not {needs.route!r}")
    measured = shapes(campaign, needs)
    comparable = gpus.comparable(measured, needs)
    anything, ties = _equalise(campaign, needs, comparable)
    fp32, ties_fp32 = _equalise(campaign, needs, [shape for shape in comparable if shape.precision == "fp32"])
    best, best_fp32 = (cheapest(candidates, needs, needs.rps) for candidates in (anything, fp32))
    return Answer(
        needs=needs,
        shapes=comparable,
        best=best,
        best_fp32=best_fp32,
        spans=spans(anything, needs, best.replicas) if best else [],
        spans_fp32=spans(fp32, needs, best_fp32.replicas) if best_fp32 else [],
        missing=gpus.missing(measured, needs),
        ties=ties,
        ties_fp32=ties_fp32,
    )


def _equalise(campaign: Campaign, needs: Needs, shapes: list[Shape]) -> tuple[list[Shape], list[str]]:
    """
    Return the shapes, and the names of those that cannot be told apart from the cheapest; [] if there are none.

    These get the least of their lower bounds, so that memory and topology decide between them, and not noise.
    """
    first = cheapest(shapes, needs, needs.rps)
    if first is None:
        return shapes, []
    band = 1 + noise(campaign, needs.route)
    alike = [shape for shape in shapes if shape.eligible and _overlap(shape, first.shape, band)]
    low = min(shape.low or 0.0 for shape in alike)
    names = [shape.target for shape in alike]
    equal = [replace(shape, low=low) if shape.target in names else shape for shape in shapes]
    return equal, names if len(names) > 1 else []


def _overlap(shape: Shape, other: Shape, band: float) -> bool:
    """Return whether neither lower bound is above the other's rate by more than equal servers differ."""
    if shape.gpu != other.gpu:
        return False
    (low, rps), (other_low, other_rps) = ((each.low or 0.0, each.rps or 0.0) for each in (shape, other))
    return low <= other_rps * band and other_low <= rps * band
