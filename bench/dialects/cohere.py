"""Cohere's API, version 2: `POST /v2/embed` and `POST /v2/rerank`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import numpy as np
import orjson
from numpy.typing import NDArray

from bench.dialects import openai
from bench.dialects.openai import Ranked, check_vectors, parse
from bench.dialects.tei import parse_vectors
from bench.errors import AnswerError


class Dialect(openai.Dialect):
    """Request bodies and answer readers of Cohere's `ClientV2`."""

    routes: ClassVar[Mapping[str, str]] = {"embeddings": "/v2/embed", "rerank": "/v2/rerank"}

    def embed_body(self, texts: str | Sequence[str]) -> bytes:
        """Return `{"texts", "input_type", "embedding_types"}`: always a list of texts, and float embeddings."""
        listed = [texts] if isinstance(texts, str) else list(texts)
        body = {"texts": listed, "input_type": "search_query", "embedding_types": ["float"]}
        return orjson.dumps({**body, "model": self.model} if self.model else body)

    def read_embeddings(self, raw: bytes) -> NDArray[np.float32]:
        """Read `{"embeddings": {"float": [[…], …]}}`."""
        return parse_vectors(_read_floats(raw))

    def rerank_body(self, query: str, documents: Sequence[str]) -> bytes:
        """Return `{"query", "documents"}`."""
        return orjson.dumps({"query": query, "documents": list(documents)})

    def read_rerank(self, raw: bytes) -> list[Ranked]:
        """Read `{"results": [{"index", "relevance_score"}]}`, in its order."""
        results = parse(raw).get("results")
        if not isinstance(results, list):
            raise AnswerError("no list of results")
        try:
            return [Ranked(int(row["index"]), float(row["relevance_score"])) for row in results]
        except (KeyError, TypeError, ValueError) as error:
            raise AnswerError(f"not a ranked document: {error!r}") from error

    def _check_embeddings(self, raw: bytes, items: int) -> bool:
        return check_vectors(_read_floats(raw), items)


def _read_floats(raw: bytes) -> list[Any]:
    embeddings = parse(raw).get("embeddings")
    rows = embeddings.get("float") if isinstance(embeddings, dict) else None
    if not isinstance(rows, list):
        raise AnswerError("no embeddings.float in the answer")
    return rows
