"""The plan of a campaign: profiles, options and cells."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from bench.datasets import mixes, trace
from bench.datasets.trace import Trace
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

    `slo` searches for the rate held until its bracket is narrower than the ratio `slo_resolution`. Its windows take
    `slo_seconds`, and up to `slo_max_seconds` if the limit is neither surely held nor surely broken. `slo_routes`
    limits the plain routes that are searched, and the mixes.
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
    slo_seconds: float
    slo_max_seconds: float
    slo_resolution: float
    slo_routes: int

    def with_blocks(self, blocks: int) -> Profile:
        """Return the profile with `blocks` blocks. A scenario that ran in every block still does."""
        runs = {name: blocks if in_blocks == self.blocks else in_blocks for name, in_blocks in self.scenarios.items()}
        return replace(self, blocks=blocks, scenarios=runs)

    tries: int = 3


# Scenarios run in this order. `closed` precedes scenarios that offer shares of its maximum. Overload and soak come
# late; `mix` and `mixed`, which add documents, come after them, because they change the server that was verified.
PROFILES = {
    "quick": Profile(
        name="quick",
        blocks=1,
        scenarios={"cold": 1, "closed": 1, "slo": 1, "mix": 1, "replay_empty_index": 1},
        min_seconds=2.0,
        max_seconds=20.0,
        warmup_seconds=1.0,
        embedded=64,
        searched=200,
        starts=2,
        cold_starts=0,
        ceiling_seconds=0.6,
        soak_seconds=20.0,
        concurrency=(16, 64),
        percents=(60,),
        twin=False,
        slo_seconds=6.0,
        slo_max_seconds=10.0,
        slo_resolution=1.16,
        slo_routes=1,
    ),
    "full": Profile(
        name="full",
        blocks=3,
        scenarios={
            "cold": 1,
            "cache": 1,
            "cores": 1,
            "store": 1,
            "single": 1,
            "closed": 3,
            "slo": 3,
            "lengths": 1,
            "offline": 1,
            "rerank": 1,
            "bare": 1,
            "second_opinion": 1,
            "quality": 1,
            "overload": 1,
            "crowd": 1,
            "burst": 1,
            "soak": 1,
            "mix": 1,
            "mixed": 1,
            "replay_empty_index": 1,
        },
        min_seconds=3.5,
        max_seconds=30.0,
        warmup_seconds=1.0,
        embedded=100,
        searched=300,
        starts=5,
        cold_starts=2,
        ceiling_seconds=1.0,
        soak_seconds=20.0,
        concurrency=(4, 16, 64),  # the scenario `single` has one request in flight
        percents=(40, 55, 70, 85),
        twin=True,
        slo_seconds=15.0,
        slo_max_seconds=22.0,
        slo_resolution=1.15,
        slo_routes=2,
    ),
}


def default_slo_ms() -> dict[str, float]:
    """Return the p99 limits by route: 150 ms for a search and an embedding, those of their files for mixes."""
    own = {mix.route: mix.slo_ms for mix in mixes.load_all()}
    return {"search": 150.0, "embeddings": 150.0, **own, trace.ROUTE: trace.SLO_MS}


@dataclass(frozen=True)
class Options:
    """
    The options of a campaign.

    `slo_ms` is the p99 limit of the open loop, by route. `trace` is the log of --trace, if one is given. `device` is
    the value of --device, from which each target gets its own. `locust_workers` above 0 selects Locust for the second
    opinion; the default is wrk if installed.
    """

    profile: Profile
    concurrency: tuple[int, ...]
    scenarios: tuple[str, ...]
    client: str
    device: str
    seed: int
    slo_ms: Mapping[str, float] = field(default_factory=default_slo_ms)
    locust_workers: int = 0
    locust_seconds: int = 20
    trace: Trace | None = None

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
    text_tokens: int | None = None
    arrangement: str = ""

    @property
    def key(self) -> tuple[str, ...]:
        """The key of the cell's rows in runs.csv; see `bench.records.runs_csv.KEY`."""
        loads = (self.concurrency, self.batch, self.percent, self.text_tokens)
        load = ("" if value is None else str(value) for value in loads)
        return (str(self.block), self.target.name, self.scenario, self.route, *load, self.arrangement)

    def __str__(self) -> str:
        loads = (
            ("c=", self.concurrency, ""),
            ("n=", self.batch, ""),
            ("", self.percent, " %"),
            ("", self.text_tokens, " tokens"),
        )
        load = " ".join(f"{before}{value}{after}" for before, value, after in loads if value is not None)
        words = (self.scenario, self.arrangement, self.route, load)
        return f"{self.target.name} · {' '.join(filter(None, words))}"
