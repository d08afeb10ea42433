"""The model catalogue: every entry is complete and pinned, and says what its weights say."""

from __future__ import annotations

import json
import re
from pathlib import Path, PurePosixPath
from typing import get_args

import pytest

from gateways.core.backend import Kind
from gateways.core.models import catalog

ROOT = Path(__file__).resolve().parents[3]
CATALOGUE = catalog.load(ROOT / "models.yaml")
MODELS = CATALOGUE.models
FETCHED = [model for model, entry in MODELS.items() if entry.sources]
# What the systems that can be swapped for a gateway of ours name, and what each must mean.
NAMES = {
    "all-MiniLM-L6-v2": "dense",
    "sentence-transformers/all-MiniLM-L6-v2": "dense",
    "all-mpnet-base-v2": "dense",
    "multilingual-e5-large": "dense",
    "bge-small-en-v1.5": "dense",
    "Qwen3-Embedding-0.6B": "dense",
    "qwen3-0.6b": "dense",
    "cross-encoder/ms-marco-MiniLM-L-6-v2": "rerank",
    "bge-reranker-base": "rerank",
    "bge-reranker-v2-m3": "rerank",
    "bge-v2-m3": "rerank",
    "Splade_PP_en_v1": "sparse",
    "splade-v3-distilbert": "sparse",
    "bm25": "sparse",
}


def test_every_kind_has_a_default_that_needs_no_hub() -> None:
    """A default is a model of its kind, set up by `make setup` or without weights of its own."""
    assert set(CATALOGUE.defaults) == set(get_args(Kind))
    for kind, model in CATALOGUE.defaults.items():
        assert MODELS[model].kind == kind
        assert MODELS[model].setup or MODELS[model].engine != "transformer"


@pytest.mark.parametrize(("name", "kind"), NAMES.items())
def test_the_models_that_clients_name_are_there(name: str, kind: str) -> None:
    """Each name means one model, of the kind it is asked for as."""
    assert MODELS[CATALOGUE.resolve(name)].kind == kind


@pytest.mark.parametrize("model", FETCHED)
def test_every_source_is_pinned_and_every_file_is_data(model: str) -> None:
    """A hub source is a commit, a package an exact version, a hash a sha256; no file is a pickle or code."""
    for source in MODELS[model].sources:
        if source.hub:
            assert re.fullmatch(r"[0-9a-f]{40}", source.revision or ""), source
        for package in (*source.packages, *filter(None, [source.package])):
            assert "==" in package
    for name, sha256 in MODELS[model].files.items():
        assert re.fullmatch(r"[0-9a-f]{64}|", sha256), name
        assert PurePosixPath(name).suffix in {".json", ".safetensors", ".txt"}, name
    assert {"config.json", "model.safetensors", "tokenizer.json"} <= MODELS[model].files.keys()
    assert MODELS[model].licence


@pytest.mark.parametrize("model", [model for model, entry in MODELS.items() if entry.stand_in])
def test_a_stand_in_is_of_the_same_kind(model: str) -> None:
    """What answers for a model that is not here answers the same question."""
    assert MODELS[MODELS[model].stand_in or ""].kind == MODELS[model].kind


def test_nothing_stands_in_for_a_cross_encoder() -> None:
    """Who asks for one by name gets its judgement, or is told how to fetch it: scores of another's are none."""
    assert not [model for model, entry in MODELS.items() if entry.kind == "rerank" and entry.stand_in]


def test_only_what_can_be_had_without_a_hub_is_set_up() -> None:
    """`make setup` must work offline: every model it fetches has a source that is no hub, and pinned files."""
    for model, entry in MODELS.items():
        if entry.setup:
            assert any(not source.hub for source in entry.sources), model
            assert all(entry.files.values()), model


@pytest.mark.parametrize("model", ["all-MiniLM-L6-v2", "all-mpnet-base-v2"])
def test_an_entry_agrees_with_its_weights(model: str) -> None:
    """Dimensions, token limit and pooling are the model's own."""
    folder, entry = ROOT / "models" / model, MODELS[model]

    assert json.loads((folder / "config.json").read_text())["hidden_size"] == entry.dimensions
    limit = json.loads((folder / "sentence_bert_config.json").read_text())["max_seq_length"]
    assert limit == entry.max_input_tokens
    assert json.loads((folder / "1_Pooling/config.json").read_text())["pooling_mode_mean_tokens"] is True
