"""Re-chunked long documents: their answers are as good as those of separate passages."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import pytest

from bench.datasets import squad
from bench.measurement.session import Bench
from bench.retrieval import gateway, rechunked_corpus, search_modes
from bench.retrieval.rechunked_corpus import Stretch
from bench.verification import ranking_metrics
from tests.harness.windows import started, target_of

# The first passages of SQuAD: those of six articles, from the Normans to the Huguenots.
PASSAGES = 217
QUESTIONS = 300
MOST_LOST = 0.02


pytestmark = pytest.mark.slow("a campaign of its own: tests/harness/test_campaign.py keeps one that is not slow")


def test_glued_passages_keep_their_place() -> None:
    """Each passage is at its stretch of the document, in order, with a blank line between two."""
    texts = {f"p{n}": f"passage {n}" for n in range(10)}

    made = rechunked_corpus.glue(texts, max_characters=40)

    assert all(len(text) <= 40 for text in made.documents.values())
    assert "\n\n".join(made.documents.values()) == "\n\n".join(texts.values())
    for key, passage in made.passages.items():
        assert made.documents[passage.document][passage.start : passage.end] == texts[key]


def test_a_passage_that_is_too_long_is_a_document() -> None:
    """A long passage is not cut and does not change its neighbours."""
    made = rechunked_corpus.glue({"a": "a", "long": "b" * 50, "c": "c"}, max_characters=40)

    assert list(made.documents.values()) == ["a", "b" * 50, "c"]


SPANS = {"a": Stretch("d", 0, 100), "b": Stretch("d", 102, 142), "c": Stretch("e", 0, 100)}


@pytest.mark.parametrize(
    ("cited", "answers", "named"),
    [
        ([(0, 100)], {"a": 1}, ["a"]),
        ([(50, 100)], {"a": 1}, ["a"]),  # all of the shorter of the two
        ([(0, 49), (51, 100)], {"a": 1}, ["a"]),  # two chunks of one passage are one answer
        ([(0, 142)], {"b": 1}, ["b"]),  # it holds both, and is that which answers
        ([(0, 142)], {}, ["a"]),  # else that of which it holds most
        ([(80, 142), (0, 60)], {"a": 1}, ["b", "a"]),  # a third of it is not enough
        ([(95, 107), (0, 60)], {"a": 1}, ["d:95-107", "a"]),  # neither one nor the other: it takes a place
    ],
)
def test_a_citation_is_named_for_a_passage(
    cited: list[tuple[int, int]], answers: Mapping[str, int], named: list[str]
) -> None:
    """A citation stands for a passage of the same document if they share half of the shorter one."""
    assert rechunked_corpus.ranking([Stretch("d", *span) for span in cited], SPANS, answers) == named


def test_what_is_glued_and_cut_finds_the_same(bench: Bench) -> None:
    """Dense and hybrid search lose at most two points of hit@1, hit@5 and nDCG@10 against separate passages."""
    whole = squad.load()
    passages = dict(list(whole.passages.items())[:PASSAGES])
    answerable = [question for question in whole.answerable if question.relevant.keys() <= passages.keys()]
    corpus = replace(whole, passages=passages, questions=tuple(answerable))
    questions = gateway.draw_questions(corpus, QUESTIONS, seed=1)
    heard: list[int] = []

    with started(bench, target_of("onnx_py")) as session:
        session.api.ingest(passages, lambda _: None)
        one_by_one = {
            way.name: search_modes.search(session.api, way, questions, lambda _: None)
            for way in rechunked_corpus.MODES
        }
        together = rechunked_corpus.measure(session.api, corpus, questions, heard.append)

    assert heard == list(range(1, 2 * QUESTIONS + 1))
    assert list(together) == ["dense, glued", "hybrid, glued"]
    relevant = [question.relevant for question in questions]
    for name, answers in one_by_one.items():
        plain = ranking_metrics.measure(answers.rankings, relevant)
        quality = ranking_metrics.measure(together[f"{name}, glued"].rankings, relevant)
        print(f"{name}: {plain} one by one, {quality} glued")
        assert quality.worst_gap_points(plain) <= 100 * MOST_LOST
