"""
The binary answers between an embed service and the thin gateway.

The media type has a parameter, `serving`: see there. All little-endian. Each begins with 4 bytes of magic, uint32 n
texts, uint32 rows, uint32 columns, float32 tokenize, queue and infer ms, and int32 token counts (n). Then follows

* `EMB2`, vectors: float32 (rows, columns), row by row; a row per text, or one per token, text by text
* `TOK1`, vectors with those of tokens: int32 rows of each text (n), float32 (n, columns), a pooled vector per text,
  and float16 (rows, columns), the unit vectors of their own tokens, text by text
* `SPA2`, sparse vectors: `rows` is the number of all their entries, `columns` is 0; uint32 entries of each text (n),
  then uint32 indices (rows) and float32 values (rows), text by text
"""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Iterable, Sequence

import numpy as np
import numpy.typing as npt

from gateways.core.backend import Embeddings, ModelInfo, SparseEmbeddings, SparseVector, Times, TokenVectors

MEDIA_TYPE = "application/vnd.embeddings.f32"
DENSE, WITH_TOKENS, SPARSE = b"EMB2", b"TOK1", b"SPA2"
_HEADER = struct.Struct("<4sIIIfff")


def identities(models: Iterable[ModelInfo]) -> frozenset[str]:
    """Return what makes the vectors of models what they are."""
    return frozenset(f"{one.id} {one.dimensions} {one.precision}" for one in models if one.kind == "dense")


def serving(models: Iterable[ModelInfo]) -> str:
    """Return a word for these identities: an answer carries it, in case the service is another one than was asked."""
    return hashlib.sha256("\n".join(sorted(identities(models))).encode()).hexdigest()[:16]


class WireError(ValueError):
    """The bytes are not an answer in this format."""


def encode(answer: Embeddings) -> bytes:
    """Return vectors as bytes, one row per text or per token."""
    rows, columns = answer.vectors.shape
    return b"".join(
        (*_head(DENSE, answer, rows, columns), np.ascontiguousarray(answer.vectors, dtype="<f4").tobytes())
    )


def decode(raw: bytes) -> Embeddings:
    """Return what `encode` wrote; the vectors are a view of `raw`. Raises WireError."""
    rows, columns, counts, times = _read_head(DENSE, raw)
    at = _HEADER.size + counts.nbytes
    _check_length(raw, at + 4 * rows * columns, f"{rows} vectors of {columns} dimensions")
    if rows not in (len(counts), counts.sum()):
        raise WireError(f"has {rows} vectors, neither one for each of {len(counts)} texts nor one for each token")
    vectors = np.frombuffer(raw, dtype="<f4", offset=at).reshape(rows, columns)
    return Embeddings(vectors, counts.tolist(), **times)


def encode_with_tokens(answer: Embeddings, tokens: TokenVectors) -> bytes:
    """Return the vectors of texts and of their tokens as bytes."""
    counts = np.asarray(tokens.counts, dtype="<i4").tobytes()
    pooled = np.ascontiguousarray(answer.vectors, dtype="<f4").tobytes()
    return b"".join(
        (
            *_head(WITH_TOKENS, answer, *tokens.vectors.shape),
            counts,
            pooled,
            np.ascontiguousarray(tokens.vectors, dtype="<f2").tobytes(),
        )
    )


def decode_with_tokens(raw: bytes) -> Embeddings:
    """Return what `encode_with_tokens` wrote; the vectors are views of `raw`. Raises WireError."""
    rows, columns, counts, times = _read_head(WITH_TOKENS, raw)
    n, at = len(counts), _HEADER.size + counts.nbytes
    _check_length(
        raw, at + 4 * n + (4 * n + 2 * rows) * columns, f"{n} texts and {rows} tokens in {columns} dimensions"
    )
    of_texts = np.frombuffer(raw, dtype="<i4", count=n, offset=at)
    if (n and of_texts.min() < 0) or of_texts.sum() != rows:
        raise WireError(f"has {rows} token vectors, which is not what its {n} texts have together")
    at += 4 * n
    pooled = np.frombuffer(raw, dtype="<f4", count=n * columns, offset=at).reshape(n, columns)
    tokens = np.frombuffer(raw, dtype="<f2", offset=at + pooled.nbytes).reshape(rows, columns)
    return Embeddings(pooled, counts.tolist(), TokenVectors(tokens, of_texts.tolist()), **times)


def encode_sparse(answer: SparseEmbeddings) -> bytes:
    """Return sparse vectors as bytes."""
    lengths = np.array([len(row.indices) for row in answer.rows], dtype="<u4")
    indices = [np.ascontiguousarray(row.indices, dtype="<u4").tobytes() for row in answer.rows]
    values = [np.ascontiguousarray(row.values, dtype="<f4").tobytes() for row in answer.rows]
    return b"".join((*_head(SPARSE, answer, int(lengths.sum()), 0), lengths.tobytes(), *indices, *values))


def decode_sparse(raw: bytes) -> SparseEmbeddings:
    """Return what `encode_sparse` wrote; indices and values are views of `raw`. Raises WireError."""
    entries, columns, counts, times = _read_head(SPARSE, raw)
    n, at = len(counts), _HEADER.size + counts.nbytes
    _check_length(raw, at + 4 * n + 8 * entries, f"{entries} entries of {n} sparse vectors")
    ends = np.cumsum(np.frombuffer(raw, dtype="<u4", count=n, offset=at), dtype=np.int64)
    if columns or (int(ends[-1]) if n else 0) != entries:
        raise WireError(f"has {entries} entries, which is not what its {n} sparse vectors have together")
    at += 4 * n
    indices = np.frombuffer(raw, dtype="<u4", count=entries, offset=at)
    values = np.frombuffer(raw, dtype="<f4", count=entries, offset=at + 4 * entries)
    rows = [
        SparseVector(*parts) for parts in zip(np.split(indices, ends[:-1]), np.split(values, ends[:-1]), strict=True)
    ]
    _check_ascending(rows[:n])
    return SparseEmbeddings(rows[:n], counts.tolist(), **times)


def _head(magic: bytes, answer: Embeddings | SparseEmbeddings, rows: int, columns: int) -> tuple[bytes, bytes]:
    counts = np.asarray(answer.token_counts, dtype="<i4")
    times = (answer.tokenize_ms, answer.queue_ms, answer.infer_ms)
    return _HEADER.pack(magic, len(counts), rows, columns, *times), counts.tobytes()


def _read_head(magic: bytes, raw: bytes) -> tuple[int, int, npt.NDArray[np.int32], Times]:
    """Return rows, columns, token counts and times."""
    if len(raw) < _HEADER.size:
        raise WireError(f"has {len(raw)} bytes, too few for a header of {_HEADER.size}")
    found, n, rows, columns, *times = _HEADER.unpack_from(raw)
    if found != magic:
        raise WireError(f"starts with {found!r}, not {magic!r}")
    if len(raw) < _HEADER.size + 4 * n:
        raise WireError(f"has {len(raw)} bytes, too few for the token counts of {n} texts")
    counts = np.frombuffer(raw, dtype="<i4", count=n, offset=_HEADER.size)
    if n and counts.min() < 0:
        raise WireError(f"counts {counts.min()} tokens in a text")
    tokenize_ms, queue_ms, infer_ms = times
    return rows, columns, counts, Times(tokenize_ms=tokenize_ms, queue_ms=queue_ms, infer_ms=infer_ms)


def _check_length(raw: bytes, expected: int, what: str) -> None:
    if len(raw) != expected:
        raise WireError(f"has {len(raw)} bytes; {what} are {expected}")


def _check_ascending(rows: Sequence[SparseVector]) -> None:
    for at, row in enumerate(rows):
        if not (row.indices[1:] > row.indices[:-1]).all():
            raise WireError(f"has indices that do not ascend in sparse vector {at}")
