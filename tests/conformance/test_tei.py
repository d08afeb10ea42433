"""Text Embeddings Inference's routes for embedding models, as `router/src/http` of its source describes them."""

from __future__ import annotations

import math

import pytest

from tests.conformance.client import Tei, assert_same, assert_unit, option, parsed, told
from tests.contract.wire import cosine, unique

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
    answer = parsed(tei.post("/embed", inputs="one text"))

    assert isinstance(answer, list), f"{type(answer).__name__}"
    assert len(answer) == 1, f"{len(answer)} vectors"
    assert all(isinstance(number, float | int) and math.isfinite(number) for number in answer[0]), f"{answer[0][:5]}"


def test_a_string_is_a_list_of_one(tei: Tei) -> None:
    """A single string and a list of one give the same vector."""
    assert_same(tei.vectors("one and the same")[0], tei.vectors(["one and the same"])[0])


def test_order(tei: Tei) -> None:
    """Vectors come back in the order of the inputs."""
    for text, found in zip(TEXTS, tei.vectors(TEXTS), strict=True):
        assert_same(tei.vectors(text)[0], found)


def test_company(tei: Tei) -> None:
    """A text's vector is the same alone and beside others of all lengths."""
    text = "The Danube flows through ten countries."
    others = [f"{number} neighbour " * (number % 9 + 1) for number in range(31)]

    assert_same(tei.vectors(text)[0], tei.vectors([*others, text])[-1])


def test_texts_differ(tei: Tei) -> None:
    """Different texts get different vectors."""
    one, other = tei.vectors(["interest rates rose", "the cat sat down"])

    assert cosine(one, other) < 0.999, f"cosine {cosine(one, other):.6f}"


def test_unit_length(tei: Tei) -> None:
    """Vectors have unit length, `normalize` is true by default."""
    for vector in tei.vectors(TEXTS):
        assert_unit(vector)


def test_not_normalised(tei: Tei) -> None:
    """`normalize: false` keeps the direction."""
    assert_same(tei.vectors("raw", normalize=False)[0], tei.vectors("raw")[0])


def test_dimensions(tei: Tei) -> None:
    """`dimensions` keeps the first numbers and renormalises."""
    [full] = tei.vectors("matryoshka")
    [short] = option(tei.post("/embed", inputs="matryoshka", dimensions=64), "dimensions")

    assert len(short) == 64, f"{len(short)} dimensions"
    assert_unit(short)
    assert_same(short, full[:64])


def test_token_ids(tei: Tei) -> None:
    """`inputs` takes lists of token ids."""
    found = option(tei.post("/embed", inputs=[[7592, 2088], [2129]]), "lists of token ids")

    assert len(found) == 2, f"{len(found)} vectors"
    assert_same(tei.vectors([[2129]])[0], found[1])


def test_truncate(tei: Tei) -> None:
    """`truncate: true` cuts a long text at its end."""
    [cut] = parsed(tei.post("/embed", inputs=LONG, truncate=True))

    assert_same(cut, tei.vectors(LONG + "zebra " * 1000, truncate=True)[0])


def test_truncation_direction(tei: Tei) -> None:
    """`truncation_direction: "Left"` cuts it at its beginning."""
    [left] = parsed(tei.post("/embed", inputs=LONG + "zebra " * 9000, truncate=True, truncation_direction="Left"))

    assert_same(left, tei.vectors("zebra " * 9000, truncate=True)[0])


def test_auto_truncate(tei: Tei) -> None:
    """Without `truncate` a long text is cut or refused as `/info` says in `auto_truncate`."""
    expected = 200 if tei.info().get("auto_truncate") else 413
    response = tei.post("/embed", inputs=LONG)

    assert response.status_code == expected, f"auto_truncate is {expected == 200}, and: {told(response)}"


def test_root(tei: Tei) -> None:
    """`POST /` is `POST /embed`."""
    assert_same(parsed(tei.post("/", inputs="at the root"))[0], tei.vectors("at the root")[0])


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
    found = parsed(tei.post("/embed_all", inputs=texts))
    tokens = [len(tokens) for tokens in parsed(tei.post("/tokenize", inputs=texts))]

    assert [len(vectors) for vectors in found] == tokens, f"{[len(vectors) for vectors in found]} for {tokens} tokens"
    sizes = {len(vector) for vectors in found for vector in vectors}
    assert sizes == {len(tei.vectors("x")[0])}, f"{sizes} dimensions"


def test_embed_sparse(tei: Tei) -> None:
    """`POST /embed_sparse` is a list of `{index, value}` per text, each index once, each value above 0."""
    found = parsed(tei.post("/embed_sparse", inputs=["rivers of Europe", "interest rates"]))

    assert len(found) == 2, f"{len(found)} vectors"
    for entries in found:
        assert entries, "an empty vector"
        assert all(set(entry) == {"index", "value"} for entry in entries), f"{entries[:2]}"
        assert len({entry["index"] for entry in entries}) == len(entries), "an index twice"
        assert all(entry["value"] > 0 for entry in entries), f"{min(entry['value'] for entry in entries)}"


def test_tokenize(tei: Tei) -> None:
    """`POST /tokenize` has `{id, text, special, start, stop}` per token, the text being those characters."""
    text = "Hello, tokens of the wörld!"
    [tokens] = parsed(tei.post("/tokenize", inputs=text))

    for token in tokens:
        assert set(token) == {"id", "text", "special", "start", "stop"}, f"{token}"
        if not token["special"]:
            assert 0 <= token["start"] <= token["stop"] <= len(text), f"{token}"
    spans = [(token["start"], token["stop"]) for token in tokens if not token["special"]]
    assert spans == sorted(spans), f"{spans}"
    said = "".join(text[start:stop] for start, stop in spans)
    assert said == text.replace(" ", ""), said


def test_tokenize_without_special(tei: Tei) -> None:
    """`add_special_tokens: false` leaves the special tokens out."""
    [tokens] = parsed(tei.post("/tokenize", inputs="no frame", add_special_tokens=False))

    assert tokens, "no tokens"
    assert not [token for token in tokens if token["special"]], f"{tokens}"


def test_tokenize_agrees(tei: Tei) -> None:
    """`/tokenize` has as many tokens as `x-compute-tokens` of `/embed` says."""
    text = unique("how many tokens are these")
    [tokens] = parsed(tei.post("/tokenize", inputs=text))
    counted = tei.post("/embed", inputs=text).headers["x-compute-tokens"]

    assert str(len(tokens)) == counted, f"{len(tokens)} and {counted}"


def test_info(tei: Tei) -> None:
    """`GET /info` has the model's id, type and length and the server's limits."""
    info = tei.info()
    wrong = {name: info.get(name) for name, kind in INFO.items() if not isinstance(info.get(name), kind)}

    assert not wrong, f"wrong or missing: {wrong}"
    assert isinstance(info.get("auto_truncate"), bool), f"auto_truncate is {info.get('auto_truncate')!r}"


def test_max_input_length(tei: Tei) -> None:
    """A cut text has `max_input_length` tokens."""
    response = tei.post("/embed", inputs=LONG, truncate=True)
    limit, counted = tei.info()["max_input_length"], int(response.headers["x-compute-tokens"])

    assert counted == limit, f"{counted} tokens, max_input_length {limit}"


@pytest.mark.parametrize("route", ["/health", "/metrics"])
def test_operations(tei: Tei, route: str) -> None:
    """`GET ROUTE` answers 200."""
    response = tei.get(route)

    assert response.status_code == 200, told(response)


def test_openai(tei: Tei) -> None:
    """`POST /v1/embeddings` speaks OpenAI's dialect with the same vectors."""
    answer = parsed(tei.post("/v1/embeddings", input="both ways"))

    assert_same(answer["data"][0]["embedding"], tei.vectors("both ways")[0])
