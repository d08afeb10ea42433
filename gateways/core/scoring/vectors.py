"""Arithmetic on rows of vectors."""

from __future__ import annotations

import math

import numpy as np

from gateways.core.backend import F32, SparseVector

# The error of a cosine in float32 arithmetic.
ROUNDING = 1e-6


def normalize(vectors: F32) -> F32:
    """Return the rows of (n, d) at unit length; a row of zeros stays zero, as in torch's `normalize` (eps 1e-12)."""
    if len(vectors) == 1:  # the common request: fewer numpy calls
        length = math.sqrt(vectors[0] @ vectors[0])
        return vectors / np.float32(max(length, 1e-12))
    norms = np.sqrt(np.einsum("ij,ij->i", vectors, vectors))
    unit: F32 = vectors / np.maximum(norms, 1e-12)[:, None]
    return unit


def clip_cosines(cosines: F32) -> F32:
    """Return cosines (n,) within -1 … 1. Rounding makes up to 1.0000002 of two equal vectors, or 0.9999998."""
    clipped: F32 = np.clip(cosines, -1, 1)
    clipped[clipped > 1 - ROUNDING] = 1
    return clipped


def clip_cosine(cosine: float) -> float:
    """Return one cosine as `clip_cosines` does."""
    return 1.0 if cosine > 1 - ROUNDING else max(cosine, -1.0)


def shorten(vectors: F32, dimensions: int | None) -> F32:
    """Return the first `dimensions` columns of (n, d), as OpenAI's `dimensions` does; None returns all."""
    if dimensions is None or dimensions == vectors.shape[1]:
        return vectors
    return np.ascontiguousarray(vectors[:, :dimensions])


def nonzero(weights: F32) -> SparseVector:
    """Return the positive entries of a (vocabulary,) row as a sparse vector. NaN is kept, for others to see it."""
    indices = np.flatnonzero(~(weights <= 0))
    return SparseVector(indices.astype(np.uint32), weights[indices])
