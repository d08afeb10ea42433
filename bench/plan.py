"""What a campaign is asked to do: profile, options, cells."""

from __future__ import annotations

from dataclasses import dataclass

from bench.targets import Target


@dataclass(frozen=True)
class Profile:
    """How long and how often: seconds and counts of one profile."""

    name: str
    blocks: int
    min_seconds: float
    max_seconds: float
    warmup_seconds: float
    embedded: int
    searched: int
    starts: int
    ceiling_seconds: float
    twin: bool


PROFILES = {
    "quick": Profile(
        name="quick",
        blocks=1,
        min_seconds=3.0,
        max_seconds=20.0,
        warmup_seconds=1.0,
        embedded=64,
        searched=200,
        starts=3,
        ceiling_seconds=0.6,
        twin=False,
    ),
    "full": Profile(
        name="full",
        blocks=3,
        min_seconds=10.0,
        max_seconds=60.0,
        warmup_seconds=3.0,
        embedded=1204,
        searched=1000,
        starts=5,
        ceiling_seconds=2.0,
        twin=True,
    ),
}
MIN_REQUESTS = 670  # a little over the floor of p99, so that one error does not cost it
BODIES_PER_SECOND = 6000  # more than any target here answers in a second


@dataclass(frozen=True)
class Options:
    """The command line, read."""

    profile: Profile
    concurrency: tuple[int, ...]
    scenarios: tuple[str, ...]
    client: str
    device: str
    seed: int


@dataclass(frozen=True)
class Cell:
    """One target under one load of one scenario, in one block."""

    block: int
    target: Target
    scenario: str
    route: str = ""
    concurrency: int | None = None

    @property
    def key(self) -> tuple[str, str, str, str, str]:
        """What its rows in runs.csv are known by; see `bench.records.key_of`."""
        concurrency = "" if self.concurrency is None else str(self.concurrency)
        return str(self.block), self.target.name, self.scenario, self.route, concurrency

    def __str__(self) -> str:
        load = f" c={self.concurrency}" if self.concurrency is not None else ""
        return f"{self.target.name} · {self.scenario} {self.route}{load}".replace("  ", " ").strip()
