"""What operators and other programs ask: configuration, health, metrics, the description of the API."""

from __future__ import annotations

import httpx
import pytest

from tests.contract.wire import Server, embed, ingest, ok, samples, search, unique

ROUTES = {
    "/v1/embeddings": {"post"},
    "/v1/models": {"get"},
    "/v1/ingest": {"post"},
    "/v1/jobs": {"get"},
    "/v1/jobs/{job_id}": {"get"},
    "/v1/search": {"post"},
    "/v1/config": {"get"},
    "/healthz": {"get"},
    "/readyz": {"get"},
}


def value(exposition: str, name: str, **labels: str) -> float:
    """Return a metric's sum; 0 when no sample carries these labels yet."""
    return samples(exposition, name, **labels) or 0.0


@pytest.mark.requires("config")
def test_config_says_what_runs_here(http: httpx.Client) -> None:
    """Service, version, models with their facts, the machine, and the settings in force."""
    config = ok(http.get("/v1/config"))

    for name in ("service", "version", "gateway", "default_model"):
        assert isinstance(config[name], str), name
        assert config[name], name
    assert config["status"] == "healthy"
    assert isinstance(config["gpu_available"], bool)
    assert config["gpu_model"] is None or isinstance(config["gpu_model"], str)
    assert config["gpu_available"] or config["gpu_model"] is None
    assert config["memory_usage_mb"] > 1
    assert isinstance(config["settings"], dict)


@pytest.mark.requires("config", "models")
@pytest.mark.parametrize(
    ("listing", "kind"), [("embedding_models", "dense"), ("sparse_models", "sparse"), ("reranker_models", "rerank")]
)
def test_config_describes_the_models(http: httpx.Client, listing: str, kind: str) -> None:
    """The models of `/v1/models` by kind, with dimensions, limits and, once loaded, a time that was measured."""
    config = ok(http.get("/v1/config"))
    listed = {entry["id"]: entry for entry in ok(http.get("/v1/models"))["data"] if entry["kind"] == kind}

    assert {described["name"] for described in config[listing]} == set(listed)
    for described in config[listing]:
        for name in ("max_input_tokens", "languages", "precision", "device", "loaded"):
            assert described[name] == listed[described["name"]][name], name
        assert (described["dimensions"] or 0) == listed[described["name"]]["dimensions"]
        assert not described["loaded"] or described["inference_time_ms"] >= 0


@pytest.mark.requires("config")
def test_config_declares_the_capabilities(http: httpx.Client) -> None:
    """A client can ask what is there before it asks for it."""
    declared = ok(http.get("/v1/config"))["capabilities"]

    assert set(declared) >= {"embeddings", "models", "ingest", "jobs", "search", "documents", "filter"}
    assert len(declared) == len(set(declared))


@pytest.mark.requires("config")
def test_config_keeps_secrets_and_folders_to_itself(http: httpx.Client) -> None:
    """No key, no address of an upstream, no path of the machine."""
    settings = ok(http.get("/v1/config"))["settings"]

    assert not {"api_keys", "embedding_api_key"} & {name.lower() for name in settings}
    assert not [setting for setting in settings.values() if str(setting).startswith(("/", "http"))]


@pytest.mark.requires("config")
def test_config_has_a_second_address(http: httpx.Client) -> None:
    """`/config` gives the same object."""
    assert set(ok(http.get("/config"))) == set(ok(http.get("/v1/config")))


@pytest.mark.requires("health")
def test_healthz_tells_the_truth_about_the_model(http: httpx.Client) -> None:
    """Alive, with the model loaded and the number of documents."""
    health = ok(http.get("/healthz"))

    assert health["status"] == "ok"
    assert health["model_loaded"] is True
    assert health["document_count"] >= 0


@pytest.mark.requires("health", "ingest", "jobs", "documents")
def test_healthz_counts_the_documents(http: httpx.Client, collection: str) -> None:
    """The count goes up with each new document, stays for a replaced one and goes down with a deleted one."""
    before = ok(http.get("/healthz"))["document_count"]

    ingest(http, [{"id": name, "text": unique(name)} for name in "abc"], collection=collection)
    after_ingest = ok(http.get("/healthz"))["document_count"]
    ingest(http, [{"id": "a", "text": unique("a again")}], collection=collection)
    after_replacing = ok(http.get("/healthz"))["document_count"]
    ok(http.delete("/v1/documents/b", params={"collection": collection}))

    assert (after_ingest, after_replacing) == (before + 3, before + 3)
    assert ok(http.get("/healthz"))["document_count"] == before + 2


@pytest.mark.requires("readiness")
def test_readyz_after_warm_up(http: httpx.Client) -> None:
    """A server that answers embeddings says that it is ready."""
    assert http.get("/readyz").status_code == 200


@pytest.mark.requires("metrics")
def test_metrics_are_in_the_prometheus_text_format(http: httpx.Client) -> None:
    """Every line is a comment or `name{labels} number`, and the content type says so."""
    response = http.get("/metrics")

    assert response.status_code == 200
    assert response.headers["content-type"].startswith("text/plain")
    for line in response.text.splitlines():
        if line and not line.startswith("#"):
            name, _, number = line.rpartition(" ")
            assert name
            float(number)


@pytest.mark.requires("metrics", "embeddings")
def test_the_model_counts_what_goes_through_it(http: httpx.Client, target: Server) -> None:
    """Texts, tokens and passes move with the requests: an answer without them came from no model."""
    texts = [unique("counted") for _ in range(7)]
    before = httpx.get(target.metrics_url).text

    usage = embed(http, texts)["usage"]

    after = httpx.get(target.metrics_url).text
    moved = {
        name: value(after, f"gateway_forward_{name}_total") - value(before, f"gateway_forward_{name}_total")
        for name in ("texts", "tokens", "passes")
    }
    assert moved["texts"] == 7
    assert moved["tokens"] == usage["prompt_tokens"]
    assert 1 <= moved["passes"] <= 7


@pytest.mark.requires("metrics", "search")
def test_a_search_goes_through_the_model(http: httpx.Client, target: Server) -> None:
    """Each search embeds its query: one text, also when nothing is found."""
    before = value(httpx.get(target.metrics_url).text, "gateway_forward_texts_total")

    search(http, unique("counted"), min_score=0.9999)

    assert value(httpx.get(target.metrics_url).text, "gateway_forward_texts_total") == before + 1


@pytest.mark.requires("metrics", "embeddings")
def test_requests_are_counted_by_route_and_status(http: httpx.Client) -> None:
    """Good and bad requests are told apart, per route."""
    labels = {"route": "/v1/embeddings"}
    before = http.get("/metrics").text

    embed(http, "a good request")
    http.post("/v1/embeddings", json={})

    after = http.get("/metrics").text
    for status in ("200", "400"):
        moved = value(after, "gateway_requests_total", status=status, **labels) - value(
            before, "gateway_requests_total", status=status, **labels
        )
        assert moved == 1


@pytest.mark.requires("metrics", "models")
def test_a_client_cannot_make_metrics_grow(http: httpx.Client) -> None:
    """Routes are counted by their template: no path that a client invents becomes a label."""
    for _ in range(3):
        http.get(f"/v1/models/{unique('invented').replace(' ', '-')}")
        http.get(f"/v1/{unique('invented').replace(' ', '-')}")

    assert "invented-" not in http.get("/metrics").text


@pytest.mark.requires("metrics", "health")
def test_metrics_and_health_agree_on_the_documents(http: httpx.Client) -> None:
    """`gateway_documents` is the count that `/healthz` gives."""
    exposition = http.get("/metrics").text

    assert value(exposition, "gateway_documents") == ok(http.get("/healthz"))["document_count"]


@pytest.mark.requires("openapi")
def test_openapi_describes_every_route(http: httpx.Client) -> None:
    """Each route of the contract, with its methods, is in the machine-readable description."""
    paths = ok(http.get("/openapi.json"))["paths"]

    for path, methods in ROUTES.items():
        assert path in paths, path
        assert set(paths[path]) >= methods, path


@pytest.mark.requires("openapi")
def test_openapi_documents_the_bodies(http: httpx.Client) -> None:
    """The bodies that clients send are described field by field."""
    document = ok(http.get("/openapi.json"))

    for path, fields in {
        "/v1/embeddings": {"input", "model", "encoding_format", "dimensions", "normalize", "truncate"},
        "/v1/search": {"query", "top_k", "filter", "collection", "min_score", "mode"},
        "/v1/ingest": {"documents", "collection"},
    }.items():
        schema = document["paths"][path]["post"]["requestBody"]["content"]["application/json"]["schema"]
        if "$ref" in schema:
            schema = document["components"]["schemas"][schema["$ref"].rpartition("/")[2]]
        assert set(schema["properties"]) >= fields, path


@pytest.mark.requires("openapi")
def test_openapi_does_not_promise_another_error_shape(http: httpx.Client) -> None:
    """Wrong requests get 400 in the contract's shape, so the description must not promise 422."""
    for path, operations in ok(http.get("/openapi.json"))["paths"].items():
        for method, operation in operations.items():
            assert "422" not in operation.get("responses", {}), f"{method} {path}"


@pytest.mark.requires("openapi")
def test_docs_is_a_page(http: httpx.Client) -> None:
    """`/docs` is there for people."""
    response = http.get("/docs")

    assert response.status_code == 200
    assert response.headers["content-type"].startswith("text/html")
