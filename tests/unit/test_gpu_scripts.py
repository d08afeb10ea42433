"""What a GPU machine without a network is given, and what is measured there: made and run here, on a CPU."""

from __future__ import annotations

import csv
import importlib
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.processes import ROOT

torch = pytest.importorskip("torch")
safetensors = pytest.importorskip("safetensors.torch")

gpu_bundle: Any = importlib.import_module("scripts.gpu_bundle")


def test_a_bundle_brings_what_pytorchs_machine_lacks() -> None:
    """The gateway's server and store, by their pins; not torch, nor anything that only torch needs."""
    wanted = dict(line.split("==") for line in gpu_bundle.lacking({*gpu_bundle.SYSTEM.split(), "locust"}))

    pins = dict(line.split("==") for line in (ROOT / "constraints.txt").read_text().splitlines() if "==" in line)
    assert {"fastapi", "uvicorn", "orjson", "qdrant-edge-py", "pydantic-core"} <= wanted.keys()
    assert not {"torch", "numpy", "transformers", "locust", "gevent", gpu_bundle.PROJECT} & wanted.keys()
    known = {name.lower().replace("_", "-"): version for name, version in pins.items()}
    assert {name: known[name] for name in wanted} == wanted


def test_what_is_there_already_is_left_out() -> None:
    """With what only it needs."""
    all_of_it = set(gpu_bundle.lacking(set()))
    without = set(gpu_bundle.lacking({"fastapi", "fastapi-offline"}))

    assert {line.partition("==")[0] for line in all_of_it - without} >= {"fastapi", "fastapi-offline", "starlette"}
    assert without < all_of_it


def test_weights_are_halved_and_graphs_stay_behind(tmp_path: Path) -> None:
    """Floats in fp16, whole numbers as they were, the tokenizer too."""
    weights = tmp_path / "weights"
    (weights / "onnx").mkdir(parents=True)
    (weights / "onnx" / "fp32.onnx").write_bytes(b"graph")
    shutil.copy(ROOT / "models" / gpu_bundle.MODEL / "tokenizer.json", weights)
    kept = {"floats": torch.linspace(-1, 1, 7), "numbers": torch.arange(3)}
    safetensors.save_file(kept, weights / "model.safetensors")

    gpu_bundle.halve(weights, tmp_path / "halved")

    made = safetensors.load_file(tmp_path / "halved" / "model.safetensors")
    assert made["floats"].dtype == torch.float16
    assert torch.equal(made["floats"].float(), kept["floats"].half().float())
    assert torch.equal(made["numbers"], kept["numbers"])
    assert {path.name for path in (tmp_path / "halved").iterdir()} == {"model.safetensors", "tokenizer.json"}


def test_bulk_embedding_is_measured_beside_what_it_is_compared_with(tmp_path: Path) -> None:
    """On a CPU as on a card: three speeds of the same texts, and how near half precision is."""
    asked = ["--device", "cpu", "--precisions", "fp16", "--texts", "8", "--agree", "16", "--out", str(tmp_path)]
    done = subprocess.run(  # noqa: S603 our own program
        [sys.executable, "-m", "scripts.gpu_offline", *asked],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stderr

    with (tmp_path / "offline.csv").open() as stream:
        speeds = list(csv.DictReader(stream))
    with (tmp_path / "agreement.csv").open() as stream:
        [agreed] = csv.DictReader(stream)
    assert [row["what"] for row in speeds] == ["gateway", "model alone", "sentence-transformers"]
    assert {(row["device"], row["precision"], row["texts"]) for row in speeds} == {("cpu", "fp16", "8")}
    assert all(float(row["texts_per_s"]) > 0 for row in speeds)
    assert (agreed["precision"], agreed["passages"]) == ("fp16", "16")
    assert float(agreed["cosine_min"]) >= 0.9995
