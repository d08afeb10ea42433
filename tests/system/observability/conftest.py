"""A split gateway with passages in it, for what is seen of two processes at once."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TypeAlias

import pytest

from tests.support.gateways import Gateway, describe
from tests.support.ingest_client import client_of

Begin: TypeAlias = Callable[..., Gateway]
TEXTS = {"danube": "The Danube flows through ten countries.", "parking": "The parking policy is in section 5."}


@pytest.fixture
def begin(tmp_path: Path) -> Iterator[Begin]:
    """Yield what starts a split with two documents, and environment as given; they are stopped at the end."""
    started: list[Gateway] = []

    def start(**environ: str) -> Gateway:
        # The tests' own environment has all extras; those of the gateways have their own only.
        gateway = describe("split", tmp_path, python=Path(sys.executable), **environ)
        started.append(gateway)
        gateway.start()
        with client_of(gateway) as client:
            client.completed(client.submit(TEXTS))
        return gateway

    yield start
    for gateway in started:
        gateway.kill()
