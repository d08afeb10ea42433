"""Text Embeddings Inference: `POST /embed` and `POST /rerank`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import numpy as np
import orjson
from numpy.typing import NDArray

from bench.dialects import openai
from bench.dialects.openai import Ranked, check_vectors, parse_json
from bench.errors import AnswerError


class Dialect(openai.Dialect):
    """Bodies and readers of TEI's HTTP API, whose answers are bare lists: its README, "Get Embeddings"."""

    routes: ClassVar[Mapping[str, str]] = {"embeddings": "/embed", "rerank": "/rerank"}

    def embed_body(self, texts: str | Sequence[str]) -> bytes:
        """`{"inputs"}`, a text or a list; `model` for servers that hold several."""
        asked = {"inputs": texts if isinstance(texts, str) else list(texts)}
        return orjson.dumps({**asked, "model": self.model} if self.model else asked)

    def read_embeddings(self, raw: bytes) -> NDArray[np.float32]:
        """`[[…], …]`: one list of numbers a text."""
        return vectors_of(_listed(raw))

    def rerank_body(self, query: str, documents: Sequence[str]) -> bytes:
        """`{"query", "texts"}`."""
        return orjson.dumps({"query": query, "texts": list(documents)})

    def read_rerank(self, raw: bytes) -> list[Ranked]:
        """`[{"index", "score"}, …]`, in the order given."""
        try:
            return [Ranked(int(row["index"]), float(row["score"])) for row in _listed(raw)]
        except (KeyError, TypeError, ValueError) as error:
            raise AnswerError(f"not a ranked text: {error!r}") from error

    def _check_embeddings(self, raw: bytes, items: int) -> bool:
        return check_vectors(_listed(raw), items)


def vectors_of(rows: Sequence[Any]) -> NDArray[np.float32]:
    """Lists of numbers as float32 (n, d); raises AnswerError when they are not alike, or not finite."""
    try:
        vectors = np.array(rows, dtype=np.float32)
    except (TypeError, ValueError) as error:
        raise AnswerError(f"not vectors: {error!r}") from error
    if vectors.ndim != 2 or not np.isfinite(vectors).all():
        raise AnswerError(f"vectors of shape {vectors.shape}, or not finite")
    return vectors


def _listed(raw: bytes) -> list[Any]:
    answer = parse_json(raw)
    if not isinstance(answer, list):
        raise AnswerError(f"not a list: {raw[:80]!r}")
    return answer
