"""Verify, then measure: ingest the passages, then compare vectors, search and rankings with the reference's own."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass, field

from bench import agreement, probes, quality
from bench.api import Api
from bench.datasets import Question
from bench.errors import AnswerError
from bench.quality import Quality
from bench.reference import Reference
from bench.targets import Target
from bench.validity import CODES, MAX_TOKEN_GAP, TOLERANCES

REPEATED, ALTERNATED = 60, 4  # texts a route, and texts: see `bench.probes`
RANKED, CANDIDATES = 3, 10  # rankings compared with the reference, and documents in each
Say = Callable[[str, int, int], None]


@dataclass(frozen=True)
class Sample:
    """
    What a target is verified with: passages and questions to embed, questions to search with, and for the probes
    texts to ask twice, by route, and texts to ask two models.
    """

    passages: tuple[str, ...]
    embedded: tuple[str, ...]
    searched: tuple[Question, ...]
    repeated: dict[str, list[str]]
    alternated: list[str]

    @property
    def texts(self) -> list[str]:
        """The query texts that verifying uses up."""
        probed = [text for texts in self.repeated.values() for text in texts]
        return [*self.embedded, *(question.text for question in self.searched), *probed, *self.alternated]


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
    rng.shuffle(others)
    passages = rng.sample(list(squad.passages.values()), min(embedded, len(squad.passages)))
    parts = [others[start : start + REPEATED] for start in range(embedded, embedded + 2 * REPEATED, REPEATED)]
    return Sample(
        passages=tuple(passages),
        embedded=tuple(others[:embedded]),
        searched=tuple(asked),
        repeated=dict(zip(("embeddings", "search"), parts, strict=True)),
        alternated=others[embedded + 2 * REPEATED :][:ALTERNATED],
    )


def verify(
    target: Target, api: Api, reference: Reference, sample: Sample, say: Say, *, ingested: bool = False
) -> Verified:
    """
    Ingest, count, compare vectors, search and rankings, probe; stops at the first part that cannot be done.

    With `ingested`, the server started on an index that holds the passages already: they are only counted.
    """
    found = Verified()
    try:
        if "search" in target.capabilities:
            if not ingested:
                passages = reference.squad.passages
                found.ingest_s = api.ingest(passages, lambda done: say("ingesting", done, len(passages)))
            _count(api, reference, found)
        if "embeddings" in target.capabilities:
            _vectors(target, api, reference, sample, found)
        if "search" in target.capabilities:
            _search(target, api, reference, sample, found, say)
        if target.precision != "pseudo":
            _rerank(target, api, reference, sample, found)
            _probe(target, api, reference, sample, found)
    except AnswerError as error:
        found.refuse("E_ERR", str(error))
    return found


def _count(api: Api, reference: Reference, found: Verified) -> None:
    total = len(reference.squad.passages)
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
    near = agreement.cosines(vectors, wanted)
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
    found.quality = quality.measure(rankings, [question.relevant for question in sample.searched])
    found.reference_quality = quality.of_reference(reference, sample.searched)
    if target.precision == "pseudo":
        return
    gap = found.quality.worst_gap_points(found.reference_quality)
    if gap > TOLERANCES[target.precision].quality_points:
        found.refuse("E_WRONG", f"search finds {gap:.1f} points less than the reference")


def _rerank(target: Target, api: Api, reference: Reference, sample: Sample, found: Verified) -> None:
    dialect = api.dialect
    if "rerank" not in target.capabilities or not agreement.has_reference(dialect, "rerank"):
        return
    for question in sample.searched[:RANKED]:
        documents = reference.nearest(question.text, CANDIDATES)
        raw = api.post(dialect.path("rerank"), dialect.rerank_body(question.text, documents))
        dialect.check("rerank", raw, len(documents))
        if not agreement.agrees(target, "rerank", dialect, reference, [question.text, *documents], raw):
            found.refuse("E_WRONG", f"the ranking for {question.text!r} is not the reference's")


def _probe(target: Target, api: Api, reference: Reference, sample: Sample, found: Verified) -> None:
    for route, texts in sample.repeated.items():
        if route not in target.capabilities or not texts:
            continue
        seen = probes.repeats(api, route, texts)
        if seen.cached:
            found.refuse("E_CACHE", f"{route}: repeats are answered {100 * seen.gain:.0f} % faster than new texts")
    if target.other_model:
        wrong = probes.mixed_up(target, api, reference, sample.alternated)
        if wrong:
            found.refuse("E_WRONG", wrong)
