"""What scenarios run with: the campaign's driver and reference, and a verified server where they want one."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Protocol

from bench import sampler
from bench.api import Api
from bench.ceiling import Ceilings
from bench.datasets.stream import TextStream
from bench.driver.load import Call, Load
from bench.driver.process import Driver
from bench.plan import Cell, Options
from bench.processes import Place, Running
from bench.records import Row, Runs
from bench.reference import Reference
from bench.sampler import Memory
from bench.targets import Target


class Show(Protocol):
    """Where a scenario says what it is doing."""

    def step(self, text: str, done: int = 0, total: int = 0) -> None:
        """Show a step, and how far it is where that is known."""

    def finished(self, cell: Cell, rows: Sequence[Row]) -> None:
        """Show what a cell gave."""

    def skip(self, cells: int) -> None:
        """Count cells that will not be measured."""

    def warn(self, text: str) -> None:
        """Show what went wrong."""


@dataclass(frozen=True)
class Bench:
    """
    The campaign as a scenario sees it.

    `speed_s` is what `bench.calibrate` took when the campaign began; `samples` is the folder of raw request samples.
    `indexes` are the data folders that a durable target's first block left, verified, for the next to start on.
    """

    options: Options
    place: Place
    driver: Driver
    reference: Reference
    ceilings: Ceilings
    show: Show
    runs: Runs
    speed_s: float
    samples: Path
    indexes: dict[str, Path] = field(default_factory=dict)

    def seed(self, block: int) -> int:
        """The seed of a block: the same for all its targets, another in the next block."""
        return self.options.seed + block

    def start(self, target: Target, purpose: str, index: Path | None = None) -> Running:
        """Start a target in a new data folder, or on a copy of `index`; the purpose names its folder and its logs."""
        stamp = time.time_ns() // 1_000_000 % 100_000_000
        return Running(target, self.place, f"{target.name}-{purpose}-{stamp}", index)

    def row(self, cell: Cell, replicate: int = 1) -> Row:
        """A row of runs.csv that says which cell it is of."""
        return Row(
            block=cell.block,
            replicate=replicate,
            seed=self.seed(cell.block),
            target=cell.target.name,
            peer=cell.target.peer,
            ranked=cell.target.ranked,
            precision=cell.target.precision,
            device=cell.target.device,
            scenario=cell.scenario,
            route=cell.route,
            concurrency=cell.concurrency,
            batch=cell.batch,
            percent=cell.percent,
            started_utc=datetime.now(UTC).isoformat(timespec="seconds"),
        )


@dataclass(frozen=True)
class Live:
    """A target that runs: verified, or as its scenario started it."""

    running: Running
    api: Api
    texts: TextStream
    idle: Mapping[str, Memory]

    @classmethod
    def of(cls, running: Running, api: Api, texts: TextStream) -> Live:
        """A target that is ready and has done nothing yet: its memory now is its idle memory."""
        return cls(running, api, texts, sampler.memory(running))

    def load(
        self,
        options: Options,
        warmup: Sequence[Call],
        calls: Sequence[Call],
        within_ms: float | None = None,
        **values: Any,
    ) -> Load:
        """
        A load of this target as the profile says; `values` are further fields of `Load`.

        Calls may be of any routes of the dialect. With `within_ms` each says that it may take so long.
        """
        said = {} if within_ms is None else {"X-Request-Timeout-Ms": f"{within_ms:.0f}"}
        routes = dict.fromkeys(call.route for call in (*warmup, *calls))
        return Load(
            host=self.running.host,
            port=self.running.port,
            headers=self.running.target.headers | said,
            paths={route: self.api.dialect.path(route) for route in routes},
            dialect=self.running.target.dialect,
            warmup=warmup,
            calls=calls,
            client=options.client,
            **{
                "max_seconds": options.profile.max_seconds,
                "warmup_seconds": options.profile.warmup_seconds,
                **values,
            },
        )

    def calls(self, route: str, texts: Sequence[str]) -> list[Call]:
        """One call of a route for each text."""
        return [Call(route, self.api.dialect.body(route, text)) for text in texts]
