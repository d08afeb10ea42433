"""Faults that begin when the clock runs: each window is refused with the code of what was done to it."""

from __future__ import annotations

import multiprocessing
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

import psutil
import pytest

from bench import cores, gpu
from bench.driver.process import Driver
from bench.session import Bench, Live
from tests.harness.proxy import behind
from tests.harness.windows import closed_window, codes_of, open_window, started, target_of

PSEUDO, INT8 = target_of("pseudo"), target_of("onnx_py-int8")


@pytest.fixture(scope="module")
def pseudo(bench: Bench) -> Iterator[Live]:
    """Yield a gateway without a model and without a fault."""
    with started(bench, PSEUDO) as live:
        yield live


def test_a_proxy_without_a_fault_earns_no_code_of_a_fault(bench: Bench) -> None:
    """What the faults below are refused for is the faults' doing: the model runs, the answers agree, none is lost."""
    with started(bench, behind(INT8)) as live:
        seen = closed_window(bench, live)

    faults = {"E_ERR", "E_WRONG", "E_EMPTY", "E_NOMODEL", "E_CACHE", "E_RATE", "E_TRUNC", "E_PIN", "E_START"}
    assert not codes_of(seen) & faults
    assert seen.row.checked == seen.row.agreed == 10
    assert seen.row.forwards == 208


@pytest.mark.skipif(bool(gpu.cards()), reason="this machine has a card")
def test_a_window_beside_no_card_says_nothing_of_one(bench: Bench) -> None:
    """With `auto` on a machine without a GPU: the columns are empty, and not zero."""
    with started(bench, PSEUDO) as live:
        seen = closed_window(bench, live)

    assert (live.running.card, live.running.card_mib, seen.seen.gpu) == (None, None, None)
    assert {name: value for name, value in vars(seen.row).items() if name.startswith("gpu_")} == {
        "gpu_mem_mib": None,
        "gpu_util": None,
        "gpu_power_w": None,
        "gpu_j_per_1k_texts": None,
        "gpu_throttled": "",
    }


@pytest.mark.proves("E_ERR")
def test_one_percent_of_errors_is_refused(bench: Bench) -> None:
    """Every hundredth request is a 500."""
    with started(bench, behind(PSEUDO, "fail=100")) as live:
        seen = closed_window(bench, live, requests=400)

    assert "E_ERR" in codes_of(seen)
    assert seen.row.errors == 4


@pytest.mark.proves("E_WRONG")
def test_answers_mixed_up_under_load_are_refused(bench: Bench) -> None:
    """Everyone gets their neighbour's vector, from the middle of the window on: sampled answers tell."""
    with started(bench, behind(INT8, "mix=100")) as live:
        seen = closed_window(bench, live)

    assert codes_of(seen) & {"E_ERR", "E_WRONG", "E_NOMODEL"} == {"E_WRONG"}


@pytest.mark.proves("E_NOMODEL")
def test_a_model_that_runs_for_one_request_in_two_is_refused(bench: Bench) -> None:
    """Vectors that are right and come from a cache: the forward-pass counter has not moved with the requests."""
    with started(bench, behind(INT8, "cache=1")) as live:
        asked = live.texts.take(100)
        live.texts.give_back([*asked, *asked])
        seen = closed_window(bench, live)

    assert codes_of(seen) & {"E_ERR", "E_WRONG", "E_NOMODEL"} == {"E_NOMODEL"}


@pytest.mark.proves("E_STALL")
def test_a_stalled_second_is_refused(bench: Bench) -> None:
    """Everything stands still for one second in the middle of the window."""
    with started(bench, behind(PSEUDO, "stall=300")) as live:
        seen = closed_window(bench, live, requests=600)

    assert "E_STALL" in codes_of(seen)
    assert (seen.row.stall_ms or 0.0) >= 950


@pytest.mark.proves("E_RATE")
def test_a_rate_that_is_not_kept_up_with_is_refused(bench: Bench) -> None:
    """200 requests a second are offered to what takes at most 50, and is said to be at half its capacity."""
    with started(bench, behind(PSEUDO, "queue=20")) as live:
        seen = open_window(bench, live, rps=200, seconds=0.5, connections=16)

    assert "E_RATE" in codes_of(seen)


@pytest.mark.proves("E_PIN")
def test_a_driver_on_the_servers_core_is_refused(bench: Bench, pseudo: Live) -> None:
    """The driver runs where the server does."""
    on = bench.place.pinning.server
    with Driver(on) as driver:
        together = replace(bench.place, pinning=cores.Pinning(server=on, driver=on))
        seen = closed_window(replace(bench, place=together, driver=driver), pseudo)

    assert "E_PIN" in codes_of(seen)


@pytest.mark.proves("E_PIN")
def test_a_server_on_the_drivers_core_is_refused(bench: Bench) -> None:
    """One thread of the server may run everywhere."""
    with started(bench, PSEUDO) as live:
        pinning = bench.place.pinning
        os.sched_setaffinity(live.running.front.popen.pid, {*pinning.server, *pinning.driver})
        seen = closed_window(bench, live)

    assert "E_PIN" in codes_of(seen)


@pytest.mark.proves("E_CLIENT")
def test_a_driver_that_is_slowed_down_is_refused(bench: Bench, pseudo: Live) -> None:
    """The driver is stopped for half of every tenth of a second."""
    [driver] = [child for child in multiprocessing.active_children() if child.name == "driver"]
    assert driver.pid is not None
    with stuttering(driver.pid):
        seen = closed_window(bench, pseudo, requests=1000)

    assert "E_CLIENT" in codes_of(seen)
    assert (seen.row.driver_lag or 0.0) > 0.05


@contextmanager
def stuttering(pid: int) -> Iterator[None]:
    """A process that runs and stands still by turns, 50 ms each."""
    ended = threading.Event()
    process = psutil.Process(pid)

    def stutter() -> None:
        while not ended.wait(0.05):
            process.send_signal(signal.SIGSTOP)
            time.sleep(0.05)
            process.send_signal(signal.SIGCONT)

    thread = threading.Thread(target=stutter)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()


@pytest.mark.proves("E_ENV")
def test_other_work_on_the_servers_core_is_refused(bench: Bench, pseudo: Live) -> None:
    """A process that is none of ours computes on the server's core all through the window."""
    with cores.pinned(bench.place.pinning.server):
        burner = subprocess.Popen([sys.executable, "-c", "while True: pass"])
    try:
        seen = closed_window(bench, pseudo, requests=1000)
    finally:
        burner.kill()
        burner.wait()

    assert "E_ENV" in codes_of(seen)


@pytest.mark.proves("E_DRIFT")
def test_a_machine_that_became_slower_is_refused(bench: Bench, pseudo: Live) -> None:
    """The campaign began on a machine twice as fast."""
    seen = closed_window(replace(bench, speed_s=bench.speed_s / 2), pseudo)

    assert "E_DRIFT" in codes_of(seen)


@pytest.mark.proves("E_N")
def test_a_short_window_has_no_p99_and_says_so(bench: Bench, pseudo: Live) -> None:
    """661 answers are one too few for a p99; with 662 there is one."""
    short, enough = closed_window(bench, pseudo, requests=661), closed_window(bench, pseudo, requests=662)

    assert "E_N" in codes_of(short)
    assert short.row.p99_ms is None
    assert "E_N" not in codes_of(enough)
    assert enough.row.p99_ms is not None
