"""An extra installs what its gateway needs, nothing of the others', and the gateway serves from it."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest

from tests.support.gateways import ROOT, describe

SHIPPED = ("pyproject.toml", "README.md", "LICENSE", "gateways", "bench")
NOT_SHIPPED = shutil.ignore_patterns("__pycache__", "*.egg-info", "peers")
TORCH = {"torch", "torchvision", "triton", "transformers", "sentence-transformers"}
ONNX = {"onnxruntime", "onnxruntime-gpu", "onnx", "tokenizers"}
INSTALL_S = 540

pytestmark = pytest.mark.slow("36 s: two installations from the registry")


@dataclass(frozen=True)
class Environment:
    """A virtual environment that holds this project with one extra."""

    python: Path
    folder: Path

    def run(self, *arguments: str) -> str:
        """Run its interpreter outside the source tree; the output."""
        return run([str(self.python), *arguments], self.folder)

    def packages(self) -> set[str]:
        """The names of everything installed, as the index spells them."""
        listed = json.loads(self.run("-m", "pip", "list", "--format", "json", "--disable-pip-version-check"))
        return {package["name"].lower().replace("_", "-") for package in listed}


def run(command: list[str], cwd: Path) -> str:
    """Run a command that must succeed; its output."""
    done = subprocess.run(command, cwd=cwd, capture_output=True, text=True, timeout=INSTALL_S, check=False)  # noqa: S603
    assert done.returncode == 0, f"{' '.join(command)}\n{done.stdout[-2000:]}\n{done.stderr[-4000:]}"
    return done.stdout


@pytest.fixture
def install(tmp_path: Path) -> Callable[[str], Environment]:
    """Return what installs this project with an extra into a fresh environment, from a clean copy of the sources."""

    def into(extra: str) -> Environment:
        source, folder = tmp_path / "source", tmp_path / extra
        source.mkdir()
        for name in SHIPPED:
            copy_clean(ROOT / name, source / name)
        run([sys.executable, "-m", "venv", str(folder)], tmp_path)
        environment = Environment(folder / "bin" / "python", folder)
        constraints = str(ROOT / "constraints.txt")
        quiet = ["--quiet", "--disable-pip-version-check"]
        environment.run("-m", "pip", "install", *quiet, f"{source}[{extra}]", "-c", constraints)
        return environment

    return into


def copy_clean(source: Path, to: Path) -> None:
    """Copy a file or a folder without what a build leaves behind."""
    if source.is_dir():
        shutil.copytree(source, to, ignore=NOT_SHIPPED)
    else:
        shutil.copy(source, to)


def serves(environment: Environment, target: str, folder: Path) -> None:
    """Start a gateway with this environment, embed one text, and stop it."""
    gateway = describe(target, folder, python=environment.python).start()
    try:
        response = httpx.post(f"{gateway.url}/v1/embeddings", json={"input": "fresh"}, timeout=60, trust_env=False)
        assert len(response.json()["data"][0]["embedding"]) == 384
    finally:
        codes = gateway.stop()
    assert set(codes.values()) == {0}


@pytest.mark.timeout(INSTALL_S)
def test_onnx_py_brings_no_torch(install: Callable[[str], Environment], tmp_path: Path) -> None:
    """`.[onnx_py]` holds onnxruntime and tokenizers but neither torch nor transformers, and the gateway serves."""
    environment = install("onnx_py")

    packages = environment.packages()

    assert packages >= {"onnxruntime", "tokenizers", "embedding-gateways"}
    assert not packages & TORCH
    assert not {name for name in packages if name.startswith("nvidia-")}
    environment.run("-m", "pip", "check")
    environment.run("-c", "import gateways.onnx_py.runtime")
    serves(environment, "onnx_py", tmp_path / "served")


@pytest.mark.timeout(INSTALL_S)
def test_split_brings_neither_torch_nor_onnxruntime(install: Callable[[str], Environment], tmp_path: Path) -> None:
    """`.[split]` holds no inference runtime at all, and the thin gateway serves."""
    environment = install("split")

    packages = environment.packages()

    assert packages >= {"httptools", "embedding-gateways"}
    assert not packages & (TORCH | ONNX)
    assert not {name for name in packages if name.startswith("nvidia-")}
    environment.run("-m", "pip", "check")
    environment.run("-c", "import gateways.split.gateway.remote_backend")
    serves(environment, "pseudo", tmp_path / "served")
