"""JSON routes: parse and validate a body once, and serialize the answer once, without FastAPI's extra passes."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any, ClassVar, TypeVar, get_type_hints

import orjson
from fastapi import Request, Response
from fastapi.routing import APIRoute
from pydantic import BaseModel, ValidationError
from starlette.convertors import PathConvertor, register_url_convertor

from gateways.core.errors import DeadlineExceeded, GatewayError, InvalidRequest
from gateways.core.http.body import check_value_count, read
from gateways.core.http.body_errors import invalid_body
from gateways.core.http.digits import parse_digits
from gateways.core.http.request_headers import TIMEOUT_HEADER, headers_by_name
from gateways.core.http.request_state import process_state

M = TypeVar("M", bound=BaseModel)


class AnyPath(PathConvertor):
    """The rest of a path including line breaks, which Starlette's `path` excludes: a document id may hold one."""

    regex = "(?s:.*)"


register_url_convertor("path", AnyPath())


class JsonRoute(APIRoute):
    """
    A route whose endpoint is `(request, body)`, with `body` validated straight from the bytes.

    FastAPI documents it as usual, but neither parses the body nor serializes the answer. `answer` turns a request
    into its response, errors included. It is None for endpoints without `body`.
    """

    answer: Callable[[Request], Coroutine[Any, Any, Response]] | None = None
    # False for a dialect whose errors have an id each: their bytes cannot be prepared once.
    equal_errors: ClassVar[bool] = True

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """Return the handler. Endpoints without `body` keep FastAPI's own."""
        endpoint = self.endpoint
        model = get_type_hints(endpoint).get("body")
        if model is None:
            return super().get_route_handler()

        async def handle(request: Request) -> Response:
            process = process_state(request.app)
            limit_s = process.settings.request_timeout_s
            try:
                limit_s = timeout_s(request, limit_s)
                with process.bodies.lease() as lease:
                    body = parse(model, await read(request, process.settings.max_body_bytes, lease))
                    async with asyncio.timeout(limit_s):
                        response: Response = await endpoint(request, body)
                        return response
            except TimeoutError:
                return self.error_response(DeadlineExceeded(f"no answer within {limit_s:g} s"))
            except GatewayError as error:
                return self.error_response(error)

        self.answer = handle
        return handle

    def error_response(self, error: GatewayError) -> Response:
        """Return the response to an error. A dialect overrides it with the shape that its clients expect."""
        return error_response(error)


def error_response(error: GatewayError) -> Response:
    """Return the response to an error in the contract's own shape."""
    return json_response(error.body(), error.status, error.headers())


def timeout_s(request: Request, limit_s: float) -> float:
    """Return the deadline in seconds: X-Request-Timeout-Ms, at most `limit_s`. Raises InvalidRequest."""
    value = headers_by_name(request.scope).get(TIMEOUT_HEADER)
    if value is None:
        return limit_s
    milliseconds = parse_digits(value)
    if not milliseconds:
        sent = value[:20].decode("latin-1")
        message = f"X-Request-Timeout-Ms is {sent!r}; send a whole number of milliseconds, 1 at least"
        raise InvalidRequest(message, param="X-Request-Timeout-Ms")
    return min(limit_s, milliseconds / 1e3)


def parse(model: type[M], raw: bytes) -> M:
    """
    Return the body as `model`. Validators get the bytes as their context.

    Raises InvalidRequest that names the first wrong field, TooLarge for too many values.
    """
    check_value_count(raw)
    try:
        content = orjson.loads(raw)
    except orjson.JSONDecodeError as error:
        raise InvalidRequest(_describe_json_error(raw, error), code="invalid_json") from None
    if not isinstance(content, dict):
        raise InvalidRequest("the body must be a JSON object", code="invalid_type")
    try:
        return model.model_validate(content, context=raw)
    except ValidationError as error:
        raise invalid_body(model, content, error.errors(include_url=False)[0]) from None


def _describe_json_error(raw: bytes, error: orjson.JSONDecodeError) -> str:
    if not raw:
        return "the body is empty"
    try:
        raw.decode()
    except UnicodeDecodeError as wrong:
        return (
            f"the body is not valid UTF-8: byte 0x{raw[wrong.start]:02x} at offset {wrong.start}; "
            "encode the JSON as UTF-8"
        )
    return f"the body is not valid JSON: {error}"


def json_response(content: Any, status: int = 200, headers: dict[str, str] | None = None) -> Response:
    """Return `content` as JSON. A numpy array becomes a list of the shortest decimals that read back the same."""
    raw = orjson.dumps(content, option=orjson.OPT_SERIALIZE_NUMPY)
    return Response(raw, status, headers, media_type="application/json")
