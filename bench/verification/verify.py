"""Verification of a target: ingest the passages, then compare vectors, searches and rankings with the reference."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass, field

from bench.datasets import Question
from bench.errors import AnswerError
from bench.records.refusal_codes import CODES, MAX_TOKEN_GAP, TOLERANCES
from bench.targets import Target
from bench.targets.api_client import Api
from bench.verification import agreement, probes, ranking_metrics
from bench.verification.ranking_metrics import Quality
from bench.verification.reference import Reference

REPEATED, ALTERNATED = 60, 4  # texts per route of the cache probe, and texts of the model probe
RANKED, CANDIDATES = 3, 10  # rankings compared with the reference, and documents in each
Progress = Callable[[str, int, int], None]


@dataclass(frozen=True)
class Sample:
    """
    The inputs of a verification: passages and questions to embed, questions to search, and texts of the probes.

    `repeated` are the texts of the cache probe, by route. `alternated` are the texts of the model probe.
    """

    passages: tuple[str, ...]
    embedded: tuple[str, ...]
    searched: tuple[Question, ...]
    repeated: dict[str, list[str]]
    alternated: list[str]

    @property
    def texts(self) -> list[str]:
        """All query texts of the sample, which must not be timed later."""
        probe_texts = [text for texts in self.repeated.values() for text in texts]
        return [*self.embedded, *(question.text for question in self.searched), *probe_texts, *self.alternated]


@dataclass
class Verification:
    """The findings of a verification and its refusal codes; `reason` explains them to people."""

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
        """Add a code and its reason."""
        self.codes = [name for name in CODES if name in {*self.codes, code}]
        self.reason = f"{self.reason}; {reason}" if self.reason else reason


def draw_sample(reference: Reference, seed: int, embedded: int, searched: int) -> Sample:
    """Draw `embedded` passages, as many questions, and `searched` other questions that are answerable."""
    rng = random.Random(seed)  # noqa: S311  (reproducible, not secret)
    squad = reference.squad
    answerable = list({question.text: question for question in squad.answerable}.values())
    questions = rng.sample(answerable, min(searched, len(answerable)))
    rest = sorted(set(squad.texts) - {question.text for question in questions})
    rng.shuffle(rest)
    passages = rng.sample(list(squad.passages.values()), min(embedded, len(squad.passages)))
    parts = [rest[start : start + REPEATED] for start in range(embedded, embedded + 2 * REPEATED, REPEATED)]
    return Sample(
        passages=tuple(passages),
        embedded=tuple(rest[:embedded]),
        searched=tuple(questions),
        repeated=dict(zip(("embeddings", "search"), parts, strict=True)),
        alternated=rest[embedded + 2 * REPEATED :][:ALTERNATED],
    )


def verify(
    target: Target, api: Api, reference: Reference, sample: Sample, progress: Progress, *, ingested: bool = False
) -> Verification:
    """
    Ingest, count, compare vectors, searches and rankings, and probe. An AnswerError ends the verification with E_ERR.

    With `ingested`, the server started on an index that already holds the passages, and they are only counted.
    """
    result = Verification()
    try:
        if "search" in target.capabilities:
            if not ingested:
                passages = reference.squad.passages
                result.ingest_s = api.ingest(passages, lambda done: progress("ingesting", done, len(passages)))
            _count_documents(api, reference, result)
        if "embeddings" in target.capabilities:
            _compare_vectors(target, api, reference, sample, result)
        if "search" in target.capabilities:
            _compare_searches(target, api, reference, sample, result, progress)
        if target.precision != "pseudo":
            _compare_rankings(target, api, reference, sample, result)
            _run_probes(target, api, reference, sample, result)
    except AnswerError as error:
        result.refuse("E_ERR", str(error))
    return result


def _count_documents(api: Api, reference: Reference, result: Verification) -> None:
    total = len(reference.squad.passages)
    result.documents = api.document_count()
    if result.documents != total:
        result.refuse("E_EMPTY", f"{result.documents} documents in the index, {total} were ingested")


def _compare_vectors(target: Target, api: Api, reference: Reference, sample: Sample, result: Verification) -> None:
    texts = [*sample.passages, *sample.embedded]
    vectors, tokens = api.embed(texts)
    if target.precision == "pseudo":
        return
    expected = reference.vectors(texts)
    if vectors.shape != expected.shape:
        result.refuse("E_WRONG", f"vectors of shape {vectors.shape}, the reference's are {expected.shape}")
        return
    similarities = agreement.cosines(vectors, expected)
    result.cosine_min, result.cosine_mean = float(similarities.min()), float(similarities.mean())
    tolerance = TOLERANCES[target.precision]
    if result.cosine_min < tolerance.cosine_min or result.cosine_mean < tolerance.cosine_mean:
        result.refuse(
            "E_WRONG", f"cosine to the reference: min {result.cosine_min:.4f}, mean {result.cosine_mean:.4f}"
        )
    _compare_tokens(tokens, sum(reference.tokens[text] for text in texts), result)


def _compare_tokens(declared: int | None, expected: int, result: Verification) -> None:
    if declared is not None and abs(declared - expected) > MAX_TOKEN_GAP * expected:
        result.refuse("E_TRUNC", f"{declared} tokens declared, the reference tokenizer counts {expected}")


def _compare_searches(
    target: Target, api: Api, reference: Reference, sample: Sample, result: Verification, progress: Progress
) -> None:
    result.questions = len(sample.searched)
    rankings: list[list[str]] = []
    for question in sample.searched:
        rankings.append([hit.id for hit in api.search(question.text, ranking_metrics.DEPTH)])
        if len(rankings) % 10 == 0:
            progress("verifying", len(rankings), result.questions)
    if not all(rankings):
        result.refuse("E_EMPTY", f"{sum(not ranking for ranking in rankings)} searches returned no result")
    result.quality = ranking_metrics.measure(rankings, [question.relevant for question in sample.searched])
    result.reference_quality = ranking_metrics.measure_reference(reference, sample.searched)
    if target.precision == "pseudo":
        return
    gap = result.quality.worst_gap_points(result.reference_quality)
    if gap > TOLERANCES[target.precision].quality_points:
        result.refuse("E_WRONG", f"search finds {gap:.1f} points less than the reference")


def _compare_rankings(target: Target, api: Api, reference: Reference, sample: Sample, result: Verification) -> None:
    dialect = api.dialect
    if "rerank" not in target.capabilities or not agreement.has_reference(dialect, "rerank"):
        return
    for question in sample.searched[:RANKED]:
        documents = reference.nearest(question.text, CANDIDATES)
        raw = api.post(dialect.path("rerank"), dialect.rerank_body(question.text, documents))
        dialect.check("rerank", raw, len(documents))
        if not agreement.agrees(target, "rerank", dialect, reference, [question.text, *documents], raw):
            result.refuse("E_WRONG", f"the ranking for {question.text!r} is not the reference's")


def _run_probes(target: Target, api: Api, reference: Reference, sample: Sample, result: Verification) -> None:
    for route, texts in sample.repeated.items():
        if route not in target.capabilities or not texts:
            continue
        times = probes.time_repeats(api, route, texts)
        if times.cached:
            result.refuse("E_CACHE", f"{route}: repeats are answered {100 * times.gain:.0f} % faster than new texts")
    if target.other_model:
        fault = probes.find_model_confusion(target, api, reference, sample.alternated)
        if fault:
            result.refuse("E_WRONG", fault)
