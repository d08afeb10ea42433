"""The answer to needs, from the rows of one campaign."""

from __future__ import annotations

from dataclasses import dataclass

from bench.errors import BenchError
from bench.recommend import gpus
from bench.recommend.measured import Shape, shapes
from bench.recommend.needs import Needs
from bench.recommend.plans import Plan, Span, cheapest, spans
from bench.report.summary import Campaign


@dataclass(frozen=True)
class Answer:
    """
    Every shape, the cheapest plan and the cheapest in fp32 (None where nothing fits), and where they change.

    `missing` are the options without which shapes on a GPU could not be compared with the others.
    """

    needs: Needs
    shapes: list[Shape]
    best: Plan | None
    best_fp32: Plan | None
    spans: list[Span]
    spans_fp32: list[Span]
    missing: list[str]


def answer(campaign: Campaign, needs: Needs) -> Answer:
    """Choose among what was measured; raises BenchError for a campaign without an open loop of the route."""
    needs.check()
    opened = campaign.runs[campaign.runs.scenario == "server"]
    if opened.empty:
        raise BenchError(
            "this campaign has no open-loop rows, and what holds a latency is known from nothing else: "
            "make bench PROFILE=full"
        )
    if needs.route not in set(opened.route):
        raise BenchError(f"--route is one of {', '.join(sorted(set(opened.route)))} here, not {needs.route!r}")
    measured = shapes(campaign, needs)
    found = gpus.comparable(measured, needs)
    fp32 = [shape for shape in found if shape.precision == "fp32"]
    best, best_fp32 = (cheapest(some, needs, needs.rps) for some in (found, fp32))
    return Answer(
        needs=needs,
        shapes=found,
        best=best,
        best_fp32=best_fp32,
        spans=spans(found, needs, best.replicas) if best else [],
        spans_fp32=spans(fp32, needs, best_fp32.replicas) if best_fp32 else [],
        missing=gpus.missing(measured, needs),
    )
