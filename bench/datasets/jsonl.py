"""A corpus in one file of one's own: a passage a line, with the questions it answers."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import orjson

from bench.datasets.corpus import Corpus, CorpusError, Question


def load(file: Path) -> Corpus:
    """
    Read lines of `{"id", "text", "questions": ["…"]}`; raises CorpusError that names the line.

    Without an `id` a passage is known by its line number. A question may stand with several passages.
    """
    passages: dict[str, str] = {}
    answers: dict[str, dict[str, int]] = defaultdict(dict)
    for where, row in rows(file):
        key = str(row.get("id") or f"line-{where.rpartition(':')[2]}")
        if key in passages:
            raise CorpusError(f"{where}: there is a passage {key!r} already")
        passages[key] = field_of(row, "text", where)
        for question in row.get("questions") or []:
            answers[str(question).strip()][key] = 1
    questions = [Question(text, relevant) for text, relevant in answers.items()]
    return Corpus.of(file.stem, passages, questions, [file.read_bytes()])


def rows(file: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    """Each object of a file with where it stands, `file:line`; raises CorpusError for anything else."""
    for number, line in enumerate(file.read_bytes().splitlines(), start=1):
        where = f"{file}:{number}"
        if not line.strip():
            continue
        try:
            row = orjson.loads(line)
        except orjson.JSONDecodeError as error:
            raise CorpusError(f"{where}: not JSON: {error}") from error
        if not isinstance(row, dict):
            raise CorpusError(f"{where}: not an object: {line[:60]!r}")
        yield where, row


def field_of(row: dict[str, Any], name: str, where: str) -> str:
    """A field that must hold text, trimmed; raises CorpusError where it does not."""
    value = row.get(name)
    if not isinstance(value, str) or not value.strip():
        raise CorpusError(f"{where}: no text in {name!r}; it has {', '.join(row) or 'nothing'}")
    return value.strip()
