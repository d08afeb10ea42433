"""
Passages glued into long documents, cut again by the server, and searched: are the same answers found?

A result is judged by what it cites. It stands for a passage when it shares half, at least, of the shorter of the two.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import orjson

from bench.api import INGEST_TIMEOUT_S, Api
from bench.datasets import Corpus, Question
from bench.dialects.openai import parse
from bench.errors import AnswerError
from bench.retrieval.ways import DENSE, DEPTH, HYBRID, Asked, Way

COLLECTION = "glued"
BETWEEN = "\n\n"
MOST_CHARACTERS = 20_000
# Near the length of a paragraph, within what the smallest model reads, a sentence or two shared.
CHUNK = {"max_tokens": 200, "overlap": 32}
# Several chunks of one passage are one answer: so many are asked for that ten passages are left.
ASKED_FOR = 3 * DEPTH
WAYS = (DENSE, HYBRID)


@dataclass(frozen=True)
class Stretch:
    """Characters `start` to `end` of a document."""

    document: str
    start: int
    end: int

    def shared(self, other: Stretch) -> int:
        """Characters that both hold."""
        if self.document != other.document:
            return 0
        return max(0, min(self.end, other.end) - max(self.start, other.start))

    def stands_for(self, other: Stretch) -> bool:
        """Whether half of the shorter of the two is in both."""
        return 2 * self.shared(other) >= min(self.end - self.start, other.end - other.start)


@dataclass(frozen=True)
class Glued:
    """Long documents, id to text, and where in them each passage is."""

    documents: dict[str, str]
    passages: dict[str, Stretch]


def glue(passages: Mapping[str, str], most_characters: int = MOST_CHARACTERS) -> Glued:
    """
    Put passages that follow each other into documents, a blank line between, while they fit in so many characters.

    A passage that is longer is a document of its own.
    """
    texts: dict[str, str] = {}
    stretches: dict[str, Stretch] = {}
    name = ""
    for key, text in passages.items():
        if not name or len(texts[name]) + len(BETWEEN) + len(text) > most_characters:
            name = f"glued-{len(texts):04d}"
            texts[name] = ""
        start = len(texts[name]) + (len(BETWEEN) if texts[name] else 0)
        texts[name] += (BETWEEN if texts[name] else "") + text
        stretches[key] = Stretch(name, start, start + len(text))
    return Glued(texts, stretches)


def ranking(cited: Sequence[Stretch], passages: Mapping[str, Stretch], relevant: Mapping[str, int]) -> list[str]:
    """
    Name the passages that citations, best first, stand for: each once, at its first place, ten at most.

    A citation may stand for several; it is then named for one that answers, and else for the one it shares most with.
    One that stands for none keeps its place, under a name of its own.
    """
    found: dict[str, None] = {}
    for stretch in cited:
        standing = [key for key, its in passages.items() if stretch.stands_for(its)]
        found[max(standing, key=_claim(stretch, passages, relevant, found), default=_own_name(stretch))] = None
    return list(found)[:DEPTH]


def _claim(
    stretch: Stretch, passages: Mapping[str, Stretch], relevant: Mapping[str, int], found: Mapping[str, None]
) -> Callable[[str], tuple[bool, int]]:
    return lambda key: (key in relevant and key not in found, stretch.shared(passages[key]))


def _own_name(stretch: Stretch) -> str:
    return f"{stretch.document}:{stretch.start}-{stretch.end}"


def measure(api: Api, corpus: Corpus, questions: Sequence[Question], say: Callable[[int], None]) -> dict[str, Asked]:
    """
    Ingest the corpus glued and cut, ask every question each way; what was found, as the corpus' own passages.

    The ways are named `dense, glued` and `hybrid, glued`; `say` hears how many questions were answered so far, over
    all ways. Raises AnswerError.
    """
    made = glue(corpus.passages)
    ingest(api, made.documents, COLLECTION, CHUNK)
    asked: dict[str, Asked] = {}
    for way in WAYS:
        told = partial(_told, say, len(questions) * len(asked))
        asked[f"{way.name}, glued"] = ask(api, way, made, questions, told)
    return asked


def _told(say: Callable[[int], None], before: int, done: int) -> None:
    say(before + done)


def ask(api: Api, way: Way, glued: Glued, questions: Sequence[Question], say: Callable[[int], None]) -> Asked:
    """Ask one question after the other of the glued collection; `took_ms` is of a request for `ASKED_FOR` results."""
    rankings, took_ms = [], []
    near = _by_document(glued.passages)
    for done, question in enumerate(questions, 1):
        body = {"query": question.text, "top_k": ASKED_FOR, "collection": COLLECTION, **way.body}
        started_s = time.perf_counter()
        raw = api.post("/v1/search", orjson.dumps(body))
        took_ms.append((time.perf_counter() - started_s) * 1e3)
        cited = citations(raw)
        candidates = {key: its for name in {one.document for one in cited} for key, its in near[name].items()}
        rankings.append(ranking(cited, candidates, question.relevant))
        say(done)
    return Asked(rankings, took_ms)


def citations(raw: bytes) -> list[Stretch]:
    """What the results of a search cite, best first; raises AnswerError for anything but citations."""
    try:
        cited = [result["citation"] for result in parse(raw)["results"]]
        return [Stretch(str(its["document_id"]), int(its["start"]), int(its["end"])) for its in cited]
    except (KeyError, TypeError, ValueError) as error:
        raise AnswerError(f"a search result without its citation: {error!r}") from error


def ingest(api: Api, documents: Mapping[str, str], collection: str, chunk: Mapping[str, int] | None = None) -> None:
    """Ingest into a collection, cut where `chunk` says how, and wait for the job; raises AnswerError if it fails."""
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


def _by_document(passages: Mapping[str, Stretch]) -> dict[str, dict[str, Stretch]]:
    found: dict[str, dict[str, Stretch]] = {}
    for key, stretch in passages.items():
        found.setdefault(stretch.document, {})[key] = stretch
    return found
