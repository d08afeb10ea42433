"""A replica whose service fails or is too slow: what the caller gets, and whether other calls go there."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Awaitable, Callable

import pytest

from gateways.core.errors import BackendUnavailable, DeadlineExceeded, UpstreamFailed
from gateways.core.settings import UpstreamSettings
from gateways.split.gateway.deadline import Deadline
from gateways.split.gateway.dialects.base import Ask
from gateways.split.gateway.dialects.native import Native
from gateways.split.gateway.replica import MAX_FAILURES, PAUSE_S, PROBE_EVERY_S, Replica
from tests.support.clock import Clock, Loop, run_skipping
from tests.support.embed_service import FAILURE, EmbedService

TIMEOUT_S = 0.1  # of a service that never answers
ENOUGH_S = 20.0
CALL = Ask("embed", b"{}", bytes.decode)


def run(scenario: Callable[[Replica], Awaitable[None]], *, listening: bool) -> None:
    """Run `scenario` with a replica that was reachable, of a server that never answers, or that is not there."""

    async def keep_silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()
        writer.close()

    async def with_server() -> None:
        server = await asyncio.start_server(keep_silent, "127.0.0.1", 0)
        url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        if not listening:
            server.close()
            await server.wait_closed()
        settings = UpstreamSettings(embedding_api_url=url, request_timeout_s=TIMEOUT_S)
        replica = Replica(url, Native(settings), settings, lambda _replica, _models: None)
        replica.reachable = True
        await scenario(replica)
        replica.close()
        server.close()

    asyncio.run(asyncio.wait_for(with_server(), 20))


def test_an_answer_that_takes_too_long_exceeds_the_deadline() -> None:
    """The service may be at work on a large call: it stays reachable, until the next probe says otherwise."""

    async def scenario(replica: Replica) -> None:
        with pytest.raises(DeadlineExceeded, match=r"within 0\.1 s"):
            await replica.send(CALL, Deadline(TIMEOUT_S))
        assert replica.usable()

    run(scenario, listening=True)


def test_a_service_that_keeps_silent_is_left_alone_for_a_while() -> None:
    """After three calls in a row the circuit breaker opens."""

    async def scenario(replica: Replica) -> None:
        for _ in range(MAX_FAILURES):
            assert replica.usable()
            with pytest.raises(DeadlineExceeded):
                await replica.send(CALL, Deadline(TIMEOUT_S))
        assert replica.reachable
        assert not replica.usable()

    run(scenario, listening=True)


def test_a_service_that_is_not_there_is_unreachable_at_once() -> None:
    """A refused connection is no matter of time."""

    async def scenario(replica: Replica) -> None:
        with pytest.raises(BackendUnavailable, match="unreachable"):
            await replica.send(CALL, Deadline(ENOUGH_S))
        assert not replica.reachable

    run(scenario, listening=False)


def run_with_service(scenario: Callable[[Replica, EmbedService, Clock], Awaitable[None]]) -> None:
    """Run `scenario` with a reachable replica, its service, and the clock of its circuit breaker."""

    async def with_service() -> None:
        clock = Clock()
        async with EmbedService() as service:
            settings = UpstreamSettings(embedding_api_url=service.url)
            replica = Replica(service.url, Native(settings), settings, lambda _replica, _models: None, clock)
            replica.reachable = True
            try:
                await scenario(replica, service, clock)
            finally:
                replica.close()

    asyncio.run(asyncio.wait_for(with_service(), 20))


async def fail(replica: Replica, service: EmbedService, calls: int) -> None:
    """Make calls that fail."""
    for _ in range(calls):
        service.answers.append(FAILURE)
        with pytest.raises(UpstreamFailed):
            await replica.send(CALL, Deadline(ENOUGH_S))


def test_only_failures_in_a_row_open_the_circuit_breaker() -> None:
    """A service that fails now and then gets its calls: an answer between two failures starts the count anew."""

    async def scenario(replica: Replica, service: EmbedService, clock: Clock) -> None:
        for _ in range(5):
            await fail(replica, service, MAX_FAILURES - 1)
            assert await replica.send(CALL, Deadline(ENOUGH_S)) == "{}"
            assert replica.usable()
        await fail(replica, service, MAX_FAILURES)
        assert not replica.usable()

    run_with_service(scenario)


def test_the_circuit_breaker_closes_after_a_pause() -> None:
    """One more failure opens it again; an answer closes it for good."""

    async def scenario(replica: Replica, service: EmbedService, clock: Clock) -> None:
        await fail(replica, service, MAX_FAILURES)
        clock.now_s += PAUSE_S - 0.01
        assert not replica.usable()
        clock.now_s += 0.02
        assert replica.usable()

        await fail(replica, service, 1)
        assert not replica.usable()
        clock.now_s += PAUSE_S
        await replica.send(CALL, Deadline(ENOUGH_S))
        await fail(replica, service, 1)
        assert replica.usable()

    run_with_service(scenario)


def test_only_calls_in_flight_are_counted() -> None:
    """The count falls with each call that is answered, that fails, or that nobody waits for any more."""

    async def scenario(replica: Replica, service: EmbedService, clock: Clock) -> None:
        service.go_on.clear()
        service.answers.append(FAILURE)
        calls = [asyncio.create_task(replica.send(CALL, Deadline(ENOUGH_S))) for _ in range(3)]
        for _ in calls:
            await service.arrivals.acquire()
        assert replica.calls == 3
        calls[0].cancel()
        await asyncio.gather(calls[0], return_exceptions=True)
        assert replica.calls == 2
        service.go_on.set()
        await asyncio.gather(*calls, return_exceptions=True)
        assert replica.calls == 0

    run_with_service(scenario)


def test_an_answer_that_is_too_large_fails_the_call() -> None:
    """The error is the upstream's, and the service stays reachable."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % (1 << 50))
        await reader.read()
        writer.close()

    async def scenario() -> None:
        async with await asyncio.start_server(answer, "127.0.0.1", 0) as server:
            url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
            settings = UpstreamSettings(embedding_api_url=url)
            replica = Replica(url, Native(settings), settings, lambda _replica, _models: None)
            replica.reachable = True
            with pytest.raises(UpstreamFailed, match="too large"):
                await replica.send(CALL, Deadline(ENOUGH_S))
            assert replica.reachable

    asyncio.run(asyncio.wait_for(scenario(), 20))


@pytest.mark.parametrize(("drawn", "wait_s"), [(0.0, PROBE_EVERY_S / 2), (0.999, 1.499 * PROBE_EVERY_S)])
def test_probes_have_jitter(drawn: float, wait_s: float) -> None:
    """Gateways that lost the same service at the same moment do not probe it in step."""

    async def scenario(loop: Loop) -> None:
        draws = asyncio.Semaphore(0)

        def draw() -> float:
            draws.release()
            return drawn

        with socket.socket() as reserved:  # bound, not listening: a connection is refused
            reserved.bind(("127.0.0.1", 0))
            url = f"http://127.0.0.1:{reserved.getsockname()[1]}"
            settings = UpstreamSettings(embedding_api_url=url)
            replica = Replica(url, Native(settings), settings, lambda _replica, _models: None, loop.time, draw)
            probing = asyncio.create_task(replica.keep_probing())
            await draws.acquire()
            await loop.skip(wait_s - 0.001)
            assert draws.locked()
            await loop.skip(0.002)
            await draws.acquire()
            probing.cancel()

    run_skipping(scenario)
