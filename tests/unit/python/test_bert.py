"""TorchBert: the vectors of sentence-transformers, for the models that it supports, and for no other."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateways.core.models import catalog
from gateways.core.models.catalog import Located
from gateways.core.scoring.vectors import normalize
from gateways.core.settings import ModelSettings

torch = pytest.importorskip("torch")

from gateways.python import bert, runtime  # noqa: E402  after the check that there is torch
from gateways.python.packed_batch import GRAIN, PackedBatch  # noqa: E402

ROOT = Path(__file__).resolve().parents[3]
MINILM = "all-MiniLM-L6-v2"
SETTINGS = ModelSettings(models_file=ROOT / "models.yaml", models_dir=ROOT / "models", device="cpu", threads=1)
LENGTHS = st.lists(st.integers(1, 40), min_size=1, max_size=20)


@pytest.fixture(scope="module")
def located() -> Located:
    """The files of all-MiniLM-L6-v2."""
    return runtime.locate(MINILM, catalog.load(SETTINGS.models_file), SETTINGS)


def test_vectors_equal_those_of_sentence_transformers(located: Located) -> None:
    """Pooled and token vectors agree within 2e-6 and 2e-4, for a text alone and in a batch of mixed lengths."""
    reference = pytest.importorskip("sentence_transformers").SentenceTransformer(str(located.folder), device="cpu")
    texts = ["a", "How many vacation days do I get?", "word " * 300, *(f"question {n} " * n for n in range(1, 9))]
    expected = reference.encode(texts)  # MiniLM's last module normalises
    expected_states = reference.encode(texts, output_value="token_embeddings")

    model = runtime.load(located, SETTINGS)
    assert isinstance(model, bert.TorchBert)
    batch = model.texts.tokenize(texts, "END")
    batched = model.encode(batch)
    alone = np.concatenate([model.encode([ids]) for ids in batch])
    states = model.encode_states(batch)

    for vectors in (batched, alone, np.stack([pooled for pooled, _ in states])):
        np.testing.assert_allclose(normalize(vectors), expected, atol=2e-6)
    for (_, token_vectors), ids, reference_vectors in zip(states, batch, expected_states, strict=True):
        assert len(token_vectors) == len(ids)
        np.testing.assert_allclose(token_vectors, reference_vectors.numpy()[: len(ids)], atol=2e-4)


Change = Callable[[Path], Any]


def edit_json(name: str, **changes: object) -> Change:
    """Return a function that sets keys of the JSON file `name` in a folder."""

    def change(folder: Path) -> None:
        path = folder / name
        path.write_text(json.dumps(json.loads(path.read_text()) | changes))

    return change


def add_dense_module(folder: Path) -> None:
    """Add a Dense module, which TorchBert does not support."""
    path = folder / "modules.json"
    dense = {"idx": 2, "name": "2", "path": "2_Dense", "type": "sentence_transformers.models.Dense"}
    path.write_text(json.dumps([*json.loads(path.read_text()), dense]))


@pytest.mark.parametrize(
    ("change", "pooling"),
    [
        (lambda _: None, "mean"),
        (edit_json("1_Pooling/config.json", pooling_mode_mean_tokens=False, pooling_mode_cls_token=True), "cls"),
        (edit_json("1_Pooling/config.json", pooling_mode_max_tokens=True), None),
        (edit_json("1_Pooling/config.json", pooling_mode_mean_tokens=False, pooling_mode_max_tokens=True), None),
        (edit_json("config.json", hidden_act="relu"), None),
        (edit_json("config.json", position_embedding_type="relative_key"), None),
        (edit_json("config.json", model_type="roberta"), None),
        (add_dense_module, None),
    ],
)
def test_a_model_with_an_unsupported_part_has_no_pooling_here(
    change: Change, pooling: str | None, located: Located, tmp_path: Path
) -> None:
    """find_pooling returns None, which leaves the model to sentence-transformers, if any part is not supported."""
    for name in ("config.json", "modules.json", "1_Pooling/config.json"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        shutil.copy(located.folder / name, tmp_path / name)
    change(tmp_path)

    assert bert.find_pooling(Located(located.info, located.entry, tmp_path, located.weights)) == pooling


@given(LENGTHS)
def test_rows_and_tokens_convert_into_each_other(lengths: list[int]) -> None:
    """Each token keeps its place, padding is masked, and the token count is a multiple of GRAIN."""
    numbers = torch.arange(sum(lengths)).split(lengths)
    packed = PackedBatch([text.tolist() for text in numbers], torch.device("cpu"))
    tokens = packed.ids[:, None]

    rows = packed.to_rows(tokens)

    assert len(tokens) % GRAIN == 0
    assert packed.to_tokens(rows)[: packed.count, 0].tolist() == list(range(sum(lengths)))
    assert rows.shape[:2] == (len(lengths), max(lengths))
    real = torch.arange(max(lengths)) < torch.tensor(lengths)[:, None]
    assert rows[..., 0][real].tolist() == list(range(sum(lengths)))
    assert packed.mask is None or packed.mask[:, 0, 0].equal(real)
    assert packed.positions[: packed.count].tolist() == [place for length in lengths for place in range(length)]
    assert packed.starts.tolist() == [sum(lengths[:text]) for text in range(len(lengths))]


@given(LENGTHS)
def test_the_mean_is_over_the_tokens_of_one_text(lengths: list[int]) -> None:
    """The mean of a text includes neither blank tokens nor those of other texts."""
    packed = PackedBatch([[0] * length for length in lengths], torch.device("cpu"))
    values = torch.arange(1.0, sum(lengths) + 1)
    tokens = torch.cat([values, torch.full((-len(values) % GRAIN,), 1e9)])[:, None]

    means = packed.mean(tokens)[:, 0]

    assert means.tolist() == pytest.approx([part.mean().item() for part in values.split(lengths)])
