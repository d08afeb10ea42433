"""Models of the catalogue whose weights are not here: nobody answers for them, and the error says what to run."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.support.gateways import ROOT, StartFailed, describe

# Every shape that has a catalogue, the thin gateway by its embed service.
GATEWAYS = ("python", "onnx_py", "split")
CATALOGUE = f"""\
defaults: {{dense: here, sparse: bm25, rerank: late-interaction}}
models:
  bm25: {{kind: sparse, engine: bm25}}
  late-interaction: {{kind: rerank, engine: late_interaction}}
  here: {{kind: dense, dimensions: 384, sources: [{{path: '{ROOT}/models/all-MiniLM-L6-v2'}}]}}
  far-dense: {{kind: dense, aliases: [org/far-dense]}}
  far-sparse: {{kind: sparse}}
  far-cross-encoder: {{kind: rerank, aliases: [org/far-cross-encoder]}}
  far-interaction: {{kind: rerank, engine: late_interaction, of: far-dense}}
  far-but-stood-in-for: {{kind: dense, stand_in: here}}
"""
RERANK = {"query": "q", "documents": ["a", "b"]}
# A name that was asked for, where, by which field, and the model that has to be fetched for it.
ASKED: list[tuple[str, dict[str, Any], str, str]] = [
    ("/v1/embeddings", {"input": "x"}, "org/far-dense", "far-dense"),
    ("/v1/embed_sparse", {"input": "x"}, "far-sparse", "far-sparse"),
    ("/v1/rerank", RERANK, "far-cross-encoder", "far-cross-encoder"),
    ("/v1/rerank", RERANK, "org/far-cross-encoder", "far-cross-encoder"),
    ("/v1/rerank", RERANK, "far-interaction", "far-dense"),
    ("/api/v1/rerank", RERANK, "far-cross-encoder", "far-cross-encoder"),
    ("/v2/rerank", RERANK, "far-cross-encoder", "far-cross-encoder"),
]


@pytest.fixture(scope="module", params=GATEWAYS)
def http(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[httpx.Client]:
    """Yield a client of a gateway with that catalogue."""
    folder = tmp_path_factory.mktemp(request.param)
    gateway = describe(request.param, folder, MODELS_FILE=str(written(folder)))
    try:
        gateway.start()
        with gateway.client() as client:
            yield client
    finally:
        gateway.kill()


def written(folder: Path, defaults: dict[str, str] | None = None) -> Path:
    """Write the catalogue, with another model in place of a default one."""
    text = CATALOGUE
    for old, new in (defaults or {}).items():
        text = text.replace(f"{old},", f"{new},", 1).replace(f"{old}}}", f"{new}}}", 1)
        assert new in text.splitlines()[0]
    path = folder / "models.yaml"
    path.write_text(text)
    return path


def weights_error(response: httpx.Response, weights: str) -> dict[str, Any]:
    """Return the error of an answer that must say which weights are not here, and what fetches them."""
    assert response.status_code == 404, response.text
    error: dict[str, Any] = response.json().get("error") or response.json()
    assert f"the weights of {weights} are not here: run `make models MODEL={weights}`" in error["message"]
    return error


@pytest.mark.parametrize(("route", "body", "name", "weights"), ASKED)
def test_a_request_is_told_what_fetches_its_model(
    http: httpx.Client, route: str, body: dict[str, Any], name: str, weights: str
) -> None:
    """404 by every name, in every kind; the message names what was asked for."""
    error = weights_error(http.post(route, json=body | {"model": name}), weights)

    assert name in error["message"]
    if route.startswith("/v1"):
        assert (error["code"], error["param"]) == ("unknown_model", "model")
        assert {"embeddings": "here", "embed_sparse": "bm25"}.get(route[4:], "late-interaction") in error["message"]


def test_a_search_is_told_what_fetches_its_reranker(http: httpx.Client) -> None:
    """Neither a search nor a collection falls back to another reranker; the field that named it is told."""
    search = weights_error(
        http.post("/v1/search", json={"query": "q", "rerank": "far-cross-encoder"}), "far-cross-encoder"
    )
    put = weights_error(
        http.put("/v1/collections/strict", json={"reranker_model": "org/far-cross-encoder"}), "far-cross-encoder"
    )

    assert (search["param"], put["param"]) == ("rerank", "reranker_model")


def test_the_list_has_only_what_answers(http: httpx.Client) -> None:
    """A model that is not here is not listed, unless another declares that it stands in; asked for, it is a 404."""
    listed = {model["id"]: model for model in http.get("/v1/models").json()["data"]}

    assert set(listed) == {"here", "bm25", "late-interaction"}
    assert listed["here"]["stands_in_for"] == ["far-but-stood-in-for"]
    assert http.post("/v1/embeddings", json={"input": "x", "model": "far-but-stood-in-for"}).json()["model"] == "here"
    weights_error(http.get("/v1/models/org/far-cross-encoder"), "far-cross-encoder")


def test_the_wrong_kind_is_told_first(http: httpx.Client) -> None:
    """Fetching a dense model would not make it rerank."""
    refused = http.post("/v1/rerank", json=RERANK | {"model": "far-dense"})

    assert refused.status_code == 400
    assert refused.json()["error"]["code"] == "wrong_model_kind"


def test_nothing_else_is_disturbed(http: httpx.Client) -> None:
    """What is here answers, by name and by default."""
    for body in (RERANK, RERANK | {"model": "late-interaction"}):
        assert http.post("/v1/rerank", json=body).json()["model"] == "late-interaction"
    assert http.get("/v1/models/no-such-model").json()["error"]["message"].startswith("there is no model")


@pytest.mark.parametrize("name", ["onnx_py", "split"])
@pytest.mark.parametrize(
    ("defaults", "environ", "weights"),
    [
        ({}, {"MODEL": "org/far-dense"}, "far-dense"),
        ({"here": "far-dense"}, {}, "far-dense"),
        ({"late-interaction": "far-cross-encoder"}, {}, "far-cross-encoder"),
    ],
    ids=["MODEL", "defaults.dense", "defaults.rerank"],
)
def test_a_default_that_is_not_here_is_told_at_the_start(
    tmp_path: Path, name: str, defaults: dict[str, str], environ: dict[str, str], weights: str
) -> None:
    """The process that would run it ends with 1, and its last words are the command."""
    gateway = describe(name, tmp_path, MODELS_FILE=str(written(tmp_path, defaults)))
    for process in gateway.processes.values():
        process.environ |= environ
    with pytest.raises(StartFailed) as failed:
        gateway.start()

    assert " ended with 1" in str(failed.value)
    assert f"run `make models MODEL={weights}`" in str(failed.value)
    assert "Traceback" not in str(failed.value)


@pytest.mark.gateway("onnx_py")
def test_a_default_of_another_kind_is_told_at_the_start(tmp_path: Path) -> None:
    """MODEL is a dense model: a reranker there would never be ready."""
    with pytest.raises(StartFailed, match="MODEL=late-interaction: a rerank model; the default model is a dense one"):
        describe("onnx_py", tmp_path, MODELS_FILE=str(written(tmp_path)), MODEL="late-interaction").start()
