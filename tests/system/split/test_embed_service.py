"""The routes of the embed service, with JSON responses and with binary responses for the thin gateway."""

from __future__ import annotations

import gzip
import zlib
from typing import Any

import httpx
import numpy as np
import orjson
import pytest

from gateways.split import wire_format

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
pytestmark = pytest.mark.gateway("split")
PROBES = {"/", "/healthz", "/readyz", "/metrics"}


def post_json(service: httpx.Client, route: str, **fields: object) -> dict[str, Any]:
    """Post the request of ROUTES with additional fields, and return the JSON response."""
    response = service.post(route, json=ROUTES[route] | fields)
    assert response.status_code == 200, response.text
    answer: dict[str, Any] = response.json()
    return answer


def post_binary(service: httpx.Client, route: str, **fields: object) -> bytes:
    """Post the request of ROUTES with additional fields, and return the binary response."""
    response = service.post(route, json=ROUTES[route] | fields, headers={"Accept": wire_format.MEDIA_TYPE})
    assert response.status_code == 200, response.text
    assert response.headers["content-type"].partition(";")[0] == wire_format.MEDIA_TYPE
    return response.content


def test_the_service_has_only_its_own_routes(service: httpx.Client) -> None:
    """The embed service has no ingest, no search and no dialects, which are the gateway's."""
    assert set(service.get("/openapi.json").json()["paths"]) == ROUTES.keys() | PROBES
    for path in ("/v1/embeddings", "/v1/ingest", "/v1/search", "/v2/embed"):
        assert service.post(path, json={}).status_code == 404


def test_json_and_binary_have_the_same_vectors(service: httpx.Client) -> None:
    """The vectors of texts and of tokens, and the token counts, are the same in JSON and in binary."""
    response = post_json(service, "/embed", normalize=False)
    read = wire_format.decode(post_binary(service, "/embed"))
    assert np.allclose(response["embeddings"], read.vectors, atol=1e-6)
    assert response["token_counts"] == read.token_counts

    response = post_json(service, "/embed_tokens", normalize=False)
    read = wire_format.decode(post_binary(service, "/embed_tokens"))
    assert np.allclose(np.concatenate(response["embeddings"]), read.vectors, atol=1e-5)
    assert [len(rows) for rows in response["embeddings"]] == response["token_counts"] == read.token_counts


def test_json_and_binary_have_the_same_token_vectors(service: httpx.Client) -> None:
    """`tokens` adds unit vectors of all tokens except special ones; the text's vector does not change."""
    pooled, counts = (
        wire_format.decode(post_binary(service, "/embed")).vectors,
        post_json(service, "/embed")["token_counts"],
    )

    response = post_json(service, "/embed", normalize=False, tokens=True)
    read = wire_format.decode_with_tokens(post_binary(service, "/embed", tokens=True))

    assert read.tokens
    assert np.allclose(read.vectors, pooled, atol=1e-5)
    assert np.allclose(response["embeddings"], pooled, atol=1e-5)
    assert list(read.tokens.counts) == [count - 2 for count in counts]
    assert np.allclose(np.concatenate(response["token_vectors"]), read.tokens.vectors, atol=1e-3)
    assert np.allclose(np.linalg.norm(read.tokens.vectors, axis=1), 1, atol=2e-3)


def test_json_and_binary_have_the_same_sparse_vectors(service: httpx.Client) -> None:
    """The indices and weights of each text are the same in JSON and in binary."""
    response = post_json(service, "/embed_sparse")
    read = wire_format.decode_sparse(post_binary(service, "/embed_sparse"))

    for row, vector in zip(response["embeddings"], read.rows, strict=True):
        assert row["indices"] == vector.indices.tolist()
        assert np.allclose(row["values"], vector.values)


def test_the_mean_of_token_vectors_is_the_text_s_vector(service: httpx.Client) -> None:
    """`/embed_tokens` returns the vectors that MiniLM's mean pooling reads, special tokens included."""
    pooled = wire_format.decode(post_binary(service, "/embed")).vectors
    tokens = wire_format.decode(post_binary(service, "/embed_tokens"))

    of_texts = np.split(tokens.vectors, np.cumsum(tokens.token_counts)[:-1])

    assert np.allclose(np.stack([rows.mean(axis=0) for rows in of_texts]), pooled, atol=1e-4)


def test_tokenize_returns_the_tokens_that_the_model_reads(service: httpx.Client) -> None:
    """`/tokenize` returns as many tokens as /embed counts, with text, position and special flag of each."""
    tokens = post_json(service, "/tokenize")["tokens"]

    assert [len(text) for text in tokens] == post_json(service, "/embed")["token_counts"]
    assert [[token["special"] for token in text] for text in tokens] == [
        [True, *[False] * (len(text) - 2), True] for text in tokens
    ]
    quick = tokens[0][2]
    assert TEXTS[0][quick["start"] : quick["stop"]] == quick["text"] == "quick"


def test_chunks_fit(service: httpx.Client) -> None:
    """No chunk has more than `max_tokens` tokens, and the chunks have every word of the text."""
    text = " ".join(TEXTS)
    [spans] = post_json(service, "/chunk", texts=[text])["chunks"]
    parts = [text[start:stop] for start, stop in spans]

    counts = [len(tokens) - 2 for tokens in post_json(service, "/tokenize", texts=parts)["tokens"]]

    assert len(parts) > 1
    assert max(counts) <= 8
    assert " ".join(" ".join(parts).split()) == " ".join(text.split())


def test_the_gateway_returns_the_service_s_scores(service: httpx.Client, gateway: httpx.Client) -> None:
    """`/v1/rerank` with raw_scores returns the scores of the service, best first."""
    scores = post_json(service, "/rerank")["scores"]
    response = gateway.post("/v1/rerank", json=ROUTES["/rerank"] | {"raw_scores": True})

    results = response.json()["results"]

    assert [entry["index"] for entry in results] == np.argsort([-score for score in scores]).tolist()
    assert [entry["relevance_score"] for entry in results] == pytest.approx(sorted(scores, reverse=True), abs=1e-5)


@pytest.mark.parametrize("route", ROUTES)
def test_a_model_has_an_id_and_aliases(service: httpx.Client, route: str) -> None:
    """`model` is an id or an alias; without it the default of the kind is used; an unknown name is a 404."""
    default = {"/embed_sparse": SPARSE, "/rerank": LATE}.get(route, DENSE)

    assert post_json(service, route)["model"] == default
    assert post_json(service, route, model=default)["model"] == default
    if default == DENSE:
        assert post_json(service, route, model=f"sentence-transformers/{DENSE}")["model"] == default
    unknown = service.post(route, json=ROUTES[route] | {"model": "no-such-model"})
    assert unknown.status_code == 404
    assert unknown.json()["error"]["code"] == "unknown_model"


@pytest.mark.parametrize(
    ("route", "other"), [("/embed", LATE), ("/embed_tokens", SPARSE), ("/embed_sparse", DENSE), ("/rerank", DENSE)]
)
def test_a_model_of_another_kind_is_refused(service: httpx.Client, route: str, other: str) -> None:
    """A model of another kind is a 400 with code wrong_model_kind."""
    response = service.post(route, json=ROUTES[route] | {"model": other})

    assert response.status_code == 400
    assert response.json()["error"]["code"] == "wrong_model_kind"


@pytest.mark.parametrize("route", ROUTES)
def test_the_number_of_inputs_is_limited(service: httpx.Client, route: str) -> None:
    """Over MAX_INPUTS inputs are a 413, no inputs are a 400."""
    field = "documents" if route == "/rerank" else "texts"

    assert service.post(route, json=ROUTES[route] | {field: []}).status_code == 400
    too_many = service.post(route, json=ROUTES[route] | {field: ["x"] * 2_049})
    assert too_many.status_code == 413
    assert too_many.json()["error"]["code"] == "too_many_inputs"


def test_an_overlap_of_a_whole_chunk_is_refused(service: httpx.Client) -> None:
    """`overlap` must be less than `max_tokens`, or chunking would not end."""
    response = service.post("/chunk", json=ROUTES["/chunk"] | {"overlap": 8})

    assert response.status_code == 400
    assert response.json()["error"]["param"] == "overlap"


def test_healthz_lists_the_models(service: httpx.Client) -> None:
    """`/healthz` lists all models, the default of each kind first, with `loaded`."""
    health = service.get("/healthz").json()

    first = {model["kind"]: model["id"] for model in reversed(health["models"])}
    assert first == {"dense": DENSE, "sparse": SPARSE, "rerank": LATE}
    assert health["models"][0]["loaded"] is True


def test_the_service_reads_what_http_clients_send(service: httpx.Client) -> None:
    """Compressed bodies, a byte order mark, slashes too many, HEAD and an offer of HTTP/2, as the gateway does."""
    raw = orjson.dumps(ROUTES["/embed"])
    for content, encoding in [
        (gzip.compress(raw), "gzip"),
        (zlib.compress(raw), "deflate"),
        (b"\xef\xbb\xbf" + raw, ""),
    ]:
        for path in ("/embed", "//embed/"):
            headers = {"Content-Type": "application/json", "Content-Encoding": encoding, "Connection": "Upgrade"}
            answer = service.post(
                f"{service.base_url}".rstrip("/") + path, content=content, headers=headers | {"Upgrade": "h2c"}
            )
            assert answer.status_code == 200, answer.text
    assert service.post("/embed", content=raw, headers={"Content-Encoding": "zstd"}).status_code == 415
    for path in PROBES:
        assert (service.head(path).status_code, service.head(path).content) == (200, b"")


@pytest.mark.parametrize("ending", ["%0A", "%0D", "%00", "%0a?x=1", "%E2%80%A8"])
def test_a_control_character_behind_a_path_is_no_route(service: httpx.Client, ending: str) -> None:
    """404, for the routes of a model and for those of operators."""
    url = f"{service.base_url}".rstrip("/")
    for path in ROUTES:
        assert service.post(f"{url}{path}{ending}", json=ROUTES[path]).status_code == 404
    for path in PROBES:
        assert service.get(f"{url}{path}{ending}").status_code == 404
