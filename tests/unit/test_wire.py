"""The binary answer of the embed service: what goes in comes out, and nothing else is believed."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from gateways.core import wire
from gateways.core.backend import F32, Embeddings

VECTORS = arrays.arrays(
    np.float32, st.tuples(st.integers(0, 9), st.integers(1, 9)), elements=st.floats(-1e6, 1e6, width=32)
)


@given(VECTORS)
def test_an_answer_survives_the_wire(vectors: F32) -> None:
    """Vectors to the bit, counts and times too."""
    answer = Embeddings(vectors, list(range(len(vectors))), queue_ms=1.5, infer_ms=2.5)

    read = wire.decode(wire.encode(answer))

    assert np.array_equal(read.vectors, vectors)
    assert (list(read.token_counts), read.queue_ms, read.infer_ms) == (answer.token_counts, 1.5, 2.5)


@given(VECTORS, st.data())
def test_a_cut_or_lengthened_answer_is_refused(vectors: F32, data: st.DataObject) -> None:
    """A connection that broke half-way never becomes a shorter answer."""
    raw = wire.encode(Embeddings(vectors, [1] * len(vectors)))
    cut = data.draw(st.integers(0, len(raw) - 1))

    for wrong in (raw[:cut], raw + b"\0"):
        with pytest.raises(wire.WireError):
            wire.decode(wrong)


@given(st.binary(max_size=200))
def test_bytes_of_anything_else_are_refused(raw: bytes) -> None:
    """A proxy's error page is not a vector."""
    if raw.startswith(wire.MAGIC):
        return
    with pytest.raises(wire.WireError):
        wire.decode(raw)
