"""The dialect of the RAG NLP engine and of embed-only services: `POST /embed`, `POST /rerank`, `GET /config`."""

from __future__ import annotations

from typing import Any

import httpx
import pytest

from tests.contract.client import Json, cosine, embed_texts, norm, ok

pytestmark = pytest.mark.requires("dialects")

SAME = 0.99999
TEXTS = ["What is the vacation policy?", "HR handbook chapter 3", "The parking policy is in section 5"]


def embed(http: httpx.Client, texts: Any = TEXTS, **options: Any) -> Json:
    """Return the whole answer of `POST /embed {"texts"}`."""
    return ok(http.post("/embed", json={"texts": texts} | options))


def test_texts_become_embeddings_in_order(http: httpx.Client) -> None:
    """The answer has the documented fields, and the vectors are those of `/v1/embeddings`."""
    answer = embed(http)

    assert set(answer) == {"embeddings", "model", "model_dim", "inference_time_ms"}
    assert [len(vector) for vector in answer["embeddings"]] == [answer["model_dim"]] * len(TEXTS)
    for vector, expected in zip(answer["embeddings"], embed_texts(http, TEXTS), strict=True):
        assert cosine(vector, expected) > SAME
    assert answer["inference_time_ms"] >= 0


def test_the_embed_only_body_is_enough(http: httpx.Client) -> None:
    """`{"texts": [...]}` alone gives unit vectors, as in the embed service of the split study."""
    for vector in embed(http)["embeddings"]:
        assert norm(vector) == pytest.approx(1.0, abs=1e-5)


def test_normalize_false_keeps_the_direction(http: httpx.Client) -> None:
    """`normalize` changes only the length of a vector."""
    for raw, unit in zip(embed(http, normalize=False)["embeddings"], embed(http)["embeddings"], strict=True):
        assert cosine(raw, unit) > SAME


@pytest.mark.requires("semantics")
def test_normalize_false_keeps_the_length(http: httpx.Client) -> None:
    """The raw vector of a pooled model is not of unit length."""
    assert abs(norm(embed(http, normalize=False)["embeddings"][0]) - 1) > 0.01


@pytest.mark.requires("models")
def test_each_name_of_the_model_is_taken(http: httpx.Client, model: Json) -> None:
    """Every name of the model is accepted. The answer has its id, as the engine's has."""
    for name in [model["id"], *model["aliases"], None, ""]:
        assert embed(http, model=name)["model"] == model["id"]


def test_fields_of_a_workflow_are_ignored(http: httpx.Client) -> None:
    """Fields that an n8n workflow adds to the request change nothing."""
    [vector, *_] = embed(http, context="policy_documents", batch={"size": 32})["embeddings"]

    assert cosine(vector, embed(http)["embeddings"][0]) > SAME


@pytest.mark.requires("token_ids")
def test_token_ids_are_taken(http: httpx.Client) -> None:
    """Token ids get the vector that `/v1/embeddings` gives them."""
    [vector] = embed(http, [[7592, 2088]])["embeddings"]

    assert cosine(vector, embed_texts(http, [[7592, 2088]])[0]) > SAME


@pytest.mark.requires("rerank")
def test_ranked_is_best_first_and_cut_at_top_k(http: httpx.Client) -> None:
    """`ranked` holds documents with scores from 0 to 1; `top_k` of them, all without it."""
    body = {"query": "Where do I park?", "documents": TEXTS}

    everything = ok(http.post("/rerank", json=body))["ranked"]
    best = ok(http.post("/rerank", json=body | {"top_k": 2}))["ranked"]

    assert sorted(place["doc"] for place in everything) == sorted(TEXTS)
    scores = [place["score"] for place in everything]
    assert scores == sorted(scores, reverse=True)
    assert all(0 <= score <= 1 for score in scores)
    assert best == everything[:2]


@pytest.mark.requires("rerank", "semantics")
def test_the_document_that_answers_is_first(http: httpx.Client) -> None:
    """The reranker ranks by meaning."""
    ranking = ok(http.post("/rerank", json={"query": "Where do I park my car?", "documents": TEXTS}))["ranked"]

    assert ranking[0]["doc"] == TEXTS[2]


@pytest.mark.requires("config")
def test_config_is_the_same_under_both_names(http: httpx.Client) -> None:
    """`/config` has the fields of `/v1/config`. Only the memory in use may differ."""
    config, v1_config = ok(http.get("/config")), ok(http.get("/v1/config"))

    assert config | {"memory_usage_mb": 0} == v1_config | {"memory_usage_mb": 0}
