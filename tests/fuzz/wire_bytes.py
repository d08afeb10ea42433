"""
Bytes that no embed service ever sent, found by libFuzzer as it watches which lines of the decoder they reach.

    python -m tests.fuzz.wire_bytes FOLDER -runs=2000000

Ends with an error, and leaves the bytes in the current directory, where a decoder raised anything but WireError, or
believed something that does not come back as the same bytes. FOLDER keeps what reached a new line, for the next run.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

import atheris
import numpy as np

from gateways.core.backend import Embeddings, SparseEmbeddings, SparseVector, TokenVectors

with atheris.instrument_imports(include=["gateways.core.wire"]):
    from gateways.core import wire


def right_answers() -> Sequence[bytes]:
    """Return an answer of each kind, with texts and without, to start from."""
    ones = np.ones((2, 3), np.float32)
    entries = SparseVector(np.array([1, 7], np.uint32), np.ones(2, np.float32))
    tokens = TokenVectors(np.ones((5, 3), np.float16), [2, 3])
    return (
        wire.encode(Embeddings(ones, [2, 3])),
        wire.encode(Embeddings(ones[:0], [])),
        wire.encode_with_tokens(Embeddings(ones, [4, 5]), tokens),
        wire.encode_sparse(SparseEmbeddings([entries, entries], [2, 2])),
        wire.encode_sparse(SparseEmbeddings([], [])),
    )


def read(raw: bytes) -> None:
    """Let each decoder read some bytes; what it believes is written again and must be what was read."""
    for decode, encode in (
        (wire.decode, wire.encode),
        (wire.decode_with_tokens, _encode_with_tokens),
        (wire.decode_sparse, wire.encode_sparse),
    ):
        try:
            answer = decode(raw)
        except wire.WireError:
            continue
        # Times are compared by the rest: a NaN among them may come back as another NaN.
        assert encode(answer)[:16] == raw[:16]  # type: ignore[arg-type]
        assert encode(answer)[28:] == raw[28:]  # type: ignore[arg-type]


def _encode_with_tokens(answer: Embeddings) -> bytes:
    assert answer.tokens
    return wire.encode_with_tokens(answer, answer.tokens)


if __name__ == "__main__":
    folder = Path(sys.argv[1])
    folder.mkdir(parents=True, exist_ok=True)
    for number, answer in enumerate(right_answers()):
        (folder / f"right-{number}").write_bytes(answer)
    atheris.Setup(sys.argv, read)
    atheris.Fuzz()
