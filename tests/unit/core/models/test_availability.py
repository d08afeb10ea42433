"""Availability: the models of a catalogue whose files are here, stand-ins for others, and the defaults."""

from __future__ import annotations

from pathlib import Path

import pytest

from gateways.core.backend import UNPADDED
from gateways.core.models.availability import Availability, Measured
from gateways.core.models.catalog import CatalogError, load
from gateways.core.settings import ModelSettings
from gateways.onnx_py import runtime

CATALOGUE = """\
defaults:
  dense: small
  rerank: late
models:
  small: {kind: dense, dimensions: 4, max_input_tokens: 8, aliases: [org/small]}
  large: {kind: dense, dimensions: 8, max_input_tokens: 8, stand_in: small, aliases: [org/large]}
  alone: {kind: dense, dimensions: 8, max_input_tokens: 8}
  late: {kind: rerank, engine: late_interaction}
  late-large: {kind: rerank, engine: late_interaction, of: large}
  bm25: {kind: sparse, engine: bm25}
"""


def make_availability(folder: Path, *present: str, catalogue: str = CATALOGUE, model: str = "") -> Availability:
    """Return the availability of a catalogue where these models have files."""
    for model_id in present:
        (folder / model_id / "onnx").mkdir(parents=True)
        (folder / model_id / "tokenizer.json").write_text("{}")
        (folder / model_id / "onnx" / "fp32.onnx").write_bytes(b"graph")
    file = folder / "models.yaml"
    file.write_text(catalogue)
    return Availability(load(file), runtime, ModelSettings(models_dir=folder, models_file=file, model=model))


def test_models_with_files_are_located_and_the_others_absent(tmp_path: Path) -> None:
    """A late interaction is present with its dense model, and absent with it."""
    availability = make_availability(tmp_path, "small")

    assert list(availability.located) == ["small"]
    assert availability.late == {"late": "small"}
    assert availability.absent == {"large": "large", "alone": "alone", "late-large": "large"}


def test_the_default_of_each_kind_comes_first_and_absent_models_last(tmp_path: Path) -> None:
    """The registry takes the first model of a kind for its default."""
    availability = make_availability(tmp_path, "small", "alone", model="alone")

    infos = availability.infos({}, {})

    assert [info.id for info in infos if info.kind == "dense" and info.fetched] == ["alone", "small"]
    assert [info.id for info in infos if not info.fetched] == ["late-large"]


def test_a_stand_in_answers_for_an_absent_model(tmp_path: Path) -> None:
    """The stand-in carries the id and the aliases of the absent model, which is not listed as absent then."""
    infos = {info.id: info for info in make_availability(tmp_path, "small").infos({}, {})}

    assert infos["small"].stands_in_for == ("large", "org/large")
    assert "large" not in infos
    assert not infos["alone"].fetched


def test_a_present_model_needs_no_stand_in(tmp_path: Path) -> None:
    """The model answers for itself, and its late interaction is served."""
    infos = {info.id: info for info in make_availability(tmp_path, "small", "large").infos({}, {})}

    assert infos["small"].stands_in_for == ()
    assert (infos["late-large"].of, infos["late-large"].scores) == ("large", "cosines")


def test_measurements_and_the_loaded_state_reach_the_info(tmp_path: Path) -> None:
    """`loaded`, `inference_time_ms` and `pass_cost` are those of the loaded model."""
    availability = make_availability(tmp_path, "small")
    info = availability.located["small"].info

    infos = {each.id: each for each in availability.infos({"small": info}, {"small": Measured(1.5, UNPADDED)})}

    assert infos["small"].loaded
    assert (infos["small"].inference_time_ms, infos["small"].pass_cost) == (1.5, UNPADDED)
    assert not availability.infos({}, {})[0].loaded


def test_an_absent_default_ends_the_start(tmp_path: Path) -> None:
    """The dense default must be present; the message says how to fetch it."""
    with pytest.raises(CatalogError, match=r"make models MODEL=.*small"):
        make_availability(tmp_path, "alone")


def test_an_absent_default_reranker_names_the_model_to_fetch(tmp_path: Path) -> None:
    """The weights to fetch are those of the dense model that the late interaction compares."""
    with pytest.raises(CatalogError, match=r"defaults.rerank is late-large, and the weights of large are not here"):
        make_availability(tmp_path, "small", catalogue=CATALOGUE.replace("rerank: late\n", "rerank: late-large\n"))


def test_a_default_model_of_another_kind_is_refused(tmp_path: Path) -> None:
    """MODEL names a dense model."""
    with pytest.raises(CatalogError, match="MODEL=late: a rerank model"):
        make_availability(tmp_path, "small", model="late")
