"""What is stored beside the vectors of a passage, in the engines that have payloads."""

from __future__ import annotations

from typing import Any

from gateways.core.stores.base import Metadata, Passage
from gateways.core.stores.identity import text_key

# Fields that have an index. One of numbers as well would make each flush half as long again.
INDEXED = ("document_id", "marks")
# The mark of passages that are not the first of their document.
LATER = "later"


def of_passage(one: Passage) -> dict[str, Any]:
    """
    Return what is stored beside the vectors.

    `marks` is what passages are looked up by: the hash of the text, and whether it is not the first of its document.
    `bools` is the boolean metadata again as 0 and 1, because this engine does not match booleans.
    """
    rare = {
        "bools": {name: int(value) for name, value in one.metadata.items() if isinstance(value, bool)},
        "number": one.number,
        "before": one.before,
        "after": one.after,
    }
    return {
        "id": one.id,
        "marks": [text_key(one.text), LATER] if one.number else [text_key(one.text)],
        "document_id": one.document_id,
        "text": one.text,
        "start": one.start,
        "end": one.end,
        "metadata": one.metadata,
    } | {name: value for name, value in rare.items() if value}


def to_passage(payload: dict[str, Any] | None) -> Passage:
    """Return the passage that a payload holds."""
    stored = payload or {}
    metadata: Metadata = stored["metadata"]
    return Passage(
        stored["id"],
        stored["document_id"],
        stored["text"],
        stored["start"],
        stored["end"],
        metadata,
        stored.get("number", 0),
        stored.get("before", ""),
        stored.get("after", ""),
    )
