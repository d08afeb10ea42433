"""A corpus as BEIR lays it out: `corpus.jsonl`, `queries.jsonl` and `qrels/test.tsv` in one folder."""

from __future__ import annotations

import csv
from collections import defaultdict
from pathlib import Path

from bench.datasets.corpus import Corpus, CorpusError, Question
from bench.datasets.jsonl import field_of, rows

FILES = ("corpus.jsonl", "queries.jsonl", "qrels/test.tsv")


def load(folder: Path) -> Corpus:
    """
    Read a folder; raises CorpusError that names what is missing or wrong.

    Passages are `{"_id", "title", "text"}`, the title put before the text as BEIR's own models read them (Thakur et
    al. 2021). Queries are `{"_id", "text"}`. Judgements are lines of query, passage and grade below a heading; a
    grade below 1 is no answer.
    """
    missing = [name for name in FILES if not (folder / name).is_file()]
    if missing:
        raise CorpusError(f"{folder} has no {', '.join(missing)}; a BEIR corpus has {', '.join(FILES)}")
    corpus, queries, qrels = (folder / name for name in FILES)
    grades = _grades(qrels)
    passages = {
        field_of(row, "_id", where): f"{row.get('title') or ''} {field_of(row, 'text', where)}".strip()
        for where, row in rows(corpus)
    }
    questions = [
        Question(field_of(row, "text", where), grades.get(field_of(row, "_id", where), {}))
        for where, row in rows(queries)
    ]
    return Corpus.of(folder.name, passages, questions, [(folder / name).read_bytes() for name in FILES])


def _grades(file: Path) -> dict[str, dict[str, int]]:
    found: dict[str, dict[str, int]] = defaultdict(dict)
    with file.open(newline="") as stream:
        for number, line in enumerate(csv.reader(stream, delimiter="\t"), start=1):
            if number == 1 or not line:
                continue
            try:
                query, passage, grade = line[0], line[1], int(line[2])
            except (IndexError, ValueError) as error:
                raise CorpusError(f"{file}:{number}: not query, passage and grade by tabs: {line}") from error
            if grade >= 1:
                found[query][passage] = grade
    return found
