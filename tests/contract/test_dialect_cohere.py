"""Cohere's `/v2/embed` and `/v2/rerank`, and the `/v1/embed` of its older client."""

from __future__ import annotations

from typing import Any

import httpx
import pytest

from tests.contract.client import Json, cosine, decode_floats, embed_texts, norm, ok

pytestmark = pytest.mark.requires("dialects")

SAME = 0.99999
TEXTS = ["a cat sat down", "interest rates rose again this quarter"]


def embed(http: httpx.Client, path: str = "/v2/embed", **fields: Any) -> Json:
    """Return the whole answer of an embed request, for TEXTS or the field `inputs`."""
    texts = {} if "inputs" in fields else {"texts": TEXTS}
    return ok(http.post(path, json=texts | {"input_type": "search_document"} | fields))


def get_embeddings(http: httpx.Client, name: str) -> list[Any]:
    """Return the embeddings of TEXTS in one type."""
    embeddings = embed(http, embedding_types=[name])["embeddings"]
    assert set(embeddings) == {name}
    vectors: list[Any] = embeddings[name]
    assert len(vectors) == len(TEXTS)
    return vectors


def test_floats_are_the_default(http: httpx.Client) -> None:
    """`embeddings.float` has the unit vectors of `/v1/embeddings`. The answer has the texts and counts tokens."""
    answer = embed(http)

    assert answer["id"]
    assert answer["texts"] == TEXTS
    assert answer["response_type"] == "embeddings_by_type"
    assert answer["meta"]["api_version"]["version"] == "2"
    assert answer["meta"]["billed_units"]["input_tokens"] > 0
    assert set(answer["embeddings"]) == {"float"}
    for vector, expected in zip(answer["embeddings"]["float"], embed_texts(http, TEXTS), strict=True):
        assert cosine(vector, expected) > SAME
        assert norm(vector) == pytest.approx(1.0, abs=1e-5)


def test_every_answer_has_its_own_id(http: httpx.Client) -> None:
    """No two answers share an id."""
    assert embed(http)["id"] != embed(http)["id"]


def test_base64_is_little_endian_float32(http: httpx.Client) -> None:
    """base64 encodes the floats as little-endian float32."""
    for encoded, expected in zip(get_embeddings(http, "base64"), get_embeddings(http, "float"), strict=True):
        assert decode_floats(encoded) == pytest.approx(expected, abs=2e-7)


def test_int8_keeps_the_direction(http: httpx.Client) -> None:
    """int8 has integers up to 127 in absolute value. Their cosine to the floats is near 1."""
    for vector, expected in zip(get_embeddings(http, "int8"), get_embeddings(http, "float"), strict=True):
        assert all(isinstance(number, int) for number in vector)
        assert max(map(abs, vector)) == 127
        assert cosine(vector, expected) > 0.999


def test_ubinary_packs_the_signs(http: httpx.Client) -> None:
    """ubinary has one bit per dimension, highest bit first. A bit is set if the number is positive."""
    for row, expected in zip(get_embeddings(http, "ubinary"), get_embeddings(http, "float"), strict=True):
        bits = "".join(f"{byte:08b}" for byte in row)
        assert [bit == "1" for bit in bits[: len(expected)]] == [number > 0 for number in expected]


def test_binary_is_ubinary_shifted(http: httpx.Client) -> None:
    """binary has signed bytes, 128 less than the bytes of ubinary."""
    unsigned = get_embeddings(http, "ubinary")

    assert get_embeddings(http, "binary") == [[byte - 128 for byte in row] for row in unsigned]


def test_several_types_at_once(http: httpx.Client) -> None:
    """The answer has the requested types and no other."""
    answer = embed(http, embedding_types=["float", "int8", "base64"])

    assert set(answer["embeddings"]) == {"float", "int8", "base64"}


def test_inputs_are_embedded_as_texts_are(http: httpx.Client) -> None:
    """`inputs` with text content get the vectors of `texts`."""
    inputs = [{"content": [{"type": "text", "text": text}]} for text in TEXTS]

    for vector, expected in zip(
        embed(http, inputs=inputs)["embeddings"]["float"], embed(http)["embeddings"]["float"], strict=True
    ):
        assert cosine(vector, expected) > SAME


@pytest.mark.parametrize("input_type", ["search_document", "search_query", "classification", "clustering", None])
def test_every_input_type_is_taken(http: httpx.Client, input_type: str | None) -> None:
    """An input type for which the model has no prompt changes nothing."""
    [first, second] = embed(http, input_type=input_type)["embeddings"]["float"]

    assert cosine(first, second) < 0.999


def test_output_dimension_shortens(http: httpx.Client) -> None:
    """`output_dimension` keeps the first dimensions and scales the vector to unit length."""
    for short, full in zip(
        embed(http, output_dimension=64)["embeddings"]["float"], embed(http)["embeddings"]["float"], strict=True
    ):
        assert len(short) == 64
        assert norm(short) == pytest.approx(1.0, abs=1e-5)
        assert cosine(short, full[:64]) > SAME


def test_v1_gives_bare_vectors(http: httpx.Client) -> None:
    """`/v1/embed` answers with `embeddings` as a list, unless the request names types."""
    plain_answer = embed(http, "/v1/embed")
    typed_answer = embed(http, "/v1/embed", embedding_types=["int8"])

    assert plain_answer["response_type"] == "embeddings_floats"
    for vector, expected in zip(plain_answer["embeddings"], embed_texts(http, TEXTS), strict=True):
        assert cosine(vector, expected) > SAME
    assert typed_answer["response_type"] == "embeddings_by_type"
    assert set(typed_answer["embeddings"]) == {"int8"}


@pytest.mark.requires("rerank")
def test_rerank_tells_places_and_scores(http: httpx.Client) -> None:
    """
    Rerank answers with places and scores from 0 to 1, best first, and cuts them at `top_n`.

    Only `return_documents` adds the documents.
    """
    body = {"query": "interest rates", "documents": [*TEXTS, "the weather is mild"]}

    answer = ok(http.post("/v2/rerank", json=body))

    assert answer["id"]
    assert answer["meta"]["billed_units"]["search_units"] == 1
    results = answer["results"]
    assert sorted(result["index"] for result in results) == [0, 1, 2]
    assert all(set(result) == {"index", "relevance_score"} for result in results)
    scores = [result["relevance_score"] for result in results]
    assert scores == sorted(scores, reverse=True)
    assert all(0 <= score <= 1 for score in scores)
    assert results[0]["index"] == 1
    assert ok(http.post("/v2/rerank", json=body | {"top_n": 2}))["results"] == results[:2]
    [best, *_] = ok(http.post("/v2/rerank", json=body | {"return_documents": True}))["results"]
    assert best["document"] == {"text": TEXTS[1]}
