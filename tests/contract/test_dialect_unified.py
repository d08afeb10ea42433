"""The dialect of the Unified Embedding API: `/api/v1` and `/health`."""

from __future__ import annotations

from typing import Any
from urllib.parse import quote

import httpx
import pytest

from tests.contract.client import Json, cosine, decode_floats, embed_text, embed_texts, norm, ok

pytestmark = pytest.mark.requires("dialects")

SAME = 0.99999
TEXTS = ["Natural language processing", "a second text, somewhat longer than the first"]


def post_list(http: httpx.Client, path: str, body: Json) -> list[Any]:
    """Return an answer that is a bare list."""
    response = http.post(path, json=body)
    assert response.status_code == 200, response.text[:2000]
    items = response.json()
    assert isinstance(items, list)
    return items


@pytest.mark.parametrize("inputs", [TEXTS[0], TEXTS], ids=["one", "many"])
def test_embeddings_are_openais(http: httpx.Client, inputs: Any) -> None:
    """`/api/v1/embeddings` answers as `/v1/embeddings`, so OpenAI's clients can use either as base URL."""
    answer = ok(http.post("/api/v1/embeddings", json={"input": inputs}))

    assert set(answer) == {"object", "data", "model", "usage"}
    assert [item["index"] for item in answer["data"]] == list(range(len(answer["data"])))
    for item, expected in zip(answer["data"], embed_texts(http, inputs), strict=True):
        assert item["object"] == "embedding"
        assert cosine(item["embedding"], expected) > SAME


def test_base64_is_honoured(http: httpx.Client) -> None:
    """base64 is little-endian float32, as OpenAI's client requests by default."""
    [item] = ok(http.post("/api/v1/embeddings", json={"input": TEXTS[0], "encoding_format": "base64"}))["data"]

    assert cosine(decode_floats(item["embedding"]), embed_text(http, TEXTS[0])) > SAME


@pytest.mark.parametrize("field", ["input", "inputs", "texts"])
def test_embed_is_a_bare_list(http: httpx.Client, field: str) -> None:
    """`/api/v1/embed` answers with a bare list of unit vectors, for one text or many."""
    batch = post_list(http, "/api/v1/embed", {field: TEXTS})
    [single] = post_list(http, "/api/v1/embed", {field: TEXTS[0]})

    assert cosine(single, batch[0]) > SAME
    for vector, expected in zip(batch, embed_texts(http, TEXTS), strict=True):
        assert cosine(vector, expected) > SAME
        assert norm(vector) == pytest.approx(1.0, abs=1e-5)


@pytest.mark.requires("sparse")
@pytest.mark.parametrize("options", [{}, {"input_type": "query"}], ids=["document", "query"])
def test_embed_sparse_is_a_list_of_pairs(http: httpx.Client, options: Json) -> None:
    """The answer is `[[{"index", "value"}]]` with the weights of `/v1/embed_sparse`."""
    rows = post_list(http, "/api/v1/embed_sparse", {"input": TEXTS} | options)

    v1_data = ok(http.post("/v1/embed_sparse", json={"input": TEXTS} | options))["data"]
    assert [[pair["index"] for pair in row] for row in rows] == [item["embedding"]["indices"] for item in v1_data]
    for row, item in zip(rows, v1_data, strict=True):
        assert [pair["value"] for pair in row] == pytest.approx(item["embedding"]["values"], rel=1e-4)
        assert all(set(pair) == {"index", "value"} for pair in row)


@pytest.mark.requires("rerank")
def test_rerank_tells_text_score_and_place(http: httpx.Client) -> None:
    """`results` has at most `top_k` entries, best first, with scores from 0 to 1."""
    documents = ["TensorFlow is a comprehensive ML platform", "React is a JavaScript UI library", "Tea is a drink"]
    body = {"query": "JavaScript", "documents": documents}

    results = ok(http.post("/api/v1/rerank", json=body))["results"]

    assert sorted(result["index"] for result in results) == [0, 1, 2]
    assert all(set(result) == {"text", "score", "index"} for result in results)
    assert all(result["text"] == documents[result["index"]] for result in results)
    assert all(0 <= result["score"] <= 1 for result in results)
    assert results[0]["index"] == 1
    assert ok(http.post("/api/v1/rerank", json=body | {"top_k": 1}))["results"] == results[:1]


@pytest.mark.requires("models")
def test_models_are_listed_in_both_manners(http: httpx.Client) -> None:
    """`data` is OpenAI's list, `models` has a `type` per model. Both have the models of `/v1/models`."""
    answer = ok(http.get("/api/v1/models"))

    v1_models = ok(http.get("/v1/models"))["data"]
    types = {"dense": "embeddings", "sparse": "sparse-embeddings", "rerank": "rerank"}
    assert answer["object"] == "list"
    assert answer["data"] == v1_models
    assert [(entry["id"], entry["type"]) for entry in answer["models"]] == [
        (entry["id"], types[entry["kind"]]) for entry in v1_models
    ]
    assert answer["total"] == len(v1_models)


@pytest.mark.requires("models")
def test_a_model_is_found_by_each_of_its_names(http: httpx.Client, model: Json) -> None:
    """A model is found by its id and by its aliases, also by names with a slash."""
    for name in [model["id"], *model["aliases"]]:
        assert ok(http.get(f"/api/v1/models/{quote(name, safe='')}"))["id"] == model["id"]


def test_health_counts_the_models(http: httpx.Client) -> None:
    """`/health` has the status `ok` and the number of models that are loaded."""
    health = ok(http.get("/health"))

    assert health["status"] == "ok"
    assert health["startup_complete"] is True
    assert 1 <= health["loaded_models"] <= health["total_models"]
