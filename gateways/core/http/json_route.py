"""JSON routes: parse and validate a body once, and serialize the answer once, without FastAPI's extra passes."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Iterable
from typing import Any, TypeVar, get_args, get_type_hints

import orjson
from fastapi import Request, Response
from fastapi.routing import APIRoute
from pydantic import BaseModel, ConfigDict, ValidationError, model_validator
from pydantic_core import ErrorDetails
from starlette.convertors import PathConvertor, register_url_convertor

from gateways.core.errors import DeadlineExceeded, GatewayError, InvalidRequest, TooLarge, UnsupportedMedia
from gateways.core.http.request_state import process_state

M = TypeVar("M", bound=BaseModel)
# The client's own deadline in milliseconds.
TIMEOUT_HEADER = b"x-request-timeout-ms"


class AnyPath(PathConvertor):
    """The rest of a path including line breaks, which Starlette's `path` excludes: a document id may hold one."""

    regex = "(?s:.*)"


register_url_convertor("path", AnyPath())


class _Body(BaseModel):
    """A body in which null is the default of an optional field, because some clients send every field."""

    @model_validator(mode="before")
    @classmethod
    def _drop_nulls(cls, value: Any) -> Any:
        if not isinstance(value, dict):
            return value
        optional = {name for name, field in cls.model_fields.items() if not field.is_required()}
        return {name: item for name, item in value.items() if item is not None or name not in optional}


class Strict(_Body):
    """A body in which an unknown field is an error."""

    model_config = ConfigDict(extra="forbid", strict=True)


class Lenient(_Body):
    """A body in which unknown fields are ignored, because its clients send some."""

    model_config = ConfigDict(extra="ignore", strict=True)


class JsonRoute(APIRoute):
    """
    A route whose endpoint is `(request, body)`, with `body` validated straight from the bytes.

    FastAPI documents it as usual, but neither parses the body nor serializes the answer. `answer` turns a request
    into its response, errors included. It is None for endpoints without `body`.
    """

    answer: Callable[[Request], Coroutine[Any, Any, Response]] | None = None

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """Return the handler. Endpoints without `body` keep FastAPI's own."""
        endpoint = self.endpoint
        model = get_type_hints(endpoint).get("body")
        if model is None:
            return super().get_route_handler()

        async def handle(request: Request) -> Response:
            settings = process_state(request.app).settings
            limit_s = settings.request_timeout_s
            try:
                limit_s = timeout_s(request, limit_s)
                body = parse(model, await read(request, settings.max_body_bytes))
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
        return json_response(error.body(), error.status, error.headers())


def timeout_s(request: Request, limit_s: float) -> float:
    """Return the deadline in seconds: X-Request-Timeout-Ms, at most `limit_s`. Raises InvalidRequest."""
    for name, value in request.scope["headers"]:
        if name == TIMEOUT_HEADER:
            if not value.isdigit() or not int(value[:12]) > 0:
                sent = value[:20].decode("latin-1")
                message = f"X-Request-Timeout-Ms is {sent!r}; send a whole number of milliseconds, 1 at least"
                raise InvalidRequest(message, param="X-Request-Timeout-Ms")
            return min(limit_s, int(value[:12]) / 1e3)
    return limit_s


async def read(request: Request, limit_bytes: int) -> bytes:
    """Return the body. Raises UnsupportedMedia unless it is JSON, TooLarge as soon as it is over `limit_bytes`."""
    kind, declared = b"application/json", b""
    for name, value in request.scope["headers"]:
        if name == b"content-type":
            kind = value.partition(b";")[0].strip().lower()
        elif name == b"content-length":
            declared = value
    if kind != b"application/json" and not kind.endswith(b"+json"):
        sent = kind.decode("latin-1")
        raise UnsupportedMedia(f"Content-Type is {sent!r}; send JSON with Content-Type: application/json")
    if declared.isdigit() and int(declared) > limit_bytes:
        raise _too_large(limit_bytes)
    chunks, size = [], 0
    async for chunk in request.stream():
        chunks.append(chunk)
        size += len(chunk)
        if size > limit_bytes:
            raise _too_large(limit_bytes)
    return b"".join(chunks)


def parse(model: type[M], raw: bytes) -> M:
    """Return the body as `model`. Raises InvalidRequest that names the first wrong field."""
    try:
        content = orjson.loads(raw)
    except orjson.JSONDecodeError as error:
        message = "the body is empty" if not raw else f"the body is not valid JSON: {error}"
        raise InvalidRequest(message, code="invalid_json") from None
    if not isinstance(content, dict):
        raise InvalidRequest("the body must be a JSON object", code="invalid_type")
    try:
        return model.model_validate(content)
    except ValidationError as error:
        raise _invalid(model, error.errors(include_url=False)[0]) from None


def json_response(content: Any, status: int = 200, headers: dict[str, str] | None = None) -> Response:
    """Return `content` as JSON. A numpy array becomes a list of the shortest decimals that read back the same."""
    raw = orjson.dumps(content, option=orjson.OPT_SERIALIZE_NUMPY)
    return Response(raw, status, headers, media_type="application/json")


def _invalid(model: type[BaseModel], error: ErrorDetails) -> InvalidRequest:
    field = ".".join(str(part) for part in error["loc"])
    if error["type"] == "extra_forbidden":
        names = ", ".join(_fields_at(model, error["loc"][:-1]))
        return InvalidRequest(
            f"{field} is not a known field; known here: {names}.", param=field, code="unknown_field"
        )
    if error["type"] == "missing":
        return InvalidRequest(f"{field} is missing.", param=field, code="missing_field")
    wrong_type = error["type"].endswith(("_type", "_parsing")) or error["type"] in (
        "int_from_float",
        "is_instance_of",
    )
    message = f"{field}: {error['msg'].removeprefix('Value error, ')}, got {_abbreviate(error['input'])}."
    return InvalidRequest(message, param=field, code="invalid_type" if wrong_type else "invalid_value")


def _fields_at(model: type[BaseModel], path: tuple[int | str, ...]) -> Iterable[str]:
    """Return the names of the fields at a path such as ("documents", 3)."""
    for name in path:
        if isinstance(name, str):
            annotation = model.model_fields[name].annotation
            model = next(
                (part for part in (*get_args(annotation), annotation) if hasattr(part, "model_fields")), model
            )
    return model.model_fields


def _abbreviate(value: Any) -> str:
    text = orjson.dumps(value).decode()
    return text if len(text) <= 80 else text[:77] + "..."


def _too_large(limit_bytes: int) -> TooLarge:
    return TooLarge(f"the body is over {limit_bytes} bytes; send less at once", code="body_too_large")
