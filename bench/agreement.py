"""Whether an answer is what the reference says, within what the target's precision is allowed."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from scipy.stats import kendalltau

from bench.dialects import Dialect
from bench.errors import AnswerError
from bench.reference import F32, Reference
from bench.targets import Target
from bench.validity import TOLERANCES

# How the ids of documents begin that a scenario adds to the corpus: the reference does not know them.
ADDED = "added-"
# Vectors of one answer that are compared, at most, the first and the last among them: 128 would take the reference
# as long as the window took the target.
COMPARED = 24
# Kendall's tau of a ranking with the reference's own, at least.
MIN_TAU = {"fp32": 0.9, "fp16": 0.8, "bf16": 0.8, "int8": 0.7}


def has_reference(dialect: Dialect, route: str) -> bool:
    """Whether answers of a route can be compared: of rerankers only where it is known what they compute."""
    return route in ("embeddings", "search") or (route == "rerank" and dialect.late_interaction)


def agrees(
    target: Target, route: str, dialect: Dialect, reference: Reference, texts: Sequence[str], raw: bytes
) -> bool:
    """
    Whether one answer about these texts is what the reference says; the texts of a rerank are query and documents.

    Vectors by their cosines. A search by the score of every passage found against the reference's own, and by the
    first of them being as near as any is, both within the precision's tolerance. A ranking by Kendall's tau.
    """
    try:
        if route == "embeddings":
            return _vectors(target, dialect.read_embeddings(raw), reference, texts)
        if route == "rerank":
            return _ranking(target, dialect, reference, texts, raw)
        return _search(target, dialect, reference, texts[0], raw)
    except AnswerError:
        return False


def _vectors(target: Target, vectors: F32, reference: Reference, texts: Sequence[str]) -> bool:
    some = np.unique(np.linspace(0, len(texts) - 1, COMPARED).astype(int))
    wanted = reference.vectors([texts[i] for i in some])
    if vectors.shape != (len(texts), wanted.shape[1]):
        return False
    return float(cosines(vectors[some], wanted).min()) >= TOLERANCES[target.precision].cosine_min


def _search(target: Target, dialect: Dialect, reference: Reference, query: str, raw: bytes) -> bool:
    found = dialect.read_search(raw)
    hits = [hit for hit in found if not hit.id.startswith(ADDED)]
    allowed = TOLERANCES[target.precision].score
    scores = reference.passages @ reference.vectors([query])[0]
    row = {key: float(score) for key, score in zip(reference.passage_ids, scores, strict=True)}
    if not found or any(hit.id not in row or abs(hit.score - row[hit.id]) > allowed for hit in hits):
        return False
    # Where nearer documents that were added left no room for a passage, the last of them is as near as any passage.
    nearest = row[hits[0].id] if hits else found[-1].score
    return nearest >= float(scores.max()) - allowed


def _ranking(target: Target, dialect: Dialect, reference: Reference, texts: Sequence[str], raw: bytes) -> bool:
    scores = {ranked.index: ranked.score for ranked in dialect.read_rerank(raw)}
    if sorted(scores) != list(range(len(texts) - 1)):
        return False
    query, *documents = reference.encoder.encode_tokens(texts)
    return tau([scores[i] for i in range(len(scores))], maxsim(query, documents)) >= MIN_TAU[target.precision]


def tau(scores: Sequence[float], wanted: F32) -> float:
    """Kendall's tau-b of two scorings of the same documents, -1 to 1; NaN where one of them tells none apart."""
    return float(kendalltau(scores, wanted).statistic)


def maxsim(query: F32, documents: Sequence[F32]) -> F32:
    """
    How well each document answers: the mean over the query's tokens of the greatest cosine to one of its own.

    (q, d) and n times (t, d) -> (n,). Khattab and Zaharia 2020, divided by the number of query tokens.
    """
    asked = _units(query)
    return np.asarray([(_units(document) @ asked.T).max(axis=0).mean() for document in documents], np.float32)


def _units(vectors: F32) -> F32:
    units: F32 = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    return units


def cosines(vectors: F32, wanted: F32) -> F32:
    """The cosine of each row with its own of the other: (n, d), (n, d) with rows of length 1 -> (n,)."""
    found: F32 = np.einsum("ij,ij->i", vectors, wanted) / np.linalg.norm(vectors, axis=1)
    return found
