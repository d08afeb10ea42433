"""Vectors that are loaded in bulk: their source is the one in the note beside them."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from gateways.admin.bulk_load import NotLoaded, load_into
from gateways.core.profiles import Profile
from gateways.core.settings import StoreSettings
from gateways.core.stores.edge.store import EdgeStore
from gateways.core.vector_source import VectorSource

MODEL = {"gateway": "onnx_py", "model": "tiny", "dimensions": 4}
INT8 = {"precision": "int8", "revision": "a" * 40, "pooling": "mean", "document_prompt": "read: "}


def write_output(folder: Path, **source: str) -> Path:
    """Return a folder with one vector, and a note of what made it."""
    (folder / "vectors").mkdir(parents=True)
    (folder / "made-by.json").write_text(json.dumps(MODEL | source))
    row = {"id": ["a"], "text": ["the harbour at dawn"], "embedding": [[1.0, 0.0, 0.0, 0.0]]}
    pq.write_table(pa.table(row), folder / "vectors" / "0.parquet")
    return folder


def load(data_dir: Path, output: Path, **settings: Any) -> VectorSource | None:
    """Load into the books, and return the source of the collection."""
    asyncio.run(load_into("edge", output, "books", StoreSettings(data_dir=data_dir, **settings)))
    store = EdgeStore(data_dir / "vectors", Profile("tiny", 4, "bm25"), None, 1)
    profile = store.collection("books").profile
    asyncio.run(store.close())
    return profile.vector_source


def test_the_source_is_the_one_of_the_note(tmp_path: Path) -> None:
    """A collection without documents takes it, also where it had another one."""
    store = EdgeStore(tmp_path / "data" / "vectors", Profile("tiny", 4, "bm25"), None, 1)
    asyncio.run(store.put("books", Profile("tiny", 4, "bm25", top_k=9, vector_source=VectorSource("fp32"))))
    asyncio.run(store.close())

    assert load(tmp_path / "data", write_output(tmp_path / "int8", **INT8)) == VectorSource(
        **INT8, sparse_precision="exact"
    )


def test_the_note_of_an_earlier_version_knows_the_precision(tmp_path: Path) -> None:
    """The rest is unknown, and agrees with what a later note tells."""
    old = load(tmp_path / "data", write_output(tmp_path / "old", precision="int8"))

    assert old == load(tmp_path / "data", write_output(tmp_path / "new", **INT8))
    assert old == VectorSource("int8", sparse_precision="exact")


def test_vectors_of_two_sources_do_not_mix(tmp_path: Path) -> None:
    """Documents of another precision are refused, and allowed by the setting; the collection keeps its source."""
    data_dir, fp32 = tmp_path / "data", write_output(tmp_path / "fp32", **INT8 | {"precision": "fp32"})
    made = load(data_dir, write_output(tmp_path / "int8", **INT8))

    with pytest.raises(NotLoaded, match="precision int8, and these have precision fp32"):
        load(data_dir, fp32)

    assert load(data_dir, fp32, allow_vector_mismatch=True) == made
