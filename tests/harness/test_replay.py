"""The published study's run: any gateway behind its shortcut is as fast as the client, and refused."""

from __future__ import annotations

from dataclasses import replace

import pytest

from bench import ceiling, devices, early_return
from bench.scenarios import replay_empty_index
from bench.session import Bench
from bench.targets import Target, choose, ours
from bench.validity import MAX_CEILING_SHARE
from tests.harness.windows import closed_window, codes_of, started, target_of

OURS = [target for target in ours() if target.precision in ("fp32", "int8")]


@pytest.fixture(scope="module")
def limited(bench: Bench) -> Bench:
    """Return the same with the client's own ceiling measured."""
    load = "search", replay_empty_index.CONCURRENCY
    measured = ceiling.measure(bench.reference.squad, bench.options, bench.place, bench.driver, [load])
    return replace(bench, ceilings=measured)


@pytest.mark.proves("E_EMPTY", "E_NOMODEL")
@pytest.mark.parametrize("gateway", OURS, ids=lambda gateway: gateway.name)
def test_every_gateway_behind_the_studys_shortcut_is_refused(limited: Bench, gateway: Target) -> None:
    """Two thousand answers, all of them empty, no document and not one forward pass, next to the client's ceiling."""
    [cell] = replay_empty_index.cells(gateway, limited.options, 1)
    [row] = replay_empty_index.run(limited, cell, None)

    assert {"E_EMPTY", "E_NOMODEL"} <= set(row.codes.split())
    assert (row.requests, row.empties, row.errors, row.forwards, row.documents) == (2000, 2000, 0, 0, 0)
    assert row.ceiling_rps is not None


def test_the_run_is_made_of_whatever_searches_with_a_model(bench: Bench) -> None:
    """Ours and the study's both shapes; not the floor without a model, not a peer that only embeds."""
    every = devices.enter(choose(None, with_peers=True), ["cpu"])
    names = {gateway.name for gateway in every if replay_empty_index.cells(gateway, bench.options, 1)}

    assert names == {gateway.name for gateway in OURS} | {"study", "study-as-published"}


@pytest.mark.proves("E_CLIENT")
def test_the_shortcut_reaches_the_clients_ceiling(limited: Bench) -> None:
    """What answers before it embeds is as fast as what does nothing: one window in five, at the least, shows it."""
    gateway = target_of("onnx_py-int8", "search")
    with started(limited, early_return.before(gateway)) as live:
        windows = [closed_window(limited, live, 2000, concurrency=16, route="search") for _ in range(5)]

    assert any("E_CLIENT" in codes_of(seen) for seen in windows)
    assert max(seen.seen.rps / (seen.row.ceiling_rps or 0.0) for seen in windows) > MAX_CEILING_SHARE


@pytest.mark.proves("E_EMPTY")
def test_our_gateways_embed_even_for_an_empty_index(bench: Bench) -> None:
    """Without the shortcut the searches find nothing either, but every query went through the model."""
    with started(bench, target_of("onnx_py-int8", "search")) as live:
        seen = closed_window(bench, live, route="search")

    assert codes_of(seen) & {"E_EMPTY", "E_NOMODEL"} == {"E_EMPTY"}
    assert (seen.row.empties, seen.row.forwards) == (200, 208)
