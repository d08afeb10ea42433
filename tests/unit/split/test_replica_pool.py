"""Several embed services: which of them gets a call, and which errors send a call to another one."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from gateways.core.errors import ModelHung
from gateways.core.settings import UpstreamSettings
from gateways.split.gateway.dialects.base import Ask
from gateways.split.gateway.replica_pool import ReplicaPool
from tests.support.embed_service import FAILURE, EmbedService, error_of

CALL = Ask("embed", b"{}", bytes.decode)


def run(scenario: Callable[[ReplicaPool, EmbedService, EmbedService], Awaitable[None]]) -> None:
    """Run `scenario` with a pool of two services, of which the first one gets a call if both are idle."""

    async def with_services() -> None:
        arrivals = asyncio.Semaphore(0)
        async with EmbedService(arrivals) as first, EmbedService(arrivals) as second:
            pool = ReplicaPool(UpstreamSettings(embedding_api_url=f"{first.url},{second.url}"))
            await pool.connect()
            try:
                await scenario(pool, first, second)
            finally:
                pool.close()

    asyncio.run(asyncio.wait_for(with_services(), 20))


async def start_calls(pool: ReplicaPool, count: int, *services: EmbedService) -> list[asyncio.Task[str]]:
    """Make calls that these services hold, each after the one before it has arrived."""
    calls = []
    for service in services:
        service.go_on.clear()
    for _ in range(count):
        calls.append(asyncio.create_task(pool.send(CALL)))
        await services[0].arrivals.acquire()
    return calls


def test_calls_are_spread_evenly() -> None:
    """Of services that are all at work, the one with the fewest calls gets the next."""

    async def scenario(pool: ReplicaPool, first: EmbedService, second: EmbedService) -> None:
        calls = await start_calls(pool, 4, first, second)
        assert (first.calls, second.calls) == (2, 2)
        first.go_on.set()
        second.go_on.set()
        await asyncio.gather(*calls)

    run(scenario)


def test_an_idle_service_is_asked_instead_of_a_busy_one() -> None:
    """However many calls it has answered before: only calls in flight count."""

    async def scenario(pool: ReplicaPool, first: EmbedService, second: EmbedService) -> None:
        held_by_first, held_by_second = await start_calls(pool, 2, first, second)
        second.go_on.set()
        await held_by_second
        for _ in range(5):
            await pool.send(CALL)
        assert (first.calls, second.calls) == (1, 6)
        first.go_on.set()
        await held_by_first

    run(scenario)


@pytest.mark.parametrize("answer", [FAILURE, error_of("model_failed"), (503, b"{}"), (429, b"{}")])
def test_a_failed_call_goes_to_the_other_service(answer: tuple[int, bytes]) -> None:
    """The client gets the answer of that one."""

    async def scenario(pool: ReplicaPool, first: EmbedService, second: EmbedService) -> None:
        first.answers.append(answer)

        assert await pool.send(CALL) == "{}"
        assert (first.calls, second.calls) == (1, 1)

    run(scenario)


def test_an_input_that_hangs_a_model_is_not_sent_to_the_other_service() -> None:
    """It would hang that one's model as well."""

    async def scenario(pool: ReplicaPool, first: EmbedService, second: EmbedService) -> None:
        first.answers.append(error_of("model_hung"))

        with pytest.raises(ModelHung):
            await pool.send(CALL)
        assert (first.calls, second.calls) == (1, 0)

    run(scenario)
