"""The published study's run: any gateway behind its shortcut is as fast as the client, and refused."""

from __future__ import annotations

from dataclasses import replace

import pytest

from bench.measurement import client_ceiling
from bench.measurement.session import Bench
from bench.records.refusal_codes import MAX_CEILING_SHARE
from bench.scenarios import replay_empty_index
from bench.targets import Target, choose, devices, early_return, ours
from tests.harness.windows import closed_window, codes_of, started, target_of

OURS = [target for target in ours() if target.precision in ("fp32", "int8")]


pytestmark = pytest.mark.slow("a campaign of its own: tests/harness/test_campaign.py keeps one that is not slow")


@pytest.fixture(scope="module")
def limited(bench: Bench) -> Bench:
    """Return the campaign with a measured client ceiling."""
    load = "search", replay_empty_index.CONCURRENCY
    measured = client_ceiling.measure(bench.reference.squad, bench.options, bench.place, bench.driver, [load])
    return replace(bench, ceilings=measured)


@pytest.mark.proves("E_EMPTY", "E_NOMODEL")
@pytest.mark.parametrize("gateway", OURS, ids=lambda gateway: gateway.name)
def test_every_gateway_behind_the_studys_shortcut_is_refused(limited: Bench, gateway: Target) -> None:
    """All 2,000 answers are empty, without a document and without a forward pass."""
    [cell] = replay_empty_index.cells(gateway, limited.options, 1)
    [row] = replay_empty_index.run_alone(limited, cell)

    assert {"E_EMPTY", "E_NOMODEL"} <= set(row.codes.split())
    assert (row.requests, row.empties, row.errors, row.forwards, row.documents) == (2000, 2000, 0, 0, 0)
    assert row.ceiling_rps is not None


def test_the_run_is_made_of_whatever_searches_with_a_model(bench: Bench) -> None:
    """Ours with a model and both targets of the study; not the pseudo target, not a peer without search."""
    every = devices.enter(choose(None, with_peers=True), ["cpu"])
    names = {gateway.name for gateway in every if replay_empty_index.cells(gateway, bench.options, 1)}

    assert names == {gateway.name for gateway in OURS} | {"study", "study-as-published"}


@pytest.mark.proves("E_CLIENT")
def test_the_shortcut_reaches_the_clients_ceiling(limited: Bench) -> None:
    """A server that answers before it embeds is near the client ceiling in at least one window of five."""
    gateway = target_of("onnx_py-int8", "search")
    with started(limited, early_return.before(gateway)) as session:
        windows = [closed_window(limited, session, 2000, concurrency=16, route="search") for _ in range(5)]

    assert any("E_CLIENT" in codes_of(measurement) for measurement in windows)
    assert (
        max(measurement.observation.rps / (measurement.row.ceiling_rps or 0.0) for measurement in windows)
        > MAX_CEILING_SHARE
    )


@pytest.mark.proves("E_EMPTY")
def test_our_gateways_embed_even_for_an_empty_index(bench: Bench) -> None:
    """Without the shortcut, searches of an empty index return nothing, but every query is embedded."""
    with started(bench, target_of("onnx_py-int8", "search")) as session:
        measurement = closed_window(bench, session, route="search")

    assert codes_of(measurement) & {"E_EMPTY", "E_NOMODEL"} == {"E_EMPTY"}
    assert (measurement.row.empties, measurement.row.forwards) == (200, 208)
