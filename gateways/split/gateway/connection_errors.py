"""Errors of connections to an embed service: they tell whether it may have worked on the call."""

from __future__ import annotations

from gateways.core.errors import BackendUnavailable


class ConnectionFailed(BackendUnavailable):
    """No connection could be opened, so the call was not sent."""


class ConnectionBroken(BackendUnavailable):
    """The connection broke after the call was sent, and before its answer was complete: the call may be the cause."""
