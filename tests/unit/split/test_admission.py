"""The backlog of the thin gateway: one limit for both lanes, and a wait per lane."""

from __future__ import annotations

import time

import pytest

from gateways.core.backend import Lane
from gateways.core.errors import Overloaded
from gateways.split.gateway.admission import CHARACTERS_PER_TOKEN, Backlog


def test_a_request_over_the_limit_is_refused() -> None:
    """A request over the limit gets 429 with Retry-After, unless no other request is in flight."""
    backlog = Backlog(max_queue_tokens=10, max_batch_tokens=512, max_wait_s=60, max_bulk_wait_s=60)
    most = 10 * CHARACTERS_PER_TOKEN

    with backlog.holding(3 * most, "bulk"), pytest.raises(Overloaded) as refused, backlog.holding(1, "interactive"):
        pytest.fail("taken on beyond the limit")
    assert refused.value.retry_after_s is not None
    assert refused.value.retry_after_s >= 1
    assert "120 characters wait for the embed service already and 40 may" in refused.value.message
    with backlog.holding(most // 2, "bulk"), backlog.holding(most // 2, "bulk"):
        pass


@pytest.mark.parametrize("lane", ["interactive", "bulk"])
def test_a_request_that_would_wait_too_long_is_refused(lane: Lane) -> None:
    """A lane refuses a request as soon as its throughput is known and the wait would exceed its maximum."""
    backlog = Backlog(max_queue_tokens=10_000, max_batch_tokens=1, max_wait_s=0.01, max_bulk_wait_s=0.01)

    with backlog.holding(2 * CHARACTERS_PER_TOKEN, "bulk"):
        for _ in range(2):
            with backlog.holding(CHARACTERS_PER_TOKEN, lane):
                time.sleep(0.3)
        assert backlog.refusal("interactive") is None
        refused = backlog.refusal("bulk")
    assert (refused is not None) is (lane == "bulk")
    assert backlog.refusal("bulk") is None
