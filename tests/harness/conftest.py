"""A campaign's tools in small: one driver, one reference, windows of a second or two."""

from __future__ import annotations

import io
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from rich.console import Console

from bench import calibrate, cores, reference
from bench.ceiling import Ceilings
from bench.datasets import squad
from bench.driver.process import Driver
from bench.plan import PROFILES, Options
from bench.processes import Place
from bench.records import Runs
from bench.reference import Reference
from bench.session import Bench
from bench.show import Terminal

TINY = replace(
    PROFILES["quick"],
    name="tiny",
    scenarios={"closed": 1},
    min_seconds=0.5,
    max_seconds=20.0,
    warmup_seconds=0.0,  # two requests a connection: what a fault counts is then the same in every run
    embedded=16,
    searched=20,
    starts=1,
)


def pytest_configure(config: pytest.Config) -> None:
    """Name the marker that says which codes a test proves."""
    config.addinivalue_line("markers", "proves(*codes): the codes of bench.validity that this test provokes")


@pytest.fixture(scope="session")
def vectors() -> Reference:
    """Return the reference that `make setup` made."""
    return reference.load(squad.load())


@pytest.fixture(scope="module")
def bench(vectors: Reference, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bench]:
    """Yield what scenarios run with, on the cores this machine has, with this thread on the driver's."""
    folder = tmp_path_factory.mktemp("harness")
    place = Place(cores.split(cores.available()), folder / "data", folder / "logs")
    options = Options(TINY, concurrency=(1,), scenarios=("closed",), client="raw", device="cpu", seed=1)
    with Driver(place.pinning.driver) as driver, cores.pinned(place.pinning.driver):
        yield Bench(
            options=options,
            place=place,
            driver=driver,
            reference=vectors,
            ceilings=Ceilings({}),
            show=Terminal(Console(file=io.StringIO()), 0),
            runs=Runs(folder / "runs.csv"),
            speed_s=calibrate.seconds(place.pinning.server),
            samples=folder / "samples",
        )


@pytest.fixture
def fresh(bench: Bench, tmp_path: Path) -> Bench:
    """Return the same with a runs.csv of the test's own."""
    return replace(bench, runs=Runs(tmp_path / "runs.csv"), samples=tmp_path / "samples")
