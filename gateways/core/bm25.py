"""BM25 as a sparse model: Qdrant's own term weights, to be used with the store's IDF. It needs no weights."""

from __future__ import annotations

import re
from collections.abc import Sequence

import numpy as np
import qdrant_edge as qdrant

from gateways.core.backend import ModelInfo, SparseEmbeddings, SparseVector

ID = "bm25"
# Terms are hashed to 31 bits, so that is the vocabulary; a text of any length is read.
INFO = ModelInfo(
    id=ID,
    kind="sparse",
    dimensions=2**31,
    max_input_tokens=2**31 - 1,
    languages=("en",),
    precision="exact",
    inference_time_ms=0.0,
    frame=(0, 0),
)
_WORD = re.compile(r"\w+")
_encoder = qdrant.Bm25(qdrant.Bm25Config(k=1.2, b=0.75, avg_len=256, language="english"))


def embed(texts: Sequence[str], *, query: bool) -> SparseEmbeddings:
    """
    Weigh the stemmed words of n texts, stop words left out; a query's weights are all 1.

    Robertson & Zaragoza 2009, with k1 1.2, b 0.75 and an average of 256 words a passage. IDF is the store's to
    apply: it knows the collection. `token_counts` counts words.
    """
    weigh = _encoder.embed_query if query else _encoder.embed_document
    rows = [_row(weigh(text)) for text in texts]
    return SparseEmbeddings(rows, [len(_WORD.findall(text)) for text in texts])


def _row(vector: qdrant.SparseVector) -> SparseVector:
    return SparseVector(np.asarray(vector.indices, dtype=np.uint32), np.asarray(vector.values, dtype=np.float32))
