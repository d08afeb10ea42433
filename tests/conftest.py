"""The targets of a test session: one URL that is given, or our real gateways, each started once."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pytest

from tests import programs, selection

if TYPE_CHECKING:
    from tests.support.gateways import Fleet

# The clients' packages are in .venvs/clients, where tests/test_clients.py runs them; of the others `make images` and
# `make n8n` bring what they need.
collect_ignore = ["clients", *(f"deploy/{name}" for name in ("images", "n8n") if not os.environ.get(name.upper()))]


@dataclass(frozen=True)
class Target:
    """What a black-box test is given: where to speak, and where the process that runs the model counts."""

    url: str
    metrics_url: str


@pytest.fixture(scope="session")
def fleet(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Fleet]:
    """Yield the session's gateways; each must end with 0 when it is asked to stop."""
    # Imported here: a run by URL needs httpx and pytest, and nothing of the harness.
    from tests.support.gateways import Fleet

    fleet = Fleet(tmp_path_factory.mktemp)
    yield fleet
    failed = fleet.stop()
    assert not failed, f"stopped with an exit code other than 0: {failed}"


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out what cannot be asked here, and mark what takes long."""
    selection.mark_slow(items)
    if not os.environ.get("GATEWAY_URL"):
        selection.deselect(config, items)


def pytest_report_collectionfinish(config: pytest.Config) -> list[str]:
    """Say what was left out."""
    return config.stash.get(selection.REPORT, [])


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Skip what needs a program that is not here; where CI=true it fails."""
    for marker in item.iter_markers("program"):
        programs.require(marker.args[0])


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Run what asks for `target` against each shape, or against GATEWAY_URL alone."""
    if "target" in metafunc.fixturenames:
        names = ["url"] if os.environ.get("GATEWAY_URL") else selection.shapes()
        metafunc.parametrize("target", names, indirect=True, scope="session")


@pytest.fixture(scope="session")
def target(request: pytest.FixtureRequest) -> Target:
    """Return the server under test. GATEWAY_METRICS_URL says where its model counts, when that is elsewhere."""
    if request.param == "url":
        url = os.environ["GATEWAY_URL"].rstrip("/")
        return Target(url, os.environ.get("GATEWAY_METRICS_URL", f"{url}/metrics"))
    gateway = request.getfixturevalue("fleet").running(request.param)
    return Target(gateway.url, gateway.metrics_url)
