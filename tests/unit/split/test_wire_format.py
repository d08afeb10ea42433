"""The wire format: decoding returns what was encoded, and refuses any other bytes."""

from __future__ import annotations

import struct
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from gateways.core.backend import F32, Embeddings, SparseEmbeddings, SparseVector, TokenVectors
from gateways.split import wire_format

FINITE = st.floats(-1e6, 1e6, width=32)
VECTORS = arrays.arrays(np.float32, st.tuples(st.integers(0, 9), st.integers(1, 9)), elements=FINITE)


@st.composite
def sparse_vectors(draw: st.DrawFn) -> SparseVector:
    """Draw up to nine ascending indices of the whole range, with values."""
    indices = sorted(draw(st.sets(st.integers(0, 2**32 - 1), max_size=9)))
    values = draw(st.lists(FINITE, min_size=len(indices), max_size=len(indices)))
    return SparseVector(np.array(indices, np.uint32), np.array(values, np.float32))


ROWS = st.lists(sparse_vectors(), max_size=6)


def dense(vectors: F32) -> bytes:
    """Encode vectors of texts with one token each."""
    return wire_format.encode(Embeddings(vectors, [1] * len(vectors)))


def sparse(rows: list[SparseVector]) -> bytes:
    """Encode sparse vectors of texts with one token each."""
    return wire_format.encode_sparse(SparseEmbeddings(rows, [1] * len(rows)))


@given(VECTORS)
def test_vectors_survive_the_wire(vectors: F32) -> None:
    """Vectors (bit by bit), counts and times are the same after decoding."""
    answer = Embeddings(vectors, list(range(len(vectors))), tokenize_ms=0.5, queue_ms=1.5, infer_ms=2.5)

    read = wire_format.decode(wire_format.encode(answer))

    assert np.array_equal(read.vectors, vectors)
    assert read.token_counts == answer.token_counts
    assert (read.tokenize_ms, read.queue_ms, read.infer_ms) == (0.5, 1.5, 2.5)


@given(st.lists(st.integers(0, 4), min_size=1, max_size=6), st.integers(1, 9))
def test_texts_with_their_tokens_survive_the_wire(counts: list[int], dimensions: int) -> None:
    """Vectors of texts and tokens, and the number of tokens of each text, are the same after decoding."""
    pooled = np.linspace(0, 7, len(counts) * dimensions, dtype=np.float32).reshape(-1, dimensions)
    tokens = TokenVectors(
        np.linspace(-1, 1, sum(counts) * dimensions, dtype=np.float16).reshape(-1, dimensions), counts
    )

    read = wire_format.decode_with_tokens(
        wire_format.encode_with_tokens(Embeddings(pooled, [9] * len(counts), infer_ms=2.5), tokens)
    )

    assert np.array_equal(read.vectors, pooled)
    assert (read.token_counts, read.infer_ms) == ([9] * len(counts), 2.5)
    assert read.tokens
    assert read.tokens.counts == counts
    assert np.array_equal(read.tokens.vectors, tokens.vectors)
    assert [len(rows) for rows in read.tokens.by_text()] == counts


@pytest.mark.parametrize("wrong", [0, 8, -1, -2])
def test_a_damaged_response_with_tokens_is_refused(wrong: int) -> None:
    """A missing byte, a wrong magic and counts with a wrong sum raise WireError."""
    tokens = TokenVectors(np.ones((3, 2), np.float16), [1, 2])
    raw = bytearray(wire_format.encode_with_tokens(Embeddings(np.ones((2, 2), np.float32), [3, 4]), tokens))
    if wrong == -1:
        raw.pop()
    elif wrong == -2:  # the rows of the first text, after the header and two token counts
        raw[28 + 8] += 1
    else:
        raw[wrong] += 1

    with pytest.raises(wire_format.WireError):
        wire_format.decode_with_tokens(bytes(raw))


@given(st.lists(st.integers(0, 4), max_size=6), st.integers(1, 9))
def test_token_vectors_survive_the_wire(counts: list[int], dimensions: int) -> None:
    """There is a row per token, also for texts without tokens."""
    vectors = np.arange(sum(counts) * dimensions, dtype=np.float32).reshape(-1, dimensions)

    read = wire_format.decode(wire_format.encode(Embeddings(vectors, counts)))

    assert np.array_equal(read.vectors, vectors)
    assert read.token_counts == counts


@given(ROWS)
def test_sparse_vectors_survive_the_wire(rows: list[SparseVector]) -> None:
    """The entries of each text are the same after decoding, also for a text without entries."""
    answer = SparseEmbeddings(rows, list(range(len(rows))), tokenize_ms=0.5, queue_ms=1.5, infer_ms=2.5)

    read = wire_format.decode_sparse(wire_format.encode_sparse(answer))

    assert len(read.rows) == len(rows)
    for decoded_row, row in zip(read.rows, rows, strict=True):
        assert np.array_equal(decoded_row.indices, row.indices)
        assert np.array_equal(decoded_row.values, row.values)
    assert read.token_counts == answer.token_counts
    assert (read.tokenize_ms, read.queue_ms, read.infer_ms) == (0.5, 1.5, 2.5)


def test_decoding_does_not_copy() -> None:
    """Vectors, indices and values are read-only views of the response."""
    row = SparseVector(np.array([3, 5], np.uint32), np.array([1, 2], np.float32))
    read = wire_format.decode_sparse(sparse([row, row])).rows[1]

    for array in (wire_format.decode(dense(np.ones((3, 4), np.float32))).vectors, read.indices, read.values):
        assert not array.flags.owndata
        assert not array.flags.writeable


@given(VECTORS)
def test_the_memory_layout_of_vectors_does_not_matter(vectors: F32) -> None:
    """Column-major and strided arrays are encoded like contiguous ones."""
    for laid_out in (np.asfortranarray(vectors), vectors[::2]):
        assert np.array_equal(wire_format.decode(dense(laid_out)).vectors, laid_out)


@given(VECTORS, ROWS, st.data())
def test_a_cut_or_lengthened_answer_is_refused(vectors: F32, rows: list[SparseVector], data: st.DataObject) -> None:
    """Truncated and lengthened bytes raise WireError, so a broken connection never gives a shorter answer."""
    for raw, decode in ((dense(vectors), wire_format.decode), (sparse(rows), wire_format.decode_sparse)):
        cut = data.draw(st.integers(0, len(raw) - 1))
        for wrong in (raw[:cut], raw + b"\0"):
            with pytest.raises(wire_format.WireError):
                decode(wrong)


@given(st.binary(max_size=200), st.sampled_from([wire_format.decode, wire_format.decode_sparse]))
def test_bytes_without_the_magic_are_refused(raw: bytes, decode: Callable[[bytes], object]) -> None:
    """Other bytes, such as the error page of a proxy, raise WireError."""
    assume(not raw.startswith((wire_format.DENSE, wire_format.SPARSE)))
    with pytest.raises(wire_format.WireError):
        decode(raw)


@given(st.sampled_from([wire_format.DENSE, wire_format.SPARSE]), st.binary(max_size=200))
def test_any_bytes_behind_the_magic_are_an_answer_or_an_error(magic: bytes, rest: bytes) -> None:
    """Any number in a header gives an answer or a WireError: no crash, no huge allocation."""
    for decode in (wire_format.decode, wire_format.decode_sparse):
        try:
            decode(magic + rest)
        except wire_format.WireError:
            continue


def test_an_answer_of_the_other_kind_is_refused() -> None:
    """Decoding a sparse response as dense, or a dense one as sparse, raises WireError."""
    with pytest.raises(wire_format.WireError, match="starts with"):
        wire_format.decode(sparse([]))
    with pytest.raises(wire_format.WireError, match="starts with"):
        wire_format.decode_sparse(dense(np.ones((1, 2), np.float32)))


def test_rows_that_fit_neither_texts_nor_tokens_are_refused() -> None:
    """Two texts of three tokens each have two vectors, or six."""
    with pytest.raises(wire_format.WireError, match="4 vectors"):
        wire_format.decode(wire_format.encode(Embeddings(np.ones((4, 2), np.float32), [3, 3])))


def test_a_negative_token_count_is_refused() -> None:
    """A negative token count raises WireError, because it would shift the rows of later texts."""
    with pytest.raises(wire_format.WireError, match="-1 tokens"):
        wire_format.decode(wire_format.encode(Embeddings(np.ones((2, 2), np.float32), [3, -1])))


@pytest.mark.parametrize("indices", [[5, 3], [3, 3]])
def test_indices_that_do_not_ascend_are_refused(indices: list[int]) -> None:
    """Descending and duplicate indices raise WireError; each vector starts anew."""
    right = SparseVector(np.array([3, 5], np.uint32), np.ones(2, np.float32))
    wrong = SparseVector(np.array(indices, np.uint32), np.ones(2, np.float32))

    assert len(wire_format.decode_sparse(sparse([right, right])).rows) == 2
    with pytest.raises(wire_format.WireError, match="sparse vector 1"):
        wire_format.decode_sparse(sparse([right, wrong]))


def test_a_wrong_number_of_entries_is_refused() -> None:
    """Entry counts of texts whose sum is not the number of entries raise WireError."""
    raw = bytearray(sparse([SparseVector(np.array([3, 5], np.uint32), np.ones(2, np.float32))]))
    at = raw.index(struct.pack("<I", 2), 12)
    raw[at : at + 4] = struct.pack("<I", 1)

    with pytest.raises(wire_format.WireError, match="2 entries"):
        wire_format.decode_sparse(bytes(raw))
