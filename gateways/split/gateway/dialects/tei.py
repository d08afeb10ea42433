"""Text-embeddings-inference with an embedding model: its vectors, its tokens, and late interaction over them."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Any

import numpy as np
import orjson

from gateways.core.backend import (
    DEFAULT_OPTIONS,
    F32,
    Embeddings,
    EncodeOptions,
    Inputs,
    ModelInfo,
    Scores,
    Token,
    Truncate,
)
from gateways.core.errors import UpstreamFailed
from gateways.core.scoring.late_interaction import inner, maxsim
from gateways.core.settings import UpstreamSettings
from gateways.split.gateway.dialects.base import Ask, Send, post
from gateways.split.gateway.dialects.vectors_only import VectorsOnly, refuse

log = logging.getLogger(__name__)


class Tei(VectorsOnly):
    """One model, which `/info` describes; a server of rerankers or of sparse vectors is no upstream of a gateway."""

    def __init__(self, settings: UpstreamSettings) -> None:
        super().__init__("embed", "inputs", lambda answer: answer, settings)
        self._frame = (0, 0)

    async def models(self, send: Send) -> tuple[ModelInfo, ...]:
        """Read `/info`, and embed and tokenise one text for what it does not tell."""
        try:
            info = await send(Ask("info", None, _info))
        except UpstreamFailed as error:
            log.info("%s; it is asked for vectors alone", error)
            return await super().models(send)
        self.most_inputs = info["max_client_batch_size"]
        probe = await send(self.embed("", ["probe"], DEFAULT_OPTIONS))
        special = [token.special for token in (await self.tokenize(send, "", ["probe"]))[0]]
        self._frame = (special.index(False), special[::-1].index(False))
        name, dimensions, length = info["model_id"], probe.vectors.shape[1], info["max_input_length"]
        dense = ModelInfo(
            name,
            "dense",
            dimensions,
            length,
            precision=info["model_dtype"],
            frame=self._frame,
            revision=info.get("model_sha"),
            pooling=_read_pooling(info["model_type"]),
        )
        late = ModelInfo(
            "late-interaction", "rerank", 0, length, precision=dense.precision, frame=self._frame, scores="cosines"
        )
        return dense, late

    def embed(self, model: str, inputs: Inputs, options: EncodeOptions) -> Ask[Embeddings]:
        """Ask for pooled vectors, not normalised."""
        if options.tokens:
            refuse("vectors of texts and of their tokens at once")
        return post("embed", {"inputs": inputs, "normalize": False} | _truncation(options.truncate), self._vectors)

    def embed_tokens(self, model: str, inputs: Inputs, options: EncodeOptions) -> Ask[Embeddings]:
        """Ask for the vectors before pooling."""
        return post("embed_all", {"inputs": inputs} | _truncation(options.truncate), _token_vectors)

    async def rerank(
        self, send: Send, model: str, query: str, documents: Sequence[str], options: EncodeOptions
    ) -> Scores:
        """Compare token vectors here, special tokens left out."""
        texts = [query, *documents]
        vectors: list[F32] = []
        counts: list[int] = []
        for start in range(0, len(texts), self.most_inputs):
            part = texts[start : start + self.most_inputs]
            answer = await send(self.embed_tokens(model, part, options))
            counts.extend(answer.token_counts)
            vectors.extend(np.split(answer.vectors, np.cumsum(answer.token_counts)[:-1]))
        asked, *found = (inner(rows, self._frame) for rows in vectors)
        return Scores(maxsim(asked, found), counts)

    async def tokenize(self, send: Send, model: str, texts: Sequence[str]) -> list[list[Token]]:
        """Ask for the tokens of all texts at once."""
        return await send(post("tokenize", {"inputs": texts}, _tokens))


def _truncation(truncate: Truncate) -> dict[str, Any]:
    return {"truncate": truncate != "NONE", "truncation_direction": "Left" if truncate == "START" else "Right"}


def _info(raw: bytes) -> dict[str, Any]:
    info: dict[str, Any] = orjson.loads(raw)
    if "embedding" not in info["model_type"]:
        raise ValueError(f"it serves a {', '.join(info['model_type'])}, and a gateway needs an embedding model")
    return info


def _read_pooling(model_type: Any) -> str | None:
    """Return the pooling in `{"embedding": {"pooling": "mean"}}`, None if the service does not tell it."""
    described = model_type.get("embedding") if isinstance(model_type, dict) else None
    return described.get("pooling") if isinstance(described, dict) else None


def _token_vectors(raw: bytes) -> Embeddings:
    of_texts = [np.asarray(rows, dtype=np.float32) for rows in orjson.loads(raw)]
    return Embeddings(np.concatenate(of_texts), [len(rows) for rows in of_texts])


def _tokens(raw: bytes) -> list[list[Token]]:
    return [
        [Token(token["id"], token["text"], token["special"], token["start"], token["stop"]) for token in text]
        for text in orjson.loads(raw)
    ]
