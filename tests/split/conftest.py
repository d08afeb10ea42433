"""The two halves of the split shape, as they run for the whole session."""

from __future__ import annotations

from collections.abc import Iterator

import httpx
import pytest

from tests.conftest import shapes
from tests.processes import Fleet, Gateway


@pytest.fixture(scope="session")
def split(fleet: Fleet) -> Gateway:
    """Return the split gateway, running."""
    if "split" not in shapes():
        pytest.skip("GATEWAYS leaves out split")
    return fleet.running("split")


@pytest.fixture(scope="session")
def service(split: Gateway) -> Iterator[httpx.Client]:
    """Yield a client of the embed service."""
    with httpx.Client(base_url=split.processes["embed"].url, timeout=60, trust_env=False) as http:
        yield http


@pytest.fixture(scope="session")
def gateway(split: Gateway) -> Iterator[httpx.Client]:
    """Yield a client of the thin gateway."""
    with httpx.Client(base_url=split.url, timeout=60, trust_env=False) as http:
        yield http
