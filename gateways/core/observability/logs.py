"""The log: one line per event, as text or JSON, with the id of the request."""

from __future__ import annotations

import logging
import os
import re
import sys
from contextvars import ContextVar

import orjson

from gateways.core.settings import LogSettings

# The id of the request of this context.
_request_id: ContextVar[str] = ContextVar("request_id", default="")
_VALID_ID = re.compile(rb"[A-Za-z0-9._:/+=-]{1,128}")


def begin(sent: bytes) -> bytes:
    """Start logging for a request in this context. Returns its id: `sent` if valid, else a random one."""
    request_id = sent if sent and _VALID_ID.fullmatch(sent) else os.urandom(8).hex().encode()
    _request_id.set(request_id.decode("ascii"))
    return request_id


def fields() -> dict[str, str]:
    """Return the header that passes the request id on to another service, or no header."""
    request_id = _request_id.get()
    return {"X-Request-Id": request_id} if request_id else {}


def start(settings: LogSettings) -> None:
    """Log to stderr in the format of LOG_FORMAT, from LOG_LEVEL up."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(Json() if settings.log_format == "json" else Line())
    logging.basicConfig(level=settings.log_level.upper(), handlers=[handler])


class Line(logging.Formatter):
    """A line of text. Control characters are escaped, so that a client cannot forge a line or color a terminal."""

    def __init__(self) -> None:
        super().__init__("%(asctime)s %(levelname)s %(name)s [%(request_id)s] %(message)s")

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802  logging's name
        """Return the line of a record. A traceback is not escaped, because it holds our own code."""
        record.request_id = _request_id.get() or "-"
        record.message = "".join(
            char if char.isprintable() else char.encode("unicode_escape").decode() for char in record.message
        )
        return super().formatMessage(record)


class Json(logging.Formatter):
    """One JSON object per line."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the object. `time` is in seconds since the epoch; `traceback` is there for an exception only."""
        event = {
            "time": round(record.created, 3),
            "level": record.levelname,
            "logger": record.name,
            "request_id": _request_id.get(),
            "message": record.getMessage(),
        }
        if record.exc_info:
            event["traceback"] = self.formatException(record.exc_info)
        return orjson.dumps(event, default=str).decode()
