"""
The binary answer between an embed service and the thin gateway.

All little-endian: 4 bytes `EMB1`, uint32 n, uint32 dimensions, float32 queue ms, float32 infer ms,
int32 token counts (n), float32 vectors (n, dimensions), row by row.
"""

from __future__ import annotations

import struct

import numpy as np

from gateways.core.backend import Embeddings

MEDIA_TYPE = "application/vnd.embeddings.f32"
MAGIC = b"EMB1"
_HEADER = struct.Struct("<4sIIff")


class WireError(ValueError):
    """The bytes are not an answer in this format."""


def encode(answer: Embeddings) -> bytes:
    """Return the answer as bytes."""
    n, dimensions = answer.vectors.shape
    return b"".join(
        (
            _HEADER.pack(MAGIC, n, dimensions, answer.queue_ms, answer.infer_ms),
            np.asarray(answer.token_counts, dtype="<i4").tobytes(),
            answer.vectors.astype("<f4", copy=False).tobytes(),
        )
    )


def decode(raw: bytes) -> Embeddings:
    """Return the answer that `encode` wrote; the vectors are a view of `raw`. Raises WireError."""
    if len(raw) < _HEADER.size:
        raise WireError(f"{len(raw)} bytes are too few for a header of {_HEADER.size}")
    magic, n, dimensions, queue_ms, infer_ms = _HEADER.unpack_from(raw)
    if magic != MAGIC:
        raise WireError(f"starts with {magic!r}, not {MAGIC!r}")
    expected = _HEADER.size + 4 * n + 4 * n * dimensions
    if len(raw) != expected:
        raise WireError(f"has {len(raw)} bytes; {n} vectors of {dimensions} dimensions are {expected}")
    counts = np.frombuffer(raw, dtype="<i4", count=n, offset=_HEADER.size)
    vectors = np.frombuffer(raw, dtype="<f4", offset=_HEADER.size + 4 * n).reshape(n, dimensions)
    return Embeddings(vectors, counts.tolist(), queue_ms=queue_ms, infer_ms=infer_ms)
