"""Payloads of passages: the JSON beside the vectors of a point, in the Qdrant engines."""

from __future__ import annotations

from typing import Any

from gateways.core.stores.base import Metadata, Passage, read_passage_id
from gateways.core.stores.keys import text_key

# Payload fields with an index. A third index, of numbers, would make each flush half as long again.
INDEXED = ("document_id", "marks")
# The mark of every passage after the first of its document.
CONTINUATION = "later"

METADATA, BOOLEANS = "metadata", "bools"


def to_payload(passage: Passage) -> dict[str, Any]:
    """
    Return the payload of a passage.

    `marks` holds the hash of the text, and CONTINUATION if the passage is not the first of its document.
    `bools` repeats boolean metadata as 0 and 1, because this engine does not match booleans.
    """
    optional = {
        BOOLEANS: booleans(passage.metadata),
        "number": passage.number,
        "before": passage.before,
        "after": passage.after,
    }
    return {
        "id": passage.id,
        "marks": [text_key(passage.text), CONTINUATION] if passage.number else [text_key(passage.text)],
        "document_id": passage.document_id,
        "text": passage.text,
        "start": passage.start,
        "end": passage.end,
        METADATA: passage.metadata,
    } | {name: value for name, value in optional.items() if value}


def booleans(value: Any) -> Any:
    """Return the booleans in metadata as 0 and 1, each in its place in objects and lists; None without any."""
    if isinstance(value, bool):
        return int(value)
    if isinstance(value, list):
        return [int(item) for item in value if isinstance(item, bool)] or None
    if isinstance(value, dict):
        nested = ((name, booleans(item)) for name, item in value.items())
        return {name: item for name, item in nested if item is not None} or None
    return None


def to_passage(payload: dict[str, Any] | None) -> Passage:
    """Return the passage of a payload."""
    fields = payload or {}
    metadata: Metadata = fields[METADATA]
    number = fields.get("number", 0)
    return Passage(
        read_passage_id(fields["id"], fields["document_id"], number),
        fields["document_id"],
        fields["text"],
        fields["start"],
        fields["end"],
        metadata,
        number,
        fields.get("before", ""),
        fields.get("after", ""),
    )
