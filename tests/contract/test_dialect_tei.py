"""Text Embeddings Inference: what its clients send, and what they read."""

from __future__ import annotations

from typing import Any

import httpx
import pytest

from tests.contract.wire import Json, cosine, norm, ok, vector, vectors

pytestmark = pytest.mark.requires("dialects")

SAME = 0.99999
TEXTS = ["What is Deep Learning?", "a second text, somewhat longer than the first"]
FIRST, LAST = "apple " * 400, "zebra " * 400


def post(http: httpx.Client, path: str, **body: Any) -> list[Any]:
    """Return an answer that is a bare list."""
    response = http.post(path, json=body)
    assert response.status_code == 200, response.text[:2000]
    found = response.json()
    assert isinstance(found, list)
    return found


@pytest.mark.parametrize("path", ["/embed", "/"])
def test_embed_is_a_bare_list(http: httpx.Client, path: str) -> None:
    """One text or many, on both paths: unit vectors, those of `/v1/embeddings`."""
    many = post(http, path, inputs=TEXTS)
    [one] = post(http, path, inputs=TEXTS[0])

    assert cosine(one, many[0]) > SAME
    for found, expected in zip(many, vectors(http, TEXTS), strict=True):
        assert cosine(found, expected) > SAME
        assert norm(found) == pytest.approx(1.0, abs=1e-5)


def test_token_ids_are_taken(http: httpx.Client) -> None:
    """A flat list of ids is one input, as it is in TEI."""
    [found] = post(http, "/embed", inputs=[7592, 2088])

    assert cosine(found, vectors(http, [[7592, 2088]])[0]) > SAME


def test_normalize_false_keeps_the_direction(http: httpx.Client) -> None:
    """`normalize` decides on the length alone."""
    [raw] = post(http, "/embed", inputs=TEXTS[0], normalize=False)

    assert cosine(raw, vector(http, TEXTS[0])) > SAME
    assert raw == pytest.approx(vector(http, TEXTS[0], normalize=False), abs=1e-4)


def test_dimensions_shorten(http: httpx.Client) -> None:
    """The first dimensions, at unit length again."""
    [short] = post(http, "/embed", inputs=TEXTS[0], dimensions=64)

    assert len(short) == 64
    assert norm(short) == pytest.approx(1.0, abs=1e-5)
    assert cosine(short, vector(http, TEXTS[0])[:64]) > SAME


@pytest.mark.parametrize(
    ("options", "kept"),
    [
        ({}, FIRST),
        ({"truncate": True}, FIRST),
        ({"truncate": True, "truncation_direction": "Right"}, FIRST),
        ({"truncate": True, "truncation_direction": "Left"}, LAST),
        ({"truncation_direction": "left"}, LAST),
    ],
    ids=["default", "truncate", "Right", "Left", "left"],
)
def test_a_long_text_is_cut(http: httpx.Client, options: Json, kept: str) -> None:
    """Cutting is the default, as `/info` says; the direction is the end that goes."""
    [found] = post(http, "/embed", inputs=FIRST + LAST, **options)

    assert cosine(found, vector(http, kept)) > SAME


def test_truncate_false_lets_through_what_fits(http: httpx.Client) -> None:
    """A text that is short enough is embedded."""
    assert cosine(post(http, "/embed", inputs=TEXTS[0], truncate=False)[0], vector(http, TEXTS[0])) > SAME


def test_nulls_are_options_not_given(http: httpx.Client) -> None:
    """Hugging Face's client spells out every option."""
    options = {"truncate": None, "truncation_direction": None, "prompt_name": None, "normalize": None}

    assert cosine(post(http, "/embed", inputs=TEXTS[0], **options)[0], vector(http, TEXTS[0])) > SAME


def test_headers_tell_the_cost(http: httpx.Client) -> None:
    """Characters, tokens and milliseconds, as whole numbers."""
    headers = http.post("/embed", json={"inputs": TEXTS}).headers

    assert int(headers["x-compute-characters"]) == sum(map(len, TEXTS))
    assert int(headers["x-compute-tokens"]) > 0
    for part in ("compute-time", "total-time", "tokenization-time", "queue-time", "inference-time"):
        assert int(headers[f"x-{part}"]) >= 0


def test_embed_all_has_a_vector_per_token(http: httpx.Client) -> None:
    """As many vectors as `/tokenize` has tokens, special ones included, each of the model's dimensions."""
    found = post(http, "/embed_all", inputs=TEXTS)

    tokens = post(http, "/tokenize", inputs=TEXTS)
    assert [len(vectors) for vectors in found] == [len(of_text) for of_text in tokens]
    size = len(vector(http, TEXTS[0]))
    assert all(len(one) == size for vectors in found for one in vectors)
    [alone] = post(http, "/embed_all", inputs=TEXTS[0])
    assert all(cosine(one, other) > SAME for one, other in zip(alone, found[0], strict=True))


@pytest.mark.requires("golden")
def test_embed_all_is_what_is_pooled(http: httpx.Client) -> None:
    """The mean of MiniLM's token vectors points where its embedding points."""
    [found] = post(http, "/embed_all", inputs=TEXTS[0], model="all-MiniLM-L6-v2")

    total = [sum(numbers) for numbers in zip(*found, strict=True)]

    assert cosine(total, vector(http, TEXTS[0], model="all-MiniLM-L6-v2")) > SAME


@pytest.mark.requires("sparse")
@pytest.mark.parametrize(("options", "kind"), [({}, "document"), ({"prompt_name": "query"}, "query")])
def test_embed_sparse_is_a_list_of_pairs(http: httpx.Client, options: Json, kind: str) -> None:
    """`[[{"index", "value"}]]`, the same weights as those of `/v1/embed_sparse`."""
    found = post(http, "/embed_sparse", inputs=TEXTS, **options)

    own = ok(http.post("/v1/embed_sparse", json={"input": TEXTS, "input_type": kind}))["data"]
    assert [[pair["index"] for pair in row] for row in found] == [item["embedding"]["indices"] for item in own]
    for row, item in zip(found, own, strict=True):
        assert [pair["value"] for pair in row] == pytest.approx(item["embedding"]["values"], rel=1e-4)


def test_tokens_know_their_characters(http: httpx.Client) -> None:
    """Each token is its id, its text, and where it stands; a special one stands nowhere and can be left out."""
    text = "Deep learning, h\u00e9!"
    [tokens] = post(http, "/tokenize", inputs=text)

    assert all(set(token) == {"id", "text", "special", "start", "stop"} for token in tokens)
    plain = [token for token in tokens if not token["special"]]
    assert "".join(text[token["start"] : token["stop"]] for token in plain) == text.replace(" ", "")
    assert all(token["start"] is token["stop"] is None for token in tokens if token["special"])
    assert post(http, "/tokenize", inputs=[text], add_special_tokens=False) == [plain]


@pytest.mark.requires("rerank")
def test_rerank_tells_index_and_score(http: httpx.Client) -> None:
    """Best first, from 0 to 1; the texts only when they are asked for."""
    body: Json = {"query": "Deep Learning", "texts": [TEXTS[1], TEXTS[0], "cheese"]}

    ranks = post(http, "/rerank", **body)

    assert sorted(rank["index"] for rank in ranks) == [0, 1, 2]
    assert all(set(rank) == {"index", "score"} for rank in ranks)
    scores = [rank["score"] for rank in ranks]
    assert scores == sorted(scores, reverse=True)
    assert all(0 <= score <= 1 for score in scores)
    assert ranks[0]["index"] == 1
    shown = post(http, "/rerank", **body, return_text=True)
    assert all(rank["text"] == body["texts"][rank["index"]] for rank in shown)


@pytest.mark.requires("rerank")
def test_raw_scores_rank_alike(http: httpx.Client) -> None:
    """`raw_scores` are the model's own numbers, as `/v1/rerank` gives them, in the same order."""
    texts = [*TEXTS, "cheese"]

    raw = post(http, "/rerank", query="Deep Learning", texts=texts, raw_scores=True)

    own = ok(http.post("/v1/rerank", json={"query": "Deep Learning", "documents": texts, "raw_scores": True}))[
        "results"
    ]
    assert [rank["index"] for rank in raw] == [result["index"] for result in own]
    assert [rank["score"] for rank in raw] == pytest.approx([result["relevance_score"] for result in own], abs=1e-4)


@pytest.mark.requires("models")
def test_info_tells_the_model_and_the_limits(http: httpx.Client, model: Json) -> None:
    """`/info` names the default model, its longest input, and the longest list."""
    info = ok(http.get("/info"))

    assert info["model_id"] == model["id"]
    assert info["max_input_length"] == model["max_input_tokens"]
    assert info["auto_truncate"] is True
    assert len(post(http, "/embed", inputs=["x"] * min(info["max_client_batch_size"], 64))) == 64
    assert "embedding" in info["model_type"]
