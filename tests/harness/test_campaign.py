"""Faults that verification finds: the campaign keeps one coded row with the reason, and times nothing."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from bench import paths
from bench.machine import gpu
from bench.measurement.session import Bench
from bench.targets import Target, devices
from tests.harness.windows import campaign_rows, target_of
from tests.support.breaking_proxy import behind

OTHER_MODEL = "all-mpnet-base-v2"
nightly = pytest.mark.slow("a campaign of its own: the one below is not slow")
TWO_MODELS = replace(target_of("onnx_py"), model=paths.MODEL, other_model=OTHER_MODEL)


def with_models(target: Target, folder: Path) -> Target:
    """Return the target with another models folder."""
    front = replace(target.front, environ={**target.front.environ, "MODELS_DIR": str(folder)})
    return replace(target, roles=(*target.roles[:-1], front))


@pytest.fixture
def pooled_by_cls(tmp_path: Path) -> Path:
    """Return a models folder with CLS pooling instead of mean pooling; all other files are the model's own."""
    real, copy = paths.model_dir(), tmp_path / "models" / paths.MODEL
    copy.mkdir(parents=True)
    for file in real.iterdir():
        if file.name != "1_Pooling":
            (copy / file.name).symlink_to(file)
    pooling = json.loads((real / "1_Pooling" / "config.json").read_text())
    pooling |= {"pooling_mode_mean_tokens": False, "pooling_mode_cls_token": True}
    (copy / "1_Pooling").mkdir()
    (copy / "1_Pooling" / "config.json").write_text(json.dumps(pooling))
    return copy.parent


def test_a_sound_gateway_is_verified_and_timed(fresh: Bench) -> None:
    """Two models behind the proxy without a fault earn none of the codes of the faults below."""
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
        "E_CORES",
        "E_QUOTA",
    }


@nightly
@pytest.mark.proves("E_WRONG")
def test_wrong_pooling_is_refused(fresh: Bench, pooled_by_cls: Path) -> None:
    """A gateway that pools the first token instead of the mean is refused with E_WRONG."""
    [row] = campaign_rows(fresh, with_models(target_of("python"), pooled_by_cls))

    assert (row["scenario"], row["codes"]) == ("verify", "E_WRONG")
    assert "cosine" in row["reason"]


@nightly
@pytest.mark.proves("E_WRONG", "E_TRUNC")
def test_truncated_inputs_are_refused(fresh: Bench) -> None:
    """A gateway that sees only 16 words of each text is refused: wrong vectors, too few tokens."""
    [row] = campaign_rows(fresh, behind(target_of("onnx_py-int8"), "cut=16"))

    assert (row["scenario"], row["codes"]) == ("verify", "E_WRONG E_TRUNC")


@nightly
@pytest.mark.proves("E_EMPTY")
def test_documents_that_were_accepted_and_lost_are_refused(fresh: Bench) -> None:
    """An index that lacks one document in a hundred is refused with E_EMPTY."""
    [row] = campaign_rows(fresh, behind(target_of("pseudo", "search"), "lose=100"))

    assert (row["scenario"], row["codes"]) == ("verify", "E_EMPTY")
    assert row["documents"] == "1192"


@nightly
@pytest.mark.proves("E_START")
def test_a_gateway_that_does_not_start_is_refused(fresh: Bench, tmp_path: Path) -> None:
    """A gateway without its models exits, and its row quotes the reason."""
    [row] = campaign_rows(fresh, with_models(target_of("onnx_py"), tmp_path))

    assert (row["scenario"], row["codes"]) == ("verify", "E_START")
    assert "cannot start" in row["reason"]


@nightly
@pytest.mark.proves("E_START")
@pytest.mark.skipif(bool(gpu.cards()), reason="this machine has a card")
def test_a_gateway_that_cannot_have_its_device_is_refused_with_what_it_said(fresh: Bench) -> None:
    """Without a GPU, the entry on `cuda` is refused, the entry on `cpu` runs, and both rows name their device."""
    entered = devices.enter([target_of("onnx_py")], ("cuda", "cpu"))
    for target in entered:
        rows = campaign_rows(fresh, target)
    refused, verified, *_ = rows

    assert [target.name for target in entered] == ["onnx_py", "onnx_py@cpu"]
    assert (refused["target"], refused["scenario"], refused["codes"]) == ("onnx_py", "verify", "E_START")
    assert (refused["device"], verified["device"]) == ("cuda", "cpu")
    assert "DEVICE=cuda" in refused["reason"]
    assert (verified["target"], verified["scenario"], verified["codes"]) == ("onnx_py@cpu", "verify", "")


@nightly
@pytest.mark.proves("E_START")
def test_a_gateway_that_dies_while_it_is_verified_is_refused(fresh: Bench) -> None:
    """The row has E_START for the end of the process, not E_ERR for the missing answer."""
    [row] = campaign_rows(fresh, behind(target_of("pseudo"), "die=1"))

    assert (row["scenario"], row["codes"]) == ("verify", "E_START")


@nightly
@pytest.mark.proves("E_START")
def test_a_gateway_that_dies_in_its_window_is_refused(fresh: Bench) -> None:
    """A verified gateway that dies while it is timed is refused, with the last line of its log."""
    verified, timed = campaign_rows(fresh, behind(target_of("pseudo"), "die=100"))

    assert (verified["scenario"], verified["codes"]) == ("verify", "")
    assert (timed["scenario"], timed["codes"]) == ("closed", "E_START")
    assert timed["reason"].endswith("planted death")


@nightly
@pytest.mark.proves("E_ERR")
def test_a_gateway_that_fails_while_it_is_verified_is_refused(fresh: Bench) -> None:
    """A status 500 during verification is refused with E_ERR."""
    [row] = campaign_rows(fresh, behind(target_of("pseudo", "search"), "fail=2"))

    assert (row["scenario"], row["codes"]) == ("verify", "E_ERR")
    assert "planted" in row["reason"]


@nightly
@pytest.mark.proves("E_CACHE")
def test_a_cache_is_refused_though_all_it_says_is_right(fresh: Bench) -> None:
    """A cache that answers repeats at once is refused with E_CACHE, although its answers are right."""
    [row] = campaign_rows(fresh, behind(target_of("onnx_py-int8"), "cache=1"))

    assert (row["scenario"], row["codes"]) == ("verify", "E_CACHE")


@nightly
@pytest.mark.proves("E_WRONG", "E_CACHE")
def test_a_cache_that_ignores_the_model_is_refused(fresh: Bench) -> None:
    """A cache whose key is the text alone returns the vectors of another model, and is refused with E_WRONG."""
    [row] = campaign_rows(fresh, behind(TWO_MODELS, "cache=0"))

    assert (row["scenario"], row["codes"]) == ("verify", "E_WRONG E_CACHE")
    assert OTHER_MODEL in row["reason"]
