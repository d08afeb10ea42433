"""
A re-chunked corpus: passages are glued into long documents, which the server chunks again and searches.

A result is judged by its citation. The citation stands for a passage if they share at least half of the shorter one.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import orjson

from bench.datasets import Corpus, Question
from bench.dialects.openai import parse
from bench.errors import AnswerError
from bench.retrieval.search_modes import DENSE, DEPTH, HYBRID, Answers, SearchMode
from bench.targets.api_client import INGEST_TIMEOUT_S, Api

COLLECTION = "glued"
BETWEEN = "\n\n"
MAX_CHARACTERS = 20_000
# About a paragraph, within the limit of the smallest model; the overlap is one or two sentences.
CHUNK = {"max_tokens": 200, "overlap": 32}
# Several chunks may stand for one passage, so request enough results for ten distinct passages.
TOP_K = 3 * DEPTH
MODES = (DENSE, HYBRID)


@dataclass(frozen=True)
class Stretch:
    """The characters from `start` to `end` of a document."""

    document: str
    start: int
    end: int

    def shared(self, other: Stretch) -> int:
        """Return the number of shared characters."""
        if self.document != other.document:
            return 0
        return max(0, min(self.end, other.end) - max(self.start, other.start))

    def stands_for(self, other: Stretch) -> bool:
        """Return whether the two share at least half of the shorter one."""
        return 2 * self.shared(other) >= min(self.end - self.start, other.end - other.start)


@dataclass(frozen=True)
class GluedCorpus:
    """Long documents, id to text, and the stretch of each passage in them."""

    documents: dict[str, str]
    passages: dict[str, Stretch]


def glue(passages: Mapping[str, str], max_characters: int = MAX_CHARACTERS) -> GluedCorpus:
    """
    Join consecutive passages into documents of up to `max_characters`, with a blank line between passages.

    A longer passage is a document of its own.
    """
    texts: dict[str, str] = {}
    stretches: dict[str, Stretch] = {}
    name = ""
    for key, text in passages.items():
        if not name or len(texts[name]) + len(BETWEEN) + len(text) > max_characters:
            name = f"glued-{len(texts):04d}"
            texts[name] = ""
        start = len(texts[name]) + (len(BETWEEN) if texts[name] else 0)
        texts[name] += (BETWEEN if texts[name] else "") + text
        stretches[key] = Stretch(name, start, start + len(text))
    return GluedCorpus(texts, stretches)


def ranking(cited: Sequence[Stretch], passages: Mapping[str, Stretch], relevant: Mapping[str, int]) -> list[str]:
    """
    Return the ids of up to ten passages that the citations, best first, stand for, each once.

    A citation that stands for several passages counts for a relevant one, else for the one with which it shares most.
    A citation that stands for no passage keeps its rank under a name of its own.
    """
    ids: dict[str, None] = {}
    for stretch in cited:
        matches = [key for key, passage in passages.items() if stretch.stands_for(passage)]
        ids[max(matches, key=_preference(stretch, passages, relevant, ids), default=_name_stretch(stretch))] = None
    return list(ids)[:DEPTH]


def _preference(
    stretch: Stretch, passages: Mapping[str, Stretch], relevant: Mapping[str, int], ids: Mapping[str, None]
) -> Callable[[str], tuple[bool, int]]:
    return lambda key: (key in relevant and key not in ids, stretch.shared(passages[key]))


def _name_stretch(stretch: Stretch) -> str:
    return f"{stretch.document}:{stretch.start}-{stretch.end}"


def measure(
    api: Api, corpus: Corpus, questions: Sequence[Question], advance: Callable[[int], None]
) -> dict[str, Answers]:
    """
    Ingest the glued corpus and search every question in each mode; return the rankings of the corpus' passages.

    The modes are named `dense, glued` and `hybrid, glued`. `advance` is called with the number of questions answered
    so far over all modes. Raises AnswerError.
    """
    glued = glue(corpus.passages)
    ingest(api, glued.documents, COLLECTION, CHUNK)
    answers: dict[str, Answers] = {}
    for mode in MODES:
        before = len(questions) * len(answers)
        answers[f"{mode.name}, glued"] = search(api, mode, glued, questions, partial(_advance_from, advance, before))
    return answers


def _advance_from(advance: Callable[[int], None], before: int, done: int) -> None:
    advance(before + done)


def search(
    api: Api, mode: SearchMode, glued: GluedCorpus, questions: Sequence[Question], advance: Callable[[int], None]
) -> Answers:
    """Search the glued collection for one question after another, TOP_K results each; return the answers."""
    rankings, took_ms = [], []
    by_document = _group_by_document(glued.passages)
    for done, question in enumerate(questions, 1):
        body = {"query": question.text, "top_k": TOP_K, "collection": COLLECTION, **mode.body}
        started_s = time.perf_counter()
        raw = api.post("/v1/search", orjson.dumps(body))
        took_ms.append((time.perf_counter() - started_s) * 1e3)
        cited = read_citations(raw)
        documents = {stretch.document for stretch in cited}
        candidates = {key: passage for name in documents for key, passage in by_document[name].items()}
        rankings.append(ranking(cited, candidates, question.relevant))
        advance(done)
    return Answers(rankings, took_ms)


def read_citations(raw: bytes) -> list[Stretch]:
    """Return the citations of a search's results, best first. Raises AnswerError if a result has none."""
    try:
        citations = [result["citation"] for result in parse(raw)["results"]]
        return [Stretch(str(each["document_id"]), int(each["start"]), int(each["end"])) for each in citations]
    except (KeyError, TypeError, ValueError) as error:
        raise AnswerError(f"a search result without a citation: {error!r}") from error


def ingest(api: Api, documents: Mapping[str, str], collection: str, chunk: Mapping[str, int] | None = None) -> None:
    """Ingest into a collection, chunked as `chunk` says, and wait for the job. Raises AnswerError if it fails."""
    listed = [{"id": key, "text": text} for key, text in documents.items()]
    body: dict[str, Any] = {"documents": listed, "collection": collection, **({"chunk": chunk} if chunk else {})}
    job_id = api.dialect.read_job_id(api.post("/v1/ingest", orjson.dumps(body)))
    deadline = time.monotonic() + INGEST_TIMEOUT_S
    while not (job := api.dialect.read_job(api.get(api.dialect.job_path(job_id)))).finished:
        if time.monotonic() > deadline:
            raise AnswerError(f"ingest job {job_id} is not done after {INGEST_TIMEOUT_S:.0f} s")
        time.sleep(0.1)
    if job.status != "completed":
        raise AnswerError(f"ingest job {job.status}: {job.error or 'no reason given'}")


def _group_by_document(passages: Mapping[str, Stretch]) -> dict[str, dict[str, Stretch]]:
    by_document: dict[str, dict[str, Stretch]] = {}
    for key, stretch in passages.items():
        by_document.setdefault(stretch.document, {})[key] = stretch
    return by_document
