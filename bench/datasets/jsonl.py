"""A corpus in one JSON Lines file: a passage per line, with the questions that it answers."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import orjson

from bench.datasets.corpus import Corpus, CorpusError, Question


def load(file: Path) -> Corpus:
    """
    Read lines of `{"id", "text", "questions": ["…"]}`. Raises CorpusError that names the wrong line.

    The default `id` is the line number. Several passages may list the same question.
    """
    passages: dict[str, str] = {}
    answers: dict[str, dict[str, int]] = defaultdict(dict)
    for location, row in rows(file):
        key = str(row.get("id") or f"line-{location.rpartition(':')[2]}")
        if key in passages:
            raise CorpusError(f"{location}: passage {key!r} exists already")
        passages[key] = field_of(row, "text", location)
        for question in row.get("questions") or []:
            answers[str(question).strip()][key] = 1
    questions = [Question(text, relevant) for text, relevant in answers.items()]
    return Corpus.build(file.stem, passages, questions, [file.read_bytes()])


def rows(file: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield each line's location (`file:line`) and object. Raises CorpusError for a line that is no object."""
    for number, line in enumerate(file.read_bytes().splitlines(), start=1):
        location = f"{file}:{number}"
        if not line.strip():
            continue
        try:
            row = orjson.loads(line)
        except orjson.JSONDecodeError as error:
            raise CorpusError(f"{location}: not JSON: {error}") from error
        if not isinstance(row, dict):
            raise CorpusError(f"{location}: not an object: {line[:60]!r}")
        yield location, row


def field_of(row: dict[str, Any], name: str, location: str) -> str:
    """Return the stripped text of a field. Raises CorpusError if it holds no text."""
    value = row.get(name)
    if not isinstance(value, str) or not value.strip():
        raise CorpusError(f"{location}: no text in {name!r}; it has {', '.join(row) or 'nothing'}")
    return value.strip()
