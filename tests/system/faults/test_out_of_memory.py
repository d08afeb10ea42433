"""A pass that the memory does not hold: smaller ones take its place, and nobody is told but the log."""

from __future__ import annotations

import resource
from collections.abc import Iterator
from pathlib import Path

import httpx
import numpy as np
import psutil
import pytest

from bench.datasets import squad
from tests.support.gateways import Gateway, describe

# A pass over so many tokens takes 200 MB for its widest values alone, and half as much for others beside them.
PASS_TOKENS, SPARE_BYTES = 32_768, 250_000_000
TEXTS = 128

pytestmark = [pytest.mark.gateway("python"), pytest.mark.slow("24 s: passes of 32,768 tokens in torch")]


@pytest.fixture
def gateway(tmp_path: Path) -> Iterator[Gateway]:
    """Yield a torch gateway that makes passes as large as a GPU's, and may take little more memory than it has."""
    started = describe(
        "python",
        tmp_path / "run",
        MAX_BATCH_TOKENS=str(PASS_TOKENS),
        THREADS="1",
        # What a pass frees is the system's again at once: the limit below counts what is only kept for later, too.
        MALLOC_MMAP_THRESHOLD_="1000000",
        MALLOC_ARENA_MAX="1",
    )
    yield started.start()
    started.kill()


def test_a_pass_too_large_for_the_memory_is_made_in_parts(gateway: Gateway) -> None:
    """All vectors come, the same as before: what a failed pass held is let go before its halves are tried."""
    passages = sorted(squad.load().passages.values(), key=len)[-TEXTS:]
    process = gateway.front.popen
    assert process is not None
    with gateway.client(timeout_s=300) as http:
        wanted = vectors(http, passages)  # with all that it needs, and keeps, besides the memory of a pass
        limit = psutil.Process(process.pid).memory_info().vms + SPARE_BYTES
        resource.prlimit(process.pid, resource.RLIMIT_AS, (limit, limit))

        embeddings = vectors(http, passages)

    assert "each half is tried" in gateway.front.logs[-1].read_text(), "nothing ran out of memory"
    np.testing.assert_allclose(embeddings, wanted, atol=1e-5)


def vectors(http: httpx.Client, texts: list[str]) -> list[list[float]]:
    """Embed texts in one request."""
    answer = http.post("/v1/embeddings", json={"input": texts})
    assert answer.status_code == 200, answer.text[:300]
    return [row["embedding"] for row in answer.json()["data"]]
