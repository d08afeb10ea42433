"""SQuAD v2 dev: Wikipedia passages and the questions people asked about them."""

from __future__ import annotations

import gzip
import json
from functools import cache

from bench import paths
from bench.datasets.corpus import Corpus, Question


@cache
def load() -> Corpus:
    """Read the vendored file: 1,204 passages, 11,873 questions of which 5,928 are answerable."""
    raw = gzip.decompress(paths.SQUAD.read_bytes())
    passages: dict[str, str] = {}
    questions: list[Question] = []
    for article in json.loads(raw)["data"]:
        for paragraph in article["paragraphs"]:
            key = f"squad-{len(passages):04d}"
            passages[key] = paragraph["context"]
            for qa in paragraph["qas"]:
                questions.append(Question(qa["question"].strip(), {} if qa["is_impossible"] else {key: 1}))
    return Corpus.of("squad", passages, questions, [raw])
