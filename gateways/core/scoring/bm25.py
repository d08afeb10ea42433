"""BM25 as a sparse model. Term weights are Qdrant's; the store applies IDF. The model has no weights file."""

from __future__ import annotations

import re
from collections.abc import Sequence
from unicodedata import normalize

import numpy as np
import qdrant_edge as qdrant

from gateways.core.backend import ModelInfo, SparseEmbeddings, SparseVector

ID = "bm25"
# Terms are hashed to 31 bits, so the vocabulary has 2^31 entries. The length of a text is not limited.
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
    Return the weights of the stemmed words of n texts without stop words. All weights of a query are 1.

    The formula is that of Robertson & Zaragoza 2009 with k1 1.2, b 0.75 and an average length of 256 words. IDF is
    left to the store, because only the store knows the collection. `token_counts` counts words. Words are compared
    in Unicode's form NFKC: "é" is one character or two, and "ﬁ" is two letters.
    """
    weigh_words = _encoder.embed_query if query else _encoder.embed_document
    texts = [normalize("NFKC", text) for text in texts]
    rows = [_to_sparse_vector(weigh_words(text)) for text in texts]
    return SparseEmbeddings(rows, [sum(1 for _ in _WORD.finditer(text)) for text in texts])


def _to_sparse_vector(vector: qdrant.SparseVector) -> SparseVector:
    return SparseVector(np.asarray(vector.indices, dtype=np.uint32), np.asarray(vector.values, dtype=np.float32))
