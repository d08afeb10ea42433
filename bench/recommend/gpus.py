"""Shapes on a GPU among shapes on cores: what they are compared by, and from which rate a GPU is worth its price."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from bench.recommend.measured import Shape
from bench.recommend.needs import Needs
from bench.recommend.plans import Span


def missing(shapes: Sequence[Shape], needs: Needs) -> list[str]:
    """The prices that must be said to compare both kinds, for a core is no GPU; none where there is one kind only."""
    if len({shape.gpu for shape in shapes if shape.eligible}) < 2:
        return []
    prices = {"--price-hour": needs.price_hour, "--gpu-price-hour": needs.gpu_price_hour}
    return [option for option, price in prices.items() if price is None]


def comparable(shapes: Sequence[Shape], needs: Needs) -> list[Shape]:
    """The shapes; without the prices, those on a GPU are not to be recommended beside the others, and say why."""
    lacking = missing(shapes, needs)
    if not lacking:
        return list(shapes)
    why = f"on a GPU: compared with cores by price alone, and {' and '.join(lacking)} is not said"
    return [replace(shape, why=why) if shape.gpu and shape.eligible else shape for shape in shapes]


def worth(spans: Sequence[Span], shapes: Sequence[Shape]) -> str:
    """From which rate a GPU is the cheapest, as a sentence; "" where only one kind was compared."""
    kinds = {shape.target: shape.gpu for shape in shapes if shape.eligible}
    if len(set(kinds.values())) < 2 or not spans:
        return ""
    won: list[tuple[float, float]] = []
    for span in spans:
        if all(kinds[target] for target in span.targets):
            low = won.pop()[0] if won and won[-1][1] == span.low else span.low
            won.append((low, span.high))
    end = spans[-1].high
    if not won:
        return f" A GPU is not worth its price up to {end:,.0f} a second."
    if won == [(spans[0].low, end)]:
        return " A GPU is worth its price at every rate."
    return f" A GPU is worth its price {', '.join(_range(low, high, spans) for low, high in won)} a second."


def _range(low: float, high: float, spans: Sequence[Span]) -> str:
    if high == spans[-1].high:
        return f"from {low:,.0f}"
    return f"up to {high:,.0f}" if low == spans[0].low else f"from {low:,.0f} to {high:,.0f}"
