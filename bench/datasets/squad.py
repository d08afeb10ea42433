"""SQuAD v2 dev: Wikipedia passages, and questions that people wrote about them."""

from __future__ import annotations

import gzip
import json
from functools import cache

from bench import paths
from bench.datasets.corpus import Corpus, Question


@cache
def load() -> Corpus:
    """Return the vendored corpus: 1,204 passages and 11,873 questions, 5,928 of them answerable."""
    raw = gzip.decompress(paths.SQUAD.read_bytes())
    passages: dict[str, str] = {}
    questions: list[Question] = []
    for article in json.loads(raw)["data"]:
        for paragraph in article["paragraphs"]:
            key = f"squad-{len(passages):04d}"
            passages[key] = paragraph["context"]
            for qa in paragraph["qas"]:
                questions.append(Question(qa["question"].strip(), {} if qa["is_impossible"] else {key: 1}))
    return Corpus.build("squad", passages, questions, [raw])
