"""
Chunking: a paragraph is a passage where it is long enough, and is cut at sentences where it is too long.

A passage of two paragraphs is about two things, and is found less well by a question about either; a long one that is
cut does not share its last sentences with the next. `python -m bench quality --glued` measures both.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from functools import lru_cache, partial
from typing import Any, TypeAlias

from gateways.core.backend import Span

Count: TypeAlias = Callable[[str], int]

# A paragraph of fewer tokens, a heading or an item of a list, is put together with what follows.
LEAST = 1 / 4
# Characters to a token that real text stays below; what is longer is left to the splitter to measure, part by part.
MOST_CHARACTERS = 64
_BLANK_LINE = re.compile(r"\n[^\S\n]*\n")


def chunk(measure: Any, texts: Sequence[str], max_tokens: int, overlap: int) -> list[list[Span]]:
    """
    Cut n texts into chunks: (start, end) in characters, in order, each at most `max_tokens` long.

    `measure` is a `tokenizers.Tokenizer`, or a callable that counts the tokens of a text. `overlap` is how many
    tokens of a chunk may be the last ones of the one before, where both are of one paragraph. White space between
    chunks belongs to none.
    """
    count: Count = measure if callable(measure) else partial(_count_tokens, measure)

    def pieces(text: str, start: int, end: int, tokens: int) -> list[Span]:
        if tokens <= max_tokens:
            return [(start, end)]
        parts = _splitter(measure, max_tokens, overlap).chunk_indices(text[start:end])
        return [(start + at, start + at + len(part)) for at, part in parts]

    return [[span for block in _blocks(text, count, max_tokens) for span in pieces(text, *block)] for text in texts]


def _count_tokens(tokenizer: Any, text: str) -> int:
    return len(tokenizer.encode(text, add_special_tokens=False).ids)


def _blocks(text: str, count: Count, max_tokens: int) -> Iterator[tuple[int, int, int]]:
    """Yield (start, end, tokens): one paragraph each, or several where the first ones are short and all fit."""

    def tokens(start: int, end: int) -> int:
        return count(text[start:end]) if end - start <= MOST_CHARACTERS * max_tokens else max_tokens + 1

    block: tuple[int, int, int] | None = None
    for start, end in _paragraphs(text):
        if block and block[2] < LEAST * max_tokens and (together := tokens(block[0], end)) <= max_tokens:
            block = (block[0], end, together)
            continue
        if block:
            yield block
        block = (start, end, tokens(start, end))
    if block:
        yield block


def _paragraphs(text: str) -> Iterator[Span]:
    """Yield what stands between blank lines, without white space around it."""
    ends = [match.start() for match in _BLANK_LINE.finditer(text)]
    for start, end in zip([0, *ends], [*ends, len(text)], strict=True):
        part = text[start:end]
        if kept := part.strip():
            first = start + len(part) - len(part.lstrip())
            yield first, first + len(kept)


@lru_cache(maxsize=8)
def _splitter(measure: Any, max_tokens: int, overlap: int) -> Any:
    """
    Make a splitter; making one of a tokenizer takes tens of milliseconds.

    It cuts at the largest boundaries (line, sentence, word) that make chunks at least half full: pieces are more even
    than full ones with a remainder.
    """
    # Imported where it is used: most processes never chunk, and it takes 8 MB.
    from semantic_text_splitter import TextSplitter

    capacity = (max((max_tokens + 1) // 2, overlap + 1), max_tokens)  # more than what is shared
    if callable(measure):
        return TextSplitter.from_callback(measure, capacity, overlap)
    return TextSplitter.from_huggingface_tokenizer(measure, capacity, overlap)
