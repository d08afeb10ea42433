"""
Errors of the harness.

* BenchError             the campaign cannot continue; the message says what to do
  x TargetError          a target file is wrong, or its environment is missing
  x StartError           a role ended or was not ready in time; the message quotes its log
  x DriverError          the driver process died
* AnswerError            an answer of a target breaks the promise of its dialect
"""

from __future__ import annotations


class BenchError(Exception):
    """The campaign cannot continue."""


class TargetError(BenchError):
    """A target file is wrong, or its environment is not installed."""


class StartError(BenchError):
    """A role of a target did not start."""


class DriverError(BenchError):
    """The driver process died."""


class AnswerError(Exception):
    """An answer breaks the promise of its dialect."""
