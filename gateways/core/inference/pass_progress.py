"""The progress of a forward pass: whether its thread computes, waits for a core, or stands still."""

from __future__ import annotations

import threading
import time

# A thread that used less of a core than this made no progress. One of low priority among many still gets more.
MIN_CPU_SHARE = 0.001


class PassProgress:
    """
    The CPU time of a pass, and for how long it used none.

    A pass hangs if it computes for longer than `hang_s`, or if it uses no CPU for as long. A thread that waits for a
    core, because threads of a higher priority want it, does neither. Time in which nobody observed does not count:
    the whole process was paused.
    """

    def __init__(self, hang_s: float, max_interval_s: float) -> None:
        """`max_interval_s` is the longest time between two observations of a process that runs."""
        self._hang_s = hang_s
        self._max_interval_s = max_interval_s
        self._since_s = -1.0
        self._over_limit = False

    def observe(self, since_s: float, now_s: float, cpu_s: float | None) -> None:
        """
        Look at the pass that began at `since_s`.

        `cpu_s` is the CPU time of its thread so far, None if the platform does not tell it. The time alone counts
        then.
        """
        if since_s != self._since_s:
            self._since_s = self._observed_s = since_s
            self._first_cpu_s = self._cpu_s = cpu_s or 0.0
            self._still_s = 0.0
        interval_s = min(now_s - self._observed_s, self._max_interval_s)
        progress_s = (cpu_s or 0.0) - self._cpu_s
        self._still_s = 0.0 if progress_s > MIN_CPU_SHARE * interval_s else self._still_s + interval_s
        self._observed_s, self._cpu_s = now_s, cpu_s or 0.0
        self._over_limit = self._still_s > self._hang_s or self._cpu_s - self._first_cpu_s > self._hang_s

    def hangs(self, since_s: float) -> bool:
        """Return whether the pass that began at `since_s` hung at the last look. One that began later does not."""
        return self._over_limit and since_s == self._since_s


def thread_cpu_s(thread: threading.Thread) -> float | None:
    """Return the CPU time of a living thread in seconds, None where the platform does not tell it."""
    if not hasattr(time, "pthread_getcpuclockid") or thread.ident is None:
        return None
    try:
        return time.clock_gettime(time.pthread_getcpuclockid(thread.ident))
    except OSError:  # it has just ended
        return None
