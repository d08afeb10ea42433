"""The options of `POST /v1/embeddings`, tested by their effect on the vector."""

from __future__ import annotations

import re
import struct
from typing import Any

import httpx
import pytest

from tests.contract.client import (
    assert_error,
    cosine,
    decode_floats,
    embed,
    embed_text,
    embed_texts,
    make_unique,
    norm,
)

pytestmark = pytest.mark.requires("embeddings")

SAME = 0.99999
FIRST, LAST = "apple " * 400, "zebra " * 400


def round_to_float32(numbers: list[float]) -> list[float]:
    """Round each number to the nearest float32."""
    return [struct.unpack("<f", struct.pack("<f", number))[0] for number in numbers]


def test_base64_is_little_endian_float32(http: httpx.Client) -> None:
    """Both encodings have the same numbers, to the last bit of a float32."""
    texts = ["one and the same", "and another"]

    encoded = embed(http, texts, encoding_format="base64")["data"]
    plain = embed_texts(http, texts, encoding_format="float")

    for item, numbers in zip(encoded, plain, strict=True):
        assert isinstance(item["embedding"], str)
        assert decode_floats(item["embedding"]) == pytest.approx(round_to_float32(numbers), abs=2e-7)


def test_dimensions_truncates_and_renormalises(http: httpx.Client) -> None:
    """`dimensions` keeps the first numbers and scales the vector to length 1."""
    full = embed_text(http, "matryoshka")

    for dimensions in (1, 64, len(full)):
        short = embed_text(http, "matryoshka", dimensions=dimensions)
        assert len(short) == dimensions
        assert norm(short) == pytest.approx(1.0, abs=1e-5)
        assert cosine(short, full[:dimensions]) > SAME


def test_dimensions_in_base64(http: httpx.Client) -> None:
    """base64 with `dimensions` has four bytes per dimension."""
    [item] = embed(http, "matryoshka", dimensions=64, encoding_format="base64")["data"]

    assert len(decode_floats(item["embedding"])) == 64


@pytest.mark.requires("models")
def test_more_dimensions_than_the_model_has_are_refused(http: httpx.Client, model: dict[str, Any]) -> None:
    """The error names the option and the dimensions of the model."""
    body = {"input": "too wide", "dimensions": model["dimensions"] + 1}

    error = assert_error(http.post("/v1/embeddings", json=body), 400, "invalid_value")

    assert error["param"] == "dimensions"
    assert str(model["dimensions"]) in error["message"]


def test_normalize_false_keeps_the_direction(http: httpx.Client) -> None:
    """The raw vector has the direction of the unit vector."""
    assert cosine(embed_text(http, "raw", normalize=False), embed_text(http, "raw", normalize=True)) > SAME


@pytest.mark.requires("semantics")
def test_normalize_false_keeps_the_length(http: httpx.Client) -> None:
    """The raw vector of a pooled model is not of unit length."""
    assert abs(norm(embed_text(http, "raw", normalize=False)) - 1.0) > 0.01


def test_normalize_false_with_dimensions_only_cuts(http: httpx.Client) -> None:
    """Without normalisation, `dimensions` keeps the first numbers as they are."""
    full = embed_text(http, "raw", normalize=False)

    assert embed_text(http, "raw", normalize=False, dimensions=32) == pytest.approx(full[:32], abs=1e-5)


@pytest.mark.parametrize(("option", "kept_text"), [("END", FIRST), ("START", LAST)])
def test_truncate_says_which_end_is_cut(http: httpx.Client, option: str, kept_text: str) -> None:
    """END cuts off the end of a long text, START its beginning."""
    vector = embed_text(http, FIRST + LAST, truncate=option)

    assert cosine(vector, embed_text(http, kept_text)) > SAME


def test_truncate_end_is_the_default(http: httpx.Client) -> None:
    """Without `truncate` a long text is cut at its end."""
    assert cosine(embed_text(http, FIRST + LAST), embed_text(http, FIRST + LAST, truncate="END")) > SAME


@pytest.mark.requires("models")
def test_truncated_text_costs_what_the_model_reads(http: httpx.Client, model: dict[str, Any]) -> None:
    """`usage` counts the tokens that the model reads, never more than its limit."""
    answer = embed(http, "word " * 10_000)

    assert answer["usage"]["prompt_tokens"] == model["max_input_tokens"]


@pytest.mark.requires("models")
@pytest.mark.parametrize("place", [0, 2])
def test_truncate_none_refuses_what_is_too_long(http: httpx.Client, model: dict[str, Any], place: int) -> None:
    """The error names the input, its number of tokens, and the model's limit."""
    texts = ["short", "shorter", "short again"]
    texts[place] = "word " * 1000

    response = http.post("/v1/embeddings", json={"input": texts, "truncate": "NONE"})

    error = assert_error(response, 400, "context_length_exceeded")
    assert error["param"] == f"input.{place}"
    # The message may count the two special tokens or leave them out.
    numbers = {int(number) for number in re.findall(r"\d+", error["message"])}
    assert numbers & {1000, 1002}
    assert numbers & {model["max_input_tokens"], model["max_input_tokens"] - 2}


def test_truncate_none_lets_a_text_that_fits_through(http: httpx.Client) -> None:
    """NONE changes nothing for a text that is short enough."""
    assert cosine(embed_text(http, "it fits", truncate="NONE"), embed_text(http, "it fits")) > SAME


@pytest.mark.parametrize("option", ["END", "START", "NONE"])
def test_truncate_holds_for_the_longest_text_that_fits(http: httpx.Client, option: str) -> None:
    """A text of exactly the limit, 254 one-token words and two special tokens, is neither cut nor refused."""
    text = "word " * 254

    assert cosine(embed_text(http, text, truncate=option), embed_text(http, text)) > SAME


@pytest.mark.parametrize("prompt", ["query", "document"])
def test_prompt_names_are_accepted(http: httpx.Client, prompt: str) -> None:
    """Every model accepts the prompt names `query` and `document`, also if it has no such prompts."""
    vector = embed_text(http, make_unique("what is asked"), prompt_name=prompt)

    assert norm(vector) == pytest.approx(1.0, abs=1e-5)


@pytest.mark.requires("token_ids")
def test_token_ids_are_one_input(http: httpx.Client) -> None:
    """A flat list of integers is the tokens of one text, and gets one embedding."""
    assert len(embed_texts(http, [7592, 2088])) == 1


@pytest.mark.requires("token_ids")
def test_lists_of_token_ids_are_many_inputs(http: httpx.Client) -> None:
    """A list of lists of integers is many texts. Each gets the vector that its tokens get alone."""
    batch = [[7592, 2088], [2129], [1037, 2936, 2093, 6251, 7099]]

    vectors = embed_texts(http, batch)

    for tokens, vector in zip(batch, vectors, strict=True):
        assert cosine(vector, embed_texts(http, tokens)[0]) > SAME


@pytest.mark.requires("token_ids")
def test_token_ids_are_truncated_like_text(http: httpx.Client) -> None:
    """Token ids above the model's limit are cut at the end, and refused with NONE."""
    tokens = [7592] * 300 + [2088] * 300

    assert cosine(embed_texts(http, tokens)[0], embed_texts(http, tokens[:300])[0]) > SAME
    response = http.post("/v1/embeddings", json={"input": tokens, "truncate": "NONE"})
    assert assert_error(response, 400, "context_length_exceeded")["param"] == "input"
