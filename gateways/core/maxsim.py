"""Late interaction: a document answers a query as well as its best token answers each of the query's."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from gateways.core.backend import F32
from gateways.core.vectors import normalize


def maxsim(query: F32, documents: Sequence[F32]) -> F32:
    """
    Score n documents: the mean over the query's tokens of the greatest cosine to a token of the document, (n,).

    `query` is float32 (q, d), each document float32 (t, d), rows of any length but none empty. The sum of MaxSim
    (Khattab & Zaharia 2020, ColBERT) is divided by q, so that scores of long and short queries compare. One document
    at a time: all of them at once would hold their tokens twice more, tens of MB, to save microseconds.
    """
    asked = normalize(query).T
    return np.array([(normalize(document) @ asked).max(axis=0).mean() for document in documents], dtype=np.float32)
