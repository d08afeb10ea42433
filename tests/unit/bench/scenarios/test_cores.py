"""The ladder of cores: its rungs, and the roles and cores of each arrangement."""

from __future__ import annotations

import pytest

from bench import targets
from bench.machine.cores import Pinning
from bench.measurement.plan import PROFILES, Cell, Options
from bench.scenarios import cores
from bench.scenarios.cores import Rung
from bench.targets import Target

OPTIONS = Options(PROFILES["full"], (16,), ("cores",), client="raw", device="cpu", seed=1)


def target_of(name: str) -> Target:
    """Return one of our targets."""
    [target] = targets.choose([name], with_peers=False)
    return target


@pytest.mark.parametrize(
    ("most", "fewest", "rungs"),
    [(1, 1, [1]), (2, 1, [1, 2]), (6, 1, [1, 2, 4, 6]), (16, 2, [2, 4, 8, 16]), (1, 2, [])],
)
def test_the_ladder_doubles_and_ends_with_every_core(most: int, fewest: int, rungs: list[int]) -> None:
    """1, 2, 4, … and all of them; `apart` and `processes` begin at two."""
    assert cores.counts(most, fewest) == rungs


def test_the_monolith_scales_in_two_ways_and_split_in_a_third() -> None:
    """A peer and the floor have no ladder."""
    cells = {name: cores.cells(target_of(name), OPTIONS, 1) for name in ("onnx_py", "split", "pseudo")}

    assert [cell.arrangement for cell in cells["onnx_py"]] == ["threads", "processes"]
    assert [cell.arrangement for cell in cells["split"]] == ["apart"]
    assert not cells["pseudo"]
    assert len({cell.key for cell in [*cells["onnx_py"], *cells["split"]]}) == 3


def test_questions_leave_the_drivers_core_alone() -> None:
    """Only the bulk load, during which the driver waits, runs on every core."""
    cell = Cell(1, target_of("onnx_py"), "cores", "embeddings", 1, 32, arrangement="threads")

    rungs = list(cores._list_rungs(Pinning((1, 2, 3), (0,)), cell))

    assert [(rung.bulk, rung.cores, rung.concurrency) for rung in rungs] == [
        (True, (3,), 1),
        (True, (2, 3), 2),
        (True, (0, 1, 2, 3), 4),
        (False, (3,), 16),
        (False, (2, 3), 32),
        (False, (1, 2, 3), 48),
    ]


def test_each_process_has_a_core_and_a_data_folder() -> None:
    """Two processes would lock one folder against each other."""
    target, role_cores = cores.arrange(target_of("onnx_py"), Rung("processes", (2, 3), bulk=True))

    assert role_cores == {"gateway2": (2,), "gateway3": (3,)}
    assert [role.environ["DATA_DIR"] for role in target.roles] == ["{data_dir}/gateway2", "{data_dir}/gateway3"]


def test_the_gateway_is_apart_from_the_embed_services() -> None:
    """It has the first core, knows every service, and is still the front door."""
    target, role_cores = cores.arrange(target_of("split"), Rung("apart", (0, 1, 2), bulk=True))

    assert role_cores == {"embed1": (1,), "embed2": (2,), "gateway": (0,)}
    assert target.front.environ["EMBEDDING_API_URL"] == "{role.embed1.url},{role.embed2.url}"
