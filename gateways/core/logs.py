"""The log: one line an event, of text or of JSON, with the id of the request that it is about."""

from __future__ import annotations

import logging
import os
import re
import sys
from collections.abc import Sequence
from contextvars import ContextVar

import orjson

from gateways.core.settings import Settings

# Of the request at hand: what its client calls it, or what it was called here.
_request_id: ContextVar[str] = ContextVar("request_id", default="")
_GIVEN = re.compile(rb"[A-Za-z0-9._:/+=-]{1,128}")


def begin(headers: Sequence[tuple[bytes, bytes]]) -> bytes:
    """Begin to log for a request, in the context that serves it; its id: X-Request-Id, or one made up."""
    given = next((value for name, value in headers if name == b"x-request-id"), b"")
    request_id = given if _GIVEN.fullmatch(given) else os.urandom(8).hex().encode()
    _request_id.set(request_id.decode("ascii"))
    return request_id


def fields() -> dict[str, str]:
    """Return the header field that tells another service which request its own is part of."""
    request_id = _request_id.get()
    return {"X-Request-Id": request_id} if request_id else {}


def start(settings: Settings) -> None:
    """Log to stderr as LOG_LEVEL and LOG_FORMAT say."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(Json() if settings.log_format == "json" else Line())
    logging.basicConfig(level=settings.log_level.upper(), handlers=[handler])


class Line(logging.Formatter):
    """A line of text; what a client might have sent to forge one, or to paint a terminal, is shown as escapes."""

    def __init__(self) -> None:
        super().__init__("%(asctime)s %(levelname)s %(name)s [%(request_id)s] %(message)s")

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802  logging's name
        """Return the line of a record; the traceback that may follow is ours, and keeps its lines."""
        record.request_id = _request_id.get() or "-"
        record.message = "".join(
            char if char.isprintable() else char.encode("unicode_escape").decode() for char in record.message
        )
        return super().formatMessage(record)


class Json(logging.Formatter):
    """An object of JSON on a line."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the object: time in seconds since the epoch, level, logger, request_id, message, traceback."""
        said = {
            "time": round(record.created, 3),
            "level": record.levelname,
            "logger": record.name,
            "request_id": _request_id.get(),
            "message": record.getMessage(),
        }
        if record.exc_info:
            said["traceback"] = self.formatException(record.exc_info)
        return orjson.dumps(said, default=str).decode()
