"""Gateways without a model, for tests of connections."""

from __future__ import annotations

from tests.support.pseudo_gateway import Start, start

__all__ = ["Start", "start"]
