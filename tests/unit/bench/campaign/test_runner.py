"""The plan of a campaign: the loads whose client ceiling is measured."""

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
