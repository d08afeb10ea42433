"""The thin gateway in front of other embed services. Our own gateways, which speak their dialects, stand for them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import numpy as np
import numpy.typing as npt
import pytest

from tests.support.gateways import Fleet, Gateway, describe

TEXTS = ["The quick brown fox", "jumps over the lazy dog.", "An apple a day"]
StartThin = Callable[[str, str], httpx.Client]


@pytest.fixture(scope="module")
def start_thin(fleet: Fleet, tmp_path_factory: pytest.TempPathFactory) -> Iterator[StartThin]:
    """Yield a function that starts a thin gateway in front of the gateway `name` with `dialect`, once per pair."""
    running: dict[tuple[str, str], tuple[Gateway, httpx.Client]] = {}

    def start(name: str, dialect: str) -> httpx.Client:
        if (name, dialect) not in running:
            folder: Path = tmp_path_factory.mktemp(dialect)
            upstream = fleet.running(name).url
            options = {"EMBEDDING_API_URL": upstream, "EMBEDDING_API_DIALECT": dialect}
            thin = describe("pseudo", folder, python=None, **options).start()
            client = thin.client()
            running[name, dialect] = (thin, client)
        return running[name, dialect][1]

    yield start
    for thin, client in running.values():
        client.close()
        thin.stop()


def vectors(http: httpx.Client) -> npt.NDArray[np.float64]:
    """Return the vectors of TEXTS, (n, dimensions)."""
    response = http.post("/v1/embeddings", json={"input": TEXTS})
    assert response.status_code == 200, response.text
    return np.array([entry["embedding"] for entry in response.json()["data"]])


@pytest.mark.parametrize("dialect", ["texts", "openai", "tei"])
@pytest.mark.parametrize("name", ["pseudo", "onnx_py"])
def test_vectors_are_the_upstream_s(start_thin: StartThin, fleet: Fleet, name: str, dialect: str) -> None:
    """The gateway returns the vectors of the embed service."""
    thin = start_thin(name, dialect)

    with fleet.running(name).client() as upstream:
        assert np.allclose(vectors(thin), vectors(upstream), atol=1e-5)


@pytest.mark.gateway("pseudo")
@pytest.mark.parametrize("dialect", ["texts", "openai"])
def test_models_that_the_service_lacks_are_not_listed(start_thin: StartThin, dialect: str) -> None:
    """With a service for dense vectors no reranker is listed, and rerank returns 404; BM25 needs no service."""
    thin = start_thin("pseudo", dialect)

    kinds = {model["kind"] for model in thin.get("/v1/models").json()["data"]}
    refused = thin.post("/v1/rerank", json={"query": "fox", "documents": TEXTS})

    assert kinds == {"dense", "sparse"}
    assert refused.status_code == 404
    assert refused.json()["error"]["code"] == "unknown_model"
    assert thin.post("/v1/embed_sparse", json={"input": TEXTS}).status_code == 200
    long = thin.post("/v1/embeddings", json={"input": TEXTS, "truncate": "START"})
    assert (long.status_code, long.json()["error"]["param"]) == (400, "truncate")


@pytest.mark.parametrize("name", ["pseudo", "onnx_py"])
def test_late_interaction_over_the_tokens_of_another_service(start_thin: StartThin, fleet: Fleet, name: str) -> None:
    """With TEI's `/embed_all` the gateway reranks; the scores equal those of the service's own late interaction."""
    body = {"query": "who jumps?", "documents": TEXTS, "raw_scores": True, "model": "late-interaction"}
    thin = start_thin(name, "tei").post("/v1/rerank", json=body)
    assert thin.status_code == 200, thin.text

    upstream = httpx.post(f"{fleet.running(name).url}/v1/rerank", json=body, timeout=60, trust_env=False)

    scores, expected = (
        {entry["index"]: entry["relevance_score"] for entry in answer.json()["results"]}
        for answer in (thin, upstream)
    )
    assert scores == pytest.approx(expected, abs=1e-5)


@pytest.mark.gateway("pseudo")
@pytest.mark.parametrize("truncate", ["START", "NONE"])
def test_truncate_is_passed_to_tei(start_thin: StartThin, fleet: Fleet, truncate: str) -> None:
    """START truncates as the service itself does, and NONE refuses a long text; TEI refuses it with 413."""
    thin = start_thin("pseudo", "tei")
    body = {"input": "one " * 300 + "two", "truncate": truncate}

    response = thin.post("/v1/embeddings", json=body)
    direct = httpx.post(f"{fleet.running('pseudo').url}/v1/embeddings", json=body, timeout=60, trust_env=False)

    assert response.status_code == {200: 200, 400: 413}[direct.status_code]
    if direct.status_code == 200:
        vector, expected = (answer.json()["data"][0]["embedding"] for answer in (response, direct))
        assert np.allclose(vector, expected, atol=1e-5)
