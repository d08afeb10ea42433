"""The fixture that starts gateways without a model, each test its own."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.support import gateways

Start = Callable[..., gateways.Gateway]


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    """
    Yield what starts the gateway `pseudo` with settings; whatever still runs when the test ends is killed.

    With `python` it runs in that environment, else in its own, which has no client of a database.
    """
    started: list[gateways.Gateway] = []

    def start_one(python: Path | None = None, **environ: str) -> gateways.Gateway:
        started.append(gateways.describe("pseudo", tmp_path / f"pseudo-{len(started)}", python=python, **environ))
        return started[-1].start()

    yield start_one
    for gateway in started:
        gateway.kill()
