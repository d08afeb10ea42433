"""The thin gateway in front of an embed service of another make; our own gateways speak those dialects, too."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import numpy as np
import numpy.typing as npt
import pytest

from tests.conftest import shapes
from tests.processes import Fleet, Gateway, describe

TEXTS = ["The quick brown fox", "jumps over the lazy dog.", "An apple a day"]
In = Callable[[str, str], httpx.Client]


@pytest.fixture(scope="module")
def in_front(fleet: Fleet, tmp_path_factory: pytest.TempPathFactory) -> Iterator[In]:
    """Yield what starts a thin gateway in front of a gateway by name, in a dialect."""
    started: dict[tuple[str, str], tuple[Gateway, httpx.Client]] = {}

    def start(name: str, dialect: str) -> httpx.Client:
        if name not in shapes():
            pytest.skip(f"GATEWAYS leaves out {name}")
        if (name, dialect) not in started:
            folder: Path = tmp_path_factory.mktemp(dialect)
            upstream = fleet.running(name).url
            options = {"EMBEDDING_API_URL": upstream, "EMBEDDING_API_DIALECT": dialect}
            thin = describe("pseudo", folder, python=None, **options).start()
            client = httpx.Client(base_url=thin.url, timeout=60, trust_env=False)
            started[name, dialect] = (thin, client)
        return started[name, dialect][1]

    yield start
    for thin, client in started.values():
        client.close()
        thin.stop()


def vectors(http: httpx.Client) -> npt.NDArray[np.float64]:
    """Return the vectors of the texts."""
    response = http.post("/v1/embeddings", json={"input": TEXTS})
    assert response.status_code == 200, response.text
    return np.array([entry["embedding"] for entry in response.json()["data"]])


@pytest.mark.parametrize("dialect", ["texts", "openai", "tei"])
@pytest.mark.parametrize("name", ["pseudo", "onnx_py"])
def test_vectors_are_the_upstream_s(in_front: In, fleet: Fleet, name: str, dialect: str) -> None:
    """What the service says, the gateway says."""
    thin = in_front(name, dialect)

    with httpx.Client(base_url=fleet.running(name).url, timeout=60, trust_env=False) as upstream:
        assert np.allclose(vectors(thin), vectors(upstream), atol=1e-5)


@pytest.mark.parametrize("dialect", ["texts", "openai"])
def test_what_it_cannot_have_is_not_among_its_models(in_front: In, dialect: str) -> None:
    """Vectors alone: no reranker is listed, and asking for one is a 404; BM25 needs no service."""
    thin = in_front("pseudo", dialect)

    kinds = {model["kind"] for model in thin.get("/v1/models").json()["data"]}
    refused = thin.post("/v1/rerank", json={"query": "fox", "documents": TEXTS})

    assert kinds == {"dense", "sparse"}
    assert refused.status_code == 404
    assert refused.json()["error"]["code"] == "unknown_model"
    assert thin.post("/v1/embed_sparse", json={"input": TEXTS}).status_code == 200
    long = thin.post("/v1/embeddings", json={"input": TEXTS, "truncate": "START"})
    assert (long.status_code, long.json()["error"]["param"]) == (400, "truncate")


@pytest.mark.parametrize("name", ["pseudo", "onnx_py"])
def test_late_interaction_over_the_tokens_of_another_service(in_front: In, fleet: Fleet, name: str) -> None:
    """TEI's `/embed_all` is enough to rerank: the scores are those of the service's own late interaction."""
    body = {"query": "who jumps?", "documents": TEXTS, "raw_scores": True, "model": "late-interaction"}
    thin = in_front(name, "tei").post("/v1/rerank", json=body)
    assert thin.status_code == 200, thin.text

    upstream = httpx.post(f"{fleet.running(name).url}/v1/rerank", json=body, timeout=60, trust_env=False)

    scores, right = (
        {entry["index"]: entry["relevance_score"] for entry in answer.json()["results"]}
        for answer in (thin, upstream)
    )
    assert scores == pytest.approx(right, abs=1e-5)


@pytest.mark.parametrize("truncate", ["START", "NONE"])
def test_truncation_as_the_client_wants_it(in_front: In, fleet: Fleet, truncate: str) -> None:
    """TEI can do all three; what is too long it calls too large."""
    thin = in_front("pseudo", "tei")
    body = {"input": "one " * 300 + "two", "truncate": truncate}

    here = thin.post("/v1/embeddings", json=body)
    there = httpx.post(f"{fleet.running('pseudo').url}/v1/embeddings", json=body, timeout=60, trust_env=False)

    assert here.status_code == {200: 200, 400: 413}[there.status_code]
    if there.status_code == 200:
        found, right = (answer.json()["data"][0]["embedding"] for answer in (here, there))
        assert np.allclose(found, right, atol=1e-5)
