"""CallBatcher: requests that share a call get their own parts, and an error affects only its own request."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import numpy as np
import pytest

from gateways.core.backend import DEFAULT_OPTIONS, Embeddings, EncodeOptions, Inputs
from gateways.core.errors import (
    BackendUnavailable,
    GatewayError,
    InvalidRequest,
    ModelCrashed,
    ModelFailed,
    ModelHung,
)
from gateways.core.inference.pseudo_backend import DEFAULT, MAX_TOKENS, PseudoBackend
from gateways.split.gateway.call_batcher import CALLS_IN_FLIGHT, TEXTS_PER_CALL, CallBatcher
from gateways.split.gateway.connection_errors import ConnectionBroken
from gateways.split.gateway.deadline import Deadline

WITH_TOKENS = EncodeOptions(tokens=True)
TIMEOUT_S = 20.0
LONG = "word " * (MAX_TOKENS + 1)


class Calls:
    """A CallBatcher over the pseudo backend that records the size and options of each call."""

    def __init__(self, *, rows_are_tokens: bool = False, max_inputs: int = TEXTS_PER_CALL) -> None:
        backend = PseudoBackend()
        self.log: list[tuple[int, EncodeOptions]] = []
        self.batcher = CallBatcher(
            self._post, timeout_s=TIMEOUT_S, rows_are_tokens=rows_are_tokens, max_inputs=max_inputs
        )
        self._embed = backend.embed_tokens if rows_are_tokens else backend.embed

    async def _post(self, inputs: Inputs, options: EncodeOptions, deadline: Deadline, *, shared: bool) -> Embeddings:
        self.log.append((len(inputs), options))
        await asyncio.sleep(0)
        return await self._embed(DEFAULT, inputs, options)

    async def embed(self, inputs: Inputs, options: EncodeOptions = DEFAULT_OPTIONS) -> Embeddings:
        """Send one request."""
        return await self.batcher.embed(inputs, options)

    def run(self, scenario: Callable[[], Awaitable[None]]) -> None:
        """Run requests concurrently, for at most 20 seconds."""

        async def limited() -> None:
            await asyncio.wait_for(scenario(), 20)

        asyncio.run(limited())


@pytest.mark.parametrize("rows_are_tokens", [False, True])
def test_each_request_gets_its_own_part(rows_are_tokens: bool) -> None:
    """The vectors and counts of a request in a shared call equal those of the request alone."""
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
    """The token vectors of a request in a shared call equal those of the request alone."""
    backend = PseudoBackend()

    async def post(inputs: Inputs, options: EncodeOptions, deadline: Deadline, *, shared: bool) -> Embeddings:
        await asyncio.sleep(0)
        return await backend.embed(DEFAULT, inputs, options)

    async def scenario() -> None:
        batcher = CallBatcher(post, timeout_s=TIMEOUT_S, rows_are_tokens=False)
        requests = [[f"text {n} of {m}" + " more" * n for n in range(m)] for m in (1, 5, 2)]
        together = await asyncio.gather(*(batcher.embed(texts, WITH_TOKENS) for texts in requests))
        for texts, answer in zip(requests, together, strict=True):
            alone = await backend.embed(DEFAULT, texts, WITH_TOKENS)
            assert answer.tokens
            assert alone.tokens
            assert answer.tokens.counts == alone.tokens.counts
            assert np.array_equal(answer.tokens.vectors, alone.tokens.vectors)

    asyncio.run(asyncio.wait_for(scenario(), 20))


@pytest.mark.parametrize("max_texts", [8, TEXTS_PER_CALL])
def test_queued_requests_share_calls(max_texts: int) -> None:
    """A hundred requests of one text are a few calls, none larger than the maximum of the service."""
    calls = Calls(max_inputs=max_texts)

    async def scenario() -> None:
        await asyncio.gather(*(calls.embed([f"text {n}"]) for n in range(100)))

    calls.run(scenario)

    sizes = [size for size, *_ in calls.log]
    assert sum(sizes) == 100
    assert max(sizes) == max_texts
    assert len(sizes) <= CALLS_IN_FLIGHT + 100 // max_texts + 1


def test_one_long_request_is_one_call() -> None:
    """A request that is larger than a shared call is not split."""
    calls = Calls()

    async def scenario() -> None:
        answer = await calls.embed([f"text {n}" for n in range(3 * TEXTS_PER_CALL)])
        assert len(answer.vectors) == 3 * TEXTS_PER_CALL

    calls.run(scenario)

    assert [size for size, *_ in calls.log] == [3 * TEXTS_PER_CALL]


def test_only_requests_with_equal_options_share_a_call() -> None:
    """A call has one truncate option, and the options take turns."""
    calls = Calls()
    kinds = [EncodeOptions(), EncodeOptions("START"), EncodeOptions("NONE")]

    async def scenario() -> None:
        await asyncio.gather(*(calls.embed(["text"], kinds[n % 3]) for n in range(60)))

    calls.run(scenario)

    for kind in kinds:
        assert sum(size for size, options in calls.log if options == kind) == 20
    assert len(calls.log) <= 3 * (CALLS_IN_FLIGHT + 1)


def test_a_wrong_request_fails_alone() -> None:
    """The other requests of the call are answered, and the error has the index of the request's own input."""
    calls = Calls()

    async def scenario() -> None:
        requests = [["fine"], ["fine", LONG], ["fine", "too"], ["fine"]]
        outcomes = await asyncio.gather(
            *(calls.embed(texts, EncodeOptions("NONE")) for texts in requests), return_exceptions=True
        )
        wrong = outcomes.pop(1)
        assert isinstance(wrong, InvalidRequest)
        assert wrong.param == "input.1"
        assert all(isinstance(outcome, Embeddings) for outcome in outcomes)

    calls.run(scenario)


@pytest.mark.parametrize(("error", "sent_again"), [(ModelFailed, True), (ModelHung, False)])
def test_an_input_that_hangs_a_model_is_not_sent_again(error: type[ModelFailed], sent_again: bool) -> None:
    """Each try costs the service a thread, so the whole call fails; after other errors its parts go alone."""
    backend, calls = PseudoBackend(), list[list[str]]()

    async def post(inputs: Inputs, options: EncodeOptions, deadline: Deadline, *, shared: bool) -> Embeddings:
        calls.append([str(text) for text in inputs])
        await asyncio.sleep(0)
        if "bad" in inputs:
            raise error("no")
        return await backend.embed(DEFAULT, inputs, options)

    async def scenario() -> None:
        batcher = CallBatcher(post, timeout_s=TIMEOUT_S, rows_are_tokens=False)
        alone = [batcher.embed([f"call {n}"], DEFAULT_OPTIONS) for n in range(CALLS_IN_FLIGHT)]
        shared = [batcher.embed([text], DEFAULT_OPTIONS) for text in ("good", "bad", "fine")]
        outcomes = (await asyncio.gather(*alone, *shared, return_exceptions=True))[CALLS_IN_FLIGHT:]

        assert ["good", "bad", "fine"] in calls
        assert (["bad"] in calls) is sent_again
        assert [isinstance(outcome, error) for outcome in outcomes] == [not sent_again, True, not sent_again]

    asyncio.run(asyncio.wait_for(scenario(), 20))


def test_a_cancelled_request_is_not_sent() -> None:
    """A request that is cancelled while it is queued is not part of a call."""
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

    assert [size for size, *_ in calls.log] == [1, 1]


class Mortal:
    """A service that breaks the connections of all its calls once it gets "killer". It records its calls."""

    def __init__(self) -> None:
        self.calls: list[list[str]] = []
        self.in_flight = self.most_in_flight = 0
        self.batcher = CallBatcher(self.post, timeout_s=TIMEOUT_S, rows_are_tokens=False)

    async def post(self, inputs: Inputs, options: EncodeOptions, deadline: Deadline, *, shared: bool) -> Embeddings:
        """Answer a call."""
        self.calls.append([str(text) for text in inputs])
        self.in_flight += 1
        self.most_in_flight = max(self.most_in_flight, self.in_flight)
        await asyncio.sleep(0)
        self.in_flight -= 1
        if "killer" in inputs:
            raise ConnectionBroken("broken") if shared else ModelCrashed("died twice")
        return await PseudoBackend().embed(DEFAULT, inputs, options)

    async def share_call(self, *texts: str) -> list[Embeddings | BaseException]:
        """Return the outcomes of requests that share a call, after as many others as may be in flight."""
        before = [self.batcher.embed([f"call {n}"], DEFAULT_OPTIONS) for n in range(CALLS_IN_FLIGHT)]
        shared = [self.batcher.embed([text], DEFAULT_OPTIONS) for text in texts]
        outcomes = await asyncio.gather(*before, *shared, return_exceptions=True)
        return outcomes[CALLS_IN_FLIGHT:]


def test_only_the_request_that_kills_the_service_fails() -> None:
    """The requests of its call are sent one after the other: it would take those beside it with it."""

    async def scenario() -> None:
        service = Mortal()
        outcomes = await service.share_call("good", "killer", "fine")

        assert [isinstance(outcome, ModelCrashed) for outcome in outcomes] == [False, True, False]
        assert service.calls[CALLS_IN_FLIGHT:] == [["good", "killer", "fine"], ["good"], ["killer"], ["fine"]]
        assert service.most_in_flight == CALLS_IN_FLIGHT

    asyncio.run(asyncio.wait_for(scenario(), 20))


def test_a_request_that_may_kill_the_service_shares_no_call_again() -> None:
    """Until it is answered, however often its client sends it."""

    async def scenario() -> None:
        service = Mortal()
        await service.share_call("good", "killer", "fine")
        service.calls.clear()
        outcomes = await service.share_call("good", "fine", "killer", "other")

        assert service.calls[CALLS_IN_FLIGHT:] == [["good", "fine"], ["killer"], ["other"]]
        assert [isinstance(outcome, ModelCrashed) for outcome in outcomes] == [False, False, True, False]

    asyncio.run(asyncio.wait_for(scenario(), 20))


@pytest.mark.parametrize("text", ["killer", "bad"])
def test_the_parts_of_a_failed_call_have_its_deadline(text: str) -> None:
    """A request waits no longer because it shared a call that failed."""
    deadlines: list[tuple[bool, Deadline]] = []

    async def post(inputs: Inputs, options: EncodeOptions, deadline: Deadline, *, shared: bool) -> Embeddings:
        deadlines.append((shared, deadline))
        await asyncio.sleep(0)
        if shared:
            raise ConnectionBroken("broken") if text == "killer" else ModelFailed("bad")
        return await PseudoBackend().embed(DEFAULT, inputs, options)

    async def scenario() -> None:
        batcher = CallBatcher(post, timeout_s=TIMEOUT_S, rows_are_tokens=False)
        requests = [batcher.embed([f"{text} {n}"], DEFAULT_OPTIONS) for n in range(CALLS_IN_FLIGHT + 3)]
        await asyncio.gather(*requests)

    asyncio.run(asyncio.wait_for(scenario(), 20))
    [shared_deadline] = [deadline for shared, deadline in deadlines if shared]
    assert sum(deadline is shared_deadline for _, deadline in deadlines) == 1 + 3


def test_a_service_that_is_away_fails_a_shared_call_as_a_whole() -> None:
    """Each request alone would fail as well, and cost a call."""
    calls = 0

    async def post(inputs: Inputs, options: EncodeOptions, deadline: Deadline, *, shared: bool) -> Embeddings:
        nonlocal calls
        calls += 1
        await asyncio.sleep(0)
        raise BackendUnavailable("away")

    async def scenario() -> None:
        batcher = CallBatcher(post, timeout_s=TIMEOUT_S, rows_are_tokens=False)
        requests = [batcher.embed([f"text {n}"], DEFAULT_OPTIONS) for n in range(CALLS_IN_FLIGHT + 9)]
        outcomes = await asyncio.gather(*requests, return_exceptions=True)
        assert all(isinstance(outcome, GatewayError) for outcome in outcomes)

    asyncio.run(asyncio.wait_for(scenario(), 20))
    assert calls == CALLS_IN_FLIGHT + 1
