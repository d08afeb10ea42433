"""Loading a scenario by its name."""

from __future__ import annotations

import pytest

from bench.errors import BenchError
from bench.measurement.plan import PROFILES
from bench.scenarios import StandaloneScenario, VerifiedScenario, load


@pytest.mark.parametrize("name", list(PROFILES["full"].scenarios))
def test_every_scenario_of_a_profile_is_loaded(name: str) -> None:
    """It has a headline, and either starts its own server or runs against a verified one."""
    scenario = load(name)

    assert scenario.HEADLINE
    assert isinstance(scenario, VerifiedScenario) != isinstance(scenario, StandaloneScenario)


@pytest.mark.parametrize("name", ["nosuch", "open_load", "__init__", ""])
def test_a_module_that_is_no_scenario_is_refused(name: str) -> None:
    """An unknown name and a module without cells to run are both unknown scenarios."""
    with pytest.raises(BenchError, match="unknown scenario"):
        load(name)
