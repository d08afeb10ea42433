"""Verifying a real gateway over a small corpus, and what is refused: other models, other orders, caches."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import replace

import httpx
import numpy as np
import orjson
import pytest

from bench import agreement, cores, paths, probes, quality, reference, targets, verify
from bench.api import Api
from bench.datasets import Corpus, squad
from bench.dialects import Dialect
from bench.probes import Repeats
from bench.processes import Place, Running
from bench.reference import Reference
from bench.targets import Target
from tests.conftest import shapes

PASSAGES = 40
OTHER = "all-mpnet-base-v2"

needs_other = pytest.mark.skipif(
    not (paths.models_dir() / OTHER / "onnx" / "fp32.onnx").exists(), reason=f"{OTHER} is not fetched"
)


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Reference]:
    """Yield the reference of the first passages of SQuAD and of what is asked about them."""
    whole = squad.load()
    passages = dict(list(whole.passages.items())[:PASSAGES])
    questions = [question for question in whole.answerable if question.relevant.keys() <= passages.keys()]
    corpus = Corpus.of("small", passages, questions, [b"the first of squad"])
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(paths, "CACHE", tmp_path_factory.mktemp("reference"))
        yield reference.load(corpus)


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """Yield a real gateway that serves fp32."""
    if "onnx_py" not in shapes():
        pytest.skip("GATEWAYS leaves out onnx_py")
    folder = tmp_path_factory.mktemp("served")
    [target] = targets.choose(["onnx_py"], with_peers=False)
    with Running(target, Place(cores.split(cores.available()), folder / "data", folder / "logs"), "x") as running:
        running.wait_ready()
        yield running


def asked(running: Running, **changed: str) -> tuple[Target, Api]:
    """The gateway as a target with these fields changed, and an Api that speaks to it so."""
    target = replace(running.target, **changed)  # type: ignore[arg-type]
    api = Api(running)
    api.dialect.model = target.model
    return target, api


def test_a_sound_gateway_verifies(served: Running, small: Reference) -> None:
    """No code, every document there, vectors and search as near to the reference as fp32 must be."""
    sample = verify.draw(small, seed=1, embedded=16, searched=40)

    target, api = asked(served)
    with api:
        found = verify.verify(target, api, small, sample, lambda *_: None)

    assert found.codes == [], found.reason
    assert found.documents == PASSAGES
    assert found.cosine_min is not None
    assert found.cosine_min >= 0.999
    assert found.quality is not None
    assert found.quality == found.reference_quality


def test_what_verifying_uses_is_never_asked_twice_by_accident(small: Reference) -> None:
    """The texts of all parts are different ones, so that a probe's first time is the first time."""
    texts = verify.draw(small, seed=1, embedded=16, searched=40).texts

    assert len(texts) == len(set(texts))
    assert set(texts) <= set(small.squad.texts)


def test_a_model_that_answers_under_two_names_is_no_other_model(served: Running, small: Reference) -> None:
    """Asked for the other model it gives its own model's vectors: E_WRONG would say which model was not there."""
    target, api = asked(served, other_model=f"sentence-transformers/{paths.MODEL}")
    with api:
        wrong = probes.mixed_up(target, api, small, small.squad.texts[:2])

    assert wrong == f"asked for sentence-transformers/{paths.MODEL}, it answers with its own model's vectors"


@needs_other
def test_two_models_are_kept_apart(served: Running, small: Reference) -> None:
    """A gateway that serves both gives each its own vectors, in turn; one that answers with the other is told."""
    target, api = asked(served, other_model=OTHER)
    with api:
        right = probes.mixed_up(target, api, small, small.squad.texts[:2])
    swapped, api = asked(served, model=OTHER, other_model=paths.MODEL)
    with api:
        wrong = probes.mixed_up(swapped, api, small, small.squad.texts[:2])

    assert right == ""
    assert wrong == f"asked right after {paths.MODEL}, its own model's answer is not the reference's"


def test_a_ranking_must_be_the_references(served: Running, small: Reference) -> None:
    """What a real gateway answers agrees; the same scores given to the documents backwards do not."""
    query, documents = small.squad.texts[0], small.nearest(small.squad.texts[0], 10)
    target, api = asked(served)
    with api:
        body = api.dialect.rerank_body(query, documents)
        raw = api.post(api.dialect.path("rerank"), body)
        backwards = api.post(api.dialect.path("rerank"), api.dialect.rerank_body(query, documents[::-1]))

    def agrees(answer: bytes) -> bool:
        return agreement.agrees(target, "rerank", api.dialect, small, [query, *documents], answer)

    assert agrees(raw)
    assert not agrees(backwards)
    assert not agrees(b'{"results":[]}')


def test_documents_that_were_added_may_leave_no_room_for_a_passage(served: Running, small: Reference) -> None:
    """Only where they are as near as any passage: an answer of far ones, or of none, is not the reference's."""
    query = small.squad.texts[0]
    added = {f"{agreement.ADDED}{n}": f"{query} {n}" for n in range(6)}
    target, api = asked(served)
    with api:
        api.ingest(added, lambda _: None)
        raw = api.post(api.dialect.path("search"), api.dialect.search_body(query, 5))
        for name in added:
            httpx.delete(f"{served.url}/v1/documents/{name}", trust_env=False).raise_for_status()

    def agrees(score: float | None) -> bool:
        answer = orjson.loads(raw)
        for result in answer["results"]:
            result["score"] = result["score"] if score is None else score
        return agreement.agrees(target, "search", api.dialect, small, [query], orjson.dumps(answer))

    assert {hit.id for hit in api.dialect.read_search(raw)} <= set(added)
    assert agrees(None)
    assert not agrees(0.01)
    assert not agreement.agrees(target, "search", api.dialect, small, [query], b'{"results":[]}')


def test_only_rankings_whose_reranker_is_known_have_a_reference() -> None:
    """Our contract's default is late interaction; what another server ranks with is its own."""
    assert not agreement.has_reference(Dialect(), "rerank")
    assert agreement.has_reference(Dialect(), "embeddings")


def test_maxsim_is_the_mean_of_each_query_tokens_best_cosine() -> None:
    """By hand: one token found exactly, the other at 45 degrees; lengths do not count."""
    query = np.array([[2.0, 0.0], [0.0, 1.0]], np.float32)
    documents = [np.array([[1.0, 0.0], [1.0, 1.0]], np.float32), np.array([[-3.0, 0.0]], np.float32)]

    found = agreement.maxsim(query, documents)

    assert found.tolist() == pytest.approx([(1 + math.sqrt(0.5)) / 2, -0.5])


def test_repeats_are_a_cache_only_when_faster_by_enough_and_not_by_chance() -> None:
    """A fifth faster is one; 5 % faster, slower, or a fifth faster in a handful of requests is none."""
    noise = np.random.default_rng(1).lognormal(0, 0.1, (2, 60))
    first, again = (10 * noise).tolist()

    assert not Repeats(first, again).cached
    assert Repeats(first, [0.8 * ms for ms in again]).cached
    assert not Repeats(first, [0.95 * ms for ms in again]).cached
    assert not Repeats(first[:4], [0.8 * ms for ms in again[:4]]).cached


def test_repeats_without_a_cache_are_seldom_taken_for_one() -> None:
    """In 500 seeded probes of a noisy machine, one in twenty requests three times as slow, not one is."""
    rng = np.random.default_rng(2)

    def milliseconds() -> list[float]:
        return list(8 * rng.lognormal(0, 0.25, 60) * np.where(rng.random(60) < 0.05, 3, 1))

    assert not any(Repeats(milliseconds(), milliseconds()).cached for _ in range(500))


def test_each_text_is_asked_twice_and_turns_are_taken(served: Running) -> None:
    """As many first times as repeats, of a gateway without a cache: no cache is found."""
    _, api = asked(served)
    with api:
        seen = probes.repeats(api, "embeddings", squad.load().texts[-60:])

    assert len(seen.first_ms) == len(seen.again_ms) == 60
    assert not seen.cached


def test_quality_by_hand() -> None:
    """First, third and never: hits and gains as counted by hand; grades weigh, and the best order is worth one."""
    rankings = [["a", "b", "c"], ["x", "y", "a"], ["x", "y"]]

    found = quality.measure(rankings, [{"a": 1}, {"a": 1}, {"a": 1}])
    graded = quality.measure([["b", "a"], ["a", "b"]], [{"a": 2, "b": 1}] * 2)

    assert [found.hit1, found.hit5] == pytest.approx([1 / 3, 2 / 3])
    assert found.ndcg10 == pytest.approx((1 + 0.5) / 3)
    worse, best = (1 + 2 / math.log2(3)), (2 + 1 / math.log2(3))
    assert graded.ndcg10 == pytest.approx((worse / best + 1) / 2)
