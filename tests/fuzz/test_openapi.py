"""Whatever the description allows a client to send, and whatever it does not: the answer is one it promises."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from tests import processes
from tests.conftest import shapes
from tests.contract.wire import finished, submit
from tests.fuzz.cases import Fuzz
from tests.fuzz.turns import run_in_turns

# `make fuzz` sends 10,000.
CASES = int(os.environ.get("FUZZ_CASES", "600"))
# One that is all contract and no model, and one with a model behind; GATEWAYS names others.
FUZZED = shapes() if "GATEWAYS" in os.environ else ["pseudo", "onnx_py"]


@pytest.fixture(params=FUZZED)
def gateway(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[processes.Gateway]:
    """Yield a gateway of this test's own: what is sent to it deletes whatever it finds."""
    started = processes.describe(request.param, tmp_path / request.param).start()
    yield started
    started.kill()


def known(url: str) -> dict[str, str]:
    """Put something into the gateway, and return what its paths can name."""
    with httpx.Client(base_url=url) as http:
        job = submit(http, [{"id": "note", "text": "The Danube flows through ten countries."}])
        finished(http, job["job_id"])
        [model, *_] = http.get("/v1/models").json()["data"]
    return {"model": model["id"], "job_id": job["job_id"], "document_id": "note", "name": "default"}


@pytest.mark.timeout(3600)
def test_every_answer_is_one_that_openapi_promises(gateway: processes.Gateway) -> None:
    """No 5xx, no undocumented status, type or shape, and in the end the gateway is well and stops as it should."""
    fuzz = Fuzz(gateway.url, known(gateway.url))

    fuzz.run(CASES)

    _held(fuzz, gateway)


@pytest.mark.timeout(3600)
def test_so_is_every_answer_about_what_an_earlier_request_made(gateway: processes.Gateway) -> None:
    """The same where requests build on each other; and what was deleted is not served."""
    fuzz = Fuzz(gateway.url, {})

    run_in_turns(fuzz, CASES)

    _held(fuzz, gateway)
    assert fuzz.answered["DELETE /v1/documents/{document_id}"]


def _held(fuzz: Fuzz, gateway: processes.Gateway) -> None:
    print(f"{fuzz.cases} requests; answers by status: {dict(sorted(fuzz.statuses.items()))}")
    assert not fuzz.failures, "\n\n".join([f"{len(fuzz.failures)} kinds of failure", *fuzz.told()])
    assert fuzz.cases >= CASES, f"{fuzz.cases} requests were made: {fuzz.answered}"
    assert httpx.get(f"{gateway.url}/healthz").json()["status"] == "ok"
    assert set(gateway.stop().values()) == {0}
    assert "Traceback" not in gateway.front.logs[-1].read_text()
