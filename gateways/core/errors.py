"""
Every error a client can see.

* GatewayError
  x InvalidRequest      400  the request itself is wrong
    - InvalidInput           an input of a model is too long, or has ids of another vocabulary
  x Unauthorized        401  the key is missing or unknown
  x Forbidden           403  the key is not allowed to do this
  x NotFound            404  no such model, job, document, collection or route; or the model's weights are not here
  x MethodNotAllowed    405  the route exists, for other methods
  x TooSlow             408  the request did not come in time
  x Conflict            409  an idempotency key came back with another body
  x TooLarge            413  the body, the list or an input is over its limit
  x UnsupportedMedia    415  the body is not JSON
  x Overloaded          429  too much waits, or the key's limit is reached; retry after the stated seconds
  x HeadTooLarge        431  the header fields are over their limit
  x ModelFailed         500  the model broke on this very input; the log has the cause
    - ModelHung              it never came back from a pass with it
    - ModelCrashed           the process of the model died with it, and again with it
  x UpstreamFailed      502  the upstream answered what cannot be used
  x BackendUnavailable  503  the model is loading, the upstream is down, or the collection is damaged
  x DeadlineExceeded    504  the answer would have come too late
  x NoSpace             507  the disk is full, or cannot be written
"""

from __future__ import annotations

from typing import Any, ClassVar


class GatewayError(Exception):
    """An error with its HTTP status, its OpenAI `type`, the `param` at fault and a `code` for programs."""

    status: ClassVar[int] = 500
    type: ClassVar[str] = "server_error"
    default_code: ClassVar[str] = "internal_error"

    def __init__(
        self,
        message: str,
        *,
        code: str | None = None,
        param: str | None = None,
        retry_after_s: int | None = None,
    ) -> None:
        super().__init__(message)
        self.message = message
        self.code = code or self.default_code
        self.param = param
        self.retry_after_s = retry_after_s

    def body(self) -> dict[str, Any]:
        """Return the OpenAI error object."""
        return {"error": {"message": self.message, "type": self.type, "param": self.param, "code": self.code}}

    def headers(self) -> dict[str, str]:
        """Return `Retry-After` in seconds where waiting helps, else nothing."""
        return {} if self.retry_after_s is None else {"Retry-After": str(self.retry_after_s)}


class InvalidRequest(GatewayError):
    """The request itself is wrong."""

    status = 400
    type = "invalid_request_error"
    default_code = "invalid_value"


class InvalidInput(InvalidRequest):
    """
    An input of a model is wrong.

    `item` is its index among the inputs or the documents of a backend's call. `offset` is the index of a token id
    in the input. `fault` is the message without its subject. The subject is `input.<item>` until the API names the
    input as the client does.
    """

    def __init__(
        self, fault: str, *, item: int, offset: int | None = None, code: str | None = None, name: str | None = None
    ) -> None:
        place = name or f"input.{item}"
        if offset is not None:
            place = f"{place}.{offset}"
        super().__init__(f"{place} {fault}", code=code, param=place)
        self.fault = fault
        self.item = item
        self.offset = offset

    def named(self, name: str) -> InvalidInput:
        """Return the same error about an input called `name`."""
        return InvalidInput(self.fault, item=self.item, offset=self.offset, code=self.code, name=name)


def fetching(model: str) -> str:
    """Return what to say of a model whose weights are not here: the command that fetches and exports them."""
    return f"run `make models MODEL={model}`"


class Unauthorized(GatewayError):
    """The key is missing or unknown."""

    status = 401
    type = "authentication_error"
    default_code = "invalid_api_key"


class Forbidden(GatewayError):
    """The key is not allowed to do this."""

    status = 403
    type = "permission_error"
    default_code = "insufficient_scope"


class NotFound(GatewayError):
    """What the request names does not exist."""

    status = 404
    type = "not_found_error"
    default_code = "not_found"


class MethodNotAllowed(GatewayError):
    """The route exists, for other methods: `allowed`, as the header Allow has them."""

    status = 405
    type = "invalid_request_error"
    default_code = "method_not_allowed"

    def __init__(self, message: str, *, allowed: str) -> None:
        super().__init__(message)
        self.allowed = allowed

    def headers(self) -> dict[str, str]:
        """Return `Allow`."""
        return {"Allow": self.allowed}


class TooSlow(GatewayError):
    """The request did not come in time."""

    status = 408
    type = "invalid_request_error"
    default_code = "request_timeout"


class Conflict(GatewayError):
    """The same idempotency key came with another body."""

    status = 409
    type = "invalid_request_error"
    default_code = "idempotency_conflict"


class TooLarge(GatewayError):
    """The body, the list or one input is over its limit."""

    status = 413
    type = "invalid_request_error"
    default_code = "too_large"


class UnsupportedMedia(GatewayError):
    """The body is not JSON, or has an encoding that is not read; `accept_encoding` has those that are."""

    status = 415
    type = "invalid_request_error"
    default_code = "unsupported_media_type"

    def __init__(self, message: str, *, code: str | None = None, accept_encoding: str = "") -> None:
        super().__init__(message, code=code)
        self.accept_encoding = accept_encoding

    def headers(self) -> dict[str, str]:
        """Return `Accept-Encoding` where the encoding is wrong."""
        return {"Accept-Encoding": self.accept_encoding} if self.accept_encoding else {}


class Overloaded(GatewayError):
    """Too much waits already, or the key's limit is reached."""

    status = 429
    type = "rate_limit_error"
    default_code = "overloaded"


class HeadTooLarge(GatewayError):
    """The header fields are over their limit."""

    status = 431
    type = "invalid_request_error"
    default_code = "header_too_large"


class ModelFailed(GatewayError):
    """The model broke on this very input."""

    default_code = "model_failed"


class ModelHung(ModelFailed):
    """The model did not come back from a pass with this input; to try it again would cost another thread."""

    default_code = "model_hung"


class ModelCrashed(ModelFailed):
    """The process that ran the model died with this input, more than once; to try it again would cost another one."""

    default_code = "model_crashed"


class UpstreamFailed(GatewayError):
    """The upstream answered what cannot be used."""

    status = 502
    default_code = "upstream_failed"


class BackendUnavailable(GatewayError):
    """The model is loading, or the upstream is down."""

    status = 503
    default_code = "unavailable"


class DeadlineExceeded(GatewayError):
    """The answer would have come too late."""

    status = 504
    default_code = "deadline_exceeded"


class NoSpace(GatewayError):
    """The disk is full, or cannot be written."""

    status = 507
    default_code = "no_space"


def internal_error() -> GatewayError:
    """Return the error of an unexpected exception. The cause is in the log only."""
    return GatewayError("this is a bug in the gateway; its log has the cause")
