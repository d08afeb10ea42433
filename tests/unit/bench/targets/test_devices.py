"""Devices: the values of `--device`, the entries of each target, and the reproducing command."""

from __future__ import annotations

from argparse import ArgumentParser
from pathlib import Path

import pytest

from bench import targets
from bench.campaign import manifest
from bench.commands import run_arguments
from bench.commands.run_options import read_options, read_request
from bench.errors import BenchError
from bench.machine import cores, device_names
from bench.records.runs_csv import TWIN
from bench.targets import devices, external
from bench.targets.processes import Place, placeholders

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
    """One device, or several separated by commas, in their order."""
    assert device_names.parse(text) == read


@pytest.mark.parametrize("text", ["", "gpu", "cuda:", "cuda:x", "cuda:01", "cpu,", "cpu,,cuda", "CUDA", "cuda:-1"])
def test_what_is_no_device_is_told_with_what_would_be_right(text: str) -> None:
    """The message has the wrong value and the five right ones."""
    with pytest.raises(BenchError, match=r"auto, cpu, cuda, cuda:N .* mps") as error:
        device_names.parse(text)
    assert repr(next(word for word in text.split(",") if word not in ("cpu",))) in str(error.value)


def test_a_device_said_twice_is_refused() -> None:
    """Two rows of one target on one device would be the same cell."""
    with pytest.raises(BenchError, match="cuda is given twice"):
        device_names.parse("cuda,cpu,cuda")


@pytest.mark.parametrize("device", ["cuda", "cuda:3", "mps"])
def test_gpus_are_known_by_their_words(device: str) -> None:
    """`auto` is no GPU, because it may become any device."""
    assert device_names.is_gpu(device)
    assert not any(map(device_names.is_gpu, ("auto", "cpu", "")))


def test_a_target_enters_once_for_every_device_that_it_is_for() -> None:
    """fp32 enters on all devices, int8 and pseudo on the CPU, half precision on GPUs; the first keeps its name."""
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
    """Half precision is left out without a GPU; alone, it raises an error that names the option."""
    half = targets.choose(["python-fp16"], with_peers=False)

    assert "python-fp16" not in {target.name for target in devices.enter(targets.ours(), ("cpu",))}
    with pytest.raises(BenchError, match="python-fp16 in half precision: name a GPU"):
        devices.enter(half, ("cpu",))


def test_int8_takes_the_first_device_that_is_no_gpu_and_of_gpus_alone_the_first() -> None:
    """On GPUs alone, the gateway serves int8 or its row has the reason."""
    int8 = targets.choose(["onnx_py-int8"], with_peers=False)

    for choice, on in (
        (("cuda", "cpu"), "cpu"),
        (("cuda", "auto"), "auto"),
        (("cuda",), "cuda"),
        (("mps", "cuda"), "mps"),
    ):
        [entered] = devices.enter(int8, choice)
        assert (entered.name, entered.device) == ("onnx_py-int8", on)


def test_one_device_is_said_in_no_name_and_no_title() -> None:
    """On one device, names and titles of targets do not change."""
    entered = devices.enter(targets.ours(), ["cuda"])

    assert [(target.name, target.title) for target in entered] == [
        (target.name, target.title) for target in targets.ours()
    ]
    assert {target.device for target in entered if target.name != "pseudo"} == {"cuda"}


def test_what_others_started_is_on_no_device_and_a_replay_on_one() -> None:
    """An external target has no device; a target without a model has one entry."""
    server = external.describe("http://server:1", "tei")
    replay = targets.choose(["study-as-published"], with_peers=False)

    assert [(target.name, target.device) for target in devices.enter([server], BOTH)] == [("server-1", "")]
    assert [target.device for target in devices.enter(replay, BOTH)] == ["cpu"]


def test_a_target_file_is_filled_from_the_target(tmp_path: Path) -> None:
    """Each entry's own device fills `{device}`, in its environment and in the manifest."""
    place = Place(cores.split(cores.available()), tmp_path / "data", tmp_path / "logs")
    for target in devices.enter(targets.choose(["python"], with_peers=False), (*BOTH, "cuda:1")):
        filled = placeholders(target, target.front, {"gateway": 1}, place, tmp_path)
        description = manifest._describe_target(target, place)

        assert filled["device"] == target.device == description["device"]
        assert description["roles"]["gateway"]["environ"]["DEVICE"] == target.device


def test_the_command_line_refuses_what_is_no_device_before_anything_starts() -> None:
    """The option and the environment variable are both checked."""
    parser = ArgumentParser()
    run_arguments.add_options(parser, {"DEVICE": "gpu"})

    assert read_options(parser.parse_args(["--device", "cpu,cuda:1"])).device == "cpu,cuda:1"
    with pytest.raises(BenchError, match="'gpu'"):
        read_request(parser.parse_args([]))


@pytest.mark.gateway("python", "onnx_py")
def test_a_campaign_on_several_devices_is_asked_for_again_as_it_was(tmp_path: Path) -> None:
    """The command gives the same targets on the same devices; the twin is on the first device."""
    words = f"--gateways python,onnx_py --device cpu,cuda --twin --results {tmp_path} --campaign x"
    request = read_request(run_arguments.read_back(f"{run_arguments.COMMAND} {words}"))
    again = read_request(run_arguments.read_back(f"{request.command} --results {tmp_path} --campaign x"))

    assert [(target.name, target.device) for target in request.targets] == [
        ("python", "cpu"),
        ("python@cuda", "cuda"),
        ("onnx_py", "cpu"),
        ("onnx_py@cuda", "cuda"),
        (f"onnx_py{TWIN}", "cpu"),
    ]
    assert again.targets == request.targets
    assert again.folder == request.folder
    assert {work.target.name for work in request.todo()} == {target.name for target in request.targets}
