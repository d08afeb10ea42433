"""The inputs of a scenario: the campaign's driver and reference, and the session with one server."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Protocol

from bench.datasets.unseen_texts import TextStream
from bench.driver.load import Call, Load
from bench.driver.process import Driver
from bench.measurement import process_sampler
from bench.measurement.client_ceiling import Ceilings
from bench.measurement.plan import Cell, Options
from bench.measurement.process_sampler import Memory
from bench.records.row import load_columns
from bench.records.runs_csv import Row, Runs
from bench.targets import Target
from bench.targets.api_client import Api
from bench.targets.processes import Place, Server
from bench.verification.reference import Reference


class Show(Protocol):
    """The progress display."""

    def step(self, text: str, done: int = 0, total: int = 0) -> None:
        """Show a step, and its progress unless `total` is 0."""

    def finished(self, cell: Cell, rows: Sequence[Row]) -> None:
        """Show the rows of a finished cell; [] if they were recorded one by one."""

    def result(self, cell: Cell, text: str) -> None:
        """Show what a cell came to whose rows were recorded one by one."""

    def skip(self, cells: int) -> None:
        """Advance by cells that will not be measured."""

    def warn(self, text: str) -> None:
        """Show an error."""


@dataclass(frozen=True)
class Bench:
    """
    The campaign, as its scenarios see it.

    `speed_s` is the result of `bench.machine.speed` when the campaign began. `samples` is the folder of raw samples.
    `indexes` maps each durable target to the verified data folder of its first block, on which later blocks start.
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
        """Return the seed of a block, the same for all its targets."""
        return self.options.seed + block

    def start(self, target: Target, purpose: str, index: Path | None = None) -> Server:
        """Start a target in a new data folder, or on a copy of `index`. `purpose` names the folder and the logs."""
        stamp = time.time_ns() // 1_000_000 % 100_000_000
        return Server(target, self.place, f"{target.name}-{purpose}-{stamp}", index)

    def row(self, cell: Cell, replicate: int = 1) -> Row:
        """Return a row of runs.csv with the columns of its cell."""
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
            **load_columns(cell.scenario, cell.concurrency, cell.batch, cell.percent),
            text_tokens=cell.text_tokens,
            arrangement=cell.arrangement,
            started_utc=datetime.now(UTC).isoformat(timespec="seconds"),
        )


@dataclass(frozen=True)
class Session:
    """A started server with its API client, its unseen texts and its idle memory by role."""

    server: Server
    api: Api
    texts: TextStream
    idle: Mapping[str, Memory]

    @classmethod
    def open(cls, server: Server, api: Api, texts: TextStream) -> Session:
        """Return the session of a server that is ready and has done no work: its memory now is its idle memory."""
        return cls(server, api, texts, process_sampler.memory(server))

    def load(
        self,
        options: Options,
        warmup: Sequence[Call],
        calls: Sequence[Call],
        within_ms: float | None = None,
        **values: Any,
    ) -> Load:
        """
        Return a load of this server with the profile's durations; `values` are further fields of `Load`.

        The calls may use any route of the dialect. With `within_ms`, each request carries it as its time limit.
        """
        timeout = {} if within_ms is None else {"X-Request-Timeout-Ms": f"{within_ms:.0f}"}
        routes = dict.fromkeys(call.route for call in (*warmup, *calls))
        return Load(
            host=self.server.host,
            port=self.server.port,
            headers=self.server.target.headers | timeout,
            paths={route: self.api.dialect.path(route) for route in routes},
            dialect=self.server.target.dialect,
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
        """Return one call of a route per text."""
        return [Call(route, self.api.dialect.body(route, text)) for text in texts]
