"""From a document to its passages, and back."""

from __future__ import annotations

from collections.abc import Sequence

from gateways.core.backend import Span
from gateways.core.errors import TooLarge
from gateways.core.jobs.base import Document
from gateways.core.stores.base import Passage

# The passages of a document are embedded before the first one is written, so that it is replaced whole or not at all.
MAX_PASSAGES = 10_000


def cut(document: Document, spans: Sequence[Span]) -> list[Passage]:
    """
    Return the stretches of a document as passages; no spans: all of it is one.

    A passage that is the whole document has its id; others are named `<document>#<number>`. Raises TooLarge.
    """
    text = document.text
    if len(spans) > MAX_PASSAGES:
        raise TooLarge(
            f"the document makes {len(spans)} passages and may make {MAX_PASSAGES}; cut it into larger ones, "
            "or send it in parts.",
            code="too_many_passages",
        )
    found: list[Passage] = []
    reached = 0
    for number, (start, end) in enumerate(spans or [(0, len(text))]):
        name = document.id if end - start == len(text) else f"{document.id}#{number}"
        last = number == max(len(spans), 1) - 1
        before, after = text[reached:start], text[max(reached, end) :] if last else ""
        found.append(
            Passage(name, document.id, text[start:end], start, end, document.metadata, number, before, after)
        )
        reached = max(reached, end)
    return found


def whole_text(passages: Sequence[Passage]) -> str:
    """Return the document that these passages, in order, were cut from; they may overlap."""
    text = ""
    for passage in passages:
        text += passage.before
        text += passage.text[len(text) - passage.start :]
    return text + passages[-1].after
