"""
Every way the harness stops.

* BenchError             the campaign cannot go on; the message says what to do
  x TargetError          a target file is wrong, or its environment is missing
  x StartError           a role ended or did not get ready in time; its log is quoted
  x DriverError          the driver process died
* AnswerError            one answer of a target is not what its dialect promises
"""

from __future__ import annotations


class BenchError(Exception):
    """The campaign cannot go on."""


class TargetError(BenchError):
    """A target file is wrong, or what it needs is not installed."""


class StartError(BenchError):
    """A role of a target did not come up."""


class DriverError(BenchError):
    """The driver process died."""


class AnswerError(Exception):
    """An answer is not of the shape its dialect promises."""
