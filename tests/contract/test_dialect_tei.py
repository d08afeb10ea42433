"""The dialect of Text Embeddings Inference (TEI)."""

from __future__ import annotations

from typing import Any

import httpx
import pytest

from tests.contract.client import Json, cosine, embed_text, embed_texts, norm, ok

pytestmark = pytest.mark.requires("dialects")

SAME = 0.99999
TEXTS = ["What is Deep Learning?", "a second text, somewhat longer than the first"]
FIRST, LAST = "apple " * 400, "zebra " * 400


def post_list(http: httpx.Client, path: str, **body: Any) -> list[Any]:
    """Return an answer that is a bare list."""
    response = http.post(path, json=body)
    assert response.status_code == 200, response.text[:2000]
    items = response.json()
    assert isinstance(items, list)
    return items


@pytest.mark.parametrize("path", ["/embed", "/"])
def test_embed_is_a_bare_list(http: httpx.Client, path: str) -> None:
    """Both paths answer one text or many with the unit vectors of `/v1/embeddings`."""
    batch = post_list(http, path, inputs=TEXTS)
    [single] = post_list(http, path, inputs=TEXTS[0])

    assert cosine(single, batch[0]) > SAME
    for vector, expected in zip(batch, embed_texts(http, TEXTS), strict=True):
        assert cosine(vector, expected) > SAME
        assert norm(vector) == pytest.approx(1.0, abs=1e-5)


@pytest.mark.requires("token_ids")
def test_token_ids_are_taken(http: httpx.Client) -> None:
    """A flat list of ids is one input, as it is in TEI."""
    [vector] = post_list(http, "/embed", inputs=[7592, 2088])

    assert cosine(vector, embed_texts(http, [[7592, 2088]])[0]) > SAME


def test_normalize_false_keeps_the_direction(http: httpx.Client) -> None:
    """`normalize` changes only the length of a vector."""
    [raw] = post_list(http, "/embed", inputs=TEXTS[0], normalize=False)

    assert cosine(raw, embed_text(http, TEXTS[0])) > SAME
    assert raw == pytest.approx(embed_text(http, TEXTS[0], normalize=False), abs=1e-4)


def test_dimensions_shorten(http: httpx.Client) -> None:
    """`dimensions` keeps the first dimensions and scales the vector to unit length."""
    [short] = post_list(http, "/embed", inputs=TEXTS[0], dimensions=64)

    assert len(short) == 64
    assert norm(short) == pytest.approx(1.0, abs=1e-5)
    assert cosine(short, embed_text(http, TEXTS[0])[:64]) > SAME


@pytest.mark.parametrize(
    ("options", "kept_text"),
    [
        ({}, FIRST),
        ({"truncate": True}, FIRST),
        ({"truncate": True, "truncation_direction": "Right"}, FIRST),
        ({"truncate": True, "truncation_direction": "Left"}, LAST),
        ({"truncation_direction": "left"}, LAST),
    ],
    ids=["default", "truncate", "Right", "Left", "left"],
)
def test_a_long_text_is_cut(http: httpx.Client, options: Json, kept_text: str) -> None:
    """A long text is cut by default, as `/info` says. `truncation_direction` is the end that is cut off."""
    [vector] = post_list(http, "/embed", inputs=FIRST + LAST, **options)

    assert cosine(vector, embed_text(http, kept_text)) > SAME


def test_truncate_false_lets_through_what_fits(http: httpx.Client) -> None:
    """A text that is short enough is embedded."""
    assert cosine(post_list(http, "/embed", inputs=TEXTS[0], truncate=False)[0], embed_text(http, TEXTS[0])) > SAME


def test_nulls_are_options_not_given(http: httpx.Client) -> None:
    """Hugging Face's client spells out every option."""
    options = {"truncate": None, "truncation_direction": None, "prompt_name": None, "normalize": None}

    assert cosine(post_list(http, "/embed", inputs=TEXTS[0], **options)[0], embed_text(http, TEXTS[0])) > SAME


def test_headers_tell_the_cost(http: httpx.Client) -> None:
    """The headers have characters, tokens and milliseconds as whole numbers."""
    headers = http.post("/embed", json={"inputs": TEXTS}).headers

    assert int(headers["x-compute-characters"]) == sum(map(len, TEXTS))
    assert int(headers["x-compute-tokens"]) > 0
    for part in ("compute-time", "total-time", "tokenization-time", "queue-time", "inference-time"):
        assert int(headers[f"x-{part}"]) >= 0


def test_embed_all_has_a_vector_per_token(http: httpx.Client) -> None:
    """`/embed_all` has one vector for each token of `/tokenize`, special tokens included."""
    token_vectors = post_list(http, "/embed_all", inputs=TEXTS)

    tokens = post_list(http, "/tokenize", inputs=TEXTS)
    assert [len(vectors) for vectors in token_vectors] == [len(of_text) for of_text in tokens]
    size = len(embed_text(http, TEXTS[0]))
    assert all(len(vector) == size for vectors in token_vectors for vector in vectors)
    [alone] = post_list(http, "/embed_all", inputs=TEXTS[0])
    assert all(cosine(vector, reference) > SAME for vector, reference in zip(alone, token_vectors[0], strict=True))


@pytest.mark.requires("golden")
def test_embed_all_is_what_is_pooled(http: httpx.Client) -> None:
    """The mean of MiniLM's token vectors has the direction of its embedding."""
    [token_vectors] = post_list(http, "/embed_all", inputs=TEXTS[0], model="all-MiniLM-L6-v2")

    total = [sum(numbers) for numbers in zip(*token_vectors, strict=True)]

    assert cosine(total, embed_text(http, TEXTS[0], model="all-MiniLM-L6-v2")) > SAME


@pytest.mark.requires("sparse")
@pytest.mark.parametrize(("options", "kind"), [({}, "document"), ({"prompt_name": "query"}, "query")])
def test_embed_sparse_is_a_list_of_pairs(http: httpx.Client, options: Json, kind: str) -> None:
    """The answer is `[[{"index", "value"}]]` with the weights of `/v1/embed_sparse`."""
    rows = post_list(http, "/embed_sparse", inputs=TEXTS, **options)

    v1_data = ok(http.post("/v1/embed_sparse", json={"input": TEXTS, "input_type": kind}))["data"]
    assert [[pair["index"] for pair in row] for row in rows] == [item["embedding"]["indices"] for item in v1_data]
    for row, item in zip(rows, v1_data, strict=True):
        assert [pair["value"] for pair in row] == pytest.approx(item["embedding"]["values"], rel=1e-4)


def test_tokens_know_their_characters(http: httpx.Client) -> None:
    """
    A token has an id, a text, and the offsets of its characters.

    A special token has no offsets, and `add_special_tokens: false` leaves it out.
    """
    text = "Deep learning, h\u00e9!"
    [tokens] = post_list(http, "/tokenize", inputs=text)

    assert all(set(token) == {"id", "text", "special", "start", "stop"} for token in tokens)
    plain = [token for token in tokens if not token["special"]]
    assert "".join(text[token["start"] : token["stop"]] for token in plain) == text.replace(" ", "")
    assert all(token["start"] is token["stop"] is None for token in tokens if token["special"])
    assert post_list(http, "/tokenize", inputs=[text], add_special_tokens=False) == [plain]


@pytest.mark.requires("rerank")
def test_rerank_tells_index_and_score(http: httpx.Client) -> None:
    """Rerank answers with scores from 0 to 1, best first. Only `return_text` adds the texts."""
    body: Json = {"query": "Deep Learning", "texts": [TEXTS[1], TEXTS[0], "cheese"]}

    ranks = post_list(http, "/rerank", **body)

    assert sorted(rank["index"] for rank in ranks) == [0, 1, 2]
    assert all(set(rank) == {"index", "score"} for rank in ranks)
    scores = [rank["score"] for rank in ranks]
    assert scores == sorted(scores, reverse=True)
    assert all(0 <= score <= 1 for score in scores)
    assert ranks[0]["index"] == 1
    ranks_with_text = post_list(http, "/rerank", **body, return_text=True)
    assert all(rank["text"] == body["texts"][rank["index"]] for rank in ranks_with_text)


@pytest.mark.requires("rerank")
def test_raw_scores_rank_alike(http: httpx.Client) -> None:
    """`raw_scores` gives the scores of the model, as `/v1/rerank` does, in the same order."""
    texts = [*TEXTS, "cheese"]

    raw = post_list(http, "/rerank", query="Deep Learning", texts=texts, raw_scores=True)

    v1_results = ok(http.post("/v1/rerank", json={"query": "Deep Learning", "documents": texts, "raw_scores": True}))[
        "results"
    ]
    assert [rank["index"] for rank in raw] == [result["index"] for result in v1_results]
    assert [rank["score"] for rank in raw] == pytest.approx(
        [result["relevance_score"] for result in v1_results], abs=1e-4
    )


@pytest.mark.requires("models")
def test_info_tells_the_model_and_the_limits(http: httpx.Client, model: Json) -> None:
    """`/info` has the default model, its longest input, and the longest list."""
    info = ok(http.get("/info"))

    assert info["model_id"] == model["id"]
    assert info["max_input_length"] == model["max_input_tokens"]
    assert info["auto_truncate"] is True
    assert len(post_list(http, "/embed", inputs=["x"] * min(info["max_client_batch_size"], 64))) == 64
    assert "embedding" in info["model_type"]
