"""The binary answers of the embed service: what goes in comes out, and nothing else is believed."""

from __future__ import annotations

import struct
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from gateways.core import wire
from gateways.core.backend import F32, Embeddings, SparseEmbeddings, SparseVector, TokenVectors

FINITE = st.floats(-1e6, 1e6, width=32)
VECTORS = arrays.arrays(np.float32, st.tuples(st.integers(0, 9), st.integers(1, 9)), elements=FINITE)


@st.composite
def sparse_vectors(draw: st.DrawFn) -> SparseVector:
    """Draw some indices, ascending, of the whole range, and as many values."""
    indices = sorted(draw(st.sets(st.integers(0, 2**32 - 1), max_size=9)))
    values = draw(st.lists(FINITE, min_size=len(indices), max_size=len(indices)))
    return SparseVector(np.array(indices, np.uint32), np.array(values, np.float32))


ROWS = st.lists(sparse_vectors(), max_size=6)


def dense(vectors: F32) -> bytes:
    """Vectors of one token each, as bytes."""
    return wire.encode(Embeddings(vectors, [1] * len(vectors)))


def sparse(rows: list[SparseVector]) -> bytes:
    """Sparse vectors of one token each, as bytes."""
    return wire.encode_sparse(SparseEmbeddings(rows, [1] * len(rows)))


@given(VECTORS)
def test_vectors_survive_the_wire(vectors: F32) -> None:
    """Vectors to the bit, counts and times too."""
    answer = Embeddings(vectors, list(range(len(vectors))), tokenize_ms=0.5, queue_ms=1.5, infer_ms=2.5)

    read = wire.decode(wire.encode(answer))

    assert np.array_equal(read.vectors, vectors)
    assert read.token_counts == answer.token_counts
    assert (read.tokenize_ms, read.queue_ms, read.infer_ms) == (0.5, 1.5, 2.5)


@given(st.lists(st.integers(0, 4), min_size=1, max_size=6), st.integers(1, 9))
def test_texts_with_their_tokens_survive_the_wire(counts: list[int], dimensions: int) -> None:
    """The vectors of texts to the bit, those of tokens too, and whose they are."""
    pooled = np.linspace(0, 7, len(counts) * dimensions, dtype=np.float32).reshape(-1, dimensions)
    tokens = TokenVectors(
        np.linspace(-1, 1, sum(counts) * dimensions, dtype=np.float16).reshape(-1, dimensions), counts
    )

    read = wire.decode_with_tokens(
        wire.encode_with_tokens(Embeddings(pooled, [9] * len(counts), infer_ms=2.5), tokens)
    )

    assert np.array_equal(read.vectors, pooled)
    assert (read.token_counts, read.infer_ms) == ([9] * len(counts), 2.5)
    assert read.tokens
    assert read.tokens.counts == counts
    assert np.array_equal(read.tokens.vectors, tokens.vectors)
    assert [len(rows) for rows in read.tokens.by_text()] == counts


@pytest.mark.parametrize("wrong", [0, 8, -1, -2])
def test_no_tokens_are_believed_that_is_cut_short_or_miscounted(wrong: int) -> None:
    """A byte less, another magic, counts that do not add up."""
    tokens = TokenVectors(np.ones((3, 2), np.float16), [1, 2])
    raw = bytearray(wire.encode_with_tokens(Embeddings(np.ones((2, 2), np.float32), [3, 4]), tokens))
    if wrong == -1:
        raw.pop()
    elif wrong == -2:  # the rows of the first text, after the header and two token counts
        raw[28 + 8] += 1
    else:
        raw[wrong] += 1

    with pytest.raises(wire.WireError):
        wire.decode_with_tokens(bytes(raw))


@given(st.lists(st.integers(0, 4), max_size=6), st.integers(1, 9))
def test_token_vectors_survive_the_wire(counts: list[int], dimensions: int) -> None:
    """As many rows as tokens, whatever texts they belong to."""
    vectors = np.arange(sum(counts) * dimensions, dtype=np.float32).reshape(-1, dimensions)

    read = wire.decode(wire.encode(Embeddings(vectors, counts)))

    assert np.array_equal(read.vectors, vectors)
    assert read.token_counts == counts


@given(ROWS)
def test_sparse_vectors_survive_the_wire(rows: list[SparseVector]) -> None:
    """Each text's entries, also where it has none."""
    answer = SparseEmbeddings(rows, list(range(len(rows))), tokenize_ms=0.5, queue_ms=1.5, infer_ms=2.5)

    read = wire.decode_sparse(wire.encode_sparse(answer))

    assert len(read.rows) == len(rows)
    for found, row in zip(read.rows, rows, strict=True):
        assert np.array_equal(found.indices, row.indices)
        assert np.array_equal(found.values, row.values)
    assert read.token_counts == answer.token_counts
    assert (read.tokenize_ms, read.queue_ms, read.infer_ms) == (0.5, 1.5, 2.5)


def test_what_is_read_is_not_copied() -> None:
    """Vectors, indices and values are views of the bytes that came."""
    row = SparseVector(np.array([3, 5], np.uint32), np.array([1, 2], np.float32))
    read = wire.decode_sparse(sparse([row, row])).rows[1]

    for array in (wire.decode(dense(np.ones((3, 4), np.float32))).vectors, read.indices, read.values):
        assert not array.flags.owndata
        assert not array.flags.writeable


@given(VECTORS)
def test_vectors_that_lie_otherwise_in_memory_are_the_same(vectors: F32) -> None:
    """Columns first, or every other row: what counts is what they say."""
    for laid_out in (np.asfortranarray(vectors), vectors[::2]):
        assert np.array_equal(wire.decode(dense(laid_out)).vectors, laid_out)


@given(VECTORS, ROWS, st.data())
def test_a_cut_or_lengthened_answer_is_refused(vectors: F32, rows: list[SparseVector], data: st.DataObject) -> None:
    """A connection that broke half-way never becomes a shorter answer."""
    for raw, decode in ((dense(vectors), wire.decode), (sparse(rows), wire.decode_sparse)):
        cut = data.draw(st.integers(0, len(raw) - 1))
        for wrong in (raw[:cut], raw + b"\0"):
            with pytest.raises(wire.WireError):
                decode(wrong)


@given(st.binary(max_size=200), st.sampled_from([wire.decode, wire.decode_sparse]))
def test_bytes_of_anything_else_are_refused(raw: bytes, decode: Callable[[bytes], object]) -> None:
    """A proxy's error page is not a vector."""
    assume(not raw.startswith((wire.DENSE, wire.SPARSE)))
    with pytest.raises(wire.WireError):
        decode(raw)


@given(st.sampled_from([wire.DENSE, wire.SPARSE]), st.binary(max_size=200))
def test_any_bytes_behind_the_magic_are_an_answer_or_an_error(magic: bytes, rest: bytes) -> None:
    """No number in a header brings anything but a WireError: no crash, no huge allocation."""
    for decode in (wire.decode, wire.decode_sparse):
        try:
            decode(magic + rest)
        except wire.WireError:
            continue


def test_an_answer_of_the_other_kind_is_refused() -> None:
    """Sparse bytes are no dense vectors, and the other way round."""
    with pytest.raises(wire.WireError, match="starts with"):
        wire.decode(sparse([]))
    with pytest.raises(wire.WireError, match="starts with"):
        wire.decode_sparse(dense(np.ones((1, 2), np.float32)))


def test_rows_that_fit_neither_texts_nor_tokens_are_refused() -> None:
    """Two texts of three tokens each have two vectors, or six."""
    with pytest.raises(wire.WireError, match="4 vectors"):
        wire.decode(wire.encode(Embeddings(np.ones((4, 2), np.float32), [3, 3])))


def test_a_text_of_less_than_no_tokens_is_refused() -> None:
    """A negative count would move the borders of all texts behind it."""
    with pytest.raises(wire.WireError, match="-1 tokens"):
        wire.decode(wire.encode(Embeddings(np.ones((2, 2), np.float32), [3, -1])))


@pytest.mark.parametrize("indices", [[5, 3], [3, 3]])
def test_indices_that_do_not_ascend_are_refused(indices: list[int]) -> None:
    """Neither out of order nor twice; that they start again in the next vector is right."""
    right = SparseVector(np.array([3, 5], np.uint32), np.ones(2, np.float32))
    wrong = SparseVector(np.array(indices, np.uint32), np.ones(2, np.float32))

    assert len(wire.decode_sparse(sparse([right, right])).rows) == 2
    with pytest.raises(wire.WireError, match="sparse vector 1"):
        wire.decode_sparse(sparse([right, wrong]))


def test_entries_that_are_not_those_of_the_texts_are_refused() -> None:
    """Lengths that do not add up to the entries that came."""
    raw = bytearray(sparse([SparseVector(np.array([3, 5], np.uint32), np.ones(2, np.float32))]))
    at = raw.index(struct.pack("<I", 2), 12)
    raw[at : at + 4] = struct.pack("<I", 1)

    with pytest.raises(wire.WireError, match="2 entries"):
        wire.decode_sparse(bytes(raw))
