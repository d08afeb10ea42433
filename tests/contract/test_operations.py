"""The routes for operators and programs: configuration, health, metrics, description of the API."""

from __future__ import annotations

import httpx
import pytest

from tests.contract.client import Server, embed, ingest, make_unique, ok, search, sum_samples

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


def get_value(exposition: str, name: str, **labels: str) -> float:
    """Return the sum of a metric's samples, or 0 if no sample has these labels."""
    return sum_samples(exposition, name, **labels) or 0.0


@pytest.mark.requires("config")
def test_config_says_what_runs_here(http: httpx.Client) -> None:
    """`/v1/config` has the service, its version, its models, the machine, and the settings in use."""
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
    """`/v1/config` has the models of `/v1/models` by kind, and a measured time for each loaded model."""
    config = ok(http.get("/v1/config"))
    models = {entry["id"]: entry for entry in ok(http.get("/v1/models"))["data"] if entry["kind"] == kind}

    assert {entry["name"] for entry in config[listing]} == set(models)
    for entry in config[listing]:
        for name in ("max_input_tokens", "languages", "precision", "device", "loaded"):
            assert entry[name] == models[entry["name"]][name], name
        assert (entry["dimensions"] or 0) == models[entry["name"]]["dimensions"]
        assert not entry["loaded"] or entry["inference_time_ms"] >= 0


@pytest.mark.requires("config")
def test_config_declares_the_capabilities(http: httpx.Client) -> None:
    """`/v1/config` lists the capabilities of the gateway, each once."""
    capabilities = ok(http.get("/v1/config"))["capabilities"]

    assert set(capabilities) >= {"embeddings", "models", "ingest", "jobs", "search", "documents", "filter"}
    assert len(capabilities) == len(set(capabilities))


@pytest.mark.requires("config")
def test_config_keeps_secrets_and_folders_to_itself(http: httpx.Client) -> None:
    """The settings have no key, no URL of an upstream and no path of the machine."""
    settings = ok(http.get("/v1/config"))["settings"]

    assert not {"api_keys", "embedding_api_key"} & {name.lower() for name in settings}
    assert not [setting for setting in settings.values() if str(setting).startswith(("/", "http"))]


@pytest.mark.requires("config")
def test_config_has_a_second_address(http: httpx.Client) -> None:
    """`/config` has the same fields as `/v1/config`."""
    assert set(ok(http.get("/config"))) == set(ok(http.get("/v1/config")))


@pytest.mark.requires("health")
def test_healthz_tells_the_truth_about_the_model(http: httpx.Client) -> None:
    """`/healthz` has the status, whether the model is loaded, and the number of documents."""
    health = ok(http.get("/healthz"))

    assert health["status"] == "ok"
    assert health["model_loaded"] is True
    assert health["document_count"] >= 0


@pytest.mark.requires("health", "ingest", "jobs", "documents")
def test_healthz_counts_the_documents(http: httpx.Client, collection: str) -> None:
    """The count rises with a new document, stays for a replaced one, and falls with a deleted one."""
    before = ok(http.get("/healthz"))["document_count"]

    ingest(http, [{"id": name, "text": make_unique(name)} for name in "abc"], collection=collection)
    after_ingest = ok(http.get("/healthz"))["document_count"]
    ingest(http, [{"id": "a", "text": make_unique("a again")}], collection=collection)
    after_replacing = ok(http.get("/healthz"))["document_count"]
    ok(http.delete("/v1/documents/b", params={"collection": collection}))

    assert (after_ingest, after_replacing) == (before + 3, before + 3)
    assert ok(http.get("/healthz"))["document_count"] == before + 2


@pytest.mark.requires("readiness")
def test_readyz_after_warm_up(http: httpx.Client) -> None:
    """A server that answers embeddings is ready."""
    assert http.get("/readyz").status_code == 200


@pytest.mark.requires("metrics")
def test_metrics_are_in_the_prometheus_text_format(http: httpx.Client) -> None:
    """Every line is a comment or `name{labels} number`, and the content type is text."""
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
    """The counters of texts, tokens and forward passes rise with each request that runs the model."""
    texts = [make_unique("counted") for _ in range(7)]
    before = httpx.get(target.metrics_url).text

    usage = embed(http, texts)["usage"]

    after = httpx.get(target.metrics_url).text
    increase = {
        name: get_value(after, f"gateway_forward_{name}_total") - get_value(before, f"gateway_forward_{name}_total")
        for name in ("texts", "tokens", "passes")
    }
    assert increase["texts"] == 7
    assert increase["tokens"] == usage["prompt_tokens"]
    assert 1 <= increase["passes"] <= 7


@pytest.mark.requires("metrics", "search")
def test_a_search_goes_through_the_model(http: httpx.Client, target: Server) -> None:
    """Each search embeds its query, also if it finds nothing."""
    before = get_value(httpx.get(target.metrics_url).text, "gateway_forward_texts_total")

    search(http, make_unique("counted"), min_score=0.9999)

    assert get_value(httpx.get(target.metrics_url).text, "gateway_forward_texts_total") == before + 1


@pytest.mark.requires("metrics", "embeddings")
def test_requests_are_counted_by_route_and_status(http: httpx.Client) -> None:
    """`gateway_requests_total` counts good and bad requests of a route by status."""
    labels = {"route": "/v1/embeddings"}
    before = http.get("/metrics").text

    embed(http, "a good request")
    http.post("/v1/embeddings", json={})

    after = http.get("/metrics").text
    for status in ("200", "400"):
        increase = get_value(after, "gateway_requests_total", status=status, **labels) - get_value(
            before, "gateway_requests_total", status=status, **labels
        )
        assert increase == 1


@pytest.mark.requires("metrics", "models")
def test_a_client_cannot_make_metrics_grow(http: httpx.Client) -> None:
    """Requests are counted by the template of their route, so no path of a client becomes a label."""
    for _ in range(3):
        http.get(f"/v1/models/{make_unique('invented').replace(' ', '-')}")
        http.get(f"/v1/{make_unique('invented').replace(' ', '-')}")

    assert "invented-" not in http.get("/metrics").text


@pytest.mark.requires("metrics", "health")
def test_metrics_and_health_agree_on_the_documents(http: httpx.Client) -> None:
    """`gateway_documents` equals the count of `/healthz`."""
    exposition = http.get("/metrics").text

    assert get_value(exposition, "gateway_documents") == ok(http.get("/healthz"))["document_count"]


@pytest.mark.requires("openapi")
def test_openapi_describes_every_route(http: httpx.Client) -> None:
    """`/openapi.json` has each route of the contract with its methods."""
    paths = ok(http.get("/openapi.json"))["paths"]

    for path, methods in ROUTES.items():
        assert path in paths, path
        assert set(paths[path]) >= methods, path


@pytest.mark.requires("openapi")
def test_openapi_documents_the_bodies(http: httpx.Client) -> None:
    """`/openapi.json` has the fields of the bodies that clients send."""
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
    """No route promises 422, because wrong requests get 400 in the contract's error shape."""
    for path, operations in ok(http.get("/openapi.json"))["paths"].items():
        for method, operation in operations.items():
            assert "422" not in operation.get("responses", {}), f"{method} {path}"


@pytest.mark.requires("openapi")
def test_docs_is_a_page(http: httpx.Client) -> None:
    """`/docs` is an HTML page."""
    response = http.get("/docs")

    assert response.status_code == 200
    assert response.headers["content-type"].startswith("text/html")
