"""Model files that were damaged or replaced on the disk: the gateway says which, and serves no vector of them."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from tests.support.gateways import ROOT, StartFailed, describe

MODEL = "all-MiniLM-L6-v2"


@pytest.fixture
def models(tmp_path: Path) -> Path:
    """Return a folder of models of our own: a copy of the default one."""
    shutil.copytree(ROOT / "models" / MODEL, tmp_path / "models" / MODEL)
    return tmp_path / "models"


@pytest.mark.gateway("onnx_py")
@pytest.mark.parametrize(
    ("name", "settings"),
    [("fp32.onnx", {}), ("fp32.onnx.data", {"VERIFY_MODELS": "true"})],
    ids=["graph", "weights"],
)
def test_one_changed_byte_is_not_served(models: Path, tmp_path: Path, name: str, settings: dict[str, str]) -> None:
    """A graph by default, and weights with VERIFY_MODELS: both would load and give other vectors."""
    file = models / MODEL / "onnx" / name
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 1
    file.write_bytes(content)

    with pytest.raises(StartFailed, match=f"{name} is damaged or was replaced"):
        describe("onnx_py", tmp_path / "run", python=None, MODELS_DIR=str(models), **settings).start()


@pytest.mark.gateway("onnx_py")
def test_sound_files_are_served_with_every_check(models: Path, tmp_path: Path) -> None:
    """VERIFY_MODELS refuses nothing that `make setup` made."""
    gateway = describe("onnx_py", tmp_path / "run", MODELS_DIR=str(models), VERIFY_MODELS="true").start()
    try:
        with gateway.client() as client:
            assert client.post("/v1/embeddings", json={"input": "text"}).status_code == 200
            assert client.get("/v1/config").json()["settings"]["verify_models"] is True
    finally:
        codes = gateway.stop()
    assert not any(codes.values()), codes
