"""Fixtures: the two processes of the split gateway, shared by the whole session."""

from __future__ import annotations

from collections.abc import Iterator

import httpx
import pytest

from tests.support.gateways import Fleet, Gateway


@pytest.fixture(scope="session")
def split(fleet: Fleet) -> Gateway:
    """Return the running split gateway."""
    return fleet.running("split")


@pytest.fixture(scope="session")
def service(split: Gateway) -> Iterator[httpx.Client]:
    """Yield a client of the embed service."""
    with split.processes["embed"].client() as http:
        yield http


@pytest.fixture(scope="session")
def gateway(split: Gateway) -> Iterator[httpx.Client]:
    """Yield a client of the thin gateway."""
    with split.client() as http:
        yield http
