"""Reference vectors: what sentence-transformers makes of every passage and question, computed once and kept."""

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
from bench.datasets.corpus import Corpus

if TYPE_CHECKING:
    from sentence_transformers import SentenceTransformer

F32 = NDArray[np.float32]
CHUNK = 256


class Encoder:
    """sentence-transformers on the CPU in fp32; loaded when first asked, since the import alone takes seconds."""

    @cached_property
    def _model(self) -> SentenceTransformer:
        from sentence_transformers import SentenceTransformer
        from transformers.utils import logging

        logging.disable_progress_bar()  # type: ignore[no-untyped-call]
        exact = {"dtype": "float32"}  # left alone, it computes in what the file has
        return SentenceTransformer(str(paths.model_dir()), device="cpu", local_files_only=True, model_kwargs=exact)

    def encode(self, texts: Sequence[str]) -> F32:
        """L2-normalised vectors, float32 (n, 384)."""
        vectors = self._model.encode(
            list(texts), batch_size=32, normalize_embeddings=True, show_progress_bar=False, convert_to_numpy=True
        )
        return np.asarray(vectors, dtype=np.float32)

    def encode_tokens(self, texts: Sequence[str]) -> list[F32]:
        """The vectors of every token but the special ones, a float32 (tokens, 384) for each text."""
        found = self._model.encode(
            list(texts), batch_size=8, output_value="token_embeddings", show_progress_bar=False
        )
        return [np.asarray(rows[1:-1], dtype=np.float32) for rows in found]  # all but [CLS] and [SEP]

    def ids(self, texts: Sequence[str]) -> list[list[int]]:
        """Token ids of each text as the model sees it: with special tokens, truncated at its limit."""
        encoded = self._model.tokenizer(list(texts), truncation=True, max_length=self._model.max_seq_length)
        found: list[list[int]] = encoded["input_ids"]
        return found

    def count_tokens(self, texts: Sequence[str]) -> NDArray[np.int64]:
        """Tokens of each text as `ids` has them, (n,)."""
        return np.asarray(list(map(len, self.ids(texts))), dtype=np.int64)


@dataclass(frozen=True)
class Reference:
    """
    Vectors and token counts of the passages and of the distinct questions, and of any text asked for later.

    `passages` (1204, 384), `texts` (11860, 384), both float32 and normalised.
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
        """Ids of the passages, in the order of the rows of `passages`."""
        return list(self.squad.passages)

    def vectors(self, texts: Sequence[str]) -> F32:
        """Reference vectors of any texts, (n, 384); what is not known yet is encoded now and remembered."""
        unknown = list(dict.fromkeys(text for text in texts if text not in self._rows))
        if unknown:
            self._rows.update(zip(unknown, self.encoder.encode(unknown), strict=True))
        return np.stack([self._rows[text] for text in texts]) if texts else np.empty((0, 384), np.float32)

    def nearest(self, text: str, count: int) -> list[str]:
        """The texts of the passages nearest to a text, nearest first."""
        scores = self.passages @ self.vectors([text])[0]
        return [self.squad.passages[self.passage_ids[i]] for i in np.argsort(-scores, kind="stable")[:count]]


def cache_file(squad: Corpus, weights_sha256: str) -> Path:
    """Where the vectors of this corpus by these weights are kept."""
    return paths.CACHE / "reference" / f"{weights_sha256[:12]}-{squad.sha256[:12]}.npz"


def sha256_of(file: Path) -> str:
    """Hex sha256 of a file."""
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def load(squad: Corpus, advance: Callable[[int], None] = lambda _: None) -> Reference:
    """Read the vectors from the cache, or compute and keep them; `advance` hears how many texts are done."""
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
    everything = [*squad.passages.values(), *squad.texts]
    order = sorted(range(len(everything)), key=lambda i: len(everything[i]))
    vectors = np.empty((len(everything), 384), np.float32)
    for start in range(0, len(order), CHUNK):
        chunk = order[start : start + CHUNK]
        vectors[chunk] = encoder.encode([everything[i] for i in chunk])
        advance(len(chunk))
    tokens = encoder.count_tokens(everything)
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
