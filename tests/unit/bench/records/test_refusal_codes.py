"""Refusal codes: the evidence of each code."""

from __future__ import annotations

from dataclasses import replace

import pytest

from bench.machine import gpu
from bench.records.refusal_codes import (
    CODES,
    DISTURBED,
    GPU_SLOWED,
    TOLERANCES,
    WindowEvidence,
    describe_gpu_disturbance,
    judge_window,
    refused,
    should_retry,
)
from bench.targets import PRECISIONS
from bench.verification.agreement import MIN_TAU

SOUND = WindowEvidence(
    requests=1000,
    errors=0,
    empties=0,
    validated=1000,
    rps=180.0,
    ceiling_rps=4000.0,
    driver_cpu=0.2,
    pinned=True,
    checked=50,
    agreed=50,
    forwards=1040,
    forwards_expected=1040,
)


def test_sound_evidence_earns_no_code() -> None:
    """A sound window has no code."""
    assert judge_window(SOUND) == []


@pytest.mark.parametrize(
    ("changed", "code"),
    [
        (replace(SOUND, errors=2), "E_ERR"),
        (replace(SOUND, requests=0, validated=0), "E_ERR"),
        (replace(SOUND, agreed=49), "E_WRONG"),
        (replace(SOUND, empties=1), "E_EMPTY"),
        (replace(SOUND, forwards=1039), "E_NOMODEL"),
        (replace(SOUND, forwards=0), "E_NOMODEL"),
        (replace(SOUND, forwards=None, checked=0, agreed=0), "E_NOMODEL"),
        (replace(SOUND, rps=2801.0), "E_CLIENT"),
        (replace(SOUND, driver_cpu=0.91), "E_CLIENT"),
        (replace(SOUND, pinned=False), "E_PIN"),
        (replace(SOUND, on_own_cores=False), "E_CORES"),
        (replace(SOUND, cores=1, cores_used=1.2), "E_CORES"),
        (replace(SOUND, throttled=1), "E_QUOTA"),
        (replace(SOUND, validated=661), "E_N"),
        (replace(SOUND, lag=0.06), "E_CLIENT"),
        (replace(SOUND, late_p99_ms=10.1), "E_CLIENT"),
        (replace(SOUND, offered_rps=200.0, percent=75), "E_RATE"),
        (replace(SOUND, stall_ms=600.0, service_p50_ms=20.0), "E_STALL"),
        (replace(SOUND, drift=-0.04), "E_DRIFT"),
        (replace(SOUND, swapped_mib=0.5), "E_SWAP"),
        (replace(SOUND, foreign_cores=0.5), "E_ENV"),
        (replace(SOUND, steal=0.1), "E_ENV"),
        *((replace(SOUND, gpu_throttled=("sw_power_cap", word)), "E_ENV") for word in GPU_SLOWED),
        (replace(SOUND, gpu_foreign=(999,)), "E_ENV"),
    ],
)
def test_each_fault_earns_its_own_code(changed: WindowEvidence, code: str) -> None:
    """One fault in sound evidence gives its code only, and E_N if the window has too few samples."""
    earned = judge_window(changed)

    assert code in earned
    assert set(earned) <= {code, "E_N"}


def test_one_error_in_a_thousand_is_allowed() -> None:
    """An error share of exactly 0.1 % is allowed."""
    assert judge_window(replace(SOUND, errors=1, validated=999)) == []


def test_the_study_as_published_is_refused_as_empty_and_without_a_model() -> None:
    """Empty answers without forward passes give E_EMPTY and E_NOMODEL, with and without a counter."""
    published = replace(SOUND, empties=1000, checked=0, agreed=0, forwards=0)

    assert judge_window(published) == ["E_EMPTY", "E_NOMODEL"]
    assert judge_window(replace(published, forwards=None)) == ["E_EMPTY", "E_NOMODEL"]


def test_a_target_without_a_model_owes_no_forward_pass() -> None:
    """The pseudo target runs no model and is never ranked, so E_NOMODEL does not apply."""
    assert judge_window(replace(SOUND, has_model=False, checked=0, agreed=0, forwards=None)) == []


@pytest.mark.parametrize(
    "fine",
    [
        # Of 200 a second the last was answered half a second after it was due: they came as fast as they were sent.
        replace(SOUND, offered_rps=200.0, percent=75, wall_s=4.5, latency_p50_ms=500.0),
        replace(SOUND, offered_rps=200.0, percent=100),  # at saturation a rate need not be reached
        replace(SOUND, stall_ms=2000.0, service_p50_ms=500.0),  # answers that take so long are no stall
        replace(SOUND, ceiling_rps=None),  # a route with no null answer: CPU, lag and lateness judge the driver
        replace(SOUND, drift=0.029),
        # The card's own limit, what someone set it to, and what NVML may say one day.
        replace(SOUND, gpu_throttled=("application_clocks", "sw_power_cap", "display_clocks", "0x200")),
    ],
)
def test_what_is_no_fault_earns_no_code(fine: WindowEvidence) -> None:
    """Evidence within every limit earns no code."""
    assert judge_window(fine) == []


def test_too_few_samples_and_spread_qualify_without_refusing() -> None:
    """E_N and E_CV only qualify a row; every other code voids it."""
    assert not refused(["E_N", "E_CV"])
    assert all(refused([code]) for code in CODES if code not in ("E_N", "E_CV"))


def test_what_the_machine_did_is_refused_and_told_apart() -> None:
    """The codes of machine disturbances refuse the row, and are listed so that the window is repeated."""
    assert all(CODES[code].refuses for code in DISTURBED)


def test_what_slowed_a_card_is_said() -> None:
    """The phrase names heat and another process, not the power limit; all names are NVML reasons."""
    evidence = replace(SOUND, gpu_throttled=("sw_power_cap", "hw_slowdown", "hw_thermal"), gpu_foreign=(7, 8))

    assert describe_gpu_disturbance(SOUND) == ""
    assert describe_gpu_disturbance(evidence) == (
        "the GPU was slowed down (hw_slowdown, hw_thermal); another process computed on the GPU"
    )
    assert set(GPU_SLOWED) < set(gpu.REASONS.values())


@pytest.mark.parametrize(
    ("codes", "again"),
    [
        (["E_ENV"], True),
        (["E_CLIENT", "E_ENV", "E_N"], True),
        (["E_EMPTY", "E_NOMODEL", "E_CLIENT", "E_ENV"], False),
        (["E_WRONG", "E_DRIFT"], False),
        (["E_CLIENT"], True),
        (["E_RATE", "E_DRIFT"], True),
        (["E_CLIENT", "E_RATE", "E_STALL"], True),
        (["E_RATE"], False),
        (["E_STALL"], False),
        (["E_PIN"], False),
        ([], False),
    ],
)
def test_what_the_machine_or_the_driver_voids_is_measured_again(codes: list[str], again: bool) -> None:
    """A row that blames the target too is not repeated; a missed rate beside a disturbance blames nobody."""
    assert should_retry(codes) is again


def test_every_precision_that_runs_a_model_is_held_to_something() -> None:
    """Every precision with a model has tolerances and a minimum tau."""
    wanted = set(PRECISIONS) - {"pseudo"}

    assert TOLERANCES.keys() == MIN_TAU.keys() == wanted
