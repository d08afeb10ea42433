"""
Chunking: a paragraph becomes a passage; short paragraphs are joined, long ones are cut at sentences.

A passage of two paragraphs has two subjects, and a question about one of them retrieves it less well. The chunks of a
long paragraph may overlap. `python -m bench quality --glued` measures both effects.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from functools import lru_cache, partial
from typing import Any, TypeAlias

from gateways.core.backend import Span

Count: TypeAlias = Callable[[str], int]

# A paragraph below this share of `max_tokens`, such as a heading or a list item, is joined with the next one.
MIN_SHARE = 1 / 4
# Real text has fewer characters per token. The tokens of a longer block are not counted: the splitter counts parts.
MAX_CHARACTERS_PER_TOKEN = 64
_BLANK_LINE = re.compile(r"\n[^\S\n]*\n")


def chunk(measure: Any, texts: Sequence[str], max_tokens: int, overlap: int) -> list[list[Span]]:
    """
    Return the chunks of n texts as (start, end) in characters, in order, each of at most `max_tokens` tokens.

    `measure` is a `tokenizers.Tokenizer`, or a callable that counts the tokens of a text. `overlap` is the maximum
    number of tokens that a chunk repeats from the previous chunk of the same paragraph. White space between chunks
    belongs to no chunk.
    """
    count: Count = measure if callable(measure) else partial(_count_tokens, measure)

    def split_block(text: str, start: int, end: int, tokens: int) -> list[Span]:
        if tokens <= max_tokens:
            return [(start, end)]
        parts = _make_splitter(measure, max_tokens, overlap).chunk_indices(text[start:end])
        return [(start + at, start + at + len(part)) for at, part in parts]

    return [
        [span for block in _join_paragraphs(text, count, max_tokens) for span in split_block(text, *block)]
        for text in texts
    ]


def _count_tokens(tokenizer: Any, text: str) -> int:
    return len(tokenizer.encode(text, add_special_tokens=False).ids)


def _join_paragraphs(text: str, count: Count, max_tokens: int) -> Iterator[tuple[int, int, int]]:
    """Yield (start, end, tokens) of each block: one paragraph, or several if the first are short and all fit."""

    def count_tokens(start: int, end: int) -> int:
        return count(text[start:end]) if end - start <= MAX_CHARACTERS_PER_TOKEN * max_tokens else max_tokens + 1

    block: tuple[int, int, int] | None = None
    for start, end in _split_paragraphs(text):
        if (
            block
            and block[2] < MIN_SHARE * max_tokens
            and (joined_tokens := count_tokens(block[0], end)) <= max_tokens
        ):
            block = (block[0], end, joined_tokens)
            continue
        if block:
            yield block
        block = (start, end, count_tokens(start, end))
    if block:
        yield block


def _split_paragraphs(text: str) -> Iterator[Span]:
    """Yield the span of each paragraph, the text between blank lines, without surrounding white space."""
    ends = [match.start() for match in _BLANK_LINE.finditer(text)]
    for start, end in zip([0, *ends], [*ends, len(text)], strict=True):
        part = text[start:end]
        if stripped := part.strip():
            first = start + len(part) - len(part.lstrip())
            yield first, first + len(stripped)


@lru_cache(maxsize=8)
def _make_splitter(measure: Any, max_tokens: int, overlap: int) -> Any:
    """
    Return a splitter, cached, because its construction from a tokenizer takes tens of milliseconds.

    The splitter cuts at the largest boundary (line, sentence, word) that gives chunks of at least half `max_tokens`.
    Such chunks are more even in length than full chunks with a remainder.
    """
    # Imported on use: the package takes 8 MB, and most processes never chunk.
    from semantic_text_splitter import TextSplitter

    capacity = (max((max_tokens + 1) // 2, overlap + 1), max_tokens)  # the minimum must exceed the overlap
    if callable(measure):
        return TextSplitter.from_callback(measure, capacity, overlap)
    return TextSplitter.from_huggingface_tokenizer(measure, capacity, overlap)
