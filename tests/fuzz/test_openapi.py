"""Responses to generated requests, valid or invalid, conform to the gateway's OpenAPI description."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from tests.contract.client import submit, wait_for_job
from tests.fuzz.cases import Fuzz
from tests.fuzz.turns import run_in_turns
from tests.selection import shapes
from tests.support import gateways

# `make fuzz` sends 10,000.
CASES = int(os.environ.get("FUZZ_CASES", "600"))
# By default a gateway without a model and a gateway with one; GATEWAYS selects others.
BEHIND = pytest.param("onnx_py", marks=pytest.mark.slow("30 s: the routes are pseudo's"))
FUZZED = shapes() if "GATEWAYS" in os.environ else ["pseudo", BEHIND]


@pytest.fixture(params=FUZZED)
def gateway(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[gateways.Gateway]:
    """Yield a gateway of this test's own, because the requests delete its data."""
    running = gateways.describe(request.param, tmp_path / request.param).start()
    yield running
    running.kill()


def create_path_values(url: str) -> dict[str, str]:
    """Ingest a document, and return an existing value for each path parameter."""
    with httpx.Client(base_url=url) as http:
        job = submit(http, [{"id": "note", "text": "The Danube flows through ten countries."}])
        wait_for_job(http, job["job_id"])
        [model, *_] = http.get("/v1/models").json()["data"]
    return {"model": model["id"], "job_id": job["job_id"], "document_id": "note", "name": "default"}


@pytest.mark.timeout(3600)
def test_every_response_conforms_to_openapi(gateway: gateways.Gateway) -> None:
    """No 5xx, no undocumented status, media type or schema; afterwards the gateway is healthy and stops with 0."""
    fuzz = Fuzz(gateway.url, create_path_values(gateway.url))

    fuzz.run(CASES)

    _assert_healthy(fuzz, gateway)


@pytest.mark.slow("20 s: chains of up to a dozen requests")
@pytest.mark.timeout(3600)
def test_every_response_of_a_scenario_conforms_to_openapi(gateway: gateways.Gateway) -> None:
    """The same holds for requests that use earlier responses; and a deleted resource is not served."""
    fuzz = Fuzz(gateway.url, {})

    run_in_turns(fuzz, CASES)

    _assert_healthy(fuzz, gateway)
    assert fuzz.answered["DELETE /v1/documents/{document_id}"]


def _assert_healthy(fuzz: Fuzz, gateway: gateways.Gateway) -> None:
    print(f"{fuzz.cases} requests; answers by status: {dict(sorted(fuzz.statuses.items()))}")
    assert not fuzz.failures, "\n\n".join([f"{len(fuzz.failures)} kinds of failure", *fuzz.describe_failures()])
    assert fuzz.cases >= CASES, f"{fuzz.cases} requests were made: {fuzz.answered}"
    assert httpx.get(f"{gateway.url}/healthz").json()["status"] == "ok"
    assert set(gateway.stop().values()) == {0}
    assert "Traceback" not in gateway.front.logs[-1].read_text()
