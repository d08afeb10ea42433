"""Verify, then measure: ingest the passages, then compare vectors and search with the reference's own."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np

from bench import quality
from bench.api import Api
from bench.datasets.squad import Question
from bench.dialects import Dialect
from bench.errors import AnswerError
from bench.quality import Quality
from bench.reference import F32, Reference
from bench.targets import Target
from bench.validity import CODES, MAX_TOKEN_GAP, TOLERANCES

# The routes whose answers in a timed window are compared with the reference.
CHECKED = ("embeddings", "search")
Say = Callable[[str, int, int], None]


@dataclass(frozen=True)
class Sample:
    """What a target is verified with: passages and questions to embed, questions to search with."""

    passages: tuple[str, ...]
    embedded: tuple[str, ...]
    searched: tuple[Question, ...]

    @property
    def texts(self) -> list[str]:
        """The query texts that verifying uses up."""
        return [*self.embedded, *(question.text for question in self.searched)]


@dataclass
class Verified:
    """What verifying found, and the codes it earned; `reason` is for people."""

    codes: list[str] = field(default_factory=list)
    reason: str = ""
    documents: int | None = None
    ingest_s: float | None = None
    cosine_min: float | None = None
    cosine_mean: float | None = None
    quality: Quality | None = None
    reference_quality: Quality | None = None
    questions: int = 0

    def refuse(self, code: str, reason: str) -> None:
        """Add a code and why."""
        self.codes = [known for known in CODES if known in {*self.codes, code}]
        self.reason = f"{self.reason}; {reason}" if self.reason else reason


def draw(reference: Reference, seed: int, embedded: int, searched: int) -> Sample:
    """`embedded` passages and as many questions, and `searched` other answerable questions, as the seed says."""
    rng = random.Random(seed)  # noqa: S311  (reproducible, not secret)
    squad = reference.squad
    answerable = list({question.text: question for question in squad.answerable}.values())
    asked = rng.sample(answerable, min(searched, len(answerable)))
    others = sorted(set(squad.texts) - {question.text for question in asked})
    return Sample(
        passages=tuple(rng.sample(list(squad.passages.values()), min(embedded, len(squad.passages)))),
        embedded=tuple(rng.sample(others, min(embedded, len(others)))),
        searched=tuple(asked),
    )


def verify(target: Target, api: Api, reference: Reference, sample: Sample, say: Say) -> Verified:
    """Ingest, count, compare vectors, compare search; stops at the first part that cannot be done."""
    found = Verified()
    try:
        if "search" in target.capabilities:
            _ingest(api, reference, found, say)
        if "embeddings" in target.capabilities:
            _vectors(target, api, reference, sample, found)
        if "search" in target.capabilities:
            _search(target, api, reference, sample, found, say)
    except AnswerError as error:
        found.refuse("E_ERR", str(error))
    return found


def _ingest(api: Api, reference: Reference, found: Verified, say: Say) -> None:
    total = len(reference.squad.passages)
    found.ingest_s = api.ingest(reference.squad.passages, lambda done: say("ingesting", done, total))
    found.documents = api.document_count()
    if found.documents != total:
        found.refuse("E_EMPTY", f"{found.documents} documents in the index, {total} were ingested")


def _vectors(target: Target, api: Api, reference: Reference, sample: Sample, found: Verified) -> None:
    texts = [*sample.passages, *sample.embedded]
    vectors, tokens = api.embed(texts)
    if target.precision == "pseudo":
        return
    wanted = reference.vectors(texts)
    if vectors.shape != wanted.shape:
        found.refuse("E_WRONG", f"vectors of shape {vectors.shape}, the reference's are {wanted.shape}")
        return
    near = cosines(vectors, wanted)
    found.cosine_min, found.cosine_mean = float(near.min()), float(near.mean())
    allowed = TOLERANCES[target.precision]
    if found.cosine_min < allowed.cosine_min or found.cosine_mean < allowed.cosine_mean:
        found.refuse("E_WRONG", f"cosine to the reference: min {found.cosine_min:.4f}, mean {found.cosine_mean:.4f}")
    _tokens(tokens, sum(reference.tokens[text] for text in texts), found)


def _tokens(declared: int | None, wanted: int, found: Verified) -> None:
    if declared is not None and abs(declared - wanted) > MAX_TOKEN_GAP * wanted:
        found.refuse("E_TRUNC", f"{declared} tokens declared, the reference tokenizer counts {wanted}")


def _search(target: Target, api: Api, reference: Reference, sample: Sample, found: Verified, say: Say) -> None:
    found.questions = len(sample.searched)
    rankings: list[list[str]] = []
    for question in sample.searched:
        rankings.append([hit.id for hit in api.search(question.text, quality.DEPTH)])
        if len(rankings) % 10 == 0:
            say("verifying", len(rankings), found.questions)
    if not all(rankings):
        found.refuse("E_EMPTY", f"{sum(not ranking for ranking in rankings)} searches found nothing")
    relevant = [question.passage_id or "" for question in sample.searched]
    found.quality = quality.measure(rankings, relevant)
    queries = reference.vectors([question.text for question in sample.searched])
    exact = quality.rank_by_dot(queries, reference.passages, reference.passage_ids)
    found.reference_quality = quality.measure(exact, relevant)
    if target.precision == "pseudo":
        return
    gap = found.quality.worst_gap_points(found.reference_quality)
    if gap > TOLERANCES[target.precision].quality_points:
        found.refuse("E_WRONG", f"search finds {gap:.1f} points less than the reference")


def agrees(
    target: Target, route: str, dialect: Dialect, reference: Reference, texts: Sequence[str], raw: bytes
) -> bool:
    """
    Whether one answer from a timed window is what the reference says; the route is one of CHECKED.

    Vectors by their cosines. A search by the score of every result against the reference's own, and by its first
    result being as near as any passage is, both within the precision's tolerance.
    """
    allowed = TOLERANCES[target.precision]
    wanted = reference.vectors(texts)
    try:
        if route == "embeddings":
            vectors = dialect.read_embeddings(raw)
            return vectors.shape == wanted.shape and float(cosines(vectors, wanted).min()) >= allowed.cosine_min
        hits = dialect.read_search(raw)
    except AnswerError:
        return False
    scores = reference.passages @ wanted[0]
    row = {key: float(score) for key, score in zip(reference.passage_ids, scores, strict=True)}
    if not hits or any(hit.id not in row or abs(hit.score - row[hit.id]) > allowed.score for hit in hits):
        return False
    return row[hits[0].id] >= float(scores.max()) - allowed.score


def cosines(vectors: F32, wanted: F32) -> F32:
    """The cosine of each row with its own of the other: (n, d), (n, d) with rows of length 1 -> (n,)."""
    found: F32 = np.einsum("ij,ij->i", vectors, wanted) / np.linalg.norm(vectors, axis=1)
    return found
