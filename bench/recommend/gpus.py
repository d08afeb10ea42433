"""GPU shapes beside CPU shapes: the prices that a comparison needs, and the rates at which a GPU is the cheapest."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from bench.recommend.candidates import Shape
from bench.recommend.needs import Needs
from bench.recommend.plans import Span


def missing(shapes: Sequence[Shape], needs: Needs) -> list[str]:
    """Return the price options that a comparison lacks; empty if only one kind of shape is eligible."""
    if len({shape.gpu for shape in shapes if shape.eligible}) < 2:
        return []
    prices = {"--price-hour": needs.price_hour, "--gpu-price-hour": needs.gpu_price_hour}
    return [option for option, price in prices.items() if price is None]


def comparable(shapes: Sequence[Shape], needs: Needs) -> list[Shape]:
    """Return the shapes. Without the prices GPU shapes get a `why`, so they are not recommended."""
    lacking = missing(shapes, needs)
    if not lacking:
        return list(shapes)
    why = f"on a GPU: compared with cores by price alone, and {' and '.join(lacking)} is not said"
    return [replace(shape, why=why) if shape.gpu and shape.eligible else shape for shape in shapes]


def worth(spans: Sequence[Span], shapes: Sequence[Shape]) -> str:
    """Return the rates at which a GPU is the cheapest, as a sentence; "" if only one kind was compared."""
    kinds = {shape.target: shape.gpu for shape in shapes if shape.eligible}
    if len(set(kinds.values())) < 2 or not spans:
        return ""
    ranges: list[tuple[float, float]] = []
    for span in spans:
        if all(kinds[target] for target in span.targets):
            low = ranges.pop()[0] if ranges and ranges[-1][1] == span.low else span.low
            ranges.append((low, span.high))
    end = spans[-1].high
    if not ranges:
        return f" A GPU is not worth its price up to {end:,.0f} a second."
    if ranges == [(spans[0].low, end)]:
        return " A GPU is worth its price at every rate."
    return (
        f" A GPU is worth its price {', '.join(_describe_range(low, high, spans) for low, high in ranges)} a second."
    )


def _describe_range(low: float, high: float, spans: Sequence[Span]) -> str:
    if high == spans[-1].high:
        return f"from {low:,.0f}"
    return f"up to {high:,.0f}" if low == spans[0].low else f"from {low:,.0f} to {high:,.0f}"
