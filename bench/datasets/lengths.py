"""Texts of published lengths: runs of the corpus' own words, as many tokens long as a profile says."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray
from tokenizers import Tokenizer

from bench import paths
from bench.datasets.corpus import CorpusError

I64 = NDArray[np.int64]
MAX_CUTS = 1000


class Profile(Protocol):
    """How long texts are."""

    def draw(self, rng: np.random.Generator, count: int) -> I64:
        """So many lengths in tokens, special ones not counted."""


@dataclass(frozen=True)
class LogNormal:
    """Lengths whose logarithm is normal, given by what half and 95 % of them do not exceed; at least one token."""

    median: float
    p95: float

    def draw(self, rng: np.random.Generator, count: int) -> I64:
        """As Profile says; 1.645 is the 95 % point of the standard normal."""
        sigma = np.log(self.p95 / self.median) / 1.645
        lengths = rng.lognormal(np.log(self.median), sigma, count)
        return np.maximum(1, np.rint(lengths)).astype(np.int64)


@dataclass(frozen=True)
class ClippedNormal:
    """Normal lengths, those outside the bounds moved onto them."""

    mean: float
    deviation: float
    least: int
    most: int

    def draw(self, rng: np.random.Generator, count: int) -> I64:
        """As Profile says."""
        lengths = np.rint(rng.normal(self.mean, self.deviation, count))
        return np.clip(lengths, self.least, self.most).astype(np.int64)


RAG_QUERY = LogNormal(median=12, p95=28)
CHUNK = ClippedNormal(mean=256, deviation=96, least=64, most=510)


class Words:
    """
    The texts of a corpus as one long text in the order the seed fixes, to cut runs of words from.

    A run begins and ends between words, so it is at most as many tokens as asked for, and seldom fewer by more than
    the pieces of one word. It may reach from one text into the next: short ones are joined, long ones cut.
    """

    def __init__(self, texts: Sequence[str], seed: int) -> None:
        self._rng = np.random.default_rng(seed)
        shuffled = [texts[i] for i in self._rng.permutation(len(texts))]
        self._text = "\n".join(shuffled)
        self._encode(shuffled)

    def runs(self, profile: Profile, count: int) -> list[str]:
        """So many texts, all different, of lengths drawn from a profile."""
        found: dict[str, None] = {}
        for length in profile.draw(self._rng, count).tolist():
            self._add(found, length)
        return list(found)

    def _add(self, found: dict[str, None], length: int) -> None:
        """Cut anew until the text is a new one: of three tokens many are alike."""
        before = len(found)
        for _ in range(MAX_CUTS):
            found[self._run(length)] = None
            if len(found) > before:
                return
        raise CorpusError(f"the corpus is too small for {before + 1} different texts of {length} tokens")

    def _run(self, length: int) -> str:
        """Some run of whole words that is as long as may be; the whole text where that is shorter."""
        total = self._words[-1]
        begin_before = np.searchsorted(self._words[:-1], total - length, side="right")
        word = int(self._rng.integers(max(1, begin_before)))
        first = self._words[word]
        after = int(np.searchsorted(self._words, first + length, side="right")) - 1
        end = self._words[max(after, word + 1)]
        return self._text[self._starts[first] : self._ends[end - 1]]

    def _encode(self, shuffled: Sequence[str]) -> None:
        """Where tokens start and end in the text, in characters; and which tokens begin a word, with one past all."""
        tokenizer = Tokenizer.from_file(str(paths.model_dir() / "tokenizer.json"))
        tokenizer.no_truncation()
        tokenizer.no_padding()
        encodings = tokenizer.encode_batch(list(shuffled), add_special_tokens=False)
        starts, ends, words, characters, tokens = [], [], [], 0, 0
        for text, encoding in zip(shuffled, encodings, strict=True):
            offsets = np.asarray(encoding.offsets, np.int64).reshape(-1, 2) + characters
            of = np.asarray(encoding.word_ids, np.int64)
            starts.append(offsets[:, 0])
            ends.append(offsets[:, 1])
            words.append(np.flatnonzero(np.diff(of, prepend=-1)) + tokens)
            characters, tokens = characters + len(text) + 1, tokens + len(of)
        self._starts, self._ends = np.concatenate(starts), np.concatenate(ends)
        self._words = np.append(np.concatenate(words), tokens)
