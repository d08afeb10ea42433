"""Target files: the existing ones, and errors in wrong ones."""

from __future__ import annotations

from pathlib import Path

import pytest

from bench import targets
from bench.errors import TargetError
from bench.machine import core_lists, cores
from bench.targets import Target
from bench.targets.processes import fill

EVERY = [*targets.ours(), *targets.peers()]


def test_our_targets_are_the_three_shapes_others_precisions_and_the_floor() -> None:
    """Each target has one file, and only pseudo is not ranked."""
    own_targets = {target.name: target for target in targets.ours()}

    assert set(own_targets) == {"python", "python-fp16", "onnx_py", "onnx_py-int8", "split", "pseudo"}
    assert [name for name, target in own_targets.items() if not target.ranked] == ["pseudo"]
    assert [role.name for role in own_targets["split"].roles] == ["embed", "gateway"]


@pytest.mark.parametrize("described", EVERY, ids=lambda target: target.name)
def test_every_placeholder_of_every_target_is_known(described: Target) -> None:
    """The harness fills in every placeholder of every target file."""
    values = {f"role.{role.name}.url": "http://127.0.0.1:1" for role in described.roles}
    values |= dict.fromkeys(
        ("python", "port", "data_dir", "models_dir", "model_dir", "target_dir", "prepared_dir"), "x"
    )
    values |= dict.fromkeys(("threads", "device"), "1")

    for role in described.roles:
        for text in [*role.argv, *role.environ.values()]:
            assert "{" not in fill(text, values)


def test_an_unknown_placeholder_is_named() -> None:
    """The error names the unknown placeholder."""
    with pytest.raises(TargetError, match=r"\{prot\}"):
        fill("http://127.0.0.1:{prot}", {"port": "1"})


@pytest.mark.parametrize(
    ("changed", "word"),
    [
        ('precision = "fp32"', "fp64"),
        ('name = "x"', "name"),
        ('dialect = "gateway"', "dialects"),
        ('env = "e"', "environment"),
    ],
)
def test_a_wrong_key_or_value_is_named(tmp_path: Path, changed: str, word: str) -> None:
    """The error names an unknown key, a different name or an unknown precision."""
    good = """
        name = "x"\n title = "t"\n dialect = "gateway"\n precision = "fp32"\n capabilities = ["search"]
        [[roles]]\n name = "gateway"\n env = "e"\n argv = ["a"]\n ready = "/readyz"
    """
    key, _, value = changed.partition(" = ")
    replaced = f'{key} = "fp64"' if word == "fp64" else f"{word} = {value}"
    replaced = 'name = "y"' if word == "name" else replaced
    file = tmp_path / "x.toml"
    file.write_text(good)
    assert targets.load(file, "x").front.ready == "/readyz"
    file.write_text(good.replace(changed, replaced, 1))

    with pytest.raises(TargetError, match=word):
        targets.load(file, "x")


def test_an_unknown_target_is_told_with_those_that_are_known() -> None:
    """The error lists the known targets."""
    with pytest.raises(TargetError, match=r"onyx.*known:.*onnx_py"):
        targets.choose(["onyx"], with_peers=False)


@pytest.mark.parametrize("count", [2, 3, 8, 64])
def test_server_and_driver_never_share_a_core(count: int) -> None:
    """With two or more cores, server and driver share none."""
    pinning = cores.split(tuple(range(count)))

    assert pinning.disjoint
    assert set(pinning.server) | set(pinning.driver) == set(range(count))


def test_one_core_is_shared_and_said_to_be() -> None:
    """With one core, the sets are not disjoint."""
    assert not cores.split((0,)).disjoint


def test_core_lists_are_read() -> None:
    """`1-3,5` is four cores."""
    assert core_lists.parse("1-3,5") == (1, 2, 3, 5)
