"""The client's ceiling: what the driver reaches against a server that does nothing, pinned as servers are."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from pathlib import Path

from bench import dialects
from bench.datasets.squad import Squad
from bench.driver.load import Load
from bench.driver.process import Driver
from bench.plan import Options
from bench.processes import Place, Running
from bench.targets import Role, Target

BODIES_PER_SECOND = 40_000

NULL = Target(
    name="null",
    title="a server that does nothing",
    dialect="gateway",
    precision="pseudo",
    capabilities=("search", "embeddings"),
    folder=Path(),
    roles=(Role("null", "", (sys.executable, "-m", "bench.driver.null", "{port}"), "/readyz"),),
)


def measure(
    squad: Squad, options: Options, place: Place, driver: Driver, loads: Iterable[tuple[str, int]]
) -> dict[tuple[str, int], float]:
    """Requests a second for each (route, concurrency)."""
    with Running(NULL, place, "null") as running:
        running.wait_ready()
        return {(route, c): _one(squad, options, driver, running.front.port, route, c) for route, c in loads}


def _one(squad: Squad, options: Options, driver: Driver, port: int, route: str, concurrency: int) -> float:
    dialect = dialects.load(NULL.dialect)
    seconds = options.profile.ceiling_seconds
    distinct = [dialect.body(route, text) for text in squad.texts]
    bodies = (distinct * (1 + int(seconds * BODIES_PER_SECOND) // len(distinct)))[: int(seconds * BODIES_PER_SECOND)]
    outcome = driver.run(
        Load(
            port=port,
            path=dialect.path(route),
            route=route,
            dialect=NULL.dialect,
            concurrency=concurrency,
            warmup=distinct[: 4 * concurrency],
            bodies=bodies,
            min_seconds=seconds,
            max_seconds=seconds,
            min_requests=0,
            warmup_seconds=0.0,
            client=options.client,
        )
    )
    return len(outcome.latency_ns) / outcome.wall_s
