"""Faults that verifying finds: the campaign keeps one coded row that says why, and times nothing."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from bench import devices, gpu, paths
from bench.session import Bench
from bench.targets import Target
from tests.harness.proxy import behind
from tests.harness.windows import campaign_rows, target_of

OTHER_MODEL = "all-mpnet-base-v2"
TWO_MODELS = replace(target_of("onnx_py"), model=paths.MODEL, other_model=OTHER_MODEL)


def with_models(target: Target, folder: Path) -> Target:
    """The target with another folder of models."""
    front = replace(target.front, environ={**target.front.environ, "MODELS_DIR": str(folder)})
    return replace(target, roles=(*target.roles[:-1], front))


@pytest.fixture
def pooled_by_cls(tmp_path: Path) -> Path:
    """Return a models folder: the model's own files, but for the one that says how its token vectors are pooled."""
    real, copy = paths.model_dir(), tmp_path / "models" / paths.MODEL
    copy.mkdir(parents=True)
    for file in real.iterdir():
        if file.name != "1_Pooling":
            (copy / file.name).symlink_to(file)
    said = json.loads((real / "1_Pooling" / "config.json").read_text())
    said |= {"pooling_mode_mean_tokens": False, "pooling_mode_cls_token": True}
    (copy / "1_Pooling").mkdir()
    (copy / "1_Pooling" / "config.json").write_text(json.dumps(said))
    return copy.parent


def test_a_sound_gateway_is_verified_and_timed(fresh: Bench) -> None:
    """With two models behind the proxy and no fault, nothing is refused for what the faults below are refused for."""
    verified, *_, timed = campaign_rows(fresh, behind(TWO_MODELS))  # between them what the machine disturbed

    assert (verified["scenario"], verified["codes"]) == ("verify", "")
    assert timed["scenario"] == "closed"
    assert not set(timed["codes"].split()) & {
        "E_ERR",
        "E_WRONG",
        "E_EMPTY",
        "E_NOMODEL",
        "E_CACHE",
        "E_TRUNC",
        "E_PIN",
    }


@pytest.mark.proves("E_WRONG")
def test_wrong_pooling_is_refused(fresh: Bench, pooled_by_cls: Path) -> None:
    """The Python gateway with the right weights and the first token's vector in place of the mean."""
    [row] = campaign_rows(fresh, with_models(target_of("python"), pooled_by_cls))

    assert (row["scenario"], row["codes"]) == ("verify", "E_WRONG")
    assert "cosine" in row["reason"]


@pytest.mark.proves("E_WRONG", "E_TRUNC")
def test_truncated_inputs_are_refused(fresh: Bench) -> None:
    """Of every text only 16 words reach the model: the vectors are others', and the tokens too few."""
    [row] = campaign_rows(fresh, behind(target_of("onnx_py-int8"), "cut=16"))

    assert (row["scenario"], row["codes"]) == ("verify", "E_WRONG E_TRUNC")


@pytest.mark.proves("E_EMPTY")
def test_documents_that_were_accepted_and_lost_are_refused(fresh: Bench) -> None:
    """One document in a hundred never reaches the index."""
    [row] = campaign_rows(fresh, behind(target_of("pseudo", "search"), "lose=100"))

    assert (row["scenario"], row["codes"]) == ("verify", "E_EMPTY")
    assert row["documents"] == "1192"


@pytest.mark.proves("E_START")
def test_a_gateway_that_does_not_start_is_refused(fresh: Bench, tmp_path: Path) -> None:
    """Its models are not where it looks for them: it says so and ends."""
    [row] = campaign_rows(fresh, with_models(target_of("onnx_py"), tmp_path))

    assert (row["scenario"], row["codes"]) == ("verify", "E_START")
    assert "cannot start" in row["reason"]


@pytest.mark.proves("E_START")
@pytest.mark.skipif(bool(gpu.cards()), reason="this machine has a card")
def test_a_gateway_that_cannot_have_its_device_is_refused_with_what_it_said(fresh: Bench) -> None:
    """No card here: the campaign goes on to the same shape on the CPU, and both rows say their device."""
    entered = devices.enter([target_of("onnx_py")], ("cuda", "cpu"))
    for target in entered:
        rows = campaign_rows(fresh, target)
    refused, verified, *_ = rows

    assert [target.name for target in entered] == ["onnx_py", "onnx_py@cpu"]
    assert (refused["target"], refused["scenario"], refused["codes"]) == ("onnx_py", "verify", "E_START")
    assert (refused["device"], verified["device"]) == ("cuda", "cpu")
    assert "DEVICE=cuda" in refused["reason"]
    assert (verified["target"], verified["scenario"], verified["codes"]) == ("onnx_py@cpu", "verify", "")


@pytest.mark.proves("E_START")
def test_a_gateway_that_dies_while_it_is_verified_is_refused(fresh: Bench) -> None:
    """Its first answer never comes, and the reason is the process's end, not the answer's."""
    [row] = campaign_rows(fresh, behind(target_of("pseudo"), "die=1"))

    assert (row["scenario"], row["codes"]) == ("verify", "E_START")


@pytest.mark.proves("E_START")
def test_a_gateway_that_dies_in_its_window_is_refused(fresh: Bench) -> None:
    """It was verified, ends while it is timed, and the row says so with the last line of its log."""
    verified, timed = campaign_rows(fresh, behind(target_of("pseudo"), "die=100"))

    assert (verified["scenario"], verified["codes"]) == ("verify", "")
    assert (timed["scenario"], timed["codes"]) == ("closed", "E_START")
    assert timed["reason"].endswith("planted death")


@pytest.mark.proves("E_ERR")
def test_a_gateway_that_fails_while_it_is_verified_is_refused(fresh: Bench) -> None:
    """Its second answer is a 500."""
    [row] = campaign_rows(fresh, behind(target_of("pseudo", "search"), "fail=2"))

    assert (row["scenario"], row["codes"]) == ("verify", "E_ERR")
    assert "planted" in row["reason"]


@pytest.mark.proves("E_CACHE")
def test_a_cache_is_refused_though_all_it_says_is_right(fresh: Bench) -> None:
    """Texts asked again are answered at once: outside `cache` that is not the gateway's speed."""
    [row] = campaign_rows(fresh, behind(target_of("onnx_py-int8"), "cache=1"))

    assert (row["scenario"], row["codes"]) == ("verify", "E_CACHE")


@pytest.mark.proves("E_WRONG", "E_CACHE")
def test_a_cache_that_ignores_the_model_is_refused(fresh: Bench) -> None:
    """Two models behind one cache whose key is the text alone: one is answered with the other's vectors."""
    [row] = campaign_rows(fresh, behind(TWO_MODELS, "cache=0"))

    assert (row["scenario"], row["codes"]) == ("verify", "E_WRONG E_CACHE")
    assert OTHER_MODEL in row["reason"]
