"""What a campaign is asked to do: profile, options, cells."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from bench.targets import Target

MIN_REQUESTS = 670  # a little over the floor of p99, so that one error does not cost it
BODIES_PER_SECOND = 6000  # more than any target here answers in a second


@dataclass(frozen=True)
class Profile:
    """
    How long and how often: seconds and counts of one profile.

    `scenarios` says in how many of the blocks each scenario runs: what needs an interval in all of them. `percents`
    are the shares of the closed maximum that `server` offers.
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

    def of_blocks(self, blocks: int) -> Profile:
        """Return it with so many blocks: what runs in all of its own runs in all of them."""
        runs = {name: blocks if in_blocks == self.blocks else in_blocks for name, in_blocks in self.scenarios.items()}
        return replace(self, blocks=blocks, scenarios=runs)

    tries: int = 3  # of a window that the machine disturbed


# In the order they run in: `closed` before what offers shares of its maximum; then what loads a server beyond its
# means or for long, and last what adds documents to its index, for both leave another server than was verified.
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
        concurrency=(4, 16, 64, 256),  # one in flight is the scenario `single`
        percents=(40, 55, 70, 85),
        twin=True,
    ),
}


@dataclass(frozen=True)
class Options:
    """
    The command line, read. `slo_ms` is the p99 that `server` holds targets to, by route; `device` is said as it was
    asked for, and what it means for a target says the target.

    With `locust_workers` the second opinion is Locust's, for `locust_seconds`; without, wrk's where it is installed.
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

    def runs(self, scenario: str, block: int) -> bool:
        """
        Whether a scenario runs in a block: in the profile's last so many, where the profile does not have it in one.

        The last, since what runs once may leave the index another than the next block should start on.
        """
        return block > self.profile.blocks - self.profile.scenarios.get(scenario, 1)


@dataclass(frozen=True)
class Cell:
    """One target under one load of one scenario, in one block; what the load is says `bench.records.Row`."""

    block: int
    target: Target
    scenario: str
    route: str = ""
    concurrency: int | None = None
    batch: int | None = None
    percent: int | None = None

    @property
    def key(self) -> tuple[str, ...]:
        """What its rows in runs.csv are known by; see `bench.records.KEY`."""
        load = ("" if value is None else str(value) for value in (self.concurrency, self.batch, self.percent))
        return (str(self.block), self.target.name, self.scenario, self.route, *load)

    def __str__(self) -> str:
        loads = (("c=", self.concurrency, ""), ("n=", self.batch, ""), ("", self.percent, " %"))
        load = " ".join(f"{before}{value}{after}" for before, value, after in loads if value is not None)
        return f"{self.target.name} · {self.scenario} {self.route} {load}".replace("  ", " ").strip()
