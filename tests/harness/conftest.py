"""A small campaign for the harness tests: one driver, one reference, windows of one or two seconds."""

from __future__ import annotations

import io
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from rich.console import Console

from bench.commands.progress import Terminal
from bench.datasets import squad
from bench.driver.process import Driver
from bench.machine import cores, speed
from bench.measurement.client_ceiling import Ceilings
from bench.measurement.plan import PROFILES, Options
from bench.measurement.session import Bench
from bench.records.runs_csv import Runs
from bench.targets.processes import Place
from bench.verification import reference
from bench.verification.reference import Reference

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
    """Register the marker that names the codes that a test proves."""
    config.addinivalue_line(
        "markers", "proves(*codes): the codes of bench.records.refusal_codes that this test provokes"
    )


@pytest.fixture(scope="session")
def vectors() -> Reference:
    """Return the reference that `make setup` computed."""
    return reference.load(squad.load())


@pytest.fixture(scope="module")
def bench(vectors: Reference, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bench]:
    """Yield the campaign on this machine's cores, with this thread on the driver's cores."""
    folder = tmp_path_factory.mktemp("harness")
    place = Place(cores.choose(), folder / "data", folder / "logs")
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
            speed_s=speed.seconds(place.pinning.server),
            samples=folder / "samples",
        )


@pytest.fixture
def fresh(bench: Bench, tmp_path: Path) -> Bench:
    """Return the campaign with an empty runs.csv of its own."""
    return replace(bench, runs=Runs(tmp_path / "runs.csv"), samples=tmp_path / "samples")
