"""
Windows: the part of a text that is tokenised.

A model reads a limited number of tokens, and tokenising takes 80 bytes for each byte of text. So a long text is cut
to a window first, which has far more tokens than the model reads.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, NamedTuple

from gateways.core.backend import Truncate
from gateways.core.text.chunking import MAX_CHARACTERS_PER_TOKEN

if TYPE_CHECKING:
    from tokenizers import Encoding  # not in every process that cuts texts

# A window may split the word at its end. No tokenizer here makes more tokens of one word, so the others are right.
MARGIN_TOKENS = 128
# A window grows up to this size while it has too few tokens: blanks, or words without an end, have almost none.
MAX_WINDOW = 1_000_000
GROWTH = 4
# Texts are tokenised together up to this size: 20 MB, and enough for all cores.
GROUP_CHARACTERS = 262_144


class Window(NamedTuple):
    """The tokens of a window, and whether the window is the whole text."""

    encoding: Encoding
    whole: bool


def read_windows(
    encode: Callable[[list[str]], list[Encoding]], texts: Iterable[str], room: int, truncate: Truncate
) -> Iterator[Window]:
    """
    Yield the window of each text, from the start of the text, or from its end if `truncate` is START.

    A window that is not the whole text has over `room` tokens, or MAX_WINDOW characters.
    """
    size = MAX_CHARACTERS_PER_TOKEN * room
    for group in _group(texts, size):
        encodings = encode([cut_text(text, size, truncate) for text in group])
        for text, encoding in zip(group, encodings, strict=True):
            yield _widen(encode, text, Window(encoding, len(text) <= size), room, truncate)


def _widen(
    encode: Callable[[list[str]], list[Encoding]], text: str, window: Window, room: int, truncate: Truncate
) -> Window:
    size = MAX_CHARACTERS_PER_TOKEN * room
    while not window.whole and len(window.encoding) < room + MARGIN_TOKENS and size < MAX_WINDOW:
        size = min(size * GROWTH, MAX_WINDOW)
        [encoding] = encode([cut_text(text, size, truncate)])
        window = Window(encoding, len(text) <= size)
    return window


def cut_text(text: str, size: int, truncate: Truncate) -> str:
    """Return the first `size` characters of a text, or the last ones if `truncate` is START."""
    if len(text) <= size:
        return text
    return text[-size:] if truncate == "START" else text[:size]


def _group(texts: Iterable[str], size: int) -> Iterator[Sequence[str]]:
    """Yield the texts in groups of up to GROUP_CHARACTERS in windows of `size`."""
    group: list[str] = []
    characters = 0
    for text in texts:
        length = min(len(text), size)
        if group and characters + length > GROUP_CHARACTERS:
            yield group
            group, characters = [], 0
        group.append(text)
        characters += length
    if group:
        yield group
