"""What a corpus is: passages to ingest, questions to ask, and what is relevant to what."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from bench.errors import BenchError


class CorpusError(BenchError):
    """A corpus is missing, or not in its format; the message names the file and the line."""


@dataclass(frozen=True)
class Question:
    """A question, and the ids of the passages that answer it, each with its grade (1 or more)."""

    text: str
    relevant: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True)
class Corpus:
    """
    A whole set, in the order of its file.

    `passages` maps id to text, `questions` are all as asked, `texts` the distinct questions, `sha256` that of the
    files it was read from.
    """

    name: str
    passages: dict[str, str]
    questions: tuple[Question, ...]
    texts: tuple[str, ...]
    sha256: str

    @classmethod
    def of(cls, name: str, passages: dict[str, str], questions: Sequence[Question], raw: Sequence[bytes]) -> Corpus:
        """A corpus read from these bytes; raises CorpusError without passages, questions or an answer among them."""
        known = passages.keys()
        if not passages or not any(question.relevant for question in questions):
            raise CorpusError(f"{name}: {len(passages)} passages and no question with one of them as its answer")
        strangers = [key for question in questions for key in question.relevant if key not in known]
        if strangers:
            raise CorpusError(f"{name}: passage {strangers[0]!r} answers a question and is not in the corpus")
        texts = tuple(dict.fromkeys(question.text for question in questions))
        return cls(name, passages, tuple(questions), texts, hashlib.sha256(b"".join(raw)).hexdigest())

    @property
    def answerable(self) -> list[Question]:
        """The questions some passage answers."""
        return [question for question in self.questions if question.relevant]
