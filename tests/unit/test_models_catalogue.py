"""The model catalogue: every entry is complete and pinned, and says what its weights say."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[2]
CATALOGUE: dict[str, Any] = yaml.safe_load((ROOT / "models.yaml").read_text())
MODELS: dict[str, dict[str, Any]] = CATALOGUE["models"]


def test_every_default_is_a_model_of_that_kind() -> None:
    """A default names a model of the catalogue, of the kind it is the default of."""
    assert {kind: MODELS[model]["kind"] for kind, model in CATALOGUE["defaults"].items()} == {"dense": "dense"}


def test_no_name_means_two_models() -> None:
    """An alias is neither another model's id nor another's alias."""
    names = [name for model, entry in MODELS.items() for name in (model, *entry["aliases"])]

    assert len(names) == len(set(names))


@pytest.mark.parametrize("model", MODELS)
def test_every_source_and_file_is_pinned(model: str) -> None:
    """A hub source is a commit, a package an exact version, and every file has a sha256."""
    for source in MODELS[model]["sources"]:
        pinned = re.fullmatch(r"[0-9a-f]{40}", source["revision"]) if "hub" in source else "==" in source["package"]
        assert pinned, source
    for name, sha256 in MODELS[model]["files"].items():
        assert re.fullmatch(r"[0-9a-f]{64}", sha256), name


@pytest.mark.parametrize("model", MODELS)
def test_an_entry_agrees_with_its_weights(model: str) -> None:
    """Dimensions, token limit and pooling are the model's own."""
    folder, entry = ROOT / "models" / model, MODELS[model]

    assert json.loads((folder / "config.json").read_text())["hidden_size"] == entry["dimensions"]
    limit = json.loads((folder / "sentence_bert_config.json").read_text())["max_seq_length"]
    assert limit == entry["max_input_tokens"]
    assert json.loads((folder / "1_Pooling/config.json").read_text())["pooling_mode_mean_tokens"] is True
