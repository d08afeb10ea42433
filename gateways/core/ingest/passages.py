"""Documents cut into passages, and put together again."""

from __future__ import annotations

from collections.abc import Sequence

import orjson

from gateways.core.backend import Span
from gateways.core.errors import TooLarge
from gateways.core.jobs.base import Document
from gateways.core.stores.base import Passage, name_passage

# All passages of a document are embedded before the first is written, so that the document is replaced atomically.
MAX_PASSAGES = 10_000
# Metadata is stored with each passage: 64 KB of it with 10,000 passages would be 640 MB.
MAX_METADATA_BYTES = 32_000_000


def cut(document: Document, spans: Sequence[Span]) -> list[Passage]:
    """
    Return the spans of a document as passages. Without spans the whole document is one passage.

    Raises TooLarge.
    """
    text = document.text
    if len(spans) > MAX_PASSAGES:
        raise TooLarge(
            f"the document makes {len(spans)} passages and may make {MAX_PASSAGES}; cut it into larger ones, "
            "or send it in parts.",
            code="too_many_passages",
        )
    _check_metadata(document, len(spans))
    passages: list[Passage] = []
    covered = 0
    for number, (start, end) in enumerate(spans or [(0, len(text))]):
        name = name_passage(document.id, number, whole=end - start == len(text))
        last = number == max(len(spans), 1) - 1
        before, after = text[covered:start], text[max(covered, end) :] if last else ""
        passages.append(
            Passage(name, document.id, text[start:end], start, end, document.metadata, number, before, after)
        )
        covered = max(covered, end)
    return passages


def _check_metadata(document: Document, passages: int) -> None:
    """Raise TooLarge if the metadata of all passages together is over the limit."""
    if passages > 1 and document.metadata:
        size = len(orjson.dumps(document.metadata))
        if size * passages > MAX_METADATA_BYTES:
            raise TooLarge(
                f"the document makes {passages} passages, its metadata of {size} bytes is stored with each, and "
                f"{MAX_METADATA_BYTES} bytes may be stored; shorten the metadata, cut the document into larger "
                "passages, or send it in parts.",
                code="metadata_too_large",
            )


def whole_text(passages: Sequence[Passage]) -> str:
    """Return the text of the document that these passages, in order, were cut from. Passages may overlap."""
    text = ""
    for passage in passages:
        text += passage.before
        text += passage.text[len(text) - passage.start :]
    return text + passages[-1].after
