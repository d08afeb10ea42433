"""The client's ceiling: what the driver reaches against a server that does nothing, pinned as servers are."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from bench import dialects
from bench.datasets.corpus import Corpus
from bench.driver.load import Call, Load
from bench.driver.process import Driver
from bench.plan import Options
from bench.processes import Place, Running
from bench.targets import Role, Target

CALLS_PER_SECOND = 40_000

NULL = Target(
    name="null",
    title="a server that does nothing",
    dialect="gateway",
    precision="pseudo",
    capabilities=("search", "embeddings"),
    folder=Path(),
    roles=(Role("null", "", (sys.executable, "-m", "bench.driver.null", "{port}"), "/readyz"),),
)


@dataclass(frozen=True)
class Ceilings:
    """Requests a second of the client, by route and concurrency, where they were measured."""

    rps: Mapping[tuple[str, int], float]

    def of(self, route: str, concurrency: int) -> float | None:
        """
        The ceiling of a route at the nearest concurrency measured below; None where the route has none.

        A route whose answers are not like those of the null server (rerank, ingest) has none: there the driver's CPU,
        its lag and its lateness say whether it was the limit.
        """
        measured = {c: rps for (name, c), rps in self.rps.items() if name == route}
        below = [c for c in measured if c <= concurrency]
        return measured[max(below)] if below else next(iter(measured.values()), None)


def measure(
    squad: Corpus, options: Options, place: Place, driver: Driver, loads: Iterable[tuple[str, int]]
) -> Ceilings:
    """Requests a second for each (route, concurrency)."""
    with Running(NULL, place, "null") as running:
        running.wait_ready()
        return Ceilings(
            {(route, c): _one(squad, options, driver, running.front.port, route, c) for route, c in loads}
        )


def _one(squad: Corpus, options: Options, driver: Driver, port: int, route: str, concurrency: int) -> float:
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
    return len(outcome.latency_ns) / outcome.wall_s
