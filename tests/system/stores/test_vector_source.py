"""A collection knows what made its vectors, and a gateway that makes others does not serve it by accident."""

from __future__ import annotations

import asyncio
import dataclasses
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import psycopg
import pytest

from gateways.core.backend import ModelInfo
from gateways.core.profiles import Profile, StoreMismatch
from gateways.core.settings import StoreSettings
from gateways.core.stores.pgvector import store as pgvector
from gateways.core.stores.source_check import check_sources, find_mismatches
from gateways.core.vector_source import VectorSource, find_source
from tests.support.gateways import ROOT, Gateway, Process, StartFailed, describe, wait_until
from tests.support.ingest_client import client_of
from tests.system.stores.conftest import DEFAULT, MODELS, Opened
from tests.system.stores.test_store import write

INT8 = VectorSource(precision="int8", revision="a" * 40, pooling="mean", document_prompt="", sparse_precision="exact")
FIELDS_BEFORE = {
    "embedding_model",
    "dimensions",
    "sparse_model",
    "reranker_model",
    "top_k",
    "chunk",
    "late_interaction",
    "fusion",
}
TEXTS = {"a": "the harbour at dawn", "b": "bread and butter"}
REFUSAL = r"collection 'default' .*precision int8.* serves precision fp32.*PRECISION=int8.*ALLOW_VECTOR_MISMATCH"


def models_with(precision: str) -> tuple[ModelInfo, ...]:
    """Return the models of these tests, the dense ones with another precision."""
    return tuple(
        dataclasses.replace(model, precision=precision) if model.kind == "dense" else model for model in MODELS
    )


def source_of(opened: Opened, name: str = "books") -> VectorSource | None:
    """Return the source of a collection of a store that is opened again."""
    opened.runner.run(opened.store.close())
    opened.again()
    opened.runner.run(opened.store.refresh(counts=True))
    return opened.store.collection(name).profile.vector_source


def put(opened: Opened, source: VectorSource | None, **changes: object) -> None:
    """Put the profile of the books."""
    profile: Profile = dataclasses.replace(DEFAULT, vector_source=source, **changes)  # type: ignore[arg-type]
    opened.runner.run(opened.store.put("books", profile))


def test_a_change_of_the_profile_keeps_the_source_of_stored_vectors(opened: Opened) -> None:
    """Also when the collection is opened again. Without documents, the source is that of the new profile."""
    put(opened, INT8)
    assert source_of(opened) == INT8
    fp32 = dataclasses.replace(INT8, precision="fp32")
    put(opened, fp32)
    assert source_of(opened) == fp32
    write(opened)

    put(opened, INT8, top_k=9)

    assert source_of(opened) == fp32
    assert opened.store.collection("books").profile.top_k == 9


def test_vectors_of_an_unknown_source_stay_unknown(opened: Opened) -> None:
    """An earlier version wrote them. They are served, and a PUT does not claim to know what made them."""
    write(opened)

    opened.runner.run(check_sources(opened.store, models_with("fp32"), allow=False))
    put(opened, INT8)

    assert source_of(opened) is None


def test_an_empty_collection_takes_the_source_of_the_gateway(opened: Opened) -> None:
    """Whether its own is another one, or unknown."""
    put(opened, INT8)
    models = models_with("fp32")

    opened.runner.run(check_sources(opened.store, models, allow=False))

    expected = find_source(models, "tiny", "bm25")
    assert expected is not None
    assert expected.precision == "fp32"
    assert (source_of(opened), source_of(opened, "default")) == (expected, expected)


def test_vectors_of_another_source_are_refused_or_listed(opened: Opened) -> None:
    """The message names the collection, both sources, and the ways out. The setting allows them."""
    put(opened, INT8)
    write(opened)
    models = models_with("fp32")

    with pytest.raises(StoreMismatch, match=REFUSAL.replace("default", "books")):
        opened.runner.run(check_sources(opened.store, models, allow=False))

    opened.runner.run(check_sources(opened.store, models, allow=True))
    [(name, mismatch)] = find_mismatches(opened.store, models).items()
    assert (name, mismatch.stored, mismatch.served.precision) == ("books", INT8, "fp32")
    assert source_of(opened) == INT8
    opened.runner.run(check_sources(opened.store, models_with("int8"), allow=False))


def test_gateways_of_the_version_before_read_the_profile(database_url: str, tmp_path: Path) -> None:
    """They fail on a field that they do not know, so the source is not in the profile of a shared database."""

    async def put() -> None:
        settings = StoreSettings(data_dir=tmp_path, store="pgvector", database_url=database_url)
        store = await pgvector.open_store(settings, DEFAULT, MODELS)
        await store.put("books", DEFAULT.with_source(INT8))
        await store.close()

    asyncio.run(put())

    with psycopg.connect(database_url) as database:
        [(profile, source)] = database.execute(
            "SELECT profile, vector_source FROM gateway_collections WHERE name = 'books'"
        ).fetchall()
    assert set(profile) == FIELDS_BEFORE
    assert source["precision"] == "int8"


def test_a_model_that_tells_nothing_agrees_with_every_source(opened: Opened) -> None:
    """An upstream that answers with vectors alone says neither its precision nor its revision."""
    put(opened, INT8)
    write(opened)

    opened.runner.run(check_sources(opened.store, models_with("upstream"), allow=False))

    assert source_of(opened) == INT8


@pytest.fixture
def gateway(tmp_path: Path) -> Iterator[Gateway]:
    """Yield onnx_py with int8, started and filled."""
    int8 = describe("onnx_py", tmp_path, python=Path(sys.executable), PRECISION="int8", FLUSH_EVERY_S="0.1")
    try:
        int8.start()
        with client_of(int8) as client:
            client.completed(client.submit(TEXTS))
        yield int8
    finally:
        int8.kill()


@pytest.mark.gateway("onnx_py")
def test_another_precision_is_refused_at_the_start(gateway: Gateway) -> None:
    """Vectors of int8 are not served with fp32: exit code 1, and the log says what to do. int8 starts again."""
    gateway.stop()
    gateway.front.environ["PRECISION"] = "fp32"

    with pytest.raises(StartFailed, match=r"(?s)ended with 1:.*" + REFUSAL):
        gateway.front.start()

    gateway.front.environ["PRECISION"] = "int8"
    gateway.front.start()
    assert _read(gateway, "/v1/collections/default")["vector_source"]["precision"] == "int8"
    assert _read(gateway, "/v1/config")["vector_mismatches"] == {}


@pytest.mark.gateway("onnx_py")
def test_another_precision_is_shown_where_it_is_allowed(gateway: Gateway) -> None:
    """The collection is served, and `/v1/config` has both sources. New documents and a PUT do not change its own."""
    gateway.stop()
    gateway.front.environ |= {"PRECISION": "fp32", "ALLOW_VECTOR_MISMATCH": "true"}
    gateway.front.start()

    with client_of(gateway) as client:
        client.completed(client.submit({"c": "dawn over the sea"}))
        client.holds_exactly({**TEXTS, "c": "dawn over the sea"})
        assert client.http.put("/v1/collections/default", json={"top_k": 3}).status_code == 200
        assert client.http.put("/v1/collections/new", json={}).json()["vector_source"]["precision"] == "fp32"
    config = _read(gateway, "/v1/config")
    assert config["settings"]["allow_vector_mismatch"]
    assert list(config["vector_mismatches"]) == ["default"]
    mismatch = config["vector_mismatches"]["default"]
    assert (mismatch["stored"]["precision"], mismatch["served"]["precision"]) == ("int8", "fp32")
    assert mismatch["stored"]["revision"] == mismatch["served"]["revision"]
    assert mismatch["stored"]["pooling"] == "mean"
    assert "ALLOW_VECTOR_MISMATCH" in gateway.front.log()


@pytest.mark.gateway("onnx_py")
def test_a_reindex_makes_the_vectors_of_the_gateway(gateway: Gateway) -> None:
    """As the refusal says: afterwards the store has the documents, and the source is the gateway's."""
    with gateway.client() as http:
        assert http.put("/v1/collections/default", json={"top_k": 3}).json()["vector_source"]["precision"] == "int8"
    gateway.stop()
    gateway.front.environ["PRECISION"] = "fp32"
    command = [sys.executable, "-m", "gateways.admin", "reindex", "--gateway", "onnx_py"]

    subprocess.run(command, cwd=ROOT, env=os.environ | gateway.front.environ, check=True, capture_output=True)  # noqa: S603

    gateway.front.start()
    with client_of(gateway) as client:
        client.holds_exactly(TEXTS)
    assert _read(gateway, "/v1/collections/default")["vector_source"]["precision"] == "fp32"
    assert _read(gateway, "/v1/config")["vector_mismatches"] == {}


@pytest.mark.gateway("split")
def test_an_upstream_that_comes_back_with_another_precision_mixes_nothing(tmp_path: Path) -> None:
    """Searches get 503 with the code `vector_mismatch`, ingests wait, and no cached vector is of the old model."""
    split = describe("split", tmp_path, python=Path(sys.executable), PRECISION="int8", FLUSH_EVERY_S="0.1")
    embed = split.processes["embed"]
    try:
        split.start()
        with client_of(split) as client:
            client.completed(client.submit(TEXTS))
            before = _embed(client.http)

            _restart(embed, "fp32")
            wait_until(lambda: _precision(client.http) == "fp32", 30, "the other precision")
            refused = client.http.post("/v1/search", json={"query": "dawn"})
            after = _embed(client.http)
            jobs = client.submit({"c": "dawn over the sea"})
            wait_until(lambda: "ingest retries" in split.front.log(), 30, "an ingest that waits")
            assert (refused.status_code, refused.json()["error"]["code"]) == (503, "vector_mismatch")
            assert before != after
            assert client.job(jobs[0])["finished_at"] is None
            assert list(_read(split, "/v1/config")["vector_mismatches"]) == ["default"]

            _restart(embed, "int8")
            client.completed(jobs)
            client.holds_exactly({**TEXTS, "c": "dawn over the sea"})
            assert _embed(client.http) == before
    finally:
        split.kill()


def _restart(process: Process, precision: str) -> None:
    process.kill()
    process.environ["PRECISION"] = precision
    process.start()


def _precision(http: httpx.Client) -> str:
    models: list[dict[str, str]] = http.get("/v1/models").json()["data"]
    return models[0]["precision"]


def _embed(http: httpx.Client) -> list[float]:
    answer = http.post("/v1/embeddings", json={"input": "the harbour at dawn"})
    assert answer.status_code == 200, answer.text
    vector: list[float] = answer.json()["data"][0]["embedding"]
    return vector


def _read(gateway: Gateway, path: str) -> dict[str, Any]:
    with gateway.client() as http:
        answer = http.get(path)
    assert answer.status_code == 200, answer.text
    body: dict[str, Any] = answer.json()
    return body
