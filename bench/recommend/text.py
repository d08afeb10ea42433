"""A recommendation in words, as a table and as JSON."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from rich.console import Console
from rich.table import Table

from bench.recommend import gpus, plans
from bench.recommend.choice import Answer
from bench.recommend.compose_override import override
from bench.recommend.plans import Plan, Span

MOST_FLIPS = 6
COLUMNS = ("shape", "holds, rps", "replicas", "memory, MiB", "cores", "machines", "cost / million", "")


def sentences(answer: Answer) -> list[str]:
    """Return the recommendation in sentences: plan, reason, rates where the cheapest shape changes, caveats."""
    if answer.best is None:
        return [f"Nothing measured fits {answer.needs}."]
    lines = [f"For {answer.needs}: {_describe_plan(answer.best)}.", _explain(answer)]
    if answer.best_fp32 and answer.best_fp32.shape.target != answer.best.shape.target:
        lines.append(f"For {answer.needs.rps:,.0f} a second in fp32: {_describe_plan(answer.best_fp32)}.")
    flips = f"{_describe_flips(answer.spans)}{gpus.worth(answer.spans, answer.shapes)}"
    lines.append(f"In any precision: {_describe_ties(answer.ties)}{flips}")
    if answer.spans_fp32 and answer.best.shape.precision != "fp32":
        fp32 = [shape for shape in answer.shapes if shape.precision == "fp32"]
        flips = f"{_describe_flips(answer.spans_fp32)}{gpus.worth(answer.spans_fp32, fp32)}"
        lines.append(f"In fp32: {_describe_ties(answer.ties_fp32)}{flips}")
    return [*lines, *_list_caveats(answer)]


def _describe_plan(plan: Plan) -> str:
    counts = " + ".join(f"{number} × {role}" for role, number in plan.roles.items())
    shape = plan.shape.target if len(plan.roles) == 1 else f"{plan.shape.target} ({counts})"
    number = f"{plan.replicas} × " if len(plan.roles) == 1 else ""
    text = f"{number}{shape}, {plan.pss_mib:,.0f} MiB in all, {plan.cores} core{'s' * (plan.cores > 1)}"
    text += f", {plan.gpus} GPU{'s' * (plan.gpus > 1)}" if plan.gpus else ""
    text += f", {plan.machines} machine{'s' * (plan.machines > 1)}" if plan.machines else ""
    cost = f" and cost {plan.cost_million:.3f}" if plan.cost_million is not None else ""
    hours = f"{plan.gpu_hours_million:.2f} GPU hours" if plan.gpus else f"{plan.core_hours_million:.2f} core hours"
    return f"{text}; a million requests take {hours}{cost}"


def _explain(answer: Answer) -> str:
    plan = answer.best
    assert plan is not None  # noqa: S101  (sentences() returns early without one)
    rps, low = plan.shape.rps or 0.0, plan.shape.low or 0.0
    unbounded = " It held even the highest rate offered; what more it holds is not measured." * plan.shape.unbounded
    return (
        f"One replica holds {rps:,.0f} a second within the limit, {low:,.0f} at the least (the lower bound over "
        f"blocks), of which {answer.needs.headroom:.0%} are used.{unbounded}"
    )


def _describe_ties(ties: list[str]) -> str:
    if not ties:
        return ""
    return f"{', '.join(ties)} cannot be told apart by rate: choose by memory and topology. With equal rates, "


def _describe_flips(spans: list[Span]) -> str:
    end = f"beyond {spans[-1].high:,.0f} requests a second is not measured"
    if len(spans) == 1:
        return f"{_name_targets(spans[0])} is the cheapest at every rate; {end}."
    shown = [f"{_name_targets(span)} up to {span.high:,.0f}" for span in spans[:MOST_FLIPS]]
    if len(spans) > MOST_FLIPS:
        end = f"and {len(spans) - MOST_FLIPS} more changes, {_name_targets(spans[-1])} at the end; {end}"
        return f"cheapest, in requests a second: {', '.join(shown)}, {end}."
    last = f"{_name_targets(spans[-1])} wins above {spans[-1].low:,.0f}"
    return f"cheapest, in requests a second: {', '.join(shown[:-1])}; {last}; {end}."


def _name_targets(span: Span) -> str:
    """Return the span's targets; several take turns."""
    return span.targets[0] if len(span.targets) == 1 else f"now {', now '.join(span.targets)}"


def _list_caveats(answer: Answer) -> list[str]:
    plan, caveats = answer.best, []
    assert plan is not None  # noqa: S101  (sentences() returns early without one)
    fronts = list(plan.roles.values())[-1]
    if fronts > 1 and answer.needs.route.startswith("search"):
        caveats.append("Each front door keeps an index of its own: ingest into every one, or give them a database.")
    if plan.replicas > 1 and not plan.gpus:
        caveats.append("One replica was measured at a time: what several cost each other on one machine was not.")
    if plan.shape.thin_rps and fronts < plan.replicas:
        caveats.append(
            f"A thin gateway is counted to hold {plan.shape.thin_rps:,.0f} a second: what it reached without a "
            "model, less what the hop to the embed service costs in CPU. One in front of several was not measured."
        )
    if answer.missing:
        caveats.append(
            f"Shapes on a GPU were not compared with those on cores: that takes the price of a machine of each kind, "
            f"and {' and '.join(answer.missing)} is not said."
        )
    return caveats


def table(answer: Answer, console: Console) -> None:
    """Print a line for each shape: its plan, or why it is not recommended."""
    lines = Table(*COLUMNS, title=str(answer.needs), title_justify="left", box=None, pad_edge=False)
    for column in lines.columns[1:-1]:
        column.justify = "right"
    for shape in answer.shapes:
        plan = plans.plan(shape, answer.needs, answer.needs.rps) if shape.low and shape.pss_mib else None
        best = answer.best is not None and answer.best.shape.target == shape.target
        note = "recommended" if best else shape.why or ("" if plan else "one replica does not fit the machine")
        holds = f"{shape.low:,.0f}" if shape.low else ""
        numbers = _format_numbers(plan) if plan else [""] * 5
        lines.add_row(shape.target, holds, *numbers, note, style="bold" if best else None)
    console.print(lines)


def _format_numbers(plan: Plan) -> list[str]:
    counts = "+".join(str(number) for number in plan.roles.values())
    machines = f"{plan.machines:,}" if plan.machines else ""
    cost = f"{plan.cost_million:.3f}" if plan.cost_million is not None else ""
    cores = f"{plan.cores} + {plan.gpus} GPU" if plan.gpus else f"{plan.cores}"
    return [counts, f"{plan.pss_mib:,.0f}", cores, machines, cost]


def as_json(answer: Answer, campaign: str) -> dict[str, Any]:
    """Return the answer as plain data for JSON."""
    return {
        "campaign": campaign,
        "needs": asdict(answer.needs),
        "recommended": _serialise_plan(answer.best),
        "recommended_fp32": _serialise_plan(answer.best_fp32),
        "shapes": [asdict(shape) for shape in answer.shapes],
        "flips": [asdict(span) for span in answer.spans],
        "flips_fp32": [asdict(span) for span in answer.spans_fp32],
        "cannot_be_told_apart": answer.ties,
        "sentences": sentences(answer),
        "compose_override": override(answer.best) if answer.best else None,
    }


def _serialise_plan(plan: Plan | None) -> dict[str, Any] | None:
    if plan is None:
        return None
    fields = {name: value for name, value in vars(plan).items() if name != "shape"}
    hours = {"core_hours_million": plan.core_hours_million, "gpu_hours_million": plan.gpu_hours_million}
    return {"target": plan.shape.target, **fields, "gpus": plan.gpus, **hours}
