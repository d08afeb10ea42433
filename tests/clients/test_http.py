"""The HTTP requests of clients without a library: n8n, Dify, Open WebUI, and users of embed-only services."""

from __future__ import annotations

from typing import Any

import pytest
import requests

from tests.clients.answers import BEST_FIRST, DOCUMENTS, QUERY, Golden, assert_ranking, assert_same

TIMEOUT_S = 60


def post(url: str, body: dict[str, Any], **headers: str) -> Any:
    """Return the JSON of an answer. Fails unless its status is 200."""
    response = requests.post(url, json=body, headers=headers, timeout=TIMEOUT_S)
    assert response.status_code == 200, response.text
    return response.json()


def test_n8n_embeds(url: str, golden: Golden) -> None:
    """`POST /embed` of the RAG NLP engine answers with vectors, the model, its dimensions and the time in ms."""
    answer = post(f"{url}/embed", {"texts": golden.texts, "model": golden.model, "normalize": True})

    assert_same(answer["embeddings"], golden.vectors)
    assert (answer["model"], answer["model_dim"]) == (golden.model, 384)
    assert answer["inference_time_ms"] > 0


def test_n8n_reranks(url: str) -> None:
    """`POST /rerank` of the RAG NLP engine answers with the best `top_k` documents and their scores."""
    answer = post(
        f"{url}/rerank",
        {
            "query": QUERY,
            "documents": DOCUMENTS,
            "top_k": 2,
            "model": "late-interaction",
        },
    )

    assert [item["doc"] for item in answer["ranked"]] == [DOCUMENTS[place] for place in BEST_FIRST[:2]]
    assert_ranking(BEST_FIRST[:2], [item["score"] for item in answer["ranked"]], top=2)
    assert answer["inference_time_ms"] > 0


def test_n8n_asks_for_the_configuration(url: str, golden: Golden) -> None:
    """`GET /config` of the RAG NLP engine lists every model with its dimensions and its measured time."""
    answer = requests.get(f"{url}/config", timeout=TIMEOUT_S).json()
    [model] = [model for model in answer["embedding_models"] if model["name"] == golden.model]

    assert answer["status"] == "healthy"
    assert model["dimensions"] == 384
    assert model["inference_time_ms"] > 0
    assert "late-interaction" in [model["name"] for model in answer["reranker_models"]]
    assert answer["memory_usage_mb"] > 0
    assert isinstance(answer["gpu_available"], bool)


def test_an_embed_only_service(url: str, golden: Golden) -> None:
    """`POST /embed` with `texts` alone answers with vectors of unit length."""
    assert_same(post(f"{url}/embed", {"texts": golden.texts})["embeddings"], golden.vectors)


def test_dify_omits_the_model(url: str, golden: Golden) -> None:
    """Without `model` the default model answers, and the answer names it."""
    answer = post(f"{url}/v1/embeddings", {"input": golden.texts, "encoding_format": "float"})

    assert answer["model"] == golden.model
    assert_same([item["embedding"] for item in answer["data"]], golden.vectors)


@pytest.mark.parametrize("path", ["/v1/rerank", "/rerank"])
def test_dify_and_open_webui_rerank(url: str, path: str) -> None:
    """Jina's shape without a model gives `results` with `index`, `relevance_score` and the document's text."""
    answer = post(f"{url}{path}", {"query": QUERY, "documents": DOCUMENTS, "top_n": 3, "return_documents": True})

    assert_ranking(
        [result["index"] for result in answer["results"]],
        [result["relevance_score"] for result in answer["results"]],
    )
    assert [result["document"]["text"] for result in answer["results"]] == [DOCUMENTS[place] for place in BEST_FIRST]


@pytest.mark.parametrize("authorization", ["Bearer ", "Bearer", ""])
def test_open_webui_sends_an_empty_key(url: str, golden: Golden, authorization: str) -> None:
    """A gateway without keys accepts an empty key."""
    answer = post(
        f"{url}/v1/embeddings",
        {"input": golden.texts[:1], "model": golden.model},
        Authorization=authorization,
    )

    assert_same([item["embedding"] for item in answer["data"]], golden.vectors[:1])


def test_fields_of_their_own_do_no_harm(url: str) -> None:
    """The gateway ignores Open WebUI's `user` and the options of Jina's clients that it does not have."""
    extras = {"user": {"id": "u-1", "name": "someone"}, "max_chunks_per_doc": 4, "rank_fields": None}

    answer = post(f"{url}/v1/rerank", {"query": QUERY, "documents": DOCUMENTS, "model": "late-interaction"} | extras)

    assert [result["index"] for result in answer["results"]] == BEST_FIRST
