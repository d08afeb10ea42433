"""A corpus in BEIR's layout: `corpus.jsonl`, `queries.jsonl` and `qrels/test.tsv` in one folder."""

from __future__ import annotations

import csv
from collections import defaultdict
from pathlib import Path

from bench.datasets.corpus import Corpus, CorpusError, Question
from bench.datasets.jsonl import field_of, rows

FILES = ("corpus.jsonl", "queries.jsonl", "qrels/test.tsv")


def load(folder: Path) -> Corpus:
    """
    Read a folder. Raises CorpusError that names the missing file or the wrong line.

    Passages are `{"_id", "title", "text"}`; the title is put before the text, as in BEIR's own models (Thakur et al.
    2021). Queries are `{"_id", "text"}`. Judgements are tab-separated lines of query, passage and grade below a
    heading. Grades below 1 are ignored.
    """
    missing = [name for name in FILES if not (folder / name).is_file()]
    if missing:
        raise CorpusError(f"{folder} has no {', '.join(missing)}; a BEIR corpus has {', '.join(FILES)}")
    corpus, queries, qrels = (folder / name for name in FILES)
    grades = _grades(qrels)
    passages = {
        field_of(row, "_id", location): f"{row.get('title') or ''} {field_of(row, 'text', location)}".strip()
        for location, row in rows(corpus)
    }
    questions = [
        Question(field_of(row, "text", location), grades.get(field_of(row, "_id", location), {}))
        for location, row in rows(queries)
    ]
    return Corpus.build(folder.name, passages, questions, [(folder / name).read_bytes() for name in FILES])


def _grades(file: Path) -> dict[str, dict[str, int]]:
    grades: dict[str, dict[str, int]] = defaultdict(dict)
    with file.open(newline="") as stream:
        for number, line in enumerate(csv.reader(stream, delimiter="\t"), start=1):
            if number == 1 or not line:
                continue
            try:
                query, passage, grade = line[0], line[1], int(line[2])
            except (IndexError, ValueError) as error:
                raise CorpusError(f"{file}:{number}: not query, passage and grade by tabs: {line}") from error
            if grade >= 1:
                grades[query][passage] = grade
    return grades
