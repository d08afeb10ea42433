"""Text that every terminal can show: characters that its encoding lacks become ASCII of the same meaning."""

from __future__ import annotations

import codecs
import io
import sys
import unicodedata

ERRORS = "ascii_signs"
SIGNS = {
    "≥": ">=",
    "≤": "<=",
    "≈": "~",
    "×": "x",
    "÷": "/",
    "±": "+-",
    "−": "-",
    "–": "-",
    "—": "-",
    "·": "|",
    "…": "...",
    "→": "->",
    "µ": "u",
    "μ": "u",
    "“": '"',
    "”": '"',
    "‘": "'",
    "’": "'",
}


def ascii_of(text: str) -> str:
    """Return the text in ASCII: a sign for a sign, a letter without its accents, `?` for all else."""
    return "".join(SIGNS.get(character) or _plain_letter(character) for character in text)


def adapt_output() -> None:
    """Let stdout and stderr write what their encoding lacks as `ascii_of` has it, instead of raising."""
    codecs.register_error(ERRORS, _replace)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors=ERRORS)


def _plain_letter(character: str) -> str:
    return unicodedata.normalize("NFKD", character).encode("ascii", "ignore").decode() or "?"


def _replace(error: UnicodeError) -> tuple[str, int]:
    if not isinstance(error, UnicodeEncodeError):
        raise error
    return ascii_of(error.object[error.start : error.end]), error.end
