"""Chunking: `semantic-text-splitter` cuts at the largest boundaries (paragraph, sentence, word) that fit."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import Any

from gateways.core.backend import Span


def chunk(measure: Any, texts: Sequence[str], max_tokens: int, overlap: int) -> list[list[Span]]:
    """
    Cut n texts into chunks: (start, end) in characters, in order, each at most `max_tokens` long.

    `measure` is a `tokenizers.Tokenizer`, or a callable that counts the tokens of a text. `overlap` is how many
    tokens of a chunk may be the last ones of the one before. White space between chunks belongs to none.
    """
    splitter = _splitter(measure, max_tokens, overlap)
    return [[(start, start + len(part)) for start, part in splitter.chunk_indices(text)] for text in texts]


@lru_cache(maxsize=8)
def _splitter(measure: Any, max_tokens: int, overlap: int) -> Any:
    """Make a splitter; making one of a tokenizer takes tens of milliseconds."""
    # Imported where it is used: most processes never chunk, and it takes 8 MB.
    from semantic_text_splitter import TextSplitter

    if callable(measure):
        return TextSplitter.from_callback(measure, max_tokens, overlap)
    return TextSplitter.from_huggingface_tokenizer(measure, max_tokens, overlap)
