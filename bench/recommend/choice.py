"""The recommendation for given needs, from the rows of one campaign."""

from __future__ import annotations

from dataclasses import dataclass

from bench.analysis.summary import Campaign
from bench.errors import BenchError
from bench.recommend import gpus
from bench.recommend.candidates import Shape, shapes
from bench.recommend.needs import Needs
from bench.recommend.plans import Plan, Span, cheapest, spans


@dataclass(frozen=True)
class Answer:
    """
    A recommendation: all shapes, the cheapest plans, and the rates at which another shape becomes the cheapest.

    `best` and `best_fp32` are None if nothing fits. `missing` names the command-line options that a comparison of GPU
    shapes with CPU shapes needs and that were not passed.
    """

    needs: Needs
    shapes: list[Shape]
    best: Plan | None
    best_fp32: Plan | None
    spans: list[Span]
    spans_fp32: list[Span]
    missing: list[str]


def answer(campaign: Campaign, needs: Needs) -> Answer:
    """Return the cheapest measured shapes; raises BenchError if the campaign has no open-loop rows of the route."""
    needs.check()
    open_loop = campaign.runs[campaign.runs.scenario == "server"]
    if open_loop.empty:
        raise BenchError(
            "this campaign has no open-loop rows, and what holds a latency is known from nothing else: "
            "make bench PROFILE=full"
        )
    if needs.route not in set(open_loop.route):
        raise BenchError(f"--route is one of {', '.join(sorted(set(open_loop.route)))} here, not {needs.route!r}")
    measured = shapes(campaign, needs)
    comparable = gpus.comparable(measured, needs)
    fp32 = [shape for shape in comparable if shape.precision == "fp32"]
    best, best_fp32 = (cheapest(candidates, needs, needs.rps) for candidates in (comparable, fp32))
    return Answer(
        needs=needs,
        shapes=comparable,
        best=best,
        best_fp32=best_fp32,
        spans=spans(comparable, needs, best.replicas) if best else [],
        spans_fp32=spans(fp32, needs, best_fp32.replicas) if best_fp32 else [],
        missing=gpus.missing(measured, needs),
    )
