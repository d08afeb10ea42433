"""An upstream's answers: what they must be to be believed, how parts make one, what errors mean to our clients."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Sequence
from typing import TypeVar

import numpy as np
import orjson

from gateways.core.backend import Embeddings, Scores, Span, SparseEmbeddings, Timings, Token, TokenVectors
from gateways.core.errors import (
    BackendUnavailable,
    DeadlineExceeded,
    GatewayError,
    InvalidRequest,
    ModelFailed,
    ModelHung,
    NotFound,
    Overloaded,
    TooLarge,
    UpstreamFailed,
)

T = TypeVar("T", bound=Timings)


def error(status: int, raw: bytes, retry_after_s: int = 1) -> GatewayError:
    """Return what an upstream's error means to our client: its own fault, or the upstream's."""
    message, param, code = _told(raw)
    message = message or f"the embed service answered {status}"
    if status == 429:
        return Overloaded(message, code=code, retry_after_s=retry_after_s)
    if status == 503:
        return BackendUnavailable(message, retry_after_s=retry_after_s)
    if status == 504:
        return DeadlineExceeded(message)
    if status == 413:
        return TooLarge(message, param=param, code=code)
    if status in (400, 422):
        return InvalidRequest(message, param=param, code=code)
    if (status, code) == (404, "unknown_model"):
        return NotFound(message, param=param, code=code)
    if code == ModelFailed.default_code:
        return ModelFailed(message)
    if code == ModelHung.default_code:
        return ModelHung(message)
    # All else, a wrong key or path included, is between this gateway and its upstream.
    return UpstreamFailed(f"the embed service answered {status}: {message}")


def check_vectors(answer: Embeddings, n: int, dimensions: int | None, *, rows_are_tokens: bool) -> None:
    """Let no wrong vector through: counts, dimensions and finite numbers must be right."""
    if len(answer.token_counts) != n:
        raise UpstreamFailed(f"the embed service answered for {len(answer.token_counts)} texts of {n}")
    rows, columns = answer.vectors.shape
    right = (sum(answer.token_counts) if rows_are_tokens else n, columns if dimensions is None else dimensions)
    if (rows, columns) != right:
        raise UpstreamFailed(f"the embed service sent vectors of shape {(rows, columns)}, not {right}")
    tokens = answer.tokens
    if tokens and (len(tokens.counts) != n or tokens.vectors.shape != (sum(tokens.counts), columns)):
        raise UpstreamFailed(
            f"the embed service sent token vectors of shape {tokens.vectors.shape} for {len(tokens.counts)} texts, "
            f"not {(sum(tokens.counts), columns)} for {n}"
        )
    if not (np.isfinite(answer.vectors).all() and (tokens is None or np.isfinite(tokens.vectors).all())):
        raise UpstreamFailed("the embed service sent a vector with NaN or infinity in it")


def check_sparse(answer: SparseEmbeddings, n: int, vocabulary: int | None) -> None:
    """Let no wrong sparse vector through: counts, indices and finite numbers must be right."""
    if (len(answer.rows), len(answer.token_counts)) != (n, n):
        raise UpstreamFailed(f"the embed service sent {len(answer.rows)} sparse vectors, not {n}")
    for row in answer.rows:
        if vocabulary and len(row.indices) and row.indices[-1] >= vocabulary:
            raise UpstreamFailed(f"the embed service sent index {row.indices[-1]} of a vocabulary of {vocabulary}")
        if not np.isfinite(row.values).all():
            raise UpstreamFailed("the embed service sent a sparse vector with NaN or infinity in it")


def check_scores(scores: Scores, n: int) -> None:
    """Let no wrong score through: their number and finite numbers must be right."""
    if scores.values.shape != (n,):
        raise UpstreamFailed(f"the embed service sent scores of shape {scores.values.shape}, not {(n,)}")
    if not np.isfinite(scores.values).all():
        raise UpstreamFailed("the embed service sent a score that is NaN or infinity")


def check_tokens(found: Sequence[Sequence[Token]], texts: Sequence[str]) -> None:
    """Let no other texts' tokens through."""
    if len(found) != len(texts):
        raise UpstreamFailed(f"the embed service sent the tokens of {len(found)} texts, not {len(texts)}")


def check_chunks(found: Sequence[Sequence[Span]], texts: Sequence[str]) -> None:
    """Let no chunk through that is not a part of its text."""
    if len(found) != len(texts):
        raise UpstreamFailed(f"the embed service sent the chunks of {len(found)} texts, not {len(texts)}")
    for text, spans in zip(texts, found, strict=True):
        if wrong := [(start, stop) for start, stop in spans if not 0 <= start < stop <= len(text)]:
            raise UpstreamFailed(f"the embed service cut {wrong[0]} out of a text of {len(text)} characters")


def timed(answer: T, started_s: float) -> T:
    """Return the answer of a service that tells no times, with the time it took to come."""
    return dataclasses.replace(answer, infer_ms=(time.perf_counter() - started_s) * 1e3)


def joined(parts: Sequence[Embeddings]) -> Embeddings:
    """Return the parts of one request as its answer; they were computed side by side."""
    tokens = [part.tokens for part in parts if part.tokens]
    return Embeddings(
        np.concatenate([part.vectors for part in parts]),
        [count for part in parts for count in part.token_counts],
        TokenVectors(
            np.concatenate([its.vectors for its in tokens]), [count for its in tokens for count in its.counts]
        )
        if tokens
        else None,
        tokenize_ms=max(part.tokenize_ms for part in parts),
        queue_ms=max(part.queue_ms for part in parts),
        infer_ms=max(part.infer_ms for part in parts),
    )


def joined_sparse(parts: Sequence[SparseEmbeddings]) -> SparseEmbeddings:
    """Return the parts of one request as its answer; they were computed one after another."""
    return SparseEmbeddings(
        [row for part in parts for row in part.rows],
        [count for part in parts for count in part.token_counts],
        tokenize_ms=sum(part.tokenize_ms for part in parts),
        queue_ms=sum(part.queue_ms for part in parts),
        infer_ms=sum(part.infer_ms for part in parts),
    )


def _told(raw: bytes) -> tuple[str | None, str | None, str | None]:
    """Return message, param and code of an error in our shape, or the message of one in TEI's."""
    try:
        told = orjson.loads(raw)["error"]
        if isinstance(told, str):
            return told, None, None
        return told["message"], told["param"], told["code"]
    except (ValueError, KeyError, TypeError):
        return None, None, None
