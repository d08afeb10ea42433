"""Answers of an embed service: check them, join the parts of a request, and map errors to those of our clients."""

from __future__ import annotations

import dataclasses
import re
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
    InvalidInput,
    InvalidRequest,
    ModelFailed,
    ModelHung,
    NotFound,
    Overloaded,
    TooLarge,
    UpstreamFailed,
)

T = TypeVar("T", bound=Timings)

# An embed service's name of an input of the call, or of a token id in an input.
_INPUT = re.compile(r"(?:input|documents)\.(\d+)(?:\.(\d+))?")


def error(status: int, raw: bytes, retry_after_s: int = 1) -> GatewayError:
    """Return the error for our client. 4xx errors of its input are passed on; others are UpstreamFailed."""
    message, param, code = _read_error(raw)
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
        return _invalid_request(message, param, code)
    if (status, code) == (404, "unknown_model"):
        return NotFound(message, param=param, code=code)
    if code == ModelFailed.default_code:
        return ModelFailed(message)
    if code == ModelHung.default_code:
        return ModelHung(message)
    if status in (401, 403):
        return UpstreamFailed(f"the embed service refuses the key EMBEDDING_API_KEY of this gateway: {message}")
    # Any other error, such as a wrong path, is not the client's fault.
    return UpstreamFailed(f"the embed service answered {status}: {message}")


def check_vectors(answer: Embeddings, n: int, dimensions: int | None, *, rows_are_tokens: bool) -> None:
    """Raise UpstreamFailed unless the counts and dimensions are right for `n` inputs and all numbers are finite."""
    if len(answer.token_counts) != n:
        raise UpstreamFailed(f"the embed service answered for {len(answer.token_counts)} texts of {n}")
    rows, columns = answer.vectors.shape
    expected = (sum(answer.token_counts) if rows_are_tokens else n, columns if dimensions is None else dimensions)
    if (rows, columns) != expected:
        raise UpstreamFailed(f"the embed service sent vectors of shape {(rows, columns)}, not {expected}")
    tokens = answer.tokens
    if tokens and (len(tokens.counts) != n or tokens.vectors.shape != (sum(tokens.counts), columns)):
        raise UpstreamFailed(
            f"the embed service sent token vectors of shape {tokens.vectors.shape} for {len(tokens.counts)} texts, "
            f"not {(sum(tokens.counts), columns)} for {n}"
        )
    if not (np.isfinite(answer.vectors).all() and (tokens is None or np.isfinite(tokens.vectors).all())):
        raise UpstreamFailed("the embed service sent a vector with NaN or infinity in it")


def check_sparse(answer: SparseEmbeddings, n: int, vocabulary: int | None) -> None:
    """Raise UpstreamFailed unless there are `n` vectors, indices are below `vocabulary`, and numbers are finite."""
    if (len(answer.rows), len(answer.token_counts)) != (n, n):
        raise UpstreamFailed(f"the embed service sent {len(answer.rows)} sparse vectors, not {n}")
    for row in answer.rows:
        if vocabulary and len(row.indices) and row.indices[-1] >= vocabulary:
            raise UpstreamFailed(f"the embed service sent index {row.indices[-1]} of a vocabulary of {vocabulary}")
        if not np.isfinite(row.values).all():
            raise UpstreamFailed("the embed service sent a sparse vector with NaN or infinity in it")


def check_scores(scores: Scores, n: int) -> None:
    """Raise UpstreamFailed unless there are `n` scores and all of them are finite."""
    if scores.values.shape != (n,):
        raise UpstreamFailed(f"the embed service sent scores of shape {scores.values.shape}, not {(n,)}")
    if not np.isfinite(scores.values).all():
        raise UpstreamFailed("the embed service sent a score that is NaN or infinity")


def check_tokens(tokens: Sequence[Sequence[Token]], texts: Sequence[str]) -> None:
    """Raise UpstreamFailed unless there is a list of tokens for each text."""
    if len(tokens) != len(texts):
        raise UpstreamFailed(f"the embed service sent the tokens of {len(tokens)} texts, not {len(texts)}")


def check_chunks(chunks: Sequence[Sequence[Span]], texts: Sequence[str]) -> None:
    """Raise UpstreamFailed unless there is a list of chunks for each text, and each chunk is within its text."""
    if len(chunks) != len(texts):
        raise UpstreamFailed(f"the embed service sent the chunks of {len(chunks)} texts, not {len(texts)}")
    for text, spans in zip(texts, chunks, strict=True):
        if outside := [(start, stop) for start, stop in spans if not 0 <= start < stop <= len(text)]:
            raise UpstreamFailed(f"the embed service cut {outside[0]} out of a text of {len(text)} characters")


def add_duration(answer: T, started_s: float) -> T:
    """Return an answer that has no times, with the time since `started_s` as `infer_ms`."""
    return dataclasses.replace(answer, infer_ms=(time.perf_counter() - started_s) * 1e3)


def join_parts(parts: Sequence[Embeddings]) -> Embeddings:
    """Return the parts of a request as one answer. They ran in parallel, so each time is the longest one."""
    tokens = [part.tokens for part in parts if part.tokens]
    return Embeddings(
        np.concatenate([part.vectors for part in parts]),
        [count for part in parts for count in part.token_counts],
        TokenVectors(
            np.concatenate([part.vectors for part in tokens]), [count for part in tokens for count in part.counts]
        )
        if tokens
        else None,
        tokenize_ms=max(part.tokenize_ms for part in parts),
        queue_ms=max(part.queue_ms for part in parts),
        infer_ms=max(part.infer_ms for part in parts),
    )


def join_sparse_parts(parts: Sequence[SparseEmbeddings]) -> SparseEmbeddings:
    """Return the parts of a request as one answer. They ran in sequence, so each time is the sum."""
    return SparseEmbeddings(
        [row for part in parts for row in part.rows],
        [count for part in parts for count in part.token_counts],
        tokenize_ms=sum(part.tokenize_ms for part in parts),
        queue_ms=sum(part.queue_ms for part in parts),
        infer_ms=sum(part.infer_ms for part in parts),
    )


def _invalid_request(message: str, param: str | None, code: str | None) -> InvalidRequest:
    """Return InvalidInput if the embed service names an input of the call, else InvalidRequest."""
    name = _INPUT.fullmatch(param or "")
    if name is None or not message.startswith(f"{param} "):
        return InvalidRequest(message, param=param, code=code)
    item, offset = name.groups()
    fault = message.removeprefix(f"{param} ")
    return InvalidInput(fault, item=int(item), offset=int(offset) if offset else None, code=code)


def _read_error(raw: bytes) -> tuple[str | None, str | None, str | None]:
    """Return message, param and code of an error in our format; in TEI's format there is a message only."""
    try:
        error = orjson.loads(raw)["error"]
        if isinstance(error, str):
            return error, None, None
        return error["message"], error["param"], error["code"]
    except (ValueError, KeyError, TypeError):
        return None, None, None
