"""The embed service: all that a backend does, in JSON for people and in binary for the thin gateway."""

from __future__ import annotations

from typing import Any

import httpx
import numpy as np
import pytest

from gateways.core import wire

DENSE, LATE, SPARSE = "all-MiniLM-L6-v2", "late-interaction", "bm25"
TEXTS = ["The quick brown fox", "jumps over the lazy dog.", "Ein Satz, der länger ist als die anderen beiden."]
ROUTES: dict[str, dict[str, Any]] = {
    "/embed": {"texts": TEXTS},
    "/embed_tokens": {"texts": TEXTS},
    "/embed_sparse": {"texts": TEXTS},
    "/rerank": {"query": "who jumps?", "documents": TEXTS},
    "/tokenize": {"texts": TEXTS},
    "/chunk": {"texts": TEXTS, "max_tokens": 8},
}
PROBES = {"/healthz", "/readyz", "/metrics"}


def asked(service: httpx.Client, route: str, **fields: object) -> dict[str, Any]:
    """Return the answer in JSON to a route's usual request, with some fields of our own."""
    response = service.post(route, json=ROUTES[route] | fields)
    assert response.status_code == 200, response.text
    answer: dict[str, Any] = response.json()
    return answer


def binary(service: httpx.Client, route: str, **fields: object) -> bytes:
    """Return the answer in binary."""
    response = service.post(route, json=ROUTES[route] | fields, headers={"Accept": wire.MEDIA_TYPE})
    assert response.status_code == 200, response.text
    assert response.headers["content-type"].partition(";")[0] == wire.MEDIA_TYPE
    return response.content


def test_it_does_this_and_nothing_else(service: httpx.Client) -> None:
    """No ingest, no search, no route of another make: those are the gateway's."""
    assert set(service.get("/openapi.json").json()["paths"]) == ROUTES.keys() | PROBES
    for path in ("/v1/embeddings", "/v1/ingest", "/v1/search", "/v2/embed"):
        assert service.post(path, json={}).status_code == 404


def test_both_forms_of_an_answer_hold_the_same_vectors(service: httpx.Client) -> None:
    """JSON shows what the binary answer holds, of texts and of tokens."""
    shown = asked(service, "/embed", normalize=False)
    read = wire.decode(binary(service, "/embed"))
    assert np.allclose(shown["embeddings"], read.vectors, atol=1e-6)
    assert shown["token_counts"] == read.token_counts

    shown = asked(service, "/embed_tokens", normalize=False)
    read = wire.decode(binary(service, "/embed_tokens"))
    assert np.allclose(np.concatenate(shown["embeddings"]), read.vectors, atol=1e-5)
    assert [len(rows) for rows in shown["embeddings"]] == shown["token_counts"] == read.token_counts


def test_both_forms_of_an_answer_hold_the_same_tokens(service: httpx.Client) -> None:
    """Unit vectors of all tokens but the special ones, and the text's own vector as ever."""
    pooled, counts = wire.decode(binary(service, "/embed")).vectors, asked(service, "/embed")["token_counts"]

    shown = asked(service, "/embed", normalize=False, tokens=True)
    read = wire.decode_with_tokens(binary(service, "/embed", tokens=True))

    assert read.tokens
    assert np.allclose(read.vectors, pooled, atol=1e-5)
    assert np.allclose(shown["embeddings"], pooled, atol=1e-5)
    assert list(read.tokens.counts) == [count - 2 for count in counts]
    assert np.allclose(np.concatenate(shown["token_vectors"]), read.tokens.vectors, atol=1e-3)
    assert np.allclose(np.linalg.norm(read.tokens.vectors, axis=1), 1, atol=2e-3)


def test_both_forms_of_an_answer_hold_the_same_sparse_vectors(service: httpx.Client) -> None:
    """Indices and weights of each text."""
    shown = asked(service, "/embed_sparse")
    read = wire.decode_sparse(binary(service, "/embed_sparse"))

    for row, vector in zip(shown["embeddings"], read.rows, strict=True):
        assert row["indices"] == vector.indices.tolist()
        assert np.allclose(row["values"], vector.values)


def test_token_vectors_are_those_that_the_text_s_vector_is_made_of(service: httpx.Client) -> None:
    """MiniLM pools by the mean over all tokens, special ones included."""
    pooled = wire.decode(binary(service, "/embed")).vectors
    tokens = wire.decode(binary(service, "/embed_tokens"))

    of_texts = np.split(tokens.vectors, np.cumsum(tokens.token_counts)[:-1])

    assert np.allclose(np.stack([rows.mean(axis=0) for rows in of_texts]), pooled, atol=1e-4)


def test_tokens_are_counted_as_the_vectors_count_them(service: httpx.Client) -> None:
    """`/tokenize` shows the tokens that the model read, and the characters of each."""
    tokens = asked(service, "/tokenize")["tokens"]

    assert [len(text) for text in tokens] == asked(service, "/embed")["token_counts"]
    assert [[token["special"] for token in text] for text in tokens] == [
        [True, *[False] * (len(text) - 2), True] for text in tokens
    ]
    quick = tokens[0][2]
    assert TEXTS[0][quick["start"] : quick["stop"]] == quick["text"] == "quick"


def test_chunks_fit(service: httpx.Client) -> None:
    """No chunk has more tokens than asked for, and they hold every word of the text."""
    text = " ".join(TEXTS)
    [spans] = asked(service, "/chunk", texts=[text])["chunks"]
    parts = [text[start:stop] for start, stop in spans]

    counts = [len(tokens) - 2 for tokens in asked(service, "/tokenize", texts=parts)["tokens"]]

    assert len(parts) > 1
    assert max(counts) <= 8
    assert " ".join(" ".join(parts).split()) == " ".join(text.split())


def test_the_gateway_passes_scores_on(service: httpx.Client, gateway: httpx.Client) -> None:
    """`/v1/rerank` with raw_scores holds what the service scored, the best first."""
    scores = asked(service, "/rerank")["scores"]
    response = gateway.post("/v1/rerank", json=ROUTES["/rerank"] | {"raw_scores": True})

    ranked = response.json()["results"]

    assert [entry["index"] for entry in ranked] == np.argsort([-score for score in scores]).tolist()
    assert [entry["relevance_score"] for entry in ranked] == pytest.approx(sorted(scores, reverse=True), abs=1e-5)


@pytest.mark.parametrize("route", ROUTES)
def test_a_model_is_known_by_its_names(service: httpx.Client, route: str) -> None:
    """By its id, by an alias, by none as the default of the kind; another name is a 404."""
    default = {"/embed_sparse": SPARSE, "/rerank": LATE}.get(route, DENSE)

    assert asked(service, route)["model"] == default
    assert asked(service, route, model=default)["model"] == default
    if default == DENSE:
        assert asked(service, route, model=f"sentence-transformers/{DENSE}")["model"] == default
    unknown = service.post(route, json=ROUTES[route] | {"model": "no-such-model"})
    assert unknown.status_code == 404
    assert unknown.json()["error"]["code"] == "unknown_model"


@pytest.mark.parametrize(
    ("route", "other"), [("/embed", LATE), ("/embed_tokens", SPARSE), ("/embed_sparse", DENSE), ("/rerank", DENSE)]
)
def test_a_model_of_another_kind_is_refused(service: httpx.Client, route: str, other: str) -> None:
    """With the code that the gateway's own clients get."""
    response = service.post(route, json=ROUTES[route] | {"model": other})

    assert response.status_code == 400
    assert response.json()["error"]["code"] == "wrong_model_kind"


@pytest.mark.parametrize("route", ROUTES)
def test_lists_are_neither_empty_nor_endless(service: httpx.Client, route: str) -> None:
    """One more than MAX_INPUTS is a 413, none at all a 400."""
    field = "documents" if route == "/rerank" else "texts"

    assert service.post(route, json=ROUTES[route] | {field: []}).status_code == 400
    too_many = service.post(route, json=ROUTES[route] | {field: ["x"] * 2_049})
    assert too_many.status_code == 413
    assert too_many.json()["error"]["code"] == "too_many_inputs"


def test_neighbours_cannot_share_whole_chunks(service: httpx.Client) -> None:
    """An overlap that leaves no room for anything new would never end."""
    response = service.post("/chunk", json=ROUTES["/chunk"] | {"overlap": 8})

    assert response.status_code == 400
    assert response.json()["error"]["param"] == "overlap"


def test_its_health_tells_of_its_models(service: httpx.Client) -> None:
    """All that the thin gateway has to know of them, the default of each kind first."""
    health = service.get("/healthz").json()

    first = {model["kind"]: model["id"] for model in reversed(health["models"])}
    assert first == {"dense": DENSE, "sparse": SPARSE, "rerank": LATE}
    assert health["models"][0]["loaded"] is True
