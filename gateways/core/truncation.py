"""The rules for inputs that a model cannot read as they are: too long, or ids of another vocabulary."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

from gateways.core.backend import Truncate
from gateways.core.errors import InvalidRequest

T = TypeVar("T", str, int)


def cut(tokens: list[T], room: int, truncate: Truncate, position: int) -> list[T]:
    """
    Keep the first (END) or the last (START) `room` tokens.

    Raises InvalidRequest when there are more and `truncate` is NONE.
    """
    if len(tokens) <= room:
        return tokens
    if truncate == "NONE":
        raise InvalidRequest(
            f"input.{position} has {len(tokens)} tokens and this model reads {room}, special tokens aside. "
            "Shorten it, or send truncate: END or START.",
            param=f"input.{position}",
            code="context_length_exceeded",
        )
    return tokens[:room] if truncate == "END" else tokens[-room:]


def check_fits(overflows: bool, room: int, position: int) -> None:
    """Raise InvalidRequest when a document and its query were more than `room` tokens."""
    if overflows:
        raise InvalidRequest(
            f"documents.{position} and the query are over the {room} tokens that this model reads together. "
            "Shorten it, or send truncate: END or START.",
            param=f"documents.{position}",
            code="context_length_exceeded",
        )


def of_documents(error: InvalidRequest, first: int = -1) -> InvalidRequest:
    """Return an error about `input.<i>` in words about what it was: document `first` + i, where -1 is the query."""
    said = error.param or ""
    position = said.removeprefix("input.")
    if position == said or not position.isdigit():
        return error
    document = first + int(position)
    place = "query" if document < 0 else f"documents.{document}"
    return InvalidRequest(error.message.replace(said, place), param=place, code=error.code)


def check_ids(ids: Sequence[int], vocabulary: int, position: int) -> None:
    """Raise InvalidRequest for the first id outside 0 ... vocabulary - 1."""
    for offset, token in enumerate(ids):
        if not 0 <= token < vocabulary:
            raise InvalidRequest(
                f"input.{position}.{offset} is token id {token}; this model's ids go from 0 to {vocabulary - 1}. "
                "Ids of another tokenizer mean other words here: send text "
                "(langchain-openai: check_embedding_ctx_length=False).",
                param=f"input.{position}.{offset}",
                code="invalid_token_id",
            )
