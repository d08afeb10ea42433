"""The bundle for a GPU machine without a network, and the measurement on that machine, tested here on a CPU."""

from __future__ import annotations

import csv
import importlib
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.support.gateways import ROOT

torch = pytest.importorskip("torch")
safetensors = pytest.importorskip("safetensors.torch")

gpu_bundle: Any = importlib.import_module("scripts.gpu.bundle")


def test_a_bundle_has_the_packages_that_a_pytorch_image_lacks() -> None:
    """The bundle has the gateway's server and store in pinned versions, but neither torch nor its dependencies."""
    lines = gpu_bundle.missing_requirements({*gpu_bundle.SYSTEM.split(), "locust"})
    bundled = dict(line.split("==") for line in lines)

    pins = dict(line.split("==") for line in (ROOT / "constraints.txt").read_text().splitlines() if "==" in line)
    assert {"fastapi", "uvicorn", "orjson", "qdrant-edge-py", "pydantic-core"} <= bundled.keys()
    assert not {"torch", "numpy", "transformers", "locust", "gevent", gpu_bundle.PROJECT} & bundled.keys()
    versions = {name.lower().replace("_", "-"): version for name, version in pins.items()}
    assert {name: versions[name] for name in bundled} == bundled


def test_an_installed_package_is_left_out_with_its_dependencies() -> None:
    """Dependencies that only the installed package needs are left out too."""
    complete = set(gpu_bundle.missing_requirements(set()))
    reduced = set(gpu_bundle.missing_requirements({"fastapi", "fastapi-offline"}))

    assert {line.partition("==")[0] for line in complete - reduced} >= {"fastapi", "fastapi-offline", "starlette"}
    assert reduced < complete


def test_the_weights_of_a_bundle_are_fp16(tmp_path: Path) -> None:
    """Float tensors become fp16, integer tensors and the tokenizer do not change, and graphs are left out."""
    weights = tmp_path / "weights"
    (weights / "onnx").mkdir(parents=True)
    (weights / "onnx" / "fp32.onnx").write_bytes(b"graph")
    shutil.copy(ROOT / "models" / gpu_bundle.MODEL / "tokenizer.json", weights)
    tensors = {"floats": torch.linspace(-1, 1, 7), "numbers": torch.arange(3)}
    safetensors.save_file(tensors, weights / "model.safetensors")

    gpu_bundle.convert_to_fp16(weights, tmp_path / "fp16")

    converted = safetensors.load_file(tmp_path / "fp16" / "model.safetensors")
    assert converted["floats"].dtype == torch.float16
    assert torch.equal(converted["floats"].float(), tensors["floats"].half().float())
    assert torch.equal(converted["numbers"], tensors["numbers"])
    assert {path.name for path in (tmp_path / "fp16").iterdir()} == {"model.safetensors", "tokenizer.json"}


@pytest.mark.slow("40 s: sentence-transformers on a CPU, three times")
def test_bulk_embedding_is_measured_against_its_baselines(tmp_path: Path) -> None:
    """The script writes three speeds for the same texts, and a cosine of fp16 to fp32 of at least 0.9995."""
    options = ["--device", "cpu", "--precisions", "fp16", "--texts", "8", "--agree", "16", "--out", str(tmp_path)]
    done = subprocess.run(  # noqa: S603 our own program
        [sys.executable, "-m", "scripts.gpu.offline", *options],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=550,
        check=False,
    )
    assert done.returncode == 0, done.stderr

    with (tmp_path / "offline.csv").open() as stream:
        speeds = list(csv.DictReader(stream))
    with (tmp_path / "agreement.csv").open() as stream:
        [agreement] = csv.DictReader(stream)
    assert [row["what"] for row in speeds] == ["gateway", "model alone", "sentence-transformers"]
    assert {(row["device"], row["precision"], row["texts"]) for row in speeds} == {("cpu", "fp16", "8")}
    assert all(float(row["texts_per_s"]) > 0 for row in speeds)
    assert (agreement["precision"], agreement["passages"]) == ("fp16", "16")
    assert float(agreement["cosine_min"]) >= 0.9995
