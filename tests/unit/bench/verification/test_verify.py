"""Verification of a real gateway on a small corpus, and its faults: wrong models, wrong rankings, caches."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import replace

import httpx
import numpy as np
import orjson
import pytest

from bench import paths, targets
from bench.datasets import Corpus, squad
from bench.dialects import Dialect
from bench.machine import cores
from bench.targets import Target
from bench.targets.api_client import Api
from bench.targets.processes import Place, Server
from bench.verification import agreement, probes, ranking_metrics, reference, verify
from bench.verification.probes import RepeatTimes
from bench.verification.reference import Reference

PASSAGES = 40
OTHER = "all-mpnet-base-v2"

needs_other = pytest.mark.skipif(
    not (paths.models_dir() / OTHER / "onnx" / "fp32.onnx").exists(), reason=f"{OTHER} is not fetched"
)


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Reference]:
    """Yield the reference of the first passages of SQuAD and their questions."""
    whole = squad.load()
    passages = dict(list(whole.passages.items())[:PASSAGES])
    questions = [question for question in whole.answerable if question.relevant.keys() <= passages.keys()]
    corpus = Corpus.build("small", passages, questions, [b"the first of squad"])
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(paths, "CACHE", tmp_path_factory.mktemp("reference"))
        yield reference.load(corpus)


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """Yield a real gateway in fp32."""
    folder = tmp_path_factory.mktemp("served")
    [target] = targets.choose(["onnx_py"], with_peers=False)
    with Server(target, Place(cores.split(cores.available()), folder / "data", folder / "logs"), "x") as server:
        server.wait_ready()
        yield server


def target_and_api(server: Server, **changed: str) -> tuple[Target, Api]:
    """Return the gateway's target with these fields changed, and an API client for it."""
    target = replace(server.target, **changed)  # type: ignore[arg-type]
    api = Api(server)
    api.dialect.model = target.model
    return target, api


@pytest.mark.gateway("onnx_py")
def test_a_sound_gateway_verifies(served: Server, small: Reference) -> None:
    """A sound gateway has no code, every document, and vectors and search quality within the fp32 tolerance."""
    sample = verify.draw_sample(small, seed=1, embedded=16, searched=40)

    target, api = target_and_api(served)
    with api:
        verification = verify.verify(target, api, small, sample, lambda *_: None)

    assert verification.codes == [], verification.reason
    assert verification.documents == PASSAGES
    assert verification.cosine_min is not None
    assert verification.cosine_min >= 0.999
    assert verification.quality is not None
    assert verification.quality == verification.reference_quality


def test_what_verifying_uses_is_never_asked_twice_by_accident(small: Reference) -> None:
    """All texts of a sample are distinct, so that the first request of a probe is the first."""
    texts = verify.draw_sample(small, seed=1, embedded=16, searched=40).texts

    assert len(texts) == len(set(texts))
    assert set(texts) <= set(small.squad.texts)


@pytest.mark.gateway("onnx_py")
def test_a_model_that_answers_under_two_names_is_no_other_model(served: Server, small: Reference) -> None:
    """A request for the other model that returns the first model's vectors is a fault."""
    target, api = target_and_api(served, other_model=f"sentence-transformers/{paths.MODEL}")
    with api:
        wrong = probes.find_model_confusion(target, api, small, small.squad.texts[:2])

    assert wrong == f"a request for sentence-transformers/{paths.MODEL} returns the vectors of the target's model"


@needs_other
@pytest.mark.gateway("onnx_py")
def test_two_models_are_kept_apart(served: Server, small: Reference) -> None:
    """A gateway with two models returns each model's vectors in turn; swapped models are a fault."""
    target, api = target_and_api(served, other_model=OTHER)
    with api:
        right = probes.find_model_confusion(target, api, small, small.squad.texts[:2])
    swapped, api = target_and_api(served, model=OTHER, other_model=paths.MODEL)
    with api:
        wrong = probes.find_model_confusion(swapped, api, small, small.squad.texts[:2])

    assert right == ""
    assert wrong == f"right after a request for {paths.MODEL}, the target's model disagrees with the reference"


@pytest.mark.gateway("onnx_py")
def test_a_ranking_must_be_the_references(served: Server, small: Reference) -> None:
    """A real gateway's ranking agrees; the same scores in reverse order do not."""
    query, documents = small.squad.texts[0], small.nearest(small.squad.texts[0], 10)
    target, api = target_and_api(served)
    with api:
        body = api.dialect.rerank_body(query, documents)
        raw = api.post(api.dialect.path("rerank"), body)
        backwards = api.post(api.dialect.path("rerank"), api.dialect.rerank_body(query, documents[::-1]))

    def agrees(answer: bytes) -> bool:
        return agreement.agrees(target, "rerank", api.dialect, small, [query, *documents], answer)

    assert agrees(raw)
    assert not agrees(backwards)
    assert not agrees(b'{"results":[]}')


@pytest.mark.gateway("onnx_py")
def test_documents_that_were_added_may_leave_no_room_for_a_passage(served: Server, small: Reference) -> None:
    """Added documents may displace all passages if they are as near; far ones or no results do not agree."""
    query = small.squad.texts[0]
    added = {f"{agreement.ADDED}{n}": f"{query} {n}" for n in range(6)}
    target, api = target_and_api(served)
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
    """The reference covers late interaction only, not the reranker of another server."""
    assert not agreement.has_reference(Dialect(), "rerank")
    assert agreement.has_reference(Dialect(), "embeddings")


def test_maxsim_is_the_mean_of_each_query_tokens_best_cosine() -> None:
    """One exact token and one at 45 degrees; the lengths of vectors do not matter."""
    query = np.array([[2.0, 0.0], [0.0, 1.0]], np.float32)
    documents = [np.array([[1.0, 0.0], [1.0, 1.0]], np.float32), np.array([[-3.0, 0.0]], np.float32)]

    scores = agreement.maxsim(query, documents)

    assert scores.tolist() == pytest.approx([(1 + math.sqrt(0.5)) / 2, -0.5])


def test_repeats_are_a_cache_only_when_faster_by_enough_and_not_by_chance() -> None:
    """20 % faster is a cache; 5 % faster, slower, or 20 % faster in four requests is none."""
    noise = np.random.default_rng(1).lognormal(0, 0.1, (2, 60))
    first, again = (10 * noise).tolist()

    assert not RepeatTimes(first, again).cached
    assert RepeatTimes(first, [0.8 * ms for ms in again]).cached
    assert not RepeatTimes(first, [0.95 * ms for ms in again]).cached
    assert not RepeatTimes(first[:4], [0.8 * ms for ms in again[:4]]).cached


def test_repeats_without_a_cache_are_seldom_taken_for_one() -> None:
    """None of 500 seeded probes of a noisy machine is taken for a cache."""
    rng = np.random.default_rng(2)

    def milliseconds() -> list[float]:
        return list(8 * rng.lognormal(0, 0.25, 60) * np.where(rng.random(60) < 0.05, 3, 1))

    assert not any(RepeatTimes(milliseconds(), milliseconds()).cached for _ in range(500))


@pytest.mark.gateway("onnx_py")
def test_each_text_is_asked_twice_and_turns_are_taken(served: Server) -> None:
    """A gateway without a cache has as many first requests as repeats, and no cache is found."""
    _, api = target_and_api(served)
    with api:
        seen = probes.time_repeats(api, "embeddings", squad.load().texts[-60:])

    assert len(seen.first_ms) == len(seen.again_ms) == 60
    assert not seen.cached


def test_quality_by_hand() -> None:
    """Hits and gains match a count by hand; grades weigh, and the ideal ranking has nDCG 1."""
    rankings = [["a", "b", "c"], ["x", "y", "a"], ["x", "y"]]

    quality = ranking_metrics.measure(rankings, [{"a": 1}, {"a": 1}, {"a": 1}])
    graded = ranking_metrics.measure([["b", "a"], ["a", "b"]], [{"a": 2, "b": 1}] * 2)

    assert [quality.hit1, quality.hit5] == pytest.approx([1 / 3, 2 / 3])
    assert quality.ndcg10 == pytest.approx((1 + 0.5) / 3)
    worse, best = (1 + 2 / math.log2(3)), (2 + 1 / math.log2(3))
    assert graded.ndcg10 == pytest.approx((worse / best + 1) / 2)
