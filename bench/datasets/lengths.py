"""Texts with a published distribution of lengths: runs of words cut from a corpus."""

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
    """A distribution of text lengths."""

    def draw(self, rng: np.random.Generator, count: int) -> I64:
        """Return lengths in tokens without special tokens, (count,)."""


@dataclass(frozen=True)
class LogNormal:
    """Log-normal lengths with this median and 95th percentile; at least one token."""

    median: float
    p95: float

    def draw(self, rng: np.random.Generator, count: int) -> I64:
        """Return lengths, (count,). 1.645 is the 95 % point of the standard normal distribution."""
        sigma = np.log(self.p95 / self.median) / 1.645
        lengths = rng.lognormal(np.log(self.median), sigma, count)
        return np.maximum(1, np.rint(lengths)).astype(np.int64)


@dataclass(frozen=True)
class ClippedNormal:
    """Normally distributed lengths, clipped to `min_tokens` and `max_tokens`."""

    mean: float
    std_dev: float
    min_tokens: int
    max_tokens: int

    def draw(self, rng: np.random.Generator, count: int) -> I64:
        """Return lengths, (count,)."""
        lengths = np.rint(rng.normal(self.mean, self.std_dev, count))
        return np.clip(lengths, self.min_tokens, self.max_tokens).astype(np.int64)


RAG_QUERY = LogNormal(median=12, p95=28)
CHUNK = ClippedNormal(mean=256, std_dev=96, min_tokens=64, max_tokens=510)


class Words:
    """
    The shuffled texts of a corpus, joined into one long text from which runs of words are cut.

    A run begins and ends at word boundaries. It therefore has at most the requested number of tokens, and rarely
    lacks more than the tokens of one word. A run may span several texts.
    """

    def __init__(self, texts: Sequence[str], seed: int) -> None:
        self._rng = np.random.default_rng(seed)
        shuffled = [texts[i] for i in self._rng.permutation(len(texts))]
        self._text = "\n".join(shuffled)
        self._encode(shuffled)

    def cut(self, profile: Profile, count: int) -> list[str]:
        """Return `count` distinct texts with lengths of `profile`. Raises CorpusError for too small a corpus."""
        texts: dict[str, None] = {}
        for length in profile.draw(self._rng, count).tolist():
            self._add_text(texts, length)
        return list(texts)

    def _add_text(self, texts: dict[str, None], length: int) -> None:
        """Add a new text. Short cuts often coincide, so up to MAX_CUTS are tried."""
        before = len(texts)
        for _ in range(MAX_CUTS):
            texts[self._cut_run(length)] = None
            if len(texts) > before:
                return
        raise CorpusError(f"the corpus is too small for {before + 1} different texts of {length} tokens")

    def _cut_run(self, length: int) -> str:
        """Return the longest run of whole words from a random word on that fits `length` tokens."""
        total = self._words[-1]
        begin_before = np.searchsorted(self._words[:-1], total - length, side="right")
        word = int(self._rng.integers(max(1, begin_before)))
        first = self._words[word]
        after = int(np.searchsorted(self._words, first + length, side="right")) - 1
        end = self._words[max(after, word + 1)]
        return self._text[self._starts[first] : self._ends[end - 1]]

    def _encode(self, shuffled: Sequence[str]) -> None:
        """Store start and end of each token in characters, and the index of each word's first token, plus the end."""
        tokenizer = Tokenizer.from_file(str(paths.model_dir() / "tokenizer.json"))
        tokenizer.no_truncation()
        tokenizer.no_padding()
        encodings = tokenizer.encode_batch(list(shuffled), add_special_tokens=False)
        starts, ends, words, characters, tokens = [], [], [], 0, 0
        for text, encoding in zip(shuffled, encodings, strict=True):
            offsets = np.asarray(encoding.offsets, np.int64).reshape(-1, 2) + characters
            word_ids = np.asarray(encoding.word_ids, np.int64)
            starts.append(offsets[:, 0])
            ends.append(offsets[:, 1])
            words.append(np.flatnonzero(np.diff(word_ids, prepend=-1)) + tokens)
            characters, tokens = characters + len(text) + 1, tokens + len(word_ids)
        self._starts, self._ends = np.concatenate(starts), np.concatenate(ends)
        self._words = np.append(np.concatenate(words), tokens)
