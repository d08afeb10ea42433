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
    """Request bodies and answer readers of TEI's HTTP API (its README, "Get Embeddings"); answers are bare lists."""

    routes: ClassVar[Mapping[str, str]] = {"embeddings": "/embed", "rerank": "/rerank"}

    def embed_body(self, texts: str | Sequence[str]) -> bytes:
        """Return `{"inputs"}`, a text or a list, with `model` for servers that hold several."""
        body = {"inputs": texts if isinstance(texts, str) else list(texts)}
        return orjson.dumps({**body, "model": self.model} if self.model else body)

    def read_embeddings(self, raw: bytes) -> NDArray[np.float32]:
        """Read `[[…], …]`: one list of numbers per text."""
        return parse_vectors(_parse_list(raw))

    def rerank_body(self, query: str, documents: Sequence[str]) -> bytes:
        """Return `{"query", "texts"}`."""
        return orjson.dumps({"query": query, "texts": list(documents)})

    def read_rerank(self, raw: bytes) -> list[Ranked]:
        """Read `[{"index", "score"}, …]`, in its order."""
        try:
            return [Ranked(int(row["index"]), float(row["score"])) for row in _parse_list(raw)]
        except (KeyError, TypeError, ValueError) as error:
            raise AnswerError(f"not a ranked text: {error!r}") from error

    def _check_embeddings(self, raw: bytes, items: int) -> bool:
        return check_vectors(_parse_list(raw), items)


def parse_vectors(rows: Sequence[Any]) -> NDArray[np.float32]:
    """Return lists of numbers as float32 (n, d). Raises AnswerError if their lengths differ or one is not finite."""
    try:
        vectors = np.array(rows, dtype=np.float32)
    except (TypeError, ValueError) as error:
        raise AnswerError(f"not vectors: {error!r}") from error
    if vectors.ndim != 2 or not np.isfinite(vectors).all():
        raise AnswerError(f"vectors of shape {vectors.shape}, or not finite")
    return vectors


def _parse_list(raw: bytes) -> list[Any]:
    answer = parse_json(raw)
    if not isinstance(answer, list):
        raise AnswerError(f"not a list: {raw[:80]!r}")
    return answer
