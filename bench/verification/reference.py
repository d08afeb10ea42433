"""Reference vectors of every passage and question by sentence-transformers, computed once and cached on disk."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from bench import paths
from bench.arrays import F32
from bench.datasets.corpus import Corpus

if TYPE_CHECKING:
    from sentence_transformers import SentenceTransformer

CHUNK = 256


class Encoder:
    """sentence-transformers on the CPU in fp32; loaded at first use, because the import takes seconds."""

    @cached_property
    def _model(self) -> SentenceTransformer:
        from sentence_transformers import SentenceTransformer
        from transformers.utils import logging

        logging.disable_progress_bar()  # type: ignore[no-untyped-call]
        fp32 = {"dtype": "float32"}  # the default is the data type of the weights file
        return SentenceTransformer(str(paths.model_dir()), device="cpu", local_files_only=True, model_kwargs=fp32)

    def encode(self, texts: Sequence[str]) -> F32:
        """Return L2-normalised vectors, float32 (n, 384)."""
        vectors = self._model.encode(
            list(texts), batch_size=32, normalize_embeddings=True, show_progress_bar=False, convert_to_numpy=True
        )
        return np.asarray(vectors, dtype=np.float32)

    def encode_tokens(self, texts: Sequence[str]) -> list[F32]:
        """Return the token vectors of each text without special tokens, float32 (tokens, 384) per text."""
        matrices = self._model.encode(
            list(texts), batch_size=8, output_value="token_embeddings", show_progress_bar=False
        )
        return [np.asarray(rows[1:-1], dtype=np.float32) for rows in matrices]  # without [CLS] and [SEP]

    def ids(self, texts: Sequence[str]) -> list[list[int]]:
        """Return the token ids of each text as the model reads it: with special tokens, truncated at its limit."""
        encoded = self._model.tokenizer(list(texts), truncation=True, max_length=self._model.max_seq_length)
        token_ids: list[list[int]] = encoded["input_ids"]
        return token_ids

    def count_tokens(self, texts: Sequence[str]) -> NDArray[np.int64]:
        """Return the number of `ids` of each text, (n,)."""
        return np.asarray(list(map(len, self.ids(texts))), dtype=np.int64)


@dataclass(frozen=True)
class Reference:
    """
    Reference vectors and token counts of passages and distinct questions. Other texts are encoded on demand.

    `passages` (1204, 384) and `texts` (11860, 384) are float32 and L2-normalised.
    """

    squad: Corpus
    passages: F32
    texts: F32
    passage_tokens: NDArray[np.int64]
    text_tokens: NDArray[np.int64]
    encoder: Encoder

    @cached_property
    def _rows(self) -> dict[str, F32]:
        rows = dict(zip(self.squad.passages.values(), self.passages, strict=True))
        rows.update(zip(self.squad.texts, self.texts, strict=True))
        return rows

    @cached_property
    def tokens(self) -> dict[str, int]:
        """Token count of every passage and question, by text."""
        counts = dict(zip(self.squad.passages.values(), self.passage_tokens.tolist(), strict=True))
        counts.update(zip(self.squad.texts, self.text_tokens.tolist(), strict=True))
        return counts

    @cached_property
    def passage_ids(self) -> list[str]:
        """The id of each row of `passages`."""
        return list(self.squad.passages)

    def vectors(self, texts: Sequence[str]) -> F32:
        """Return the reference vectors of any texts, (n, 384); new texts are encoded and kept in memory."""
        unknown = list(dict.fromkeys(text for text in texts if text not in self._rows))
        if unknown:
            self._rows.update(zip(unknown, self.encoder.encode(unknown), strict=True))
        return np.stack([self._rows[text] for text in texts]) if texts else np.empty((0, 384), np.float32)

    def nearest(self, text: str, count: int) -> list[str]:
        """Return the texts of the `count` passages nearest to a text, nearest first."""
        scores = self.passages @ self.vectors([text])[0]
        return [self.squad.passages[self.passage_ids[i]] for i in np.argsort(-scores, kind="stable")[:count]]


def cache_file(squad: Corpus, weights_sha256: str) -> Path:
    """Return the cache file of a corpus' vectors by these weights."""
    return paths.CACHE / "reference" / f"{weights_sha256[:12]}-{squad.sha256[:12]}.npz"


def sha256_of(file: Path) -> str:
    """Return the hexadecimal SHA-256 of a file."""
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def load(squad: Corpus, advance: Callable[[int], None] = lambda _: None) -> Reference:
    """
    Read the reference from the cache, or compute and store it.

    `advance` is called with the number of texts of each finished chunk.
    """
    file = cache_file(squad, sha256_of(paths.model_dir() / "model.safetensors"))
    encoder = Encoder()
    if not file.exists():
        _write(file, _compute(squad, encoder, advance))
    with np.load(file) as arrays:
        return Reference(
            squad=squad,
            passages=arrays["passages"],
            texts=arrays["texts"],
            passage_tokens=arrays["passage_tokens"],
            text_tokens=arrays["text_tokens"],
            encoder=encoder,
        )


def _compute(squad: Corpus, encoder: Encoder, advance: Callable[[int], None]) -> dict[str, NDArray[np.generic]]:
    texts = [*squad.passages.values(), *squad.texts]
    order = sorted(range(len(texts)), key=lambda i: len(texts[i]))
    vectors = np.empty((len(texts), 384), np.float32)
    for start in range(0, len(order), CHUNK):
        chunk = order[start : start + CHUNK]
        vectors[chunk] = encoder.encode([texts[i] for i in chunk])
        advance(len(chunk))
    tokens = encoder.count_tokens(texts)
    n = len(squad.passages)
    return {
        "passages": vectors[:n],
        "texts": vectors[n:],
        "passage_tokens": tokens[:n],
        "text_tokens": tokens[n:],
    }


def _write(file: Path, arrays: dict[str, NDArray[np.generic]]) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    partial = file.with_suffix(".partial.npz")
    np.savez(partial, allow_pickle=False, **arrays)
    partial.replace(file)
