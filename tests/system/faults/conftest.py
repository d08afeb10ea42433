"""Gateways of a test's own: they get killed."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from bench.datasets import squad
from tests.selection import shapes
from tests.support import gateways

Start = Callable[..., gateways.Gateway]


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    """Yield what starts a gateway by name, with settings; whatever still runs when the test ends is killed."""
    started: list[gateways.Gateway] = []

    def start_one(name: str, **environ: str) -> gateways.Gateway:
        assert name in shapes(), f"give this test the marker gateway({name!r})"
        started.append(gateways.describe(name, tmp_path / f"{name}-{len(started)}", python=None, **environ))
        return started[-1].start()

    yield start_one
    for gateway in started:
        gateway.kill()


@pytest.fixture(scope="session")
def passages() -> dict[str, str]:
    """Return the SQuAD passages by id."""
    return squad.load().passages
