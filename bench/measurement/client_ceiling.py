"""The client ceiling: the driver's rate against a server that does no work, pinned to the server cores."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from bench import dialects
from bench.datasets.corpus import Corpus
from bench.driver.load import Call, Load
from bench.driver.process import Driver
from bench.measurement.plan import Options
from bench.targets import Role, Target
from bench.targets.processes import Place, Server

CALLS_PER_SECOND = 40_000

NULL = Target(
    name="null",
    title="a server that does no work",
    dialect="gateway",
    precision="pseudo",
    capabilities=("search", "embeddings"),
    folder=Path(),
    roles=(Role("null", "", (sys.executable, "-m", "bench.driver.null_server", "{port}"), "/readyz"),),
)


@dataclass(frozen=True)
class Ceilings:
    """Measured ceilings in requests per second, by (route, concurrency)."""

    rps: Mapping[tuple[str, int], float]

    def find(self, route: str, concurrency: int) -> float | None:
        """
        Return the ceiling of a route at the largest measured concurrency up to `concurrency`; None without one.

        Routes with answers unlike those of the null server (rerank, ingest) have no ceiling. Their windows are judged
        by the driver's CPU, lag and lateness.
        """
        by_concurrency = {level: rps for (name, level), rps in self.rps.items() if name == route}
        levels = [level for level in by_concurrency if level <= concurrency]
        return by_concurrency[max(levels)] if levels else next(iter(by_concurrency.values()), None)


def measure(
    squad: Corpus, options: Options, place: Place, driver: Driver, loads: Iterable[tuple[str, int]]
) -> Ceilings:
    """Measure the ceiling of each (route, concurrency) in `loads`."""
    with Server(NULL, place, "null") as server:
        server.wait_ready()
        return Ceilings(
            {(route, c): _measure_rps(squad, options, driver, server.front.port, route, c) for route, c in loads}
        )


def _measure_rps(squad: Corpus, options: Options, driver: Driver, port: int, route: str, concurrency: int) -> float:
    dialect = dialects.load(NULL.dialect)
    seconds = options.profile.ceiling_seconds
    distinct = [Call(route, dialect.body(route, text)) for text in squad.texts]
    calls = (distinct * (1 + int(seconds * CALLS_PER_SECOND) // len(distinct)))[: int(seconds * CALLS_PER_SECOND)]
    outcome = driver.run(
        Load(
            port=port,
            paths={route: dialect.path(route)},
            dialect=NULL.dialect,
            concurrency=concurrency,
            warmup=distinct[: 4 * concurrency],
            calls=calls,
            min_seconds=seconds,
            max_seconds=seconds,
            warmup_seconds=0.0,
            client=options.client,
        )
    )
    return outcome.completed / outcome.wall_s
