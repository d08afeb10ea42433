"""Shapes on a GPU among shapes on cores: compared by price, and by nothing else."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import orjson
import pytest
import yaml

from bench.__main__ import main
from bench.recommend.compose import override
from bench.recommend.needs import Needs
from bench.recommend.say import sentences
from tests.open_loops import FLOOR, LIMITS, MONOLITH, Made, asked, campaign

# 70 and 1,400 a second with headroom: four replicas share a machine of four cores, one has a machine with a GPU.
ON_CORES = Made("python", 100, {"gateway": 400}, cpu_ms=10.0, device="cpu")
ON_GPU = Made("python@cuda", 2000, {"gateway": 1500}, cpu_ms=0.5, device="cuda")
MACHINE: dict[str, Any] = {"vcpu": 4, "ram_gib": 16, "price_hour": 0.2}


def test_a_gpu_is_worth_its_price_from_the_rate_at_which_it_is_the_cheapest(tmp_path: Path) -> None:
    """It costs as much as 2.5 machines: above 560 a second, which two of them hold, three would be needed."""
    needs = Needs(5000, LIMITS, **MACHINE, gpu_price_hour=0.5)
    found = asked(tmp_path, [ON_CORES, ON_GPU], needs)

    assert [span.targets for span in found.spans] == [("python",), ("python@cuda",)]
    assert found.spans[1].low == pytest.approx(560)
    assert any("python@cuda wins above 560" in said for said in sentences(found))
    assert any("A GPU is worth its price from 560 a second." in said for said in sentences(found))
    assert found.best is not None
    assert (found.best.shape.target, found.best.machines, found.best.gpus) == ("python@cuda", 4, 4)
    assert found.best.cost_million == pytest.approx(4 * 0.5 * 1e6 / (5000 * 3600))
    assert (
        "4 × python@cuda, 6,000 MiB in all, 4 cores, 4 GPUs, 4 machines; a million requests take 0.22 GPU hours"
        in (sentences(found)[0])
    )


def test_where_the_next_gpu_is_too_much_the_cores_win_again(tmp_path: Path) -> None:
    """At five machines' price: five of them hold what one GPU does, and six are cheaper than two GPUs."""
    found = asked(tmp_path, [ON_CORES, ON_GPU], Needs(1300, LIMITS, **MACHINE, gpu_price_hour=1.0))

    assert [span.targets for span in found.spans][:3] == [("python",), ("python@cuda",), ("python",)]
    assert [span.low for span in found.spans][1:3] == pytest.approx([1120, 1400])
    assert any("A GPU is worth its price from 1,120 to 1,400" in said for said in sentences(found))


def test_a_gpu_that_costs_too_much_is_not_worth_it_at_any_rate(tmp_path: Path) -> None:
    """At a hundred machines' price for what five hold."""
    found = asked(tmp_path, [ON_CORES, ON_GPU], Needs(500, LIMITS, **MACHINE, gpu_price_hour=20))

    assert found.best is not None
    assert found.best.shape.target == "python"
    assert any("A GPU is not worth its price up to" in said for said in sentences(found))


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
    """One replica on a GPU for fifty on a core each says nothing: what is missing is named, by the shape as well."""
    found = asked(tmp_path, [ON_CORES, ON_GPU], Needs(3500, LIMITS, **prices))

    assert found.missing == missing
    assert found.best is not None
    assert (found.best.shape.target, found.best.replicas) == ("python", 50)
    assert {target for span in found.spans for target in span.targets} == {"python"}
    why = {shape.target: shape.why for shape in found.shapes}
    assert all(option in why["python@cuda"] and option in sentences(found)[-1] for option in missing)
    assert not any("worth" in said for said in sentences(found))


def test_on_gpus_alone_the_fewest_are_the_cheapest(tmp_path: Path) -> None:
    """With nothing on cores beside them no price is needed, and one that is said is each machine's."""
    rival = Made("onnx_py", 3000, {"gateway": 1600}, device="cuda")
    found = asked(tmp_path, [ON_GPU, rival], Needs(4000, LIMITS, gpu_price_hour=2.0))

    assert found.missing == []
    assert found.best is not None
    assert (found.best.shape.target, found.best.machines) == ("onnx_py", 2)
    assert found.best.cost_million == pytest.approx(2 * 2.0 * 1e6 / (4000 * 3600))


def test_a_gpu_machine_too_small_for_its_replica_fits_nothing(tmp_path: Path) -> None:
    """Its memory is said, as that of the others is."""
    assert asked(tmp_path, [ON_GPU], Needs(10, LIMITS, ram_gib=1)).best is None


def test_a_thin_gateway_is_counted_by_the_monolith_on_its_own_device(tmp_path: Path) -> None:
    """On the GPU the hop costs 1.5 - 1.0 ms: beside the CPU's 4 ms it would cost nothing."""
    split = Made("split@cuda", 2000, {"embed": 900, "gateway": 90}, cpu_ms=1.5, device="cuda")
    mono = Made("onnx_py@cuda", 2000, {"gateway": 900}, cpu_ms=1.0, device="cuda")
    found = asked(tmp_path, [MONOLITH, mono, split, FLOOR], Needs(2000, LIMITS))

    assert next(shape for shape in found.shapes if shape.target == "split@cuda").thin_rps == pytest.approx(1500)


def test_the_override_of_a_gpu_is_that_of_each_machine(tmp_path: Path) -> None:
    """One replica with its card, on each of as many machines; the service is that of the name before the device."""
    best = asked(tmp_path, [ON_GPU], Needs(5000, LIMITS)).best
    assert best is not None
    written = override(best)
    service = yaml.safe_load(written)["services"]["python"]

    assert "# on each of 4 machines with a GPU" in written
    assert service["environment"] == {"PRECISION": "fp32", "THREADS": "1", "DEVICE": "cuda"}
    assert service["deploy"]["replicas"] == 1
    devices = service["deploy"]["resources"]["reservations"]["devices"]
    assert devices == [{"driver": "nvidia", "count": 1, "capabilities": ["gpu"]}]


def test_the_price_of_a_gpu_is_an_option(tmp_path: Path, capfdbinary: pytest.CaptureFixture[bytes]) -> None:
    """From the command line to the answer: cards, machines and the sentence."""
    folder = campaign(tmp_path / "campaign", [ON_CORES, ON_GPU])
    words = ["--rps", "5000", "--p95-ms", "150", "--vcpu", "4", "--price-hour", "0.2", "--gpu-price-hour", "0.5"]

    assert main(["recommend", *words, "--json", str(folder)]) == 0
    told = orjson.loads(capfdbinary.readouterr().out)
    assert (told["recommended"]["target"], told["recommended"]["gpus"]) == ("python@cuda", 4)
    assert told["needs"]["gpu_price_hour"] == 0.5
    assert any("worth its price from 560" in said for said in told["sentences"])
    assert {shape["target"]: shape["gpu"] for shape in told["shapes"]} == {"python": False, "python@cuda": True}
