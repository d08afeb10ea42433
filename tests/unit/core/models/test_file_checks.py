"""A graph or a weight file that differs from its record is not loaded."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import pytest

from gateways.core.backend import ModelInfo
from gateways.core.models.catalog import CatalogError, Entry, Located
from gateways.core.models.file_checks import SMALL_BYTES, check_files

GRAPH, WEIGHTS, TOKENIZER = b"graph", b"w" * (SMALL_BYTES + 1), b"{}"


def sha256_of(content: bytes) -> str:
    """Return the SHA-256 in hex."""
    return hashlib.sha256(content).hexdigest()


@pytest.fixture
def exported(tmp_path: Path) -> Located:
    """Return a model with a graph, external weights and a tokenizer, as `make models` leaves it."""
    folder = tmp_path / "small"
    (folder / "onnx").mkdir(parents=True)
    for name, content in (("onnx/fp32.onnx", GRAPH), ("onnx/fp32.onnx.data", WEIGHTS), ("tokenizer.json", TOKENIZER)):
        (folder / name).write_bytes(content)
    weights = {"file": "fp32.onnx.data", "sha256": sha256_of(WEIGHTS), "bytes": len(WEIGHTS)}
    graph = {"file": "fp32.onnx", "sha256": sha256_of(GRAPH), "bytes": len(GRAPH), "weights": weights}
    (folder / "onnx" / "export.json").write_text(json.dumps({"graphs": {"fp32": graph}}))
    files = {"tokenizer.json": sha256_of(TOKENIZER), "model.safetensors": "0" * 64}
    return Located(
        ModelInfo("small", "dense", 2, 8), Entry(kind="dense", files=files), folder, folder / "onnx/fp32.onnx"
    )


@pytest.mark.parametrize("whole", [False, True])
def test_what_was_exported_is_loaded(exported: Located, whole: bool) -> None:
    """Also without the weights that only another runtime loads."""
    check_files(exported, whole=whole)


@pytest.mark.parametrize(
    ("name", "content", "found_by_default"),
    [
        ("onnx/fp32.onnx", b"other", True),
        ("onnx/fp32.onnx.data", WEIGHTS[:-1], True),
        ("onnx/fp32.onnx.data", b"v" + WEIGHTS[1:], False),
        ("tokenizer.json", b"[]", False),
    ],
)
def test_a_file_that_differs_is_named(exported: Located, name: str, content: bytes, found_by_default: bool) -> None:
    """With the command that makes it again. Large files of the same size are compared with VERIFY_MODELS only."""
    (exported.folder / name).write_bytes(content)

    if found_by_default:
        with pytest.raises(CatalogError, match=f"{name} is damaged or was replaced.*make models MODEL=small"):
            check_files(exported, whole=False)
    else:
        check_files(exported, whole=False)
    with pytest.raises(CatalogError, match=f"{name} is damaged or was replaced"):
        check_files(exported, whole=True)


def test_weights_that_are_gone_are_told(exported: Located) -> None:
    """ONNX Runtime would name an internal path."""
    (exported.folder / "onnx/fp32.onnx.data").unlink()

    with pytest.raises(CatalogError, match=r"fp32\.onnx\.data is not there"):
        check_files(exported, whole=False)


def test_hashes_of_the_first_fetch_count(exported: Located) -> None:
    """Those that the catalogue lacks are in sha256.json."""
    (exported.folder / "config.json").write_text("{}")
    (exported.folder / "sha256.json").write_text(json.dumps({"config.json": sha256_of(b"other")}))

    check_files(exported, whole=False)
    with pytest.raises(CatalogError, match=r"config\.json is damaged or was replaced"):
        check_files(exported, whole=True)


def test_a_graph_without_a_record_is_loaded(exported: Located) -> None:
    """Somebody exported it with other tools."""
    (exported.folder / "onnx" / "export.json").unlink()

    check_files(exported, whole=True)
