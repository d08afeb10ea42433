"""The program that runs a graph without a gateway."""

from __future__ import annotations

from bench.measurement import bare_onnx
from gateways.onnx_py import session


def test_the_bare_runtime_disables_the_fusions_that_the_gateway_disables() -> None:
    """The harness imports nothing of the gateways, so both have the list; the lists are equal."""
    assert bare_onnx.DISABLED == session.SLOW_FUSIONS
