"""Read the body of a request: its media type, its size, and the memory of all bodies that are at work."""

from __future__ import annotations

from types import TracebackType
from typing import Self

from fastapi import Request
from starlette.requests import ClientDisconnect

from gateways.core.errors import Overloaded, TooLarge, UnsupportedMedia
from gateways.core.http.content_encoding import BYTE_ORDER_MARK, body_too_large, check_encoding, decode
from gateways.core.http.digits import parse_digits
from gateways.core.http.request_headers import headers_by_name
from gateways.core.observability import metrics

# Bodies up to this size are not counted: queries pass while large bodies fill the budget.
UNCOUNTED_BYTES = 65_536
# Each value takes up to 80 bytes and a microsecond of the event loop. 10,000 documents with 20 keys each fit.
MAX_VALUES = 500_000
_JSON = b"application/json"


class BodyBudget:
    """The bytes of the large bodies that a process has read and not answered yet, and their limit."""

    def __init__(self, limit_bytes: int) -> None:
        self.limit_bytes = limit_bytes
        self.used_bytes = 0

    def lease(self) -> BodyLease:
        """Return a lease of no bytes, which ends with its context."""
        return BodyLease(self)


class BodyLease:
    """The bytes of one body."""

    def __init__(self, budget: BodyBudget) -> None:
        self._budget = budget
        self._counted_bytes = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._budget.used_bytes -= self._counted_bytes
        self._counted_bytes = 0

    def grow(self, size_bytes: int) -> None:
        """Count `size_bytes`, at least as many as before. Raises Overloaded over the limit of all bodies."""
        more_bytes = size_bytes - self._counted_bytes
        if size_bytes <= UNCOUNTED_BYTES or more_bytes <= 0:
            return
        if self._budget.used_bytes + more_bytes > self._budget.limit_bytes:
            metrics.refusals.inc()
            raise Overloaded(
                f"the large bodies at work would be over MAX_BODIES_BYTES, {self._budget.limit_bytes}; "
                "send this again later, or less at once",
                code="too_many_bodies",
                retry_after_s=1,
            )
        self._budget.used_bytes += more_bytes
        self._counted_bytes = size_bytes


async def read(request: Request, limit_bytes: int, lease: BodyLease) -> bytes:
    """
    Return the body, inflated and counted in `lease`.

    Raises UnsupportedMedia unless it is JSON, TooLarge as soon as it is over `limit_bytes`, Overloaded as BodyLease.
    """
    headers = headers_by_name(request.scope)
    _check_media_type(headers.get(b"content-type", _JSON))
    encoding = check_encoding(headers.get(b"content-encoding", b""))
    declared_bytes = parse_digits(headers.get(b"content-length", b"0")) or 0
    if declared_bytes > limit_bytes:
        raise body_too_large(limit_bytes)
    lease.grow(declared_bytes)
    body = await _receive(request, limit_bytes, lease)
    if encoding or body.startswith(BYTE_ORDER_MARK):
        body = await decode(body, encoding, limit_bytes)
        lease.grow(len(body))
    return body


def _check_media_type(sent: bytes) -> None:
    if sent == _JSON:
        return
    kind = sent.partition(b";")[0].strip().lower()
    if kind != _JSON and not kind.endswith(b"+json"):
        message = f"Content-Type is {kind.decode('latin-1')!r}; send JSON with Content-Type: application/json"
        raise UnsupportedMedia(message)


async def _receive(request: Request, limit_bytes: int, lease: BodyLease) -> bytes:
    """Return the body as it was sent. Most bodies come in one part, which is not copied."""
    body, more = await _receive_part(request)
    parts, size = [body], len(body)
    while size <= limit_bytes:
        lease.grow(size)
        if not more:
            return body if len(parts) == 1 else b"".join(parts)
        part, more = await _receive_part(request)
        parts.append(part)
        size += len(part)
    raise body_too_large(limit_bytes)


async def _receive_part(request: Request) -> tuple[bytes, bool]:
    """Return a part of the body, and whether more follows."""
    message = await request.receive()
    if message["type"] == "http.disconnect":
        raise ClientDisconnect
    return message.get("body", b""), message.get("more_body", False)


def check_value_count(raw: bytes) -> None:
    """Raise TooLarge for JSON with more than MAX_VALUES values, before they are made. Text does not count."""
    if len(raw) <= MAX_VALUES or _count_separators(raw) <= MAX_VALUES:
        return
    # Without escaped characters each quote begins or ends a string, and every other part lies outside of strings.
    plain = raw.replace(b"\\\\", b"").replace(b'\\"', b"")
    if plain.count(b'"') <= 2 * MAX_VALUES and _count_separators(b"".join(plain.split(b'"')[::2])) <= MAX_VALUES:
        return
    raise TooLarge(f"the body has over {MAX_VALUES} values; send less at once", code="body_too_large")


def _count_separators(raw: bytes) -> int:
    return raw.count(b",") + raw.count(b"[") + raw.count(b"{")
