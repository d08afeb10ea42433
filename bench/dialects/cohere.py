"""Cohere's second API: `POST /v2/embed` and `POST /v2/rerank`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import numpy as np
import orjson
from numpy.typing import NDArray

from bench.dialects import openai
from bench.dialects.openai import Ranked, check_vectors, parse
from bench.dialects.tei import vectors_of
from bench.errors import AnswerError


class Dialect(openai.Dialect):
    """Bodies and readers as Cohere's `ClientV2` writes and reads them."""

    routes: ClassVar[Mapping[str, str]] = {"embeddings": "/v2/embed", "rerank": "/v2/rerank"}

    def embed_body(self, texts: str | Sequence[str]) -> bytes:
        """`{"texts", "input_type", "embedding_types"}`: always a list, and floats asked for."""
        listed = [texts] if isinstance(texts, str) else list(texts)
        asked = {"texts": listed, "input_type": "search_query", "embedding_types": ["float"]}
        return orjson.dumps({**asked, "model": self.model} if self.model else asked)

    def read_embeddings(self, raw: bytes) -> NDArray[np.float32]:
        """`{"embeddings": {"float": [[…], …]}}`."""
        return vectors_of(_floats(raw))

    def rerank_body(self, query: str, documents: Sequence[str]) -> bytes:
        """`{"query", "documents"}`."""
        return orjson.dumps({"query": query, "documents": list(documents)})

    def read_rerank(self, raw: bytes) -> list[Ranked]:
        """`{"results": [{"index", "relevance_score"}]}`, in the order given."""
        results = parse(raw).get("results")
        if not isinstance(results, list):
            raise AnswerError("no list of results")
        try:
            return [Ranked(int(row["index"]), float(row["relevance_score"])) for row in results]
        except (KeyError, TypeError, ValueError) as error:
            raise AnswerError(f"not a ranked document: {error!r}") from error

    def _check_embeddings(self, raw: bytes, items: int) -> bool:
        return check_vectors(_floats(raw), items)


def _floats(raw: bytes) -> list[Any]:
    embeddings = parse(raw).get("embeddings")
    rows = embeddings.get("float") if isinstance(embeddings, dict) else None
    if not isinstance(rows, list):
        raise AnswerError("no embeddings.float in the answer")
    return rows
