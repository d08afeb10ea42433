"""The rules for inputs that a model cannot read as they are: too long, or ids of another vocabulary."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

from gateways.core.backend import Truncate
from gateways.core.errors import InvalidInput, InvalidRequest

T = TypeVar("T", str, int)


def cut(tokens: list[T], room: int, truncate: Truncate, position: int, *, whole: bool = True) -> list[T]:
    """
    Keep the first (END) or the last (START) `room` tokens.

    Raises InvalidInput when there are more and `truncate` is NONE. `whole` false tells that the text goes on.
    """
    if len(tokens) <= room and (whole or truncate != "NONE"):
        return tokens
    if truncate == "NONE":
        raise InvalidInput(
            f"has {'' if whole else 'over '}{len(tokens)} tokens and this model reads {room}, special tokens aside. "
            "Shorten it, or send truncate: END or START.",
            item=position,
            code="context_length_exceeded",
        )
    return tokens[:room] if truncate == "END" else tokens[-room:]


def check_fits(overflows: bool, room: int, position: int) -> None:
    """Raise InvalidInput when a document and its query were more than `room` tokens."""
    if overflows:
        raise InvalidInput(
            f"and the query are over the {room} tokens that this model reads together. "
            "Shorten it, or send truncate: END or START.",
            item=position,
            code="context_length_exceeded",
        )


def of_document(error: InvalidInput, document: int) -> InvalidRequest:
    """Return an error about an input as one about the document of that index, or about the query for -1."""
    if document < 0:
        return InvalidRequest(f"query {error.fault}", param="query", code=error.code)
    return InvalidInput(error.fault, item=document, code=error.code)


def check_ids(ids: Sequence[int], vocabulary: int, position: int) -> None:
    """Raise InvalidInput for the first id outside 0 ... vocabulary - 1."""
    for offset, token in enumerate(ids):
        if not 0 <= token < vocabulary:
            raise InvalidInput(
                f"is token id {token}; this model's ids go from 0 to {vocabulary - 1}. "
                "Ids of another tokenizer mean other words here: send text "
                "(langchain-openai: check_embedding_ctx_length=False).",
                item=position,
                offset=offset,
                code="invalid_token_id",
            )
