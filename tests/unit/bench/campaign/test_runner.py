"""The plan of a campaign: the loads whose client ceiling is measured, and what is measured on whom."""

from __future__ import annotations

from bench import targets
from bench.campaign import runner
from bench.measurement.plan import PROFILES, Options


def test_a_mix_has_no_client_ceiling() -> None:
    """The ceiling is that of single routes: a server that does no work knows no mix."""
    quick = PROFILES["quick"]
    options = Options(quick, (16,), ("closed", "slo", "mix"), "raw", "cpu", 1)
    todo = list(runner.plan_work(targets.choose(["pseudo"], with_peers=False), options, set()))

    assert any(cell.route == "mix-rag" for work in todo for cell in work.verified)
    assert runner.ceiling_loads(todo) == [("embeddings", 16), ("search", 16)]


def scenarios_of(name: str, scenarios: tuple[str, ...]) -> set[str]:
    """Return the scenarios that a target has in a full campaign of these scenarios."""
    full = PROFILES["full"]
    options = Options(full, full.concurrency, scenarios, "raw", "cpu", 1)
    entered = [target for target in targets.choose(None, with_peers=True) if target.name == name]
    todo = runner.plan_work(entered, options, set())
    return {cell.scenario for work in todo for cell in [*work.standalone, *work.verified]}


def test_a_whole_profile_measures_on_peers_what_decides() -> None:
    """Their memory, their rates and the rate held; what is named by --scenarios is measured on them too."""
    everything = tuple(PROFILES["full"].scenarios)

    assert scenarios_of("infinity", everything) == {"cold", "closed", "slo", "mix"}
    assert scenarios_of("infinity", ("closed", "overload")) == {"closed", "overload"}
    assert {"cold", "overload", "soak", "lengths"} <= scenarios_of("onnx_py", everything)


def test_pseudo_has_no_rates_that_a_model_bounds() -> None:
    """It is a floor: its closed loop and its start say what everything but the model costs."""
    assert {"mix", "soak", "overload"}.isdisjoint(scenarios_of("pseudo", tuple(PROFILES["full"].scenarios)))
    assert "closed" in scenarios_of("pseudo", tuple(PROFILES["full"].scenarios))
