"""`POST /v1/embeddings`: inputs, answers and concurrent clients."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import pytest

from tests.contract.client import cosine, embed, embed_text, embed_texts, make_unique, norm

pytestmark = pytest.mark.requires("embeddings")

SAME = 0.99999


def test_one_text_gives_one_embedding(http: httpx.Client) -> None:
    """A string gets OpenAI's list with one entry, with all of its fields."""
    answer = embed(http, "How do I renew a passport?")

    assert set(answer) == {"object", "data", "model", "usage"}
    assert answer["object"] == "list"
    [item] = answer["data"]
    assert set(item) == {"object", "index", "embedding"}
    assert item["object"] == "embedding"
    assert item["index"] == 0
    assert all(isinstance(number, float) for number in item["embedding"])


def test_a_list_keeps_its_order(http: httpx.Client) -> None:
    """The i-th embedding belongs to the i-th text, for texts of any length."""
    texts = ["short", "a text that is quite a bit longer than the first one " * 8, "of middling length, say"]

    together = embed_texts(http, texts)

    for text, vector in zip(texts, together, strict=True):
        assert cosine(embed_text(http, text), vector) > SAME


def test_vectors_have_unit_length(http: httpx.Client) -> None:
    """Vectors are L2-normalised by default."""
    for vector in embed_texts(http, ["one", "two words", "and a third text of seven words"]):
        assert norm(vector) == pytest.approx(1.0, abs=1e-5)


@pytest.mark.requires("models")
def test_vectors_have_the_dimensions_the_model_declares(http: httpx.Client, model: dict[str, Any]) -> None:
    """The vectors have the `dimensions` that `/v1/models` declares."""
    assert len(embed_text(http, "how long is this vector?")) == model["dimensions"]


def test_different_texts_differ(http: httpx.Client) -> None:
    """No two of these texts share a vector."""
    vectors = embed_texts(http, ["a cat sat down", "interest rates rose", "photosynthesis", "the cat sat"])

    for index, vector in enumerate(vectors):
        assert all(cosine(vector, later_vector) < 0.999 for later_vector in vectors[index + 1 :])


def test_the_same_text_gives_the_same_vector_in_any_company(http: httpx.Client) -> None:
    """The vector of a text does not depend on the other texts of the batch."""
    text = "The Danube flows through ten countries."
    alone = embed_text(http, text)
    batches = [
        [text, "x"],
        ["a much longer neighbour, so that the text is padded " * 30, text],
        [f"{number} neighbour" * (number % 9 + 1) for number in range(63)] + [text],
    ]

    for batch in batches:
        vector = embed_texts(http, batch)[batch.index(text)]
        assert cosine(alone, vector) > SAME


def test_equal_texts_in_one_request_get_equal_vectors(http: httpx.Client) -> None:
    """A text that a request has twice gets the same vector twice."""
    first, second, third = embed_texts(http, ["twice", "once", "twice"])

    assert cosine(first, third) > SAME
    assert cosine(first, second) < 0.999


def test_the_full_list_of_2048_texts(http: httpx.Client) -> None:
    """The longest list that is allowed comes back whole and in order, although the server splits it into batches."""
    texts = [f"note {number} " + "la " * (number % 7) for number in range(2048)]

    vectors = embed_texts(http, texts)

    assert len(vectors) == 2048
    for index in (0, 1, 777, 1024, 2047):
        assert cosine(vectors[index], embed_text(http, texts[index])) > SAME


def test_concurrent_clients_get_their_own_answers(http: httpx.Client) -> None:
    """Requests that share a batch never share an answer."""
    texts = [make_unique(f"client {number} asks about") for number in range(96)]

    with ThreadPoolExecutor(32) as clients:
        answers = list(clients.map(lambda text: embed_text(http, text), texts))

    for expected, vector in zip(embed_texts(http, texts), answers, strict=True):
        assert cosine(expected, vector) > SAME


def test_usage_counts_the_tokens_of_all_texts(http: httpx.Client) -> None:
    """`usage` of a list is the sum over its texts. `prompt_tokens` equals `total_tokens`."""
    texts = ["one", "two words or more", "a third"]

    usage = embed(http, texts)["usage"]

    assert set(usage) == {"prompt_tokens", "total_tokens"}
    assert usage["prompt_tokens"] == usage["total_tokens"]
    assert usage["prompt_tokens"] == sum(embed(http, text)["usage"]["prompt_tokens"] for text in texts)


def test_more_text_costs_more_tokens(http: httpx.Client) -> None:
    """`usage` grows with the text, word by word."""
    counts = [embed(http, "word " * words)["usage"]["prompt_tokens"] for words in (1, 2, 10, 100)]

    assert counts == sorted(set(counts))


@pytest.mark.requires("models")
def test_every_name_of_the_model_is_accepted(http: httpx.Client, model: dict[str, Any]) -> None:
    """The id and each alias give the same vector, and the answer names the id."""
    expected = embed_text(http, "by any other name")

    for name in [model["id"], *model["aliases"]]:
        answer = embed(http, "by any other name", model=name)
        assert answer["model"] == model["id"]
        assert cosine(answer["data"][0]["embedding"], expected) > SAME


@pytest.mark.parametrize(
    "text",
    [
        "caf\u00e9 na\u00efve \u00fcber",
        "\U0001f680\U0001f468\u200d\U0001f469\u200d\U0001f467 emoji",
        "\u4f60\u597d\uff0c\u4e16\u754c",
        "\u05e9\u05dc\u05d5\u05dd \u0645\u0631\u062d\u0628\u0627",
        "e\u0301 combining, zero\u200bwidth",
        "bell \x07 null \x00 escape \x1b[0m",
        "tabs\tand\nnew\r\nlines",
        '"quotes" \\ and </script>',
        "x" * 5000,
        ".",
        "\u00a0a\u00a0",
    ],
    ids=[
        "accents",
        "emoji",
        "han",
        "right-to-left",
        "combining",
        "control",
        "space",
        "json",
        "long word",
        "dot",
        "nbsp",
    ],
)
def test_any_text_is_embedded(http: httpx.Client, text: str) -> None:
    """Any Unicode text gets a vector of unit length, alone or in a list."""
    alone = embed_text(http, text)

    assert norm(alone) == pytest.approx(1.0, abs=1e-5)
    assert cosine(alone, embed_texts(http, ["beside", text])[1]) > SAME


def test_fields_of_other_clients_are_ignored(http: httpx.Client) -> None:
    """Unknown fields and nulls, as OpenAI's clients send them, change nothing."""
    extras: dict[str, Any] = {
        "user": "u-1",
        "dimensions": None,
        "encoding_format": None,
        "model": None,
        "input_type": "query",
        "extra_body": {"nested": [1, 2]},
    }

    assert cosine(embed_text(http, "plain"), embed_text(http, "plain", **extras)) > SAME


def test_a_charset_in_the_content_type_is_accepted(http: httpx.Client) -> None:
    """`application/json; charset=utf-8` is JSON."""
    response = http.post(
        "/v1/embeddings",
        content=b'{"input": "plain"}',
        headers={"Content-Type": "application/json; charset=utf-8"},
    )

    assert response.status_code == 200
