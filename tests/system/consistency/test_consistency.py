"""Nothing acknowledged is lost, and the latest wins: random operations and faults against three deployments."""

from __future__ import annotations

import os
import secrets
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, Phase, seed, settings
from hypothesis.stateful import run_state_machine_as_test

from tests.system.consistency.deployments import Deployment, deployed
from tests.system.consistency.machine import ConsistencyMachine

# CONSISTENCY_STEPS: of all three deployments together. CONSISTENCY_SEED repeats a run.
STEPS = int(os.environ.get("CONSISTENCY_STEPS", "2000")) // 3
STEPS_PER_EXAMPLE, STEPS_PER_SEED = 40, 1_000


@pytest.fixture(params=["edge", "pgvector", "split"])
def deployment(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Deployment]:
    """Yield each deployment, started."""
    database_url = request.getfixturevalue("database_url") if request.param == "pgvector" else None
    with deployed(request.param, tmp_path, database_url) as running:
        yield running


@pytest.mark.slow("minutes: hundreds of operations and faults")
@pytest.mark.timeout(12 * 3600)
def test_every_answer_agrees_with_a_model(deployment: Deployment, capsys: pytest.CaptureFixture[str]) -> None:
    """The seeds are printed, each before its examples. CONSISTENCY_SEED with the last one repeats the failure."""

    class Machine(ConsistencyMachine):
        pass

    Machine.deployment = deployment
    number = int(os.environ.get("CONSISTENCY_SEED", secrets.randbits(32)))
    for steps in range(0, STEPS, STEPS_PER_SEED):
        with capsys.disabled():
            print(f"\nafter {steps} of {STEPS} steps: CONSISTENCY_SEED={number}", end="", flush=True)
        run_examples(Machine, number, min(STEPS_PER_SEED, STEPS - steps))
        number += 1


def run_examples(machine: type[ConsistencyMachine], number: int, steps: int) -> None:
    """Run the examples of one seed. Hypothesis remembers them all, so a long run takes several seeds."""
    run_state_machine_as_test(
        seed(number)(machine),
        settings=settings(
            max_examples=max(1, steps // STEPS_PER_EXAMPLE),
            stateful_step_count=STEPS_PER_EXAMPLE,
            deadline=None,
            database=None,
            # A shrunk example would have other timing.
            phases=[Phase.generate],
            suppress_health_check=list(HealthCheck),
        ),
    )
