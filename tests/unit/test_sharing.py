"""Requests of the thin gateway that share a call: each gets its own part, and nobody suffers for another."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable

import numpy as np
import pytest

from gateways.core.backend import Embeddings, Inputs, Lane, Truncate
from gateways.core.errors import InvalidRequest, Overloaded
from gateways.core.pseudo import DEFAULT, MAX_TOKENS, PseudoBackend
from gateways.core.speed import Speed
from gateways.split.gateway.backlog import CHARACTERS_PER_TOKEN, Backlog
from gateways.split.gateway.sharing import CALLS_IN_FLIGHT, TEXTS_PER_CALL, Sharing

LONG = "word " * (MAX_TOKENS + 1)


class Calls:
    """The calls that reach the hashed words behind; each waits until all that is to travel has lined up."""

    def __init__(self, *, rows_are_tokens: bool = False, most_inputs: int = TEXTS_PER_CALL) -> None:
        backend = PseudoBackend()
        self.made: list[tuple[int, Truncate]] = []
        self.sharing = Sharing(self._post, rows_are_tokens=rows_are_tokens, most_inputs=most_inputs)
        self._embed = backend.embed_tokens if rows_are_tokens else backend.embed

    async def _post(self, inputs: Inputs, truncate: Truncate) -> Embeddings:
        self.made.append((len(inputs), truncate))
        await asyncio.sleep(0)
        return await self._embed(DEFAULT, inputs, truncate=truncate)

    async def embed(self, inputs: Inputs, truncate: Truncate = "END") -> Embeddings:
        """Send one request."""
        return await self.sharing.embed(inputs, truncate)

    def run(self, scenario: Callable[[], Awaitable[None]]) -> None:
        """Run requests side by side, within a time."""

        async def limited() -> None:
            await asyncio.wait_for(scenario(), 20)

        asyncio.run(limited())


@pytest.mark.parametrize("rows_are_tokens", [False, True])
def test_each_request_gets_its_own_part(rows_are_tokens: bool) -> None:
    """Whatever travelled together: the vectors and counts are those of the request alone."""
    calls = Calls(rows_are_tokens=rows_are_tokens)
    requests: list[list[str]] = [[f"text {n} of {m}" + " more" * n for n in range(m)] for m in (1, 5, 2, 9)]

    async def scenario() -> None:
        together = await asyncio.gather(*(calls.embed(texts) for texts in requests))
        for texts, answer in zip(requests, together, strict=True):
            alone = await calls.embed(texts)
            assert np.array_equal(answer.vectors, alone.vectors)
            assert answer.token_counts == alone.token_counts

    calls.run(scenario)


def test_each_request_gets_its_own_tokens() -> None:
    """Of the texts that travelled together, each request has its own tokens' vectors."""
    backend = PseudoBackend()

    async def post(inputs: Inputs, truncate: Truncate) -> Embeddings:
        await asyncio.sleep(0)
        return await backend.embed(DEFAULT, inputs, truncate=truncate, tokens=True)

    async def scenario() -> None:
        sharing = Sharing(post, rows_are_tokens=False)
        requests = [[f"text {n} of {m}" + " more" * n for n in range(m)] for m in (1, 5, 2)]
        together = await asyncio.gather(*(sharing.embed(texts, "END") for texts in requests))
        for texts, answer in zip(requests, together, strict=True):
            alone = await backend.embed(DEFAULT, texts, tokens=True)
            assert answer.tokens
            assert alone.tokens
            assert answer.tokens.counts == alone.tokens.counts
            assert np.array_equal(answer.tokens.vectors, alone.tokens.vectors)

    asyncio.run(asyncio.wait_for(scenario(), 20))


@pytest.mark.parametrize("most", [8, TEXTS_PER_CALL])
def test_what_waits_travels_together(most: int) -> None:
    """A hundred single texts are a few calls, and none holds more than the service takes at once."""
    calls = Calls(most_inputs=most)

    async def scenario() -> None:
        await asyncio.gather(*(calls.embed([f"text {n}"]) for n in range(100)))

    calls.run(scenario)

    sizes = [size for size, *_ in calls.made]
    assert sum(sizes) == 100
    assert max(sizes) == most
    assert len(sizes) <= CALLS_IN_FLIGHT + 100 // most + 1


def test_one_long_request_is_one_call() -> None:
    """A request is not cut because it is longer than a shared call."""
    calls = Calls()

    async def scenario() -> None:
        answer = await calls.embed([f"text {n}" for n in range(3 * TEXTS_PER_CALL)])
        assert len(answer.vectors) == 3 * TEXTS_PER_CALL

    calls.run(scenario)

    assert [size for size, *_ in calls.made] == [3 * TEXTS_PER_CALL]


def test_only_requests_truncated_alike_share_a_call() -> None:
    """No text is truncated as another request wanted it; and each kind has its turn."""
    calls = Calls()
    kinds: list[Truncate] = ["END", "START", "NONE"]

    async def scenario() -> None:
        await asyncio.gather(*(calls.embed(["text"], kinds[n % 3]) for n in range(60)))

    calls.run(scenario)

    for kind in kinds:
        assert sum(size for size, made in calls.made if made == kind) == 20
    assert len(calls.made) <= 3 * (CALLS_IN_FLIGHT + 1)


def test_a_wrong_request_fails_alone() -> None:
    """Those that shared its call are answered, and its error names its own input."""
    calls = Calls()

    async def scenario() -> None:
        requests = [["fine"], ["fine", LONG], ["fine", "too"], ["fine"]]
        outcomes = await asyncio.gather(*(calls.embed(texts, "NONE") for texts in requests), return_exceptions=True)
        wrong = outcomes.pop(1)
        assert isinstance(wrong, InvalidRequest)
        assert wrong.param == "input.1"
        assert all(isinstance(outcome, Embeddings) for outcome in outcomes)

    calls.run(scenario)


def test_a_request_that_was_given_up_is_not_sent() -> None:
    """When its client or its time is gone before its call is made, nothing is computed for it."""
    calls = Calls()

    async def scenario() -> None:
        gone = asyncio.create_task(calls.embed(["gone"] * 3))
        staying = asyncio.create_task(calls.embed(["staying"]))
        await asyncio.sleep(0)
        gone.cancel()
        assert len((await staying).vectors) == 1
        with pytest.raises(asyncio.CancelledError):
            await gone
        await calls.embed(["later"])

    calls.run(scenario)

    assert [size for size, *_ in calls.made] == [1, 1]


def test_too_much_is_refused_and_what_is_answered_makes_room() -> None:
    """Beyond the limit a request gets 429 and the seconds to wait, unless nothing else is under way."""
    backlog = Backlog(max_queue_tokens=10, max_batch_tokens=512, max_wait_s=60, max_bulk_wait_s=60)
    most = 10 * CHARACTERS_PER_TOKEN

    with backlog.holding(3 * most, "bulk"), pytest.raises(Overloaded) as refused, backlog.holding(1, "interactive"):
        pytest.fail("taken on beyond the limit")
    assert refused.value.retry_after_s is not None
    assert refused.value.retry_after_s >= 1
    with backlog.holding(most // 2, "bulk"), backlog.holding(most // 2, "bulk"):
        pass


@pytest.mark.parametrize("lane", ["interactive", "bulk"])
def test_what_would_wait_too_long_in_its_lane_is_refused(lane: Lane) -> None:
    """Once it is known how fast this lane is worked off."""
    backlog = Backlog(max_queue_tokens=10_000, max_batch_tokens=1, max_wait_s=0.01, max_bulk_wait_s=0.01)

    with backlog.holding(2 * CHARACTERS_PER_TOKEN, "bulk"):
        for _ in range(2):
            with backlog.holding(CHARACTERS_PER_TOKEN, lane):
                time.sleep(0.3)
        assert backlog.refusal("interactive") is None
        refused = backlog.refusal("bulk")
    assert (refused is not None) is (lane == "bulk")
    assert backlog.refusal("bulk") is None


def test_what_ends_together_is_counted_together() -> None:
    """Sixty-four that shared a call are a speed of sixty-four a call, from the first one of them on."""
    speed = Speed(window_s=0.05)

    for _ in range(4):
        for _ in range(64):
            speed.did(1)
            assert speed.per_s == 0 or speed.per_s > 64 / 0.2
        time.sleep(0.1)
