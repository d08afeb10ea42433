"""A corpus: passages to ingest, questions to ask, and the relevance of passages to questions."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from bench.errors import BenchError


class CorpusError(BenchError):
    """A corpus is missing or malformed; the message names the file and the line."""


@dataclass(frozen=True)
class Question:
    """A question, and the ids of the passages that answer it, each with its grade (1 or more)."""

    text: str
    relevant: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True)
class Corpus:
    """
    A corpus, in the order of its files.

    `passages` maps id to text. `questions` are all questions, `texts` their distinct texts. `sha256` is the hash of
    the files.
    """

    name: str
    passages: dict[str, str]
    questions: tuple[Question, ...]
    texts: tuple[str, ...]
    sha256: str

    @classmethod
    def build(
        cls, name: str, passages: dict[str, str], questions: Sequence[Question], raw: Sequence[bytes]
    ) -> Corpus:
        """
        Return a corpus read from the bytes `raw`.

        Raises CorpusError without passages, without an answerable question, or if an answer is not in the corpus.
        """
        if not passages or not any(question.relevant for question in questions):
            raise CorpusError(f"{name}: {len(passages)} passages and no question with one of them as its answer")
        missing = [key for question in questions for key in question.relevant if key not in passages]
        if missing:
            raise CorpusError(f"{name}: passage {missing[0]!r} answers a question and is not in the corpus")
        texts = tuple(dict.fromkeys(question.text for question in questions))
        return cls(name, passages, tuple(questions), texts, hashlib.sha256(b"".join(raw)).hexdigest())

    @property
    def answerable(self) -> list[Question]:
        """The questions that at least one passage answers."""
        return [question for question in self.questions if question.relevant]
