"""Passages, questions and filters for the study of filters: real words, and vectors that are fast to make."""

from __future__ import annotations

import random
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from bench.datasets import squad
from bench.datasets.corpus import Corpus
from bench.datasets.unseen_texts import splice
from gateways.core.backend import F32, SparseVector
from gateways.core.scoring import bm25
from gateways.core.scoring.vectors import normalize
from gateways.core.stores.base import Passage, Vectors

SEED = 7
DIMENSIONS = 384
# A word has one of so many random directions.
_DIRECTIONS = 1 << 16
# Filters by name. The share of passages that each keeps is part of the name.
FILTERS: Mapping[str, dict[str, Any]] = {
    "none": {},
    "string, 1 %": {"tenant": "t7"},
    "string, 10 %": {"team": "g3"},
    "string, 50 %": {"lang": "en"},
    "number, 1 %": {"day": 7},
    "number, 10 %": {"digit": 3},
    "boolean, 50 %": {"public": True},
    "range, 1 %": {"year": {"gte": 1900, "lt": 1902}},
    "range, 10 %": {"year": {"gte": 1900, "lt": 1920}},
    "range, 50 %": {"year": {"gte": 1900, "lt": 2000}},
    "in, 10 %": {"tenant": {"in": [f"t{number}" for number in range(10)]}},
    "in, 50 %": {"tenant": {"in": [f"t{number}" for number in range(50)]}},
    "nested, 1 %": {"owner.desk": 7},
    "list, 10 %": {"tags": "g3"},
    "and, 1 %": {"team": "g3", "digit": 3},
    "and, 10 %": {"public": True, "year": {"gte": 1900, "lt": 1940}},
    "or, 10 %": {"or": [{"tenant": "t7"}, {"year": {"gte": 1900, "lt": 1918}}]},
    "not, 50 %": {"not": {"lang": "en"}},
    "not, 99 %": {"not": {"tenant": "t7"}},
}


@dataclass(frozen=True)
class Query:
    """A question by both vectors."""

    dense: F32
    sparse: SparseVector


class Texts:
    """Texts of the words of SQuAD, as many as are asked for, and its questions. Equal in every run."""

    def __init__(self) -> None:
        corpus = squad.load()
        self._questions = _shuffle(corpus)
        self._sentences = [
            sentence for text in corpus.passages.values() for sentence in text.split(". ") if len(sentence) > 40
        ]
        self._directions = np.random.default_rng(SEED).standard_normal((_DIRECTIONS, DIMENSIONS), dtype=np.float32)

    def passages(self, start: int, end: int) -> tuple[list[Passage], list[Vectors]]:
        """Return the passages `start` to `end`, each a document of one spliced sentence, with their vectors."""
        texts = [splice(*random.Random(number).sample(self._sentences, 2)) for number in range(start, end)]  # noqa: S311
        sparse = bm25.embed(texts, query=False).rows
        passages = [
            Passage(f"d{number}", f"d{number}", text, 0, len(text), make_metadata(number))
            for number, text in enumerate(texts, start)
        ]
        return passages, [Vectors(*pair) for pair in zip(self._embed(sparse), sparse, strict=True)]

    def queries(self, count: int) -> Iterator[Query]:
        """Yield questions."""
        sparse = bm25.embed(self._questions[:count], query=True).rows
        return (Query(*pair) for pair in zip(self._embed(sparse), sparse, strict=True))

    def _embed(self, rows: Sequence[SparseVector]) -> F32:
        """Return the sum of the directions of each row's words, float32 (n, DIMENSIONS) of unit length."""
        sums = [self._directions[row.indices % _DIRECTIONS].sum(axis=0) for row in rows]
        return normalize(np.array(sums, np.float32).reshape(-1, DIMENSIONS))


def make_metadata(number: int) -> dict[str, Any]:
    """Return the metadata of a passage, at random, and equal in every run."""
    chance = random.Random(SEED * 1_000_003 + number)  # noqa: S311 the same in every run
    team = f"g{chance.randrange(10)}"
    return {
        "tenant": f"t{chance.randrange(100)}",
        "team": team,
        "lang": chance.choice(["en", "de"]),
        "day": chance.randrange(100),
        "digit": chance.randrange(10),
        "public": chance.random() < 0.5,
        "year": 1900 + chance.randrange(200),
        "owner": {"desk": chance.randrange(100)},
        "tags": [team, f"x{chance.randrange(50)}"],
    }


def _shuffle(corpus: Corpus) -> list[str]:
    return random.Random(SEED).sample(list(corpus.texts), len(corpus.texts))  # noqa: S311 the same in every run
