"""The answers of requests that are refused from their headers."""

from __future__ import annotations

import orjson
import pytest
from fastapi import APIRouter, Request, Response

from gateways.core.dialects.cohere import CohereRoute
from gateways.core.dialects.tei_schemas import TeiRoute
from gateways.core.errors import GatewayError, Overloaded, Unauthorized
from gateways.core.http.json_route import JsonRoute, json_response
from gateways.core.http.raw_answers import RawAnswer
from gateways.core.http.refusals import MAX_PREPARED, Refusals
from gateways.core.http.schemas import Strict
from gateways.core.observability import metrics

TOO_MUCH = Overloaded("too much waits", retry_after_s=3)


class Body(Strict):
    """An empty body."""


def route_of(kind: type[JsonRoute], path: str = "/v1/embed") -> JsonRoute:
    """Return a route of a dialect."""

    async def work(request: Request, body: Body) -> Response:
        return json_response({})

    router = APIRouter(route_class=kind)
    router.add_api_route(path, work, methods=["POST"])
    [route] = router.routes
    assert isinstance(route, kind)
    return route


def refuse(refusals: Refusals, route: JsonRoute, error: GatewayError, *headers: tuple[bytes, bytes]) -> RawAnswer:
    """Return the answer to a request with these headers."""
    return refusals.answer(route, error, {"method": "POST", "path": route.path, "headers": [*headers]})


def fields_of(answer: RawAnswer) -> dict[bytes, bytes]:
    """Return the header fields of an answer by name."""
    _, *lines = answer.head.removesuffix(b"\r\n").split(b"\r\n")
    return dict(line.split(b": ", 1) for line in lines)


@pytest.mark.parametrize("kind", [JsonRoute, TeiRoute, CohereRoute])
def test_a_refusal_has_all_that_an_answer_of_its_dialect_has(kind: type[JsonRoute]) -> None:
    """The status, the shape of the body, Retry-After, and the client's own request id."""
    route, refusals = route_of(kind), Refusals()
    for _ in range(2):  # made now, and prepared before
        answer = refuse(refusals, route, TOO_MUCH, (b"x-request-id", b"its-own"))
        expected = route.error_response(TOO_MUCH)

        assert answer.head.startswith(b"HTTP/1.1 429 Too Many Requests\r\n")
        assert fields_of(answer) == dict(expected.raw_headers) | {b"x-request-id": b"its-own"}
        assert orjson.loads(answer.body).keys() == orjson.loads(bytes(expected.body)).keys()
        assert b"too much waits" in answer.body


def test_ids_differ() -> None:
    """Those that the process gives to requests, and those that Cohere's errors have."""
    refusals, plain, cohere = Refusals(), route_of(JsonRoute), route_of(CohereRoute)

    assert len({fields_of(refuse(refusals, plain, TOO_MUCH))[b"x-request-id"] for _ in range(50)}) == 50
    assert len({orjson.loads(refuse(refusals, cohere, TOO_MUCH).body)["id"] for _ in range(50)}) == 50


def test_answers_of_different_content_are_not_confused() -> None:
    """By route, message, code and Retry-After, however many there were."""
    refusals = Refusals()
    routes = [route_of(JsonRoute, "/v1/one"), route_of(TeiRoute, "/other")]
    errors = [
        Unauthorized("no key"),
        TOO_MUCH,
        *(Overloaded("too much", retry_after_s=s) for s in range(MAX_PREPARED)),
    ]
    for _ in range(2):
        for route in routes:
            for error in errors:
                answer, expected = refuse(refusals, route, error), route.error_response(error)
                assert (answer.status_code, answer.body) == (expected.status_code, expected.body)
                assert dict(expected.raw_headers).items() <= fields_of(answer).items()


def test_each_refusal_is_counted() -> None:
    """By its route and status, with the time that it took."""
    refusals, route = Refusals(), route_of(JsonRoute, "/v1/counted")
    for _ in range(7):
        refuse(refusals, route, TOO_MUCH)

    counted = {"route": "/v1/counted"}
    assert metrics.registry.get_sample_value("gateway_requests_total", counted | {"status": "429"}) == 7
    assert metrics.registry.get_sample_value("gateway_request_seconds_count", counted) == 7
