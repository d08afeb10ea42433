"""
The binary responses that an embed service sends to the thin gateway.

The media type has a parameter `serving`: see `serving_fingerprint`. All numbers are little-endian. A response begins
with a header: 4 bytes of magic, uint32 n (texts), uint32 rows, uint32 columns, float32 tokenize, queue and infer ms,
int32 token counts (n). The magic names the rest:

* `EMB2`, vectors: float32 (rows, columns), row by row. There is a row per text, or a row per token, text by text.
* `TOK1`, vectors of texts and of tokens: int32 token vectors of each text (n); float32 (n, columns), a pooled vector
  per text; float16 (rows, columns), the unit vectors of the tokens without special ones, text by text.
* `SPA2`, sparse vectors: `rows` is the number of all entries, `columns` is 0. uint32 entries of each text (n), then
  uint32 indices (rows) and float32 values (rows), text by text.
"""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Iterable, Sequence

import numpy as np
import numpy.typing as npt

from gateways.core.backend import Embeddings, ModelInfo, SparseEmbeddings, SparseVector, Times, TokenVectors

MEDIA_TYPE = "application/vnd.embeddings.f32"
# The header that names the limited key of a request. Its cached answers are for this key alone.
CACHE_SCOPE = "X-Cache-Scope"
DENSE, WITH_TOKENS, SPARSE = b"EMB2", b"TOK1", b"SPA2"
_HEADER = struct.Struct("<4sIIIfff")


def model_identities(models: Iterable[ModelInfo]) -> frozenset[str]:
    """Return "id dimensions precision" of each dense model. Vectors of equal identities can be mixed."""
    return frozenset(f"{model.id} {model.dimensions} {model.precision}" for model in models if model.kind == "dense")


def serving_fingerprint(models: Iterable[ModelInfo]) -> str:
    """Return 16 hex digits of the models' identities. They show a gateway that its service has changed its models."""
    return hashlib.sha256("\n".join(sorted(model_identities(models))).encode()).hexdigest()[:16]


class WireError(ValueError):
    """The bytes are not a response in this format. The message follows "it": "has 3 bytes, too few for ..."."""


def encode(answer: Embeddings) -> bytes:
    """Return an EMB2 response: one row per text, or one per token."""
    rows, columns = answer.vectors.shape
    return b"".join(
        (*_make_head(DENSE, answer, rows, columns), np.ascontiguousarray(answer.vectors, dtype="<f4").tobytes())
    )


def decode(raw: bytes) -> Embeddings:
    """Return the embeddings of an EMB2 response; the vectors are a view of `raw`. Raises WireError."""
    rows, columns, counts, times = _read_head(DENSE, raw)
    offset = _HEADER.size + counts.nbytes
    _check_length(raw, offset + 4 * rows * columns, f"{rows} vectors of {columns} dimensions")
    if rows not in (len(counts), counts.sum()):
        raise WireError(f"has {rows} vectors, neither one for each of {len(counts)} texts nor one for each token")
    vectors = np.frombuffer(raw, dtype="<f4", offset=offset).reshape(rows, columns)
    return Embeddings(vectors, counts.tolist(), **times)


def encode_with_tokens(answer: Embeddings, tokens: TokenVectors) -> bytes:
    """Return a TOK1 response: the vectors of texts and of their tokens."""
    counts = np.asarray(tokens.counts, dtype="<i4").tobytes()
    pooled = np.ascontiguousarray(answer.vectors, dtype="<f4").tobytes()
    return b"".join(
        (
            *_make_head(WITH_TOKENS, answer, *tokens.vectors.shape),
            counts,
            pooled,
            np.ascontiguousarray(tokens.vectors, dtype="<f2").tobytes(),
        )
    )


def decode_with_tokens(raw: bytes) -> Embeddings:
    """Return the embeddings of a TOK1 response; the vectors are views of `raw`. Raises WireError."""
    rows, columns, counts, times = _read_head(WITH_TOKENS, raw)
    n, offset = len(counts), _HEADER.size + counts.nbytes
    expected = offset + 4 * n + (4 * n + 2 * rows) * columns
    _check_length(raw, expected, f"{n} texts and {rows} tokens in {columns} dimensions")
    rows_by_text = np.frombuffer(raw, dtype="<i4", count=n, offset=offset)
    if (n and rows_by_text.min() < 0) or rows_by_text.sum() != rows:
        raise WireError(f"has {rows} token vectors, which is not what its {n} texts have together")
    offset += 4 * n
    pooled = np.frombuffer(raw, dtype="<f4", count=n * columns, offset=offset).reshape(n, columns)
    tokens = np.frombuffer(raw, dtype="<f2", offset=offset + pooled.nbytes).reshape(rows, columns)
    return Embeddings(pooled, counts.tolist(), TokenVectors(tokens, rows_by_text.tolist()), **times)


def encode_sparse(answer: SparseEmbeddings) -> bytes:
    """Return a SPA2 response: the sparse vectors of texts."""
    lengths = np.array([len(row.indices) for row in answer.rows], dtype="<u4")
    indices = [np.ascontiguousarray(row.indices, dtype="<u4").tobytes() for row in answer.rows]
    values = [np.ascontiguousarray(row.values, dtype="<f4").tobytes() for row in answer.rows]
    return b"".join((*_make_head(SPARSE, answer, int(lengths.sum()), 0), lengths.tobytes(), *indices, *values))


def decode_sparse(raw: bytes) -> SparseEmbeddings:
    """Return the embeddings of a SPA2 response; indices and values are views of `raw`. Raises WireError."""
    entries, columns, counts, times = _read_head(SPARSE, raw)
    n, offset = len(counts), _HEADER.size + counts.nbytes
    _check_length(raw, offset + 4 * n + 8 * entries, f"{entries} entries of {n} sparse vectors")
    ends = np.cumsum(np.frombuffer(raw, dtype="<u4", count=n, offset=offset), dtype=np.int64)
    if columns or (int(ends[-1]) if n else 0) != entries:
        raise WireError(f"has {entries} entries, which is not what its {n} sparse vectors have together")
    offset += 4 * n
    indices = np.frombuffer(raw, dtype="<u4", count=entries, offset=offset)
    values = np.frombuffer(raw, dtype="<f4", count=entries, offset=offset + 4 * entries)
    rows = [
        SparseVector(*parts) for parts in zip(np.split(indices, ends[:-1]), np.split(values, ends[:-1]), strict=True)
    ]
    _check_ascending(rows[:n])
    return SparseEmbeddings(rows[:n], counts.tolist(), **times)


def _make_head(magic: bytes, answer: Embeddings | SparseEmbeddings, rows: int, columns: int) -> tuple[bytes, bytes]:
    counts = np.asarray(answer.token_counts, dtype="<i4")
    times = (answer.tokenize_ms, answer.queue_ms, answer.infer_ms)
    return _HEADER.pack(magic, len(counts), rows, columns, *times), counts.tobytes()


def _read_head(magic: bytes, raw: bytes) -> tuple[int, int, npt.NDArray[np.int32], Times]:
    """Return rows, columns, token counts (n,) and times of a response's header. Raises WireError."""
    if len(raw) < _HEADER.size:
        raise WireError(f"has {len(raw)} bytes, too few for a header of {_HEADER.size}")
    actual, n, rows, columns, *times = _HEADER.unpack_from(raw)
    if actual != magic:
        raise WireError(f"starts with {actual!r}, not {magic!r}")
    if len(raw) < _HEADER.size + 4 * n:
        raise WireError(f"has {len(raw)} bytes, too few for the token counts of {n} texts")
    counts = np.frombuffer(raw, dtype="<i4", count=n, offset=_HEADER.size)
    if n and counts.min() < 0:
        raise WireError(f"counts {counts.min()} tokens in a text")
    tokenize_ms, queue_ms, infer_ms = times
    return rows, columns, counts, Times(tokenize_ms=tokenize_ms, queue_ms=queue_ms, infer_ms=infer_ms)


def _check_length(raw: bytes, expected: int, content: str) -> None:
    if len(raw) != expected:
        raise WireError(f"has {len(raw)} bytes; {content} are {expected}")


def _check_ascending(rows: Sequence[SparseVector]) -> None:
    for number, row in enumerate(rows):
        if not (row.indices[1:] > row.indices[:-1]).all():
            raise WireError(f"has indices that do not ascend in sparse vector {number}")
