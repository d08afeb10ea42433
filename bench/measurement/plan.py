"""The plan of a campaign: profiles, options and cells."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from bench.targets import Target

MIN_REQUESTS = 670  # a p99 needs 662 samples; a few errors must not cost it
BODIES_PER_SECOND = 6000  # more than any target answers per second


@dataclass(frozen=True)
class Profile:
    """
    The durations and counts of a campaign.

    `scenarios` is the number of blocks in which each scenario runs; a confidence interval needs all blocks.
    `percents` are the shares of the closed-loop maximum that `server` offers. `tries` limits the repeats of a
    disturbed window.
    """

    name: str
    blocks: int
    scenarios: Mapping[str, int]
    min_seconds: float
    max_seconds: float
    warmup_seconds: float
    embedded: int
    searched: int
    starts: int
    cold_starts: int
    ceiling_seconds: float
    soak_seconds: float
    concurrency: tuple[int, ...]
    percents: tuple[int, ...]
    twin: bool

    def with_blocks(self, blocks: int) -> Profile:
        """Return the profile with `blocks` blocks. A scenario that ran in every block still does."""
        runs = {name: blocks if in_blocks == self.blocks else in_blocks for name, in_blocks in self.scenarios.items()}
        return replace(self, blocks=blocks, scenarios=runs)

    tries: int = 3


# Scenarios run in this order. `closed` precedes scenarios that offer shares of its maximum. Overload and soak come
# late and `mixed`, which adds documents, comes after them, because they change the server that was verified.
PROFILES = {
    "quick": Profile(
        name="quick",
        blocks=1,
        scenarios={"cold": 1, "closed": 1, "server": 1, "replay_empty_index": 1},
        min_seconds=2.0,
        max_seconds=20.0,
        warmup_seconds=1.0,
        embedded=64,
        searched=200,
        starts=2,
        cold_starts=0,
        ceiling_seconds=0.6,
        soak_seconds=20.0,
        concurrency=(1, 16, 64),
        percents=(60,),
        twin=False,
    ),
    "full": Profile(
        name="full",
        blocks=5,
        scenarios={
            "cold": 1,
            "cache": 1,
            "threads": 1,
            "store": 1,
            "single": 3,
            "closed": 5,
            "server": 5,
            "offline": 3,
            "rerank": 3,
            "bare": 3,
            "second_opinion": 1,
            "quality": 1,
            "overload": 1,
            "burst": 1,
            "soak": 1,
            "mixed": 1,
            "replay_empty_index": 1,
        },
        min_seconds=2.0,
        max_seconds=30.0,
        warmup_seconds=1.0,
        embedded=100,
        searched=300,
        starts=5,
        cold_starts=2,
        ceiling_seconds=1.0,
        soak_seconds=30.0,
        concurrency=(4, 16, 64, 256),  # the scenario `single` has one request in flight
        percents=(40, 55, 70, 85),
        twin=True,
    ),
}


@dataclass(frozen=True)
class Options:
    """
    The options of a campaign.

    `slo_ms` is the p99 limit of the scenario `server`, by route. `device` is the value of --device, from which each
    target gets its own. `locust_workers` above 0 selects Locust for the second opinion; the default is wrk if
    installed.
    """

    profile: Profile
    concurrency: tuple[int, ...]
    scenarios: tuple[str, ...]
    client: str
    device: str
    seed: int
    slo_ms: Mapping[str, float] = field(default_factory=lambda: {"search": 150.0, "embeddings": 150.0})
    locust_workers: int = 0
    locust_seconds: int = 20

    def includes(self, scenario: str, block: int) -> bool:
        """
        Return whether a scenario runs in a block: in the last `profile.scenarios[scenario]` blocks, default one.

        They are the last ones, because such a scenario may change the index on which the next block starts.
        """
        return block > self.profile.blocks - self.profile.scenarios.get(scenario, 1)


@dataclass(frozen=True)
class Cell:
    """One target under one load of a scenario, in one block; `bench.records.row.load_columns` says what they mean."""

    block: int
    target: Target
    scenario: str
    route: str = ""
    concurrency: int | None = None
    batch: int | None = None
    percent: int | None = None

    @property
    def key(self) -> tuple[str, ...]:
        """The key of the cell's rows in runs.csv; see `bench.records.runs_csv.KEY`."""
        load = ("" if value is None else str(value) for value in (self.concurrency, self.batch, self.percent))
        return (str(self.block), self.target.name, self.scenario, self.route, *load)

    def __str__(self) -> str:
        loads = (("c=", self.concurrency, ""), ("n=", self.batch, ""), ("", self.percent, " %"))
        load = " ".join(f"{before}{value}{after}" for before, value, after in loads if value is not None)
        return f"{self.target.name} · {self.scenario} {self.route} {load}".replace("  ", " ").strip()
