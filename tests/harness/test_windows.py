"""Faults during the timed window: each window is refused with the code of its fault."""

from __future__ import annotations

import multiprocessing
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

from bench.driver.process import Driver
from bench.machine import cores, gpu
from bench.measurement.session import Bench, Session
from tests.harness.windows import closed_window, codes_of, open_window, started, target_of
from tests.support.breaking_proxy import behind

PSEUDO, INT8 = target_of("pseudo"), target_of("onnx_py-int8")


pytestmark = pytest.mark.slow("a campaign of its own: tests/harness/test_campaign.py keeps one that is not slow")


@pytest.fixture(scope="module")
def pseudo(bench: Bench) -> Iterator[Session]:
    """Yield a gateway without a model and without a fault."""
    with started(bench, PSEUDO) as session:
        yield session


def test_a_proxy_without_a_fault_earns_no_code_of_a_fault(bench: Bench) -> None:
    """Without a fault, the model runs, all answers agree, none is lost, and no code of a fault is earned."""
    with started(bench, behind(INT8)) as session:
        measurement = closed_window(bench, session)

    faults = {
        "E_ERR",
        "E_WRONG",
        "E_EMPTY",
        "E_NOMODEL",
        "E_CACHE",
        "E_RATE",
        "E_TRUNC",
        "E_PIN",
        "E_CORES",
        "E_START",
    }
    assert not codes_of(measurement) & faults
    assert measurement.row.checked == measurement.row.agreed == 10
    assert measurement.row.forwards == 208


@pytest.mark.skipif(bool(gpu.cards()), reason="this machine has a card")
def test_a_window_beside_no_card_says_nothing_of_one(bench: Bench) -> None:
    """With `auto` on a machine without a GPU, the `gpu_` columns are empty and not 0."""
    with started(bench, PSEUDO) as session:
        measurement = closed_window(bench, session)

    assert (session.server.card, session.server.card_mib, measurement.observation.gpu) == (None, None, None)
    assert {name: value for name, value in vars(measurement.row).items() if name.startswith("gpu_")} == {
        "gpu_mem_mib": None,
        "gpu_util": None,
        "gpu_power_w": None,
        "gpu_j_per_1k_texts": None,
        "gpu_throttled": "",
    }


@pytest.mark.proves("E_ERR")
def test_one_percent_of_errors_is_refused(bench: Bench) -> None:
    """A status 500 for every hundredth request is refused with E_ERR."""
    with started(bench, behind(PSEUDO, "fail=100")) as session:
        measurement = closed_window(bench, session, requests=400)

    assert "E_ERR" in codes_of(measurement)
    assert measurement.row.errors == 4


@pytest.mark.proves("E_WRONG")
def test_answers_mixed_up_under_load_are_refused(bench: Bench) -> None:
    """Answers swapped between requests from the middle of the window on are refused with E_WRONG."""
    with started(bench, behind(INT8, "mix=100")) as session:
        measurement = closed_window(bench, session)

    assert codes_of(measurement) & {"E_ERR", "E_WRONG", "E_NOMODEL"} == {"E_WRONG"}


@pytest.mark.proves("E_NOMODEL")
def test_a_model_that_runs_for_one_request_in_two_is_refused(bench: Bench) -> None:
    """Right vectors from a cache are refused with E_NOMODEL, because the forward counter lags behind the requests."""
    with started(bench, behind(INT8, "cache=1")) as session:
        texts = session.texts.take(100)
        session.texts.give_back([*texts, *texts])
        measurement = closed_window(bench, session)

    assert codes_of(measurement) & {"E_ERR", "E_WRONG", "E_NOMODEL"} == {"E_NOMODEL"}


@pytest.mark.proves("E_STALL")
def test_a_stalled_second_is_refused(bench: Bench) -> None:
    """A stall of one second in the middle of the window is refused with E_STALL."""
    with started(bench, behind(PSEUDO, "stall=300")) as session:
        measurement = closed_window(bench, session, requests=600)

    assert "E_STALL" in codes_of(measurement)
    assert (measurement.row.stall_ms or 0.0) >= 950


@pytest.mark.proves("E_RATE")
def test_a_rate_that_is_not_kept_up_with_is_refused(bench: Bench) -> None:
    """A target that answers 50 of 200 offered requests per second, at half of its declared capacity, is refused."""
    with started(bench, behind(PSEUDO, "queue=20")) as session:
        measurement = open_window(bench, session, rps=200, seconds=0.5, connections=16)

    assert "E_RATE" in codes_of(measurement)


@pytest.mark.proves("E_PIN")
def test_a_driver_on_the_servers_core_is_refused(bench: Bench, pseudo: Session) -> None:
    """A driver on the server's cores is refused with E_PIN."""
    on = bench.place.pinning.server
    with Driver(on) as driver:
        together = replace(bench.place, pinning=cores.Pinning(server=on, driver=on))
        measurement = closed_window(replace(bench, place=together, driver=driver), pseudo)

    assert "E_PIN" in codes_of(measurement)


@pytest.mark.proves("E_CORES")
def test_a_server_on_other_cores_than_its_own_is_refused(bench: Bench) -> None:
    """A server whose threads may run on the driver's core is refused with E_CORES."""
    with started(bench, PSEUDO) as session:
        pinning = bench.place.pinning
        session.server.place = replace(bench.place, pinning=cores.Pinning(pinning.driver, pinning.server))
        measurement = closed_window(bench, session)

    assert "E_CORES" in codes_of(measurement)


@pytest.mark.proves("E_CLIENT")
def test_a_driver_that_is_slowed_down_is_refused(bench: Bench, pseudo: Session) -> None:
    """A driver that is stopped for half of the time is refused with E_CLIENT."""
    [driver] = [child for child in multiprocessing.active_children() if child.name == "driver"]
    assert driver.pid is not None
    with stuttering(driver.pid):
        measurement = closed_window(bench, pseudo, requests=1000)

    assert "E_CLIENT" in codes_of(measurement)
    assert (measurement.row.driver_lag or 0.0) > 0.05


@contextmanager
def stuttering(pid: int) -> Iterator[None]:
    """Stop and continue a process in turn, 50 ms each."""
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
def test_other_work_on_the_servers_core_is_refused(bench: Bench, pseudo: Session) -> None:
    """A foreign process that computes on the server's core during the window is refused with E_ENV."""
    with cores.pinned(bench.place.pinning.server):
        burner = subprocess.Popen([sys.executable, "-c", "while True: pass"])
    try:
        measurement = closed_window(bench, pseudo, requests=1000)
    finally:
        burner.kill()
        burner.wait()

    assert "E_ENV" in codes_of(measurement)


@pytest.mark.proves("E_DRIFT")
def test_a_machine_that_became_slower_is_refused(bench: Bench, pseudo: Session) -> None:
    """A machine half as fast as when the campaign began is refused with E_DRIFT."""
    measurement = closed_window(replace(bench, speed_s=bench.speed_s / 2), pseudo)

    assert "E_DRIFT" in codes_of(measurement)


@pytest.mark.proves("E_N")
def test_a_short_window_has_no_p99_and_says_so(bench: Bench, pseudo: Session) -> None:
    """661 answers give no p99 and the code E_N; 662 give a p99."""
    short, enough = closed_window(bench, pseudo, requests=661), closed_window(bench, pseudo, requests=662)

    assert "E_N" in codes_of(short)
    assert short.row.p99_ms is None
    assert "E_N" not in codes_of(enough)
    assert enough.row.p99_ms is not None
