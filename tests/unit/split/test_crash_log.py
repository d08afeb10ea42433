"""The crash log: it counts crashes of the same call that follow each other, and has a bound."""

from __future__ import annotations

from gateways.split.gateway.crash_log import MAX_CALLS, MEMORY_S, CrashLog
from tests.support.clock import Clock


def test_crashes_of_one_call_are_counted_until_it_is_answered() -> None:
    """Other calls have a count of their own."""
    log = CrashLog()
    assert [log.record(b"one"), log.record(b"one"), log.record(b"two")] == [1, 2, 1]
    log.forget(b"one")
    assert (log.count(b"one"), log.count(b"two"), log.record(b"one")) == (0, 1, 1)


def test_a_crash_is_forgotten_after_a_while() -> None:
    """Two restarts of a service on one day do not make a call suspect."""
    clock = Clock()
    log = CrashLog(clock)
    log.record(b"call")
    clock.now_s += MEMORY_S - 1
    assert log.record(b"call") == 2
    clock.now_s += MEMORY_S
    assert (log.count(b"call"), log.record(b"call")) == (0, 1)


def test_the_log_has_a_bound() -> None:
    """The calls whose crashes are the oldest are forgotten first."""
    log = CrashLog()
    for number in range(MAX_CALLS + 1):
        log.record(b"%d" % number)
    assert [log.count(b"0"), log.count(b"1"), log.count(b"%d" % MAX_CALLS)] == [0, 1, 1]
