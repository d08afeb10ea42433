"""Nothing acknowledged is lost, and the latest wins: random operations and faults against three deployments."""

from __future__ import annotations

import os
import secrets
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, Phase, seed, settings
from hypothesis.stateful import run_state_machine_as_test

from tests.system.consistency.deployments import Deployment, deployed
from tests.system.consistency.machine import WEIGHTS, ConsistencyMachine

# CONSISTENCY_STEPS: of all three deployments together. CONSISTENCY_SEED repeats a run.
STEPS = int(os.environ.get("CONSISTENCY_STEPS", "2000")) // 3
STEPS_PER_EXAMPLE, EXAMPLES_PER_SEED = 100, 10
# In a run of this length each fault was injected.
WITH_EVERY_FAULT = 600


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
    while (steps := count_steps(deployment)) < STEPS:
        with capsys.disabled():
            print(f"\nafter {steps} of {STEPS} steps: CONSISTENCY_SEED={number}", flush=True)
        begun_s = time.monotonic()
        run_examples(Machine, number, min(EXAMPLES_PER_SEED, -(-(STEPS - steps) // STEPS_PER_EXAMPLE)))
        number += 1
        with capsys.disabled():
            print(f"{(count_steps(deployment) - steps) / (time.monotonic() - begun_s):.1f} steps a second;", end=" ")
            print(dict(sorted(deployment.counts.items())), flush=True)
    missing = [name for name in (*deployment.faults, *deployment.upstream_faults) if not deployment.counts[name]]
    assert STEPS < WITH_EVERY_FAULT or not missing, f"never injected: {missing}"


def count_steps(deployment: Deployment) -> int:
    """Return the number of operations so far."""
    return sum(deployment.counts[operation] for operation in WEIGHTS)


def run_examples(machine: type[ConsistencyMachine], number: int, examples: int) -> None:
    """Run the examples of one seed. Hypothesis remembers them all, so a long run takes several seeds."""
    run_state_machine_as_test(
        seed(number)(machine),
        settings=settings(
            max_examples=examples,
            stateful_step_count=STEPS_PER_EXAMPLE,
            deadline=None,
            database=None,
            # A shrunk example would have other timing.
            phases=[Phase.generate],
            suppress_health_check=list(HealthCheck),
        ),
    )
