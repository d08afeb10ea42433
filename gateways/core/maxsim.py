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
    (Khattab & Zaharia 2020, ColBERT) is divided by q, so that scores of long and short queries compare.
    """
    units = normalize(np.concatenate(documents))
    similarities = units @ normalize(query).T
    starts = np.cumsum([0, *(len(document) for document in documents[:-1])])
    scores: F32 = np.maximum.reduceat(similarities, starts, axis=0).mean(axis=1)
    return scores
