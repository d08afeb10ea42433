"""OpenAI's `POST /embeddings` and `GET /models`, see https://platform.openai.com/docs/api-reference."""

from __future__ import annotations

import math
import struct
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.conformance.client import (
    OpenAI,
    assert_same,
    assert_unit,
    order_vectors,
    parse_json,
    parse_option,
    summarise_response,
)
from tests.contract.client import cosine, decode_floats, make_unique

TEXTS = ["short", "a text that is quite a bit longer than the first one " * 4, "of middling length, say"]
HARD = [
    "caf\u00e9 na\u00efve",
    "\U0001f468\u200d\U0001f469\u200d\U0001f467 emoji",
    "\u4f60\u597d\uff0c\u4e16\u754c",
    "\u05e9\u05dc\u05d5\u05dd \u0645\u0631\u062d\u0628\u0627",
    "zero\u200bwidth",
    "bell \x07 null \x00",
    'a "\\" b',
    ".",
]
# Token ids that are in the vocabulary of every model in use.
IDS = [[7592, 2088], [2129], [1037, 2936, 2093]]


def test_answer(openai: OpenAI) -> None:
    """The answer is `{object: "list", data, model, usage}`."""
    answer = openai.embed("one text")

    assert answer.get("object") == "list", f"object is {answer.get('object')!r}"
    assert isinstance(answer.get("model"), str), f"model is {answer.get('model')!r}"
    missing = {"data", "usage"} - set(answer)
    assert not missing, f"there is no {', '.join(sorted(missing))}"


def test_entries(openai: OpenAI) -> None:
    """Each entry is `{object: "embedding", index, embedding}`, the index counts from 0."""
    data = openai.embed(TEXTS)["data"]

    assert [entry.get("object") for entry in data] == ["embedding"] * 3, f"{[entry.get('object') for entry in data]}"
    assert [entry.get("index") for entry in data] == [0, 1, 2], f"{[entry.get('index') for entry in data]}"


def test_floats_by_default(openai: OpenAI) -> None:
    """Without `encoding_format` an embedding is a list of finite floats."""
    [vector] = openai.get_vectors("one text")

    assert isinstance(vector, list), f"{type(vector).__name__}"
    assert all(isinstance(number, float | int) and math.isfinite(number) for number in vector), f"{vector[:5]}"


def test_a_string_is_a_list_of_one(openai: OpenAI) -> None:
    """A single string and a list of one give the same vector."""
    assert_same(openai.get_vectors("one and the same")[0], openai.get_vectors(["one and the same"])[0])


def test_order(openai: OpenAI) -> None:
    """Embeddings come back in the order of the inputs."""
    for text, vector in zip(TEXTS, openai.get_vectors(TEXTS), strict=True):
        assert_same(openai.get_vectors(text)[0], vector)


def test_company(openai: OpenAI) -> None:
    """A text's vector is the same alone and beside 63 others of all lengths."""
    text = "The Danube flows through ten countries."
    neighbours = [f"{number} neighbour " * (number % 9 + 1) for number in range(63)]

    assert_same(openai.get_vectors(text)[0], openai.get_vectors([*neighbours, text])[-1])


def test_texts_differ(openai: OpenAI) -> None:
    """Different texts get different vectors."""
    vector, other_vector = openai.get_vectors(["interest rates rose", "the cat sat down"])

    assert cosine(vector, other_vector) < 0.999, f"cosine {cosine(vector, other_vector):.6f}"


def test_unit_length(openai: OpenAI) -> None:
    """Vectors have unit length."""
    for vector in openai.get_vectors(TEXTS):
        assert_unit(vector)


def test_unicode(openai: OpenAI) -> None:
    """Any Unicode text is embedded: emoji, right to left, zero width, control characters."""
    for vector in openai.get_vectors(HARD):
        assert_unit(vector)


def test_base64(openai: OpenAI) -> None:
    """`encoding_format: "base64"` is little-endian float32 equal to the floats."""
    answer = parse_option(openai.post(input=TEXTS, encoding_format="base64"), "base64")

    for entry, numbers in zip(answer["data"], openai.get_vectors(TEXTS, encoding_format="float"), strict=True):
        text = entry["embedding"]
        assert isinstance(text, str), f"{type(text).__name__} of {len(text)}"
        rounded = struct.unpack(f"<{len(numbers)}f", struct.pack(f"<{len(numbers)}f", *numbers))
        difference = max(
            abs(value - reference) for value, reference in zip(decode_floats(text), rounded, strict=True)
        )
        assert difference < 1e-6, f"up to {difference:.1e} apart"


def test_dimensions(openai: OpenAI) -> None:
    """`dimensions` keeps the first numbers and renormalises."""
    [full] = openai.get_vectors("matryoshka")
    [short] = order_vectors(parse_option(openai.post(input="matryoshka", dimensions=64), "dimensions"))

    assert len(short) == 64, f"{len(short)} dimensions"
    assert_unit(short)
    assert_same(short, full[:64])


def test_dimensions_in_base64(openai: OpenAI) -> None:
    """`dimensions` with base64 gives four bytes a dimension."""
    body = parse_option(openai.post(input="both", dimensions=64, encoding_format="base64"), "dimensions with base64")

    assert len(decode_floats(body["data"][0]["embedding"])) == 64, (
        f"{len(decode_floats(body['data'][0]['embedding']))} dimensions"
    )


def test_token_ids_are_one_input(openai: OpenAI) -> None:
    """A list of token ids is one input."""
    embeddings = order_vectors(parse_option(openai.post(input=IDS[0]), "a list of token ids"))

    assert len(embeddings) == 1, f"{len(embeddings)} embeddings"


def test_lists_of_token_ids_are_many_inputs(openai: OpenAI) -> None:
    """Lists of token ids are many inputs, each as if sent alone."""
    together = order_vectors(parse_option(openai.post(input=IDS), "lists of token ids"))

    for ids, vector in zip(IDS, together, strict=True):
        assert_same(openai.get_vectors(ids)[0], vector)


def test_user(openai: OpenAI) -> None:
    """`user` is accepted and changes nothing."""
    assert_same(openai.get_vectors("the same", user="u-1")[0], openai.get_vectors("the same")[0])


def test_usage_counts_tokens(openai: OpenAI) -> None:
    """`usage` counts tokens, not characters or texts: about one for a common word."""
    words = 80
    usage = openai.embed("the cat sat on the mat and " * (words // 7) + "the cat sat")["usage"]

    assert words <= usage["prompt_tokens"] <= 1.5 * words, f"{usage['prompt_tokens']} for {words} common words"
    assert usage["total_tokens"] == usage["prompt_tokens"], f"{usage}"


def test_usage_adds_up(openai: OpenAI) -> None:
    """`usage` of a list is the sum of its texts' usages."""
    together = openai.embed(TEXTS)["usage"]["prompt_tokens"]
    alone = [openai.embed(text)["usage"]["prompt_tokens"] for text in TEXTS]

    assert together == sum(alone), f"{together} together, {' + '.join(map(str, alone))} alone"


def test_2048_inputs(openai: OpenAI) -> None:
    """2,048 inputs in one request come back whole and in order."""
    texts = [f"note {number}" for number in range(2048)]
    vectors = openai.get_vectors(texts)

    assert len(vectors) == 2048, f"{len(vectors)} embeddings"
    assert_same(vectors[2047], openai.get_vectors(texts[2047])[0])


def test_a_long_text(openai: OpenAI) -> None:
    """A text of 20,000 words is cut or refused with 4xx, never a failure."""
    response = openai.post(input="word " * 20_000)

    assert response.status_code < 500, summarise_response(response)


def test_concurrent_clients(openai: OpenAI) -> None:
    """32 clients at once each get their own answer."""
    texts = [make_unique(f"client {number} asks about") for number in range(32)]
    with ThreadPoolExecutor(32) as clients:
        answers = list(clients.map(lambda text: openai.get_vectors(text)[0], texts))

    for expected, vector in zip(openai.get_vectors(texts), answers, strict=True):
        assert_same(expected, vector)


def test_model_is_named(openai: OpenAI) -> None:
    """The answer's `model` is one that `GET /models` lists."""
    model_ids = [entry["id"] for entry in parse_option(openai.get("/models"), "GET /models")["data"]]
    model = openai.embed("who answers?")["model"]

    assert model in model_ids, f"{model!r} is not among {model_ids}"


def test_models(openai: OpenAI) -> None:
    """`GET /models` is `{object: "list", data}`, each entry `{id, object: "model", created, owned_by}`."""
    answer = parse_json(openai.get("/models"))

    assert answer.get("object") == "list", f"object is {answer.get('object')!r}"
    for entry in answer["data"]:
        wrong = {
            name: entry.get(name)
            for name, kind in {"id": str, "object": str, "created": int, "owned_by": str}.items()
            if not isinstance(entry.get(name), kind)
        }
        assert not wrong, f"wrong or missing: {wrong}"
        assert entry["object"] == "model", f"object is {entry['object']!r}"


def test_one_model(openai: OpenAI) -> None:
    """`GET /models/{id}` describes one model."""
    models = parse_json(openai.get("/models"))["data"]
    response = openai.get(f"/models/{models[0]['id']}")
    if response.status_code == 404:
        pytest.skip(f"GET /models/{{id}} answers {summarise_response(response)}")

    assert parse_json(response)["id"] == models[0]["id"], summarise_response(response)
