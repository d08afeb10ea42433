"""The estimate of a campaign's duration, from its plan."""

from __future__ import annotations

import pytest

from bench import targets
from bench.campaign import estimate, runner
from bench.measurement.plan import PROFILES, Options
from bench.targets import devices

PASSAGES, CORES = 1204, 1
# Peers whose environments `make setup PEERS=1` had when the limit of 110 minutes was set.
PEERS = ("infinity", "study", "study-as-published")


def minutes(profile: str, peers: tuple[str, ...] = (), blocks: int | None = None) -> float:
    """Return the estimate of a profile on a CPU with all of our targets and these peers."""
    chosen = PROFILES[profile] if blocks is None else PROFILES[profile].with_blocks(blocks)
    options = Options(chosen, chosen.concurrency, tuple(chosen.scenarios), "raw", "cpu", 1)
    entered = [target for target in targets.choose(None, with_peers=True) if not target.peer or target.name in peers]
    todo = runner.plan_work(runner.add_twin(devices.enter(entered, ["cpu"]), chosen.twin), options, set())
    return estimate.seconds(list(todo), options, PASSAGES, CORES) / 60


def test_a_quick_campaign_is_a_quarter_of_an_hour_at_most() -> None:
    """It searches for the rate held, of searches and of a mix."""
    assert 5 < minutes("quick") <= 15
    assert {"slo", "mix"} <= set(PROFILES["quick"].scenarios)


def test_a_full_campaign_with_peers_takes_less_than_two_hours() -> None:
    """Three blocks take at most 110 minutes; another block takes longer, and nothing left to do takes none."""
    full = minutes("full", PEERS)

    assert 60 < full <= 110
    assert minutes("full", PEERS, blocks=5) > full + 10
    assert estimate.seconds([], Options(PROFILES["quick"], (1,), (), "raw", "cpu", 1), PASSAGES, CORES) == 0


def test_windows_of_the_full_profile_are_long() -> None:
    """A window that holds its limit takes 15 seconds at least."""
    assert PROFILES["full"].slo_seconds >= 15


@pytest.mark.parametrize(("seconds", "words"), [(10.0, "about 1 minutes"), (840.0, "about 14 minutes")])
def test_the_estimate_is_said_in_minutes(seconds: float, words: str) -> None:
    """It is rounded up, and has the hour of the end."""
    assert words in estimate.render(seconds)
    assert ", until " in estimate.render(seconds)
