"""SQuAD v2 dev: Wikipedia passages and the questions people asked about them."""

from __future__ import annotations

import gzip
import hashlib
import json
from dataclasses import dataclass
from functools import cache

from bench import paths


@dataclass(frozen=True)
class Question:
    """A question and the id of the passage that answers it; None when none does."""

    text: str
    passage_id: str | None


@dataclass(frozen=True)
class Squad:
    """
    The whole set, in the order of the file.

    `passages` maps id to text, `questions` are all as asked, `texts` the distinct questions, trimmed.
    """

    passages: dict[str, str]
    questions: tuple[Question, ...]
    texts: tuple[str, ...]
    sha256: str

    @property
    def answerable(self) -> list[Question]:
        """The questions some passage answers."""
        return [question for question in self.questions if question.passage_id is not None]


@cache
def load() -> Squad:
    """Read the vendored file: 1,204 passages, 11,873 questions of which 5,928 are answerable."""
    raw = gzip.decompress(paths.SQUAD.read_bytes())
    passages: dict[str, str] = {}
    questions: list[Question] = []
    for article in json.loads(raw)["data"]:
        for paragraph in article["paragraphs"]:
            key = f"squad-{len(passages):04d}"
            passages[key] = paragraph["context"]
            for qa in paragraph["qas"]:
                questions.append(Question(qa["question"].strip(), None if qa["is_impossible"] else key))
    texts = tuple(dict.fromkeys(question.text for question in questions))
    return Squad(passages, tuple(questions), texts, hashlib.sha256(raw).hexdigest())
