"""Gateways without a model, for tests of who may do what."""

from __future__ import annotations

from tests.support.pseudo_gateway import Start, start

__all__ = ["Start", "start"]
