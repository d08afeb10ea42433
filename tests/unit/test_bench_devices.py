"""Devices: the words of `--device`, the targets that enter on each, and what a campaign's command says of them."""

from __future__ import annotations

from argparse import ArgumentParser
from pathlib import Path

import pytest

from bench import command, cores, devices, manifest, targets
from bench.ask import ask, read_options
from bench.campaign import TWIN
from bench.errors import BenchError
from bench.processes import Place, placeholders
from bench.targets import foreign
from tests.conftest import shapes

BOTH = ("cpu", "cuda")


@pytest.mark.parametrize(
    ("text", "read"),
    [
        ("auto", ("auto",)),
        ("cpu,cuda", ("cpu", "cuda")),
        ("cuda:0, cuda:12 ,mps", ("cuda:0", "cuda:12", "mps")),
    ],
)
def test_devices_are_read_in_the_order_they_are_said(text: str, read: tuple[str, ...]) -> None:
    """One word or several by comma."""
    assert devices.parse(text) == read


@pytest.mark.parametrize("text", ["", "gpu", "cuda:", "cuda:x", "cuda:01", "cpu,", "cpu,,cuda", "CUDA", "cuda:-1"])
def test_what_is_no_device_is_told_with_what_would_be_right(text: str) -> None:
    """Each of the five words is named, and so is the wrong one."""
    with pytest.raises(BenchError, match=r"auto, cpu, cuda, cuda:N .* mps") as told:
        devices.parse(text)
    assert repr(next(word for word in text.split(",") if word not in ("cpu",))) in str(told.value)


def test_a_device_said_twice_is_refused() -> None:
    """Two rows of one target on one device could not be told apart."""
    with pytest.raises(BenchError, match="cuda is said twice"):
        devices.parse("cuda,cpu,cuda")


@pytest.mark.parametrize("device", ["cuda", "cuda:3", "mps"])
def test_gpus_are_known_by_their_words(device: str) -> None:
    """And `auto` is not one of them: it may be anything."""
    assert devices.is_gpu(device)
    assert not any(map(devices.is_gpu, ("auto", "cpu", "")))


def test_a_target_enters_once_for_every_device_that_it_is_for() -> None:
    """fp32 on all, under its own name on the first; int8 and the floor on the CPU, halves on GPUs; in a row."""
    entered = devices.enter(targets.ours(), (*BOTH, "cuda:1"))

    assert {target.name: target.device for target in entered} == {
        "onnx_py-int8": "cpu",
        "onnx_py": "cpu",
        "onnx_py@cuda": "cuda",
        "onnx_py@cuda:1": "cuda:1",
        "pseudo": "cpu",
        "python": "cpu",
        "python@cuda": "cuda",
        "python@cuda:1": "cuda:1",
        "python-fp16": "cuda",
        "python-fp16@cuda:1": "cuda:1",
        "split": "cpu",
        "split@cuda": "cuda",
        "split@cuda:1": "cuda:1",
    }
    families = [target.name.partition("@")[0] for target in entered]
    assert families == sorted(families, key=families.index)
    assert all(target.title.endswith(f", on {target.device}") for target in entered)


def test_half_precision_is_for_gpus() -> None:
    """Among others it is left out without one; asked for alone, the error says what to name."""
    half = targets.choose(["python-fp16"], with_peers=False)

    assert "python-fp16" not in {target.name for target in devices.enter(targets.ours(), ("cpu",))}
    with pytest.raises(BenchError, match="python-fp16 in half precision: name a GPU"):
        devices.enter(half, ("cpu",))


def test_int8_takes_the_first_device_that_is_no_gpu_and_of_gpus_alone_the_first() -> None:
    """What it then does is the gateway's to say: it serves, or its row has the reason."""
    int8 = targets.choose(["onnx_py-int8"], with_peers=False)

    for said, on in (
        (("cuda", "cpu"), "cpu"),
        (("cuda", "auto"), "auto"),
        (("cuda",), "cuda"),
        (("mps", "cuda"), "mps"),
    ):
        [entered] = devices.enter(int8, said)
        assert (entered.name, entered.device) == ("onnx_py-int8", on)


def test_one_device_is_said_in_no_name_and_no_title() -> None:
    """A campaign on one device has the targets that it always had, each with its device."""
    entered = devices.enter(targets.ours(), ["cuda"])

    assert [(target.name, target.title) for target in entered] == [
        (target.name, target.title) for target in targets.ours()
    ]
    assert {target.device for target in entered if target.name != "pseudo"} == {"cuda"}


def test_what_others_started_is_on_no_device_and_a_replay_on_one() -> None:
    """A URL says nothing of where it runs; what runs no model gains no second entry."""
    theirs = foreign.describe("http://server:1", "tei")
    replay = targets.choose(["study-as-published"], with_peers=False)

    assert [(target.name, target.device) for target in devices.enter([theirs], BOTH)] == [("server-1", "")]
    assert [target.device for target in devices.enter(replay, BOTH)] == ["cpu"]


def test_a_target_file_is_filled_from_the_target(tmp_path: Path) -> None:
    """`{device}` of each entry is its own, in the process's environment and in the manifest."""
    place = Place(cores.split(cores.available()), tmp_path / "data", tmp_path / "logs")
    for target in devices.enter(targets.choose(["python"], with_peers=False), (*BOTH, "cuda:1")):
        filled = placeholders(target, target.front, {"gateway": 1}, place, tmp_path)
        said = manifest._target(target, place)

        assert filled["device"] == target.device == said["device"]
        assert said["roles"]["gateway"]["environ"]["DEVICE"] == target.device


def test_the_command_line_refuses_what_is_no_device_before_anything_starts() -> None:
    """From the option and from the environment alike."""
    parser = ArgumentParser()
    command.add_options(parser, {"DEVICE": "gpu"})

    assert read_options(parser.parse_args(["--device", "cpu,cuda:1"])).device == "cpu,cuda:1"
    with pytest.raises(BenchError, match="'gpu'"):
        ask(parser.parse_args([]))


@pytest.mark.skipif(not {"python", "onnx_py"} <= set(shapes()), reason="asks for their environments")
def test_a_campaign_on_several_devices_is_asked_for_again_as_it_was(tmp_path: Path) -> None:
    """Its command read back gives the same targets on the same devices; the twin is of the first device's."""
    words = f"--gateways python,onnx_py --device cpu,cuda --twin --results {tmp_path} --campaign x"
    asked = ask(command.read_back(f"{command.COMMAND} {words}"))
    again = ask(command.read_back(f"{asked.command} --results {tmp_path} --campaign x"))

    assert [(target.name, target.device) for target in asked.targets] == [
        ("python", "cpu"),
        ("python@cuda", "cuda"),
        ("onnx_py", "cpu"),
        ("onnx_py@cuda", "cuda"),
        (f"onnx_py{TWIN}", "cpu"),
    ]
    assert again.targets == asked.targets
    assert again.folder == asked.folder
    assert {work.target.name for work in asked.todo()} == {target.name for target in asked.targets}
