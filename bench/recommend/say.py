"""A recommendation in words, as a table and as JSON."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from rich.console import Console
from rich.table import Table

from bench.recommend import gpus
from bench.recommend.answer import Answer
from bench.recommend.compose import override
from bench.recommend.plans import Plan, Span, plan

MOST_FLIPS = 6
COLUMNS = ("shape", "holds, rps", "replicas", "memory, MiB", "cores", "machines", "cost / million", "")


def sentences(answer: Answer) -> list[str]:
    """What to run, why, from when on another shape is cheaper, and what was not measured."""
    if answer.best is None:
        return [f"Nothing measured fits {answer.needs}."]
    said = [f"For {answer.needs}: {_plan(answer.best)}.", _why(answer)]
    if answer.best_fp32 and answer.best_fp32.shape.target != answer.best.shape.target:
        said.append(f"For {answer.needs.rps:,.0f} a second in fp32: {_plan(answer.best_fp32)}.")
    said.append(f"In any precision: {_flips(answer.spans)}{gpus.worth(answer.spans, answer.shapes)}")
    if answer.spans_fp32 and answer.best.shape.precision != "fp32":
        fp32 = [shape for shape in answer.shapes if shape.precision == "fp32"]
        said.append(f"In fp32: {_flips(answer.spans_fp32)}{gpus.worth(answer.spans_fp32, fp32)}")
    return [*said, *_caveats(answer)]


def _plan(made: Plan) -> str:
    counts = " + ".join(f"{number} × {role}" for role, number in made.roles.items())
    what = made.shape.target if len(made.roles) == 1 else f"{made.shape.target} ({counts})"
    number = f"{made.replicas} × " if len(made.roles) == 1 else ""
    said = f"{number}{what}, {made.pss_mib:,.0f} MiB in all, {made.cores} core{'s' * (made.cores > 1)}"
    said += f", {made.gpus} GPU{'s' * (made.gpus > 1)}" if made.gpus else ""
    said += f", {made.machines} machine{'s' * (made.machines > 1)}" if made.machines else ""
    cost = f" and cost {made.cost_million:.3f}" if made.cost_million is not None else ""
    hours = f"{made.gpu_hours_million:.2f} GPU hours" if made.gpus else f"{made.core_hours_million:.2f} core hours"
    return f"{said}; a million requests take {hours}{cost}"


def _why(answer: Answer) -> str:
    made = answer.best
    assert made is not None  # noqa: S101  (sentences asks only with a plan)
    held, low = made.shape.rps or 0.0, made.shape.low or 0.0
    more = " It held even the highest rate offered; what more it holds is not measured." * made.shape.unbounded
    return (
        f"One replica holds {held:,.0f} a second within the limit, {low:,.0f} at the least (the lower bound over "
        f"blocks), of which {answer.needs.headroom:.0%} are used.{more}"
    )


def _flips(spans: list[Span]) -> str:
    end = f"beyond {spans[-1].high:,.0f} requests a second is not measured"
    if len(spans) == 1:
        return f"{_who(spans[0])} is the cheapest at every rate; {end}."
    shown = [f"{_who(span)} up to {span.high:,.0f}" for span in spans[:MOST_FLIPS]]
    if len(spans) > MOST_FLIPS:
        end = f"and {len(spans) - MOST_FLIPS} more changes, {_who(spans[-1])} at the end; {end}"
        return f"cheapest, in requests a second: {', '.join(shown)}, {end}."
    last = f"{_who(spans[-1])} wins above {spans[-1].low:,.0f}"
    return f"cheapest, in requests a second: {', '.join(shown[:-1])}; {last}; {end}."


def _who(span: Span) -> str:
    return span.targets[0] if len(span.targets) == 1 else f"now {', now '.join(span.targets)}"


def _caveats(answer: Answer) -> list[str]:
    made, said = answer.best, []
    assert made is not None  # noqa: S101  (sentences asks only with a plan)
    fronts = list(made.roles.values())[-1]
    if fronts > 1 and answer.needs.route.startswith("search"):
        said.append("Each front door keeps an index of its own: ingest into every one, or give them a database.")
    if made.replicas > 1 and not made.gpus:
        said.append("One replica was measured at a time: what several cost each other on one machine was not.")
    if made.shape.thin_rps and fronts < made.replicas:
        said.append(
            f"A thin gateway is counted to hold {made.shape.thin_rps:,.0f} a second: what it reached without a "
            "model, less what the hop to the embed service costs in CPU. One in front of several was not measured."
        )
    if answer.missing:
        said.append(
            f"Shapes on a GPU were not compared with those on cores: that takes the price of a machine of each kind, "
            f"and {' and '.join(answer.missing)} is not said."
        )
    return said


def table(answer: Answer, console: Console) -> None:
    """Every shape of the campaign: what it would take, or why it is not recommended."""
    drawn = Table(*COLUMNS, title=str(answer.needs), title_justify="left", box=None, pad_edge=False)
    for column in drawn.columns[1:-1]:
        column.justify = "right"
    for shape in answer.shapes:
        made = plan(shape, answer.needs, answer.needs.rps) if shape.low and shape.pss_mib else None
        won = answer.best is not None and answer.best.shape.target == shape.target
        note = "recommended" if won else shape.why or ("" if made else "one replica does not fit the machine")
        holds = f"{shape.low:,.0f}" if shape.low else ""
        numbers = _numbers(made) if made else [""] * 5
        drawn.add_row(shape.target, holds, *numbers, note, style="bold" if won else None)
    console.print(drawn)


def _numbers(made: Plan) -> list[str]:
    counts = "+".join(str(number) for number in made.roles.values())
    machines = f"{made.machines:,}" if made.machines else ""
    cost = f"{made.cost_million:.3f}" if made.cost_million is not None else ""
    cores = f"{made.cores} + {made.gpus} GPU" if made.gpus else f"{made.cores}"
    return [counts, f"{made.pss_mib:,.0f}", cores, machines, cost]


def as_json(answer: Answer, campaign: str) -> dict[str, Any]:
    """The whole answer as plain data."""
    return {
        "campaign": campaign,
        "needs": asdict(answer.needs),
        "recommended": _told(answer.best),
        "recommended_fp32": _told(answer.best_fp32),
        "shapes": [asdict(shape) for shape in answer.shapes],
        "flips": [asdict(span) for span in answer.spans],
        "flips_fp32": [asdict(span) for span in answer.spans_fp32],
        "sentences": sentences(answer),
        "compose_override": override(answer.best) if answer.best else None,
    }


def _told(made: Plan | None) -> dict[str, Any] | None:
    if made is None:
        return None
    told = {name: value for name, value in vars(made).items() if name != "shape"}
    hours = {"core_hours_million": made.core_hours_million, "gpu_hours_million": made.gpu_hours_million}
    return {"target": made.shape.target, **told, "gpus": made.gpus, **hours}
