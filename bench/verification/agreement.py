"""Agreement of an answer with the reference, within the tolerance of the target's precision."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from scipy.stats import kendalltau

from bench.arrays import F32
from bench.dialects import Dialect
from bench.errors import AnswerError
from bench.records.refusal_codes import TOLERANCES
from bench.targets import Target
from bench.verification.reference import Reference

# Prefix of the ids of documents that a scenario adds to the corpus; the reference lacks them.
ADDED = "added-"
# Maximum vectors compared per answer, the first and the last among them. Encoding 128 reference vectors would take as
# long as the window.
COMPARED = 24
# Minimum Kendall's tau between a ranking and the reference's ranking.
MIN_TAU = {"fp32": 0.9, "fp16": 0.8, "bf16": 0.8, "int8": 0.7}


def has_reference(dialect: Dialect, route: str) -> bool:
    """Whether the reference covers a route. It covers no cross-encoder, only late interaction."""
    return route in ("embeddings", "search") or (route == "rerank" and dialect.late_interaction)


def agrees(
    target: Target, route: str, dialect: Dialect, reference: Reference, texts: Sequence[str], raw: bytes
) -> bool:
    """
    Return whether one answer agrees with the reference. `texts` of a rerank are the query and the documents.

    Vectors are compared by cosine, rankings by Kendall's tau. Each score of a search must be the reference's score,
    and the first hit must be as near as the nearest passage, both within the tolerance of the precision.
    """
    try:
        if route == "embeddings":
            return _check_vectors(target, dialect.read_embeddings(raw), reference, texts)
        if route == "rerank":
            return _check_ranking(target, dialect, reference, texts, raw)
        return _check_search(target, dialect, reference, texts[0], raw)
    except AnswerError:
        return False


def _check_vectors(target: Target, vectors: F32, reference: Reference, texts: Sequence[str]) -> bool:
    sample = np.unique(np.linspace(0, len(texts) - 1, COMPARED).astype(int))
    expected = reference.vectors([texts[i] for i in sample])
    if vectors.shape != (len(texts), expected.shape[1]):
        return False
    return float(cosines(vectors[sample], expected).min()) >= TOLERANCES[target.precision].cosine_min


def _check_search(target: Target, dialect: Dialect, reference: Reference, query: str, raw: bytes) -> bool:
    hits = dialect.read_search(raw)
    passages = [hit for hit in hits if not hit.id.startswith(ADDED)]
    tolerance = TOLERANCES[target.precision].score
    scores = reference.passages @ reference.vectors([query])[0]
    score_by_id = {key: float(score) for key, score in zip(reference.passage_ids, scores, strict=True)}
    if not hits or any(
        hit.id not in score_by_id or abs(hit.score - score_by_id[hit.id]) > tolerance for hit in passages
    ):
        return False
    # Added documents may displace every passage; the last hit must then be as near as the nearest passage.
    nearest = score_by_id[passages[0].id] if passages else hits[-1].score
    return nearest >= float(scores.max()) - tolerance


def _check_ranking(target: Target, dialect: Dialect, reference: Reference, texts: Sequence[str], raw: bytes) -> bool:
    scores = {ranked.index: ranked.score for ranked in dialect.read_rerank(raw)}
    if sorted(scores) != list(range(len(texts) - 1)):
        return False
    query, *documents = reference.encoder.encode_tokens(texts)
    return tau([scores[i] for i in range(len(scores))], maxsim(query, documents)) >= MIN_TAU[target.precision]


def tau(scores: Sequence[float], expected: F32) -> float:
    """Return Kendall's tau-b of two scorings of the same documents, -1 to 1; NaN if one of them is constant."""
    return float(kendalltau(scores, expected).statistic)


def maxsim(query: F32, documents: Sequence[F32]) -> F32:
    """
    Return the MaxSim score of each document: (q, d) and n times (t, d) -> (n,).

    It is the mean over the query's tokens of the largest cosine to a token of the document (Khattab and Zaharia 2020,
    divided by the number of query tokens).
    """
    query_units = _normalise(query)
    return np.asarray(
        [(_normalise(document) @ query_units.T).max(axis=0).mean() for document in documents], np.float32
    )


def _normalise(vectors: F32) -> F32:
    units: F32 = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    return units


def cosines(vectors: F32, expected: F32) -> F32:
    """Return the cosine of each pair of rows: (n, d), and (n, d) with unit rows -> (n,)."""
    similarities: F32 = np.einsum("ij,ij->i", vectors, expected) / np.linalg.norm(vectors, axis=1)
    return similarities
