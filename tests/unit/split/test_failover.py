"""Failover: which calls a second embed service gets, how many, and until when."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from contextlib import AsyncExitStack

import pytest

from gateways.core.errors import BackendUnavailable, DeadlineExceeded, GatewayError, ModelCrashed, UpstreamFailed
from gateways.core.settings import UpstreamSettings
from gateways.split.gateway.connection_errors import ConnectionBroken
from gateways.split.gateway.deadline import Deadline
from gateways.split.gateway.dialects.base import Ask
from gateways.split.gateway.failover import FAILOVERS, FAILOVERS_PER_CALL, HEDGES
from gateways.split.gateway.replica import MAX_FAILURES
from gateways.split.gateway.replica_pool import ReplicaPool
from tests.support.clock import Clock
from tests.support.embed_service import FAILURE, EmbedService

CALL = Ask("embed", b"{}", bytes.decode)
KILLER = Ask("embed", b'{"killer": 1}', bytes.decode)
OVERLOADED = (429, b"{}")
HEDGE_MS = 1
# Much longer than HEDGE_MS, and than a call takes.
LONG_S = 0.1


def run(
    scenario: Callable[[ReplicaPool, Sequence[EmbedService]], Awaitable[None]], services: int = 2, hedge_ms: int = 0
) -> None:
    """Run `scenario` with a pool of services that die of KILLER. The first one gets a call if all are idle."""

    async def with_services() -> None:
        arrivals = asyncio.Semaphore(0)
        async with AsyncExitStack() as stack:
            group = [await stack.enter_async_context(EmbedService(arrivals)) for _ in range(services)]
            for service in group:
                service.deadly.add(b"killer")
            urls = ",".join(service.url for service in group)
            pool = ReplicaPool(UpstreamSettings(embedding_api_url=urls, hedge_ms=hedge_ms))
            await pool.connect()
            stack.callback(pool.close)
            await scenario(pool, group)

    asyncio.run(asyncio.wait_for(with_services(), 20))


def test_a_call_that_kills_its_service_goes_to_one_other() -> None:
    """Not to all of them, one after the other. The error is the call's, and no reason to try it again."""

    async def scenario(pool: ReplicaPool, services: Sequence[EmbedService]) -> None:
        with pytest.raises(ModelCrashed, match="died 2 times"):
            await pool.send(KILLER)
        assert [service.deaths > 0 for service in services] == [True, True, False, False]
        assert await pool.send(CALL) == "{}"

    run(scenario, 4)


def test_a_call_that_killed_before_goes_to_no_other() -> None:
    """The crashes of a call are counted over requests: each further one costs one service at most."""

    async def scenario(pool: ReplicaPool, services: Sequence[EmbedService]) -> None:
        with pytest.raises(ModelCrashed):
            await pool.send(KILLER)
        before = [service.deaths for service in services]
        with pytest.raises(ModelCrashed):
            await pool.send(KILLER)
        deaths = [service.deaths for service in services]
        assert sum(now > then for now, then in zip(deaths, before, strict=True)) == 1

    run(scenario, 4)


def test_a_single_service_that_is_restarted_blames_no_call() -> None:
    """One broken connection, and any number of refused ones, are an outage. An answer in between clears the call."""

    async def scenario(pool: ReplicaPool, services: Sequence[EmbedService]) -> None:
        for _ in range(3):
            services[0].deadly = {b"{}"}
            with pytest.raises(BackendUnavailable):
                await pool.send(CALL)
            services[0].deadly = set()
            assert await pool.send(CALL) == "{}"
        services[0].deadly = {b"{}"}
        with pytest.raises(BackendUnavailable):
            await pool.send(CALL)
        await services[0].stop()
        for _ in range(3):
            with pytest.raises(BackendUnavailable):
                await pool.send(CALL)

    run(scenario, 1)


def test_a_single_service_that_dies_of_a_call_again_blames_the_call() -> None:
    """The client, or ingest, tries it again after the first time, as after a restart."""

    async def scenario(pool: ReplicaPool, services: Sequence[EmbedService]) -> None:
        with pytest.raises(BackendUnavailable):
            await pool.send(KILLER)
        assert await pool.send(CALL) == "{}"
        with pytest.raises(ModelCrashed):
            await pool.send(KILLER)

    run(scenario, 1)


def test_calls_beside_one_that_kills_are_answered() -> None:
    """They broke a connection as well. They go to the other service, but not at the same time as the guilty one."""

    async def scenario(pool: ReplicaPool, services: Sequence[EmbedService]) -> None:
        first, second = services
        for service in services:
            service.deadly = set()
            service.go_on.clear()
        calls = []
        for number in range(8):
            ask = KILLER if number == 6 else Ask("embed", b'{"call": %d}' % number, bytes.decode)
            calls.append(asyncio.create_task(pool.send(ask)))
            await first.arrivals.acquire()
        second.go_on.set()
        await asyncio.gather(*calls[1::2])

        first.deadly = second.deadly = {b"killer"}
        second.go_on.clear()
        first.die()
        first.go_on.set()
        while second.calls == 4:  # the first of the others is at the second service
            await first.arrivals.acquire()
        await asyncio.sleep(LONG_S)
        second.go_on.set()

        outcomes = await asyncio.gather(*calls, return_exceptions=True)
        assert isinstance(outcomes.pop(6), ModelCrashed)
        assert set(outcomes) == {"{}"}

    run(scenario)


def test_a_shared_call_that_kills_goes_to_no_other_service() -> None:
    """Its requests are sent one by one instead, and none of them is suspect yet."""

    async def scenario(pool: ReplicaPool, services: Sequence[EmbedService]) -> None:
        with pytest.raises(ConnectionBroken):
            await pool.send(KILLER, shared=True)
        assert services[1].deaths == 0
        services[0].deadly = services[1].deadly = set()
        assert await pool.send(KILLER) == "{}"

    run(scenario)


def test_no_failover_comes_after_the_deadline() -> None:
    """The deadline is that of the call, and not of each attempt."""

    async def scenario(pool: ReplicaPool, services: Sequence[EmbedService]) -> None:
        first, second = services
        clock = Clock()
        first.go_on.clear()
        first.answers.append(FAILURE)
        call = asyncio.create_task(pool.send(CALL, Deadline(60, clock)))
        await first.arrivals.acquire()
        clock.now_s += 60
        first.go_on.set()

        with pytest.raises(UpstreamFailed):
            await call
        assert second.calls == 0

    run(scenario)


def test_a_failover_has_the_rest_of_the_time() -> None:
    """The second service gets a quarter of a second here. It is not blamed if it takes longer."""

    async def scenario(pool: ReplicaPool, services: Sequence[EmbedService]) -> None:
        first, second = services
        second.go_on.clear()
        for number in range(MAX_FAILURES + 1):
            clock = Clock()
            first.go_on.clear()
            first.answers.append(OVERLOADED)
            call = asyncio.create_task(pool.send(CALL, Deadline(60, clock)))
            while first.calls == number:
                await first.arrivals.acquire()
            clock.now_s += 59.75
            first.go_on.set()
            with pytest.raises(DeadlineExceeded, match="within 60 s"):
                await call
        assert second.calls
        second.go_on.set()
        first.answers.append(OVERLOADED)
        assert await pool.send(CALL) == "{}"

    run(scenario)


def test_failovers_are_a_share_of_all_calls() -> None:
    """If every service refuses every call, the load does not double."""

    async def scenario(pool: ReplicaPool, services: Sequence[EmbedService]) -> None:
        for service in services:
            service.answers.extend([OVERLOADED] * 1_000)
        calls = 100
        for _ in range(calls):
            with pytest.raises(GatewayError):
                await pool.send(CALL)
        most = calls + FAILOVERS + FAILOVERS_PER_CALL * calls + 5  # one for each second
        assert calls + FAILOVERS <= sum(service.calls for service in services) <= most

    run(scenario)


def test_only_interactive_calls_are_hedged() -> None:
    """A bulk call is long because it is large, and another service would take as long."""

    async def scenario(pool: ReplicaPool, services: Sequence[EmbedService]) -> None:
        first, second = services
        first.go_on.clear()
        bulk = asyncio.create_task(pool.send(CALL, lane="bulk"))
        await first.arrivals.acquire()
        await asyncio.sleep(LONG_S)
        assert second.calls == 0
        first.go_on.set()
        await bulk
        first.go_on.clear()
        assert await pool.send(CALL, lane="interactive") == "{}"
        assert (first.calls, second.calls) == (2, 1)

    run(scenario, hedge_ms=HEDGE_MS)


def test_a_call_that_was_refused_for_overload_is_not_hedged() -> None:
    """The services have too much to do already."""

    async def scenario(pool: ReplicaPool, services: Sequence[EmbedService]) -> None:
        first, second, third = services
        first.answers.append(OVERLOADED)
        second.go_on.clear()
        call = asyncio.create_task(pool.send(CALL, lane="interactive"))
        await first.arrivals.acquire()
        await first.arrivals.acquire()
        await asyncio.sleep(LONG_S)
        assert (second.calls, third.calls) == (1, 0)
        second.go_on.set()
        await call

    run(scenario, 3, hedge_ms=HEDGE_MS)


def test_hedged_requests_are_a_share_of_all_calls() -> None:
    """If every call is slow, few of them are sent twice."""

    async def scenario(pool: ReplicaPool, services: Sequence[EmbedService]) -> None:
        first, second = services
        first.go_on.clear()
        for _ in range(HEDGES):
            assert await pool.send(CALL, lane="interactive") == "{}"
        last = asyncio.create_task(pool.send(CALL, lane="interactive"))
        for _ in range(2 * HEDGES + 1):
            await first.arrivals.acquire()
        await asyncio.sleep(LONG_S)
        assert (first.calls, second.calls) == (HEDGES + 1, HEDGES)
        first.go_on.set()
        await last

    run(scenario, hedge_ms=HEDGE_MS)
