"""The fast path: what load shedding is told about a request, and which requests end with their client."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Awaitable, Callable, Iterator

import pytest
from fastapi import APIRouter, Request, Response
from starlette.types import Message, Scope

from gateways.core.errors import GatewayError, Overloaded
from gateways.core.http import request_state
from gateways.core.http.api_keys import Keys
from gateways.core.http.fast_path import FastPathApp
from gateways.core.http.json_route import JsonRoute, json_response
from gateways.core.http.raw_answers import RawAnswer
from gateways.core.http.schemas import Strict
from gateways.core.settings import HttpSettings

MODEL, WRITE = "/v1/embed", "/v1/write"
LONG_BYTES = 100_000


class Body(Strict):
    """An empty body."""


class App:
    """A FastPathApp with one route that runs a model and one that writes, and the questions of its admission."""

    def __init__(self, max_bytes: float = math.inf) -> None:
        self.questions: list[tuple[float, int]] = []
        self.begun, self.go_on, self.done = asyncio.Event(), asyncio.Event(), asyncio.Event()
        self._max_bytes = max_bytes
        routers = [self._router(MODEL, "embeddings"), self._router(WRITE, "documents")]
        self.app = FastPathApp(Keys(()), HttpSettings(), routers, self._admit)

    def _router(self, path: str, tag: str) -> APIRouter:
        router = APIRouter(route_class=JsonRoute, tags=[tag])
        router.add_api_route(path, self._work, methods=["POST"])
        return router

    async def _work(self, request: Request, body: Body) -> Response:
        self.begun.set()
        await self.go_on.wait()
        self.done.set()
        return json_response({})

    def _admit(self, timeout_s: float, admitted_bytes: int) -> GatewayError | None:
        self.questions.append((timeout_s, admitted_bytes))
        return Overloaded("too many") if admitted_bytes > self._max_bytes else None

    def reject(self, length: int = 0, path: str = MODEL, *headers: tuple[bytes, bytes]) -> RawAnswer | None:
        """Return what the headers of a request with a body of `length` are answered with."""
        return self.app.reject_from_headers(scope(path, (b"content-length", b"%d" % length), *headers))

    async def disconnect(self, path: str) -> None:
        """Send a request, and end its connection while it is at work."""
        messages: Iterator[Message] = iter(
            [{"type": "http.request", "body": b"{}", "more_body": False}, {"type": "http.disconnect"}]
        )

        async def receive() -> Message:
            return next(messages)

        async def send(message: Message) -> None:
            pass

        request_scope = scope(path)
        request = asyncio.create_task(self.app(request_scope, receive, send))
        await self.begun.wait()
        request_state.cancel_task(request_scope)
        await asyncio.sleep(0)
        self.go_on.set()
        await request


def scope(path: str, *headers: tuple[bytes, bytes]) -> Scope:
    """Return the ASGI scope of a POST."""
    return {"type": "http", "method": "POST", "path": path, "headers": [*headers], "query_string": b""}


def run(scenario: Callable[[], Awaitable[None]]) -> None:
    """Run a scenario for at most 20 seconds."""
    asyncio.run(asyncio.wait_for(scenario(), 20))


@pytest.mark.parametrize(
    ("header", "timeout_s"),
    [(b"250", 0.25), (b"30000", 30.0), (b"1", 0.001), (b"soon", math.inf), (b"9" * 4_400, 1e15)],
)
def test_load_shedding_is_told_the_deadline_in_seconds(header: bytes, timeout_s: float) -> None:
    """X-Request-Timeout-Ms is in milliseconds; a value that is no number is for the route to reject."""

    async def scenario() -> None:
        app = App()
        assert app.reject(100, MODEL, (b"x-request-timeout-ms", header)) is None

        assert app.questions == [(timeout_s, 0)]

    run(scenario)


def test_requests_that_arrive_together_are_counted_together() -> None:
    """The second is told the bytes of the first, which no queue holds yet, until the tasks of both have run."""

    async def scenario() -> None:
        app = App(max_bytes=3_000)
        answers = [app.reject(2_000) for _ in range(4)]

        assert [answer and answer.status_code for answer in answers] == [None, None, 429, 429]
        assert [admitted for _, admitted in app.questions] == [0, 2_000, 4_000, 4_000]
        await asyncio.sleep(0)
        assert app.reject(2_000) is None

    run(scenario)


def test_a_long_body_is_not_decided_over_by_its_headers() -> None:
    """A request for bulk work is refused when its texts are counted, and does not fill the room of queries."""

    async def scenario() -> None:
        app = App(max_bytes=0)
        assert app.reject(1_000) is None

        assert app.reject(LONG_BYTES) is None
        assert [admitted for _, admitted in app.questions] == [0, 1_000]
        assert app.reject(1) is not None

    run(scenario)


def test_a_request_that_runs_no_model_is_not_shed() -> None:
    """Writes are taken however much waits for the model."""

    async def scenario() -> None:
        app = App(max_bytes=-1)

        assert app.reject(100) is not None
        assert app.reject(100, WRITE) is None
        assert len(app.questions) == 1

    run(scenario)


@pytest.mark.parametrize(("path", "finished"), [(MODEL, False), (WRITE, True)])
def test_a_client_that_disconnects_cancels_its_question_and_not_its_write(path: str, finished: bool) -> None:
    """Nobody waits for the answer of a model any more; a write that has begun is finished."""

    async def scenario() -> None:
        app = App()
        await app.disconnect(path)

        assert app.done.is_set() is finished

    run(scenario)
