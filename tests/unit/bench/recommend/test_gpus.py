"""Shapes on a GPU and on CPU cores are compared by price only."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import orjson
import pytest
import yaml

from bench.__main__ import main
from bench.recommend.compose_override import override
from bench.recommend.needs import Needs
from bench.recommend.text import sentences
from tests.support.campaign_builder import FLOOR, LIMITS, MONOLITH, OpenLoopTarget, open_loop, recommended

# 70 and 1,400 a second with headroom: four replicas share a machine of four cores, one has a machine with a GPU.
ON_CORES = OpenLoopTarget("python", 100, {"gateway": 400}, cpu_ms=10.0, device="cpu")
ON_GPU = OpenLoopTarget("python@cuda", 2000, {"gateway": 1500}, cpu_ms=0.5, device="cuda")
MACHINE: dict[str, Any] = {"vcpu": 4, "ram_gib": 16, "price_hour": 0.2}


def test_a_gpu_is_worth_its_price_from_the_rate_at_which_it_is_the_cheapest(tmp_path: Path) -> None:
    """A GPU at the price of 2.5 machines wins above 560 per second, where three machines would be needed."""
    needs = Needs(5000, LIMITS, **MACHINE, gpu_price_hour=0.5)
    answer = recommended(tmp_path, [ON_CORES, ON_GPU], needs)

    assert [span.targets for span in answer.spans] == [("python",), ("python@cuda",)]
    assert answer.spans[1].low == pytest.approx(560)
    assert any("python@cuda wins above 560" in sentence for sentence in sentences(answer))
    assert any("A GPU is worth its price from 560 a second." in sentence for sentence in sentences(answer))
    assert answer.best is not None
    assert (answer.best.shape.target, answer.best.machines, answer.best.gpus) == ("python@cuda", 4, 4)
    assert answer.best.cost_million == pytest.approx(4 * 0.5 * 1e6 / (5000 * 3600))
    assert (
        "4 × python@cuda, 6,000 MiB in all, 4 cores, 4 GPUs, 4 machines; a million requests take 0.22 GPU hours"
        in (sentences(answer)[0])
    )


def test_where_the_next_gpu_is_too_much_the_cores_win_again(tmp_path: Path) -> None:
    """A GPU at the price of five machines equals five; six machines are cheaper than two GPUs."""
    answer = recommended(tmp_path, [ON_CORES, ON_GPU], Needs(1300, LIMITS, **MACHINE, gpu_price_hour=1.0))

    assert [span.targets for span in answer.spans][:3] == [("python",), ("python@cuda",), ("python",)]
    assert [span.low for span in answer.spans][1:3] == pytest.approx([1120, 1400])
    assert any("A GPU is worth its price from 1,120 to 1,400" in sentence for sentence in sentences(answer))


def test_a_gpu_that_costs_too_much_is_not_worth_it_at_any_rate(tmp_path: Path) -> None:
    """A GPU at the price of a hundred machines never wins over five machines."""
    answer = recommended(tmp_path, [ON_CORES, ON_GPU], Needs(500, LIMITS, **MACHINE, gpu_price_hour=20))

    assert answer.best is not None
    assert answer.best.shape.target == "python"
    assert any("A GPU is not worth its price up to" in sentence for sentence in sentences(answer))


@pytest.mark.parametrize(
    ("prices", "missing"),
    [
        ({}, ["--price-hour", "--gpu-price-hour"]),
        (MACHINE, ["--gpu-price-hour"]),
        ({"gpu_price_hour": 0.5}, ["--price-hour"]),
    ],
)
def test_without_both_prices_a_core_is_not_compared_with_a_gpu(
    tmp_path: Path, prices: Mapping[str, Any], missing: list[str]
) -> None:
    """The missing price is named, also by the shape that needs it."""
    answer = recommended(tmp_path, [ON_CORES, ON_GPU], Needs(3500, LIMITS, **prices))

    assert answer.missing == missing
    assert answer.best is not None
    assert (answer.best.shape.target, answer.best.replicas) == ("python", 50)
    assert {target for span in answer.spans for target in span.targets} == {"python"}
    why = {shape.target: shape.why for shape in answer.shapes}
    assert all(option in why["python@cuda"] and option in sentences(answer)[-1] for option in missing)
    assert not any("worth" in sentence for sentence in sentences(answer))


def test_on_gpus_alone_the_fewest_are_the_cheapest(tmp_path: Path) -> None:
    """Without shapes on cores no price is needed; a given price is that of each machine."""
    rival = OpenLoopTarget("onnx_py", 3000, {"gateway": 1600}, device="cuda")
    answer = recommended(tmp_path, [ON_GPU, rival], Needs(4000, LIMITS, gpu_price_hour=2.0))

    assert answer.missing == []
    assert answer.best is not None
    assert (answer.best.shape.target, answer.best.machines) == ("onnx_py", 2)
    assert answer.best.cost_million == pytest.approx(2 * 2.0 * 1e6 / (4000 * 3600))


def test_a_gpu_machine_too_small_for_its_replica_fits_nothing(tmp_path: Path) -> None:
    """The memory limit applies to GPU machines too, and is named."""
    assert recommended(tmp_path, [ON_GPU], Needs(10, LIMITS, ram_gib=1)).best is None


def test_a_thin_gateway_is_counted_by_the_monolith_on_its_own_device(tmp_path: Path) -> None:
    """The cost of the hop comes from the monolith on the same device: 1.5 - 1.0 ms on the GPU."""
    split = OpenLoopTarget("split@cuda", 2000, {"embed": 900, "gateway": 90}, cpu_ms=1.5, device="cuda")
    mono = OpenLoopTarget("onnx_py@cuda", 2000, {"gateway": 900}, cpu_ms=1.0, device="cuda")
    answer = recommended(tmp_path, [MONOLITH, mono, split, FLOOR], Needs(2000, LIMITS))

    assert next(shape for shape in answer.shapes if shape.target == "split@cuda").thin_rps == pytest.approx(1500)


def test_the_override_of_a_gpu_is_that_of_each_machine(tmp_path: Path) -> None:
    """Each machine has one replica with its GPU; the service has the name before the device."""
    best = recommended(tmp_path, [ON_GPU], Needs(5000, LIMITS)).best
    assert best is not None
    written = override(best)
    service = yaml.safe_load(written)["services"]["python"]

    assert "# on each of 4 machines with a GPU" in written
    assert service["environment"] == {"PRECISION": "fp32", "THREADS": "1", "DEVICE": "cuda"}
    assert service["deploy"]["replicas"] == 1
    devices = service["deploy"]["resources"]["reservations"]["devices"]
    assert devices == [{"driver": "nvidia", "count": 1, "capabilities": ["gpu"]}]


def test_the_price_of_a_gpu_is_an_option(tmp_path: Path, capfdbinary: pytest.CaptureFixture[bytes]) -> None:
    """The option reaches the answer: GPUs, machines and the sentence."""
    folder = open_loop(tmp_path / "campaign", [ON_CORES, ON_GPU])
    words = ["--rps", "5000", "--p95-ms", "150", "--vcpu", "4", "--price-hour", "0.2", "--gpu-price-hour", "0.5"]

    assert main(["recommend", *words, "--json", str(folder)]) == 0
    answer = orjson.loads(capfdbinary.readouterr().out)
    assert (answer["recommended"]["target"], answer["recommended"]["gpus"]) == ("python@cuda", 4)
    assert answer["needs"]["gpu_price_hour"] == 0.5
    assert any("worth its price from 560" in sentence for sentence in answer["sentences"])
    assert {shape["target"]: shape["gpu"] for shape in answer["shapes"]} == {"python": False, "python@cuda": True}
