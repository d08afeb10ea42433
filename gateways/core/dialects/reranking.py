"""Documents scored and ordered, for the dialects to write down each in its own shape."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from gateways.core.api.input_names import name_inputs
from gateways.core.api.rerank import best, read_documents
from gateways.core.backend import EncodeOptions, ModelInfo, Scores, Truncate
from gateways.core.gateway import Gateway
from gateways.core.scoring.relevance import relevance


@dataclass(frozen=True, slots=True)
class Place:
    """One document of a ranking: its place in the request, its text and its score."""

    index: int
    text: str
    score: float


@dataclass(frozen=True, slots=True)
class Ranking:
    """The places asked for, best first, and what the model counted."""

    model: ModelInfo
    places: Sequence[Place]
    answer: Scores

    def usage(self) -> dict[str, int]:
        """Return the tokens of all pairs, as OpenAI's `usage` tells them."""
        tokens = sum(self.answer.token_counts)
        return {"prompt_tokens": tokens, "total_tokens": tokens}


async def rank(
    gateway: Gateway,
    query: str,
    documents: list[Any],
    *,
    model: str | None,
    top: int | None = None,
    raw: bool = False,
    truncate: Truncate = "END",
    field: str = "documents",
) -> Ranking:
    """
    Score documents against a query: from 0 to 1, or as the model says it when `raw`.

    `field` is what the client calls the documents, in errors about them. Raises as `read_documents`, `Gateway.model`
    and `Backend.rerank` do.
    """
    texts = read_documents(query, documents, gateway.settings, field)
    info = gateway.model(model, "rerank")
    with name_inputs(field):
        answer = await gateway.rerank(info, query, texts, EncodeOptions(truncate))
    values = answer.values if raw else relevance(info, answer.values)
    return Ranking(info, [Place(at, texts[at], values[at]) for at in best(values, top)], answer)
