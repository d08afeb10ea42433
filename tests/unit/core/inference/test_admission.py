"""Admission control: which request is refused, with which message, and when it may come back."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateways.core.inference.admission import WAITING_SHARE, AdmissionControl
from gateways.core.inference.throughput import Throughput

PER_S = 1_000
MAX_QUEUED = 100_000
PASS_SIZE = 50


def throughput_of(per_s: float) -> Throughput:
    """Return a throughput that was measured once; not measured if `per_s` is 0."""
    throughput = Throughput()
    if per_s:
        throughput.record_pass(per_s, 1.0)
    return throughput


def admission(
    *,
    per_s: float = PER_S,
    max_queued: int = MAX_QUEUED,
    max_wait_s: float = math.inf,
    total_per_s: float | None = None,
) -> AdmissionControl:
    """Return the admission control of a queue of words."""
    return AdmissionControl(
        unit="words",
        service="the reader",
        max_queued=max_queued,
        max_wait_s=max_wait_s,
        pass_size=PASS_SIZE,
        throughput=throughput_of(per_s),
        total_throughput=None if total_per_s is None else throughput_of(total_per_s),
    )


@pytest.mark.parametrize("queued", [100, 1_000, 20_000])
def test_a_share_of_the_deadline_is_for_waiting(queued: int) -> None:
    """With a wait of w seconds, a deadline of w / WAITING_SHARE is the least that is admitted."""
    control = admission()
    wait_s = queued / PER_S

    assert control.refusal(10, queued=queued, within_s=0.8 * wait_s)
    assert control.refusal(10, queued=queued, within_s=0.95 * wait_s / WAITING_SHARE)
    assert control.refusal(10, queued=queued, within_s=1.05 * wait_s / WAITING_SHARE) is None
    assert control.refusal(10, queued=queued, within_s=3 * wait_s / WAITING_SHARE) is None


@pytest.mark.parametrize(("max_wait_s", "refused"), [(0.8, True), (1.1, False), (3.0, False)])
def test_all_of_the_longest_wait_is_for_waiting(max_wait_s: float, refused: bool) -> None:
    """The limit of the queue itself is compared with the whole wait of 1 s; a longer deadline does not lift it."""
    control = admission(max_wait_s=max_wait_s)

    assert bool(control.refusal(10, queued=PER_S)) is refused
    assert bool(control.refusal(10, queued=PER_S, within_s=1_000)) is refused


@given(st.integers(1, 10_000), st.integers(0, 10_000), st.integers(1, 10_000))
def test_a_queue_never_holds_more_than_its_limit(queued: int, size: int, max_queued: int) -> None:
    """A request is refused exactly if the queue would be over `max_queued` with it."""
    refused = admission(per_s=0, max_queued=max_queued).refusal(size, queued=queued)

    assert (refused is not None) is (queued + size > max_queued)


@given(st.integers(0, 10**9), st.floats(0, 10), st.sampled_from([0, 1e-3, 1, 1e6]))
def test_an_empty_queue_admits_every_request(size: int, within_s: float, per_s: float) -> None:
    """However large the request, short its deadline, and slow the model."""
    control = admission(per_s=per_s, max_queued=1, max_wait_s=0)

    assert control.refusal(size, queued=0, within_s=within_s) is None


@pytest.mark.parametrize("per_s", [0.001, PER_S])
def test_work_of_one_pass_is_never_too_long_a_wait(per_s: float) -> None:
    """Up to the size of a pass, and no further."""
    control = admission(per_s=per_s, max_wait_s=0)

    assert control.refusal(10, queued=PASS_SIZE) is None
    assert control.refusal(10, queued=PASS_SIZE + 1)


def test_work_of_one_pass_is_too_long_a_wait_for_a_short_deadline() -> None:
    """A request that announces when it gives up is not let in to be late, whatever the size of a pass is."""
    pass_s = PASS_SIZE / PER_S

    assert admission().refusal(10, queued=PASS_SIZE, within_s=pass_s)
    assert admission().refusal(10, queued=PASS_SIZE, within_s=3 * pass_s) is None


def test_a_request_that_waited_too_long_before_it_was_read_is_refused() -> None:
    """Though the queue is empty by now: nobody waits for its answer."""
    refused = admission().refusal(10, queued=0, within_s=-0.001)

    assert refused
    assert refused.headers() == {"Retry-After": "1"}


def test_before_the_first_measurement_no_wait_is_too_long() -> None:
    """Only the length of the queue limits it."""
    control = admission(per_s=0, max_wait_s=0.001)

    assert control.refusal(10, queued=MAX_QUEUED - 10, within_s=0) is None
    refused = control.refusal(11, queued=MAX_QUEUED - 10, within_s=0)
    assert refused
    assert refused.headers() == {"Retry-After": "1"}


@given(st.integers(PASS_SIZE + 1, MAX_QUEUED), st.floats(1, 1e6))
def test_retry_after_is_the_time_until_the_queue_is_empty(queued: int, per_s: float) -> None:
    """In whole seconds, rounded up, and at least 1; the same for both reasons."""
    too_much = admission(per_s=per_s).refusal(MAX_QUEUED + 1, queued=queued)
    too_long = admission(per_s=per_s).refusal(0, queued=queued, within_s=0)

    for refused in (too_much, too_long):
        assert refused
        retry_after_s = int(refused.headers()["Retry-After"])
        assert retry_after_s >= 1
        assert (retry_after_s - 1) * per_s < queued
        assert queued <= retry_after_s * per_s * (1 + 1e-9) or retry_after_s == 1


def test_a_lane_waits_for_its_own_work_and_the_whole_queue_has_one_limit() -> None:
    """The wait is that of the work ahead, at the lane's throughput; the limit and its Retry-After are of all."""
    control = admission(per_s=100, total_per_s=1_000, max_queued=10_000)

    assert control.refusal(10, queued=9_000, ahead=100, within_s=3) is None
    too_long = control.refusal(10, queued=9_000, ahead=400, within_s=3)
    too_much = control.refusal(2_000, queued=9_000, ahead=0, within_s=3)

    assert too_long
    assert too_much
    assert (too_long.retry_after_s, too_much.retry_after_s) == (4, 9)


def test_a_refusal_gives_its_numbers() -> None:
    """The message says what is counted, what is waited for, how much there is and how much may be."""
    control = admission(max_queued=5_000, max_wait_s=2)

    too_much, too_long = control.refusal(1_000, queued=4_500), control.refusal(100, queued=4_500, within_s=3)

    assert too_much
    assert too_long
    assert too_much.message == "4500 words wait for the reader already and 5000 may; retry later"
    assert too_long.message == "a request would wait 4.5 s for the reader and 1.2 s is the most; retry later"
    assert (too_much.status, too_long.status) == (429, 429)
