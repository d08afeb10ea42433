"""`POST /v1/embeddings`: every option, held to what it must do to the vector."""

from __future__ import annotations

import re
import struct
from typing import Any

import httpx
import pytest

from tests.contract.wire import assert_error, cosine, embed, floats, norm, unique, vector, vectors

pytestmark = pytest.mark.requires("embeddings")

SAME = 0.99999
FIRST, LAST = "apple " * 400, "zebra " * 400


def float32(numbers: list[float]) -> list[float]:
    """Round each number to the nearest float32."""
    return [struct.unpack("<f", struct.pack("<f", number))[0] for number in numbers]


def test_base64_is_little_endian_float32(http: httpx.Client) -> None:
    """Both encodings carry the same numbers, to the last bit of a float32."""
    texts = ["one and the same", "and another"]

    encoded = embed(http, texts, encoding_format="base64")["data"]
    plain = vectors(http, texts, encoding_format="float")

    for item, numbers in zip(encoded, plain, strict=True):
        assert isinstance(item["embedding"], str)
        assert floats(item["embedding"]) == pytest.approx(float32(numbers), abs=2e-7)


def test_dimensions_truncates_and_renormalises(http: httpx.Client) -> None:
    """`dimensions` keeps the first numbers, then makes the length 1 again."""
    full = vector(http, "matryoshka")

    for kept in (1, 64, len(full)):
        short = vector(http, "matryoshka", dimensions=kept)
        assert len(short) == kept
        assert norm(short) == pytest.approx(1.0, abs=1e-5)
        assert cosine(short, full[:kept]) > SAME


def test_dimensions_in_base64(http: httpx.Client) -> None:
    """Both options together: four bytes a dimension."""
    [item] = embed(http, "matryoshka", dimensions=64, encoding_format="base64")["data"]

    assert len(floats(item["embedding"])) == 64


@pytest.mark.requires("models")
def test_more_dimensions_than_the_model_has_are_refused(http: httpx.Client, model: dict[str, Any]) -> None:
    """The error names the option and the model's own number."""
    body = {"input": "too wide", "dimensions": model["dimensions"] + 1}

    error = assert_error(http.post("/v1/embeddings", json=body), 400, "invalid_value")

    assert error["param"] == "dimensions"
    assert str(model["dimensions"]) in error["message"]


def test_normalize_false_keeps_the_direction(http: httpx.Client) -> None:
    """The raw vector points where the unit vector points."""
    assert cosine(vector(http, "raw", normalize=False), vector(http, "raw", normalize=True)) > SAME


@pytest.mark.requires("semantics")
def test_normalize_false_keeps_the_length(http: httpx.Client) -> None:
    """The raw vector of a pooled model is not of unit length."""
    assert abs(norm(vector(http, "raw", normalize=False)) - 1.0) > 0.01


def test_normalize_false_with_dimensions_only_cuts(http: httpx.Client) -> None:
    """Without normalisation, `dimensions` changes no number."""
    full = vector(http, "raw", normalize=False)

    assert vector(http, "raw", normalize=False, dimensions=32) == pytest.approx(full[:32], abs=1e-5)


@pytest.mark.parametrize(("option", "kept"), [("END", FIRST), ("START", LAST)])
def test_truncate_says_which_end_is_cut(http: httpx.Client, option: str, kept: str) -> None:
    """END, the default, keeps the beginning of a text that is too long; START keeps its end."""
    both = vector(http, FIRST + LAST, truncate=option)

    assert cosine(both, vector(http, kept)) > SAME


def test_truncate_end_is_the_default(http: httpx.Client) -> None:
    """A text that is too long is cut at its end unless the client says otherwise."""
    assert cosine(vector(http, FIRST + LAST), vector(http, FIRST + LAST, truncate="END")) > SAME


@pytest.mark.requires("models")
def test_truncated_text_costs_what_the_model_reads(http: httpx.Client, model: dict[str, Any]) -> None:
    """`usage` counts the tokens that reach the model: never more than it takes."""
    answer = embed(http, "word " * 10_000)

    assert answer["usage"]["prompt_tokens"] == model["max_input_tokens"]


@pytest.mark.requires("models")
@pytest.mark.parametrize("place", [0, 2])
def test_truncate_none_refuses_what_is_too_long(http: httpx.Client, model: dict[str, Any], place: int) -> None:
    """The error says which input, how many tokens it has, and how many the model takes."""
    texts = ["short", "shorter", "short again"]
    texts[place] = "word " * 1000

    response = http.post("/v1/embeddings", json={"input": texts, "truncate": "NONE"})

    error = assert_error(response, 400, "context_length_exceeded")
    assert error["param"] == f"input.{place}"
    # With or without the two special tokens: both are true.
    numbers = {int(number) for number in re.findall(r"\d+", error["message"])}
    assert numbers & {1000, 1002}
    assert numbers & {model["max_input_tokens"], model["max_input_tokens"] - 2}


def test_truncate_none_lets_a_text_that_fits_through(http: httpx.Client) -> None:
    """NONE changes nothing for a text that is short enough."""
    assert cosine(vector(http, "it fits", truncate="NONE"), vector(http, "it fits")) > SAME


@pytest.mark.parametrize("option", ["END", "START", "NONE"])
def test_truncate_holds_for_the_longest_text_that_fits(http: httpx.Client, option: str) -> None:
    """At the limit itself nothing is cut and nothing refused: 254 one-token words and two special tokens."""
    text = "word " * 254

    assert cosine(vector(http, text, truncate=option), vector(http, text)) > SAME


@pytest.mark.parametrize("prompt", ["query", "document"])
def test_prompt_names_are_accepted(http: httpx.Client, prompt: str) -> None:
    """The two customary prompts exist for every model; where it has no words for them, they change nothing."""
    found = vector(http, unique("what is asked"), prompt_name=prompt)

    assert norm(found) == pytest.approx(1.0, abs=1e-5)


def test_token_ids_are_one_input(http: httpx.Client) -> None:
    """A flat list of integers is one text's tokens, and one embedding comes back."""
    assert len(vectors(http, [7592, 2088])) == 1


def test_lists_of_token_ids_are_many_inputs(http: httpx.Client) -> None:
    """A list of lists of integers is many texts; each equals the same tokens sent alone."""
    batch = [[7592, 2088], [2129], [1037, 2936, 2093, 6251, 7099]]

    found = vectors(http, batch)

    for tokens, together in zip(batch, found, strict=True):
        assert cosine(together, vectors(http, tokens)[0]) > SAME


def test_token_ids_are_truncated_like_text(http: httpx.Client) -> None:
    """More tokens than the model takes are cut at the end, and refused with NONE."""
    tokens = [7592] * 300 + [2088] * 300

    assert cosine(vectors(http, tokens)[0], vectors(http, tokens[:300])[0]) > SAME
    response = http.post("/v1/embeddings", json={"input": tokens, "truncate": "NONE"})
    assert assert_error(response, 400, "context_length_exceeded")["param"] == "input"
