"""Text Embeddings Inference's routes for embedding models, see `router/src/http` of its source."""

from __future__ import annotations

import math

import pytest

from tests.conformance.client import Tei, assert_same, assert_unit, parse_json, parse_option, summarise_response
from tests.contract.client import cosine, make_unique

TEXTS = ["short", "a text that is quite a bit longer than the first one " * 4, "of middling length, say"]
LONG = "word " * 20_000
INFO = {
    "model_id": str,
    "model_dtype": str,
    "model_type": dict,
    "max_concurrent_requests": int,
    "max_input_length": int,
    "max_batch_tokens": int,
    "max_client_batch_size": int,
    "tokenization_workers": int,
    "version": str,
}
COST = ("type", "time", "characters", "tokens")


def test_embed(tei: Tei) -> None:
    """`POST /embed {"inputs": "..."}` is a list of one list of finite floats, nothing around it."""
    answer = parse_json(tei.post("/embed", inputs="one text"))

    assert isinstance(answer, list), f"{type(answer).__name__}"
    assert len(answer) == 1, f"{len(answer)} vectors"
    assert all(isinstance(number, float | int) and math.isfinite(number) for number in answer[0]), f"{answer[0][:5]}"


def test_a_string_is_a_list_of_one(tei: Tei) -> None:
    """A single string and a list of one give the same vector."""
    assert_same(tei.get_vectors("one and the same")[0], tei.get_vectors(["one and the same"])[0])


def test_order(tei: Tei) -> None:
    """Vectors come back in the order of the inputs."""
    for text, vector in zip(TEXTS, tei.get_vectors(TEXTS), strict=True):
        assert_same(tei.get_vectors(text)[0], vector)


def test_company(tei: Tei) -> None:
    """A text's vector is the same alone and beside others of all lengths."""
    text = "The Danube flows through ten countries."
    neighbours = [f"{number} neighbour " * (number % 9 + 1) for number in range(31)]

    assert_same(tei.get_vectors(text)[0], tei.get_vectors([*neighbours, text])[-1])


def test_texts_differ(tei: Tei) -> None:
    """Different texts get different vectors."""
    vector, other_vector = tei.get_vectors(["interest rates rose", "the cat sat down"])

    assert cosine(vector, other_vector) < 0.999, f"cosine {cosine(vector, other_vector):.6f}"


def test_unit_length(tei: Tei) -> None:
    """Vectors have unit length, `normalize` is true by default."""
    for vector in tei.get_vectors(TEXTS):
        assert_unit(vector)


def test_not_normalised(tei: Tei) -> None:
    """`normalize: false` keeps the direction."""
    assert_same(tei.get_vectors("raw", normalize=False)[0], tei.get_vectors("raw")[0])


def test_dimensions(tei: Tei) -> None:
    """`dimensions` keeps the first numbers and renormalises."""
    [full] = tei.get_vectors("matryoshka")
    [short] = parse_option(tei.post("/embed", inputs="matryoshka", dimensions=64), "dimensions")

    assert len(short) == 64, f"{len(short)} dimensions"
    assert_unit(short)
    assert_same(short, full[:64])


def test_token_ids(tei: Tei) -> None:
    """`inputs` takes lists of token ids."""
    vectors = parse_option(tei.post("/embed", inputs=[[7592, 2088], [2129]]), "lists of token ids")

    assert len(vectors) == 2, f"{len(vectors)} vectors"
    assert_same(tei.get_vectors([[2129]])[0], vectors[1])


def test_truncate(tei: Tei) -> None:
    """`truncate: true` cuts a long text at its end."""
    [vector] = parse_json(tei.post("/embed", inputs=LONG, truncate=True))

    assert_same(vector, tei.get_vectors(LONG + "zebra " * 1000, truncate=True)[0])


def test_truncation_direction(tei: Tei) -> None:
    """`truncation_direction: "Left"` cuts it at its beginning."""
    [vector] = parse_json(
        tei.post("/embed", inputs=LONG + "zebra " * 9000, truncate=True, truncation_direction="Left")
    )

    assert_same(vector, tei.get_vectors("zebra " * 9000, truncate=True)[0])


def test_auto_truncate(tei: Tei) -> None:
    """Without `truncate` a long text is cut or refused as `/info` says in `auto_truncate`."""
    expected = 200 if tei.get_info().get("auto_truncate") else 413
    response = tei.post("/embed", inputs=LONG)

    assert response.status_code == expected, (
        f"auto_truncate is {expected == 200}, and: {summarise_response(response)}"
    )


def test_root(tei: Tei) -> None:
    """`POST /` is `POST /embed`."""
    assert_same(parse_json(tei.post("/", inputs="at the root"))[0], tei.get_vectors("at the root")[0])


def test_cost(tei: Tei) -> None:
    """The headers `x-compute-type`, `-time`, `-characters` and `-tokens` tell what an answer cost."""
    headers = tei.post("/embed", inputs="nineteen characters").headers
    missing = [f"x-compute-{name}" for name in COST if f"x-compute-{name}" not in headers]

    assert not missing, f"no {', '.join(missing)}"
    assert headers["x-compute-characters"] == "19", f"{headers['x-compute-characters']} characters for 19"
    assert 2 <= int(headers["x-compute-tokens"]) <= 19, f"{headers['x-compute-tokens']} tokens"


def test_times(tei: Tei) -> None:
    """The headers `x-total-time`, `x-tokenization-time`, `x-queue-time` and `x-inference-time` are whole numbers."""
    headers = tei.post("/embed", inputs="how long?").headers
    names = [f"x-{name}-time" for name in ("total", "tokenization", "queue", "inference")]
    wrong = {name: headers.get(name) for name in names if not (headers.get(name) or "").isdigit()}

    assert not wrong, f"{wrong}"


def test_embed_all(tei: Tei) -> None:
    """`POST /embed_all` has one vector per token, special tokens included."""
    texts = ["a short text", "another one that has more tokens in it"]
    token_vectors = parse_json(tei.post("/embed_all", inputs=texts))
    tokens = [len(tokens) for tokens in parse_json(tei.post("/tokenize", inputs=texts))]

    assert [len(vectors) for vectors in token_vectors] == tokens, (
        f"{[len(vectors) for vectors in token_vectors]} for {tokens} tokens"
    )
    sizes = {len(vector) for vectors in token_vectors for vector in vectors}
    assert sizes == {len(tei.get_vectors("x")[0])}, f"{sizes} dimensions"


def test_embed_sparse(tei: Tei) -> None:
    """`POST /embed_sparse` is a list of `{index, value}` per text, each index once, each value above 0."""
    sparse_vectors = parse_json(tei.post("/embed_sparse", inputs=["rivers of Europe", "interest rates"]))

    assert len(sparse_vectors) == 2, f"{len(sparse_vectors)} vectors"
    for entries in sparse_vectors:
        assert entries, "an empty vector"
        assert all(set(entry) == {"index", "value"} for entry in entries), f"{entries[:2]}"
        assert len({entry["index"] for entry in entries}) == len(entries), "an index twice"
        assert all(entry["value"] > 0 for entry in entries), f"{min(entry['value'] for entry in entries)}"


def test_tokenize(tei: Tei) -> None:
    """`POST /tokenize` has `{id, text, special, start, stop}` per token, the text being those characters."""
    text = "Hello, tokens of the wörld!"
    [tokens] = parse_json(tei.post("/tokenize", inputs=text))

    for token in tokens:
        assert set(token) == {"id", "text", "special", "start", "stop"}, f"{token}"
        if not token["special"]:
            assert 0 <= token["start"] <= token["stop"] <= len(text), f"{token}"
    spans = [(token["start"], token["stop"]) for token in tokens if not token["special"]]
    assert spans == sorted(spans), f"{spans}"
    span_text = "".join(text[start:stop] for start, stop in spans)
    assert span_text == text.replace(" ", ""), span_text


def test_tokenize_without_special(tei: Tei) -> None:
    """`add_special_tokens: false` leaves the special tokens out."""
    [tokens] = parse_json(tei.post("/tokenize", inputs="no frame", add_special_tokens=False))

    assert tokens, "no tokens"
    assert not [token for token in tokens if token["special"]], f"{tokens}"


def test_tokenize_agrees(tei: Tei) -> None:
    """`/tokenize` has as many tokens as `x-compute-tokens` of `/embed` says."""
    text = make_unique("how many tokens are these")
    [tokens] = parse_json(tei.post("/tokenize", inputs=text))
    token_count = tei.post("/embed", inputs=text).headers["x-compute-tokens"]

    assert str(len(tokens)) == token_count, f"{len(tokens)} and {token_count}"


def test_info(tei: Tei) -> None:
    """`GET /info` has the model's id, type and length and the server's limits."""
    info = tei.get_info()
    wrong = {name: info.get(name) for name, kind in INFO.items() if not isinstance(info.get(name), kind)}

    assert not wrong, f"wrong or missing: {wrong}"
    assert isinstance(info.get("auto_truncate"), bool), f"auto_truncate is {info.get('auto_truncate')!r}"


def test_max_input_length(tei: Tei) -> None:
    """A cut text has `max_input_length` tokens."""
    response = tei.post("/embed", inputs=LONG, truncate=True)
    limit, token_count = tei.get_info()["max_input_length"], int(response.headers["x-compute-tokens"])

    assert token_count == limit, f"{token_count} tokens, max_input_length {limit}"


@pytest.mark.parametrize("route", ["/health", "/metrics"])
def test_operations(tei: Tei, route: str) -> None:
    """`GET ROUTE` answers 200."""
    response = tei.get(route)

    assert response.status_code == 200, summarise_response(response)


def test_openai(tei: Tei) -> None:
    """`POST /v1/embeddings` speaks OpenAI's dialect with the same vectors."""
    answer = parse_json(tei.post("/v1/embeddings", input="both ways"))

    assert_same(answer["data"][0]["embedding"], tei.get_vectors("both ways")[0])
