"""The torch gateway's own BERT: sentence-transformers' vectors, and only where it knows all that a model does."""

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

from gateways.core import catalog
from gateways.core.catalog import Located
from gateways.core.settings import Settings
from gateways.core.vectors import normalize

torch = pytest.importorskip("torch")

from gateways.python import bert, model  # noqa: E402  after the check that there is torch
from gateways.python.layout import GRAIN, Layout  # noqa: E402

ROOT = Path(__file__).resolve().parents[2]
MINILM = "all-MiniLM-L6-v2"
SETTINGS = Settings(models_file=ROOT / "models.yaml", models_dir=ROOT / "models", device="cpu", threads=1)
LENGTHS = st.lists(st.integers(1, 40), min_size=1, max_size=20)


@pytest.fixture(scope="module")
def located() -> Located:
    """Return MiniLM's files."""
    return model.locate(MINILM, catalog.load(SETTINGS.models_file), SETTINGS)


def test_it_gives_the_vectors_of_sentence_transformers(located: Located) -> None:
    """Alone and among texts of all lengths, pooled and token by token."""
    reference = pytest.importorskip("sentence_transformers").SentenceTransformer(str(located.folder), device="cpu")
    texts = ["a", "How many vacation days do I get?", "word " * 300, *(f"question {n} " * n for n in range(1, 9))]
    wanted = reference.encode(texts)  # MiniLM's modules end with one that normalises
    of_tokens = reference.encode(texts, output_value="token_embeddings")

    served = model.load(located, SETTINGS)
    assert isinstance(served, bert.TorchBert)
    batch = served.texts.tokenize(texts, "END")
    together = served.encode(batch)
    alone = np.concatenate([served.encode([ids]) for ids in batch])
    states = served.encode_states(batch)

    for vectors in (together, alone, np.stack([pooled for pooled, _ in states])):
        np.testing.assert_allclose(normalize(vectors), wanted, atol=2e-6)
    for (_, found), given_ids, expected in zip(states, batch, of_tokens, strict=True):
        assert len(found) == len(given_ids)
        np.testing.assert_allclose(found, expected.numpy()[: len(found)], atol=2e-4)


Change = Callable[[Path], Any]


def written(name: str, **changes: object) -> Change:
    """Return what changes keys of a JSON file in a folder."""

    def change(folder: Path) -> None:
        path = folder / name
        path.write_text(json.dumps(json.loads(path.read_text()) | changes))

    return change


def with_dense(folder: Path) -> None:
    """Add a module that is more than an encoder and its pooling."""
    path = folder / "modules.json"
    dense = {"idx": 2, "name": "2", "path": "2_Dense", "type": "sentence_transformers.models.Dense"}
    path.write_text(json.dumps([*json.loads(path.read_text()), dense]))


@pytest.mark.parametrize(
    ("change", "pooling"),
    [
        (lambda _: None, "mean"),
        (written("1_Pooling/config.json", pooling_mode_mean_tokens=False, pooling_mode_cls_token=True), "cls"),
        (written("1_Pooling/config.json", pooling_mode_max_tokens=True), None),
        (written("1_Pooling/config.json", pooling_mode_mean_tokens=False, pooling_mode_max_tokens=True), None),
        (written("config.json", hidden_act="relu"), None),
        (written("config.json", position_embedding_type="relative_key"), None),
        (written("config.json", model_type="roberta"), None),
        (with_dense, None),
    ],
)
def test_whatever_it_does_not_know_is_left_to_sentence_transformers(
    change: Change, pooling: str | None, located: Located, tmp_path: Path
) -> None:
    """A model is served by it only if every part of it is one that it computes."""
    for name in ("config.json", "modules.json", "1_Pooling/config.json"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        shutil.copy(located.folder / name, tmp_path / name)
    change(tmp_path)

    found = bert.pooling_of(Located(located.info, located.entry, tmp_path, located.weights))

    assert found == pooling


@given(LENGTHS)
def test_tokens_come_back_from_their_rows(lengths: list[int]) -> None:
    """Every token once and in its place; what is not one is masked, and their number is one of few."""
    numbers = torch.arange(sum(lengths)).split(lengths)
    layout = Layout([text.tolist() for text in numbers], torch.device("cpu"))
    tokens = layout.ids[:, None]

    rows = layout.rows(tokens)

    assert len(tokens) % GRAIN == 0
    assert layout.tokens(rows)[: layout.count, 0].tolist() == list(range(sum(lengths)))
    assert rows.shape[:2] == (len(lengths), max(lengths))
    real = torch.arange(max(lengths)) < torch.tensor(lengths)[:, None]
    assert rows[..., 0][real].tolist() == list(range(sum(lengths)))
    assert layout.mask is None or layout.mask[:, 0, 0].equal(real)
    assert layout.positions[: layout.count].tolist() == [place for length in lengths for place in range(length)]
    assert layout.starts.tolist() == [sum(lengths[:at]) for at in range(len(lengths))]


@given(LENGTHS)
def test_the_mean_is_over_each_text_alone(lengths: list[int]) -> None:
    """Blank tokens count nowhere."""
    layout = Layout([[0] * length for length in lengths], torch.device("cpu"))
    values = torch.arange(1.0, sum(lengths) + 1)
    tokens = torch.cat([values, torch.full((-len(values) % GRAIN,), 1e9)])[:, None]

    means = layout.mean(tokens)[:, 0]

    assert means.tolist() == pytest.approx([part.mean().item() for part in values.split(lengths)])
