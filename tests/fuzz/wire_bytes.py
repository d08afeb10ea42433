"""
Fuzz the decoders of the wire format with libFuzzer, which mutates bytes to reach new branches.

    python -m tests.fuzz.wire_bytes FOLDER -runs=2000000

It fails if a decoder raises anything but WireError, or if accepted bytes differ after encoding them again. The bytes
are then written to the current directory. FOLDER keeps the corpus of inputs for the next run.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

import atheris
import numpy as np

from gateways.core.backend import Embeddings, SparseEmbeddings, SparseVector, TokenVectors

with atheris.instrument_imports(include=["gateways.split.wire_format"]):
    from gateways.split import wire_format


def make_seeds() -> Sequence[bytes]:
    """Return valid responses of each kind, with texts and without, as the first inputs."""
    ones = np.ones((2, 3), np.float32)
    entries = SparseVector(np.array([1, 7], np.uint32), np.ones(2, np.float32))
    tokens = TokenVectors(np.ones((5, 3), np.float16), [2, 3])
    return (
        wire_format.encode(Embeddings(ones, [2, 3])),
        wire_format.encode(Embeddings(ones[:0], [])),
        wire_format.encode_with_tokens(Embeddings(ones, [4, 5]), tokens),
        wire_format.encode_sparse(SparseEmbeddings([entries, entries], [2, 2])),
        wire_format.encode_sparse(SparseEmbeddings([], [])),
    )


def check_decoders(raw: bytes) -> None:
    """Decode bytes with each decoder. Accepted bytes must be the same when they are encoded again."""
    for decode, encode in (
        (wire_format.decode, wire_format.encode),
        (wire_format.decode_with_tokens, _encode_with_tokens),
        (wire_format.decode_sparse, wire_format.encode_sparse),
    ):
        try:
            answer = decode(raw)
        except wire_format.WireError:
            continue
        # The times, bytes 16 to 27, are not compared: a NaN may be encoded as another NaN.
        assert encode(answer)[:16] == raw[:16]  # type: ignore[arg-type]
        assert encode(answer)[28:] == raw[28:]  # type: ignore[arg-type]


def _encode_with_tokens(answer: Embeddings) -> bytes:
    assert answer.tokens
    return wire_format.encode_with_tokens(answer, answer.tokens)


if __name__ == "__main__":
    folder = Path(sys.argv[1])
    folder.mkdir(parents=True, exist_ok=True)
    for number, answer in enumerate(make_seeds()):
        (folder / f"seed-{number}").write_bytes(answer)
    atheris.Setup(sys.argv, check_decoders)
    atheris.Fuzz()
