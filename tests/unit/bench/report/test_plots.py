"""Plots: lines break at refused points, and a legend has only what is drawn."""

from __future__ import annotations

from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.figure import Figure

from bench import paths
from bench.analysis import summary
from bench.records.runs_csv import Row
from bench.report.plots import PLOTS
from bench.report.plots.forest import draw_forest
from bench.report.plots.held import draw_held_rate
from bench.report.plots.rates import draw_cache, draw_goodput, draw_latency_by_rate
from bench.report.plots.scaling import draw_scaling
from tests.support import every_scenario
from tests.support.campaign_builder import campaign, row

PUBLISHED = paths.CAMPAIGNS / "amd-epyc-avx512vnni-2c" / "2026-11-22T2249-full"


def legend_names(figure: Figure) -> list[str]:
    """Return the entries of a figure's legend."""
    return [text.get_text() for legend in figure.legends for text in legend.get_texts()]


def test_a_line_breaks_at_a_refused_point() -> None:
    """In F int8 has no sound window at 50 % of repeats, so no line joins 0 and 90 %."""
    figure = draw_cache(summary.load(PUBLISHED))

    assert figure is not None
    [line] = [line for line in figure.axes[0].get_lines() if line.get_label() == "onnx_py-int8"]
    assert np.isnan(np.asarray(line.get_ydata(), float)).tolist() == [False, True, False]
    plt.close(figure)


def test_a_legend_has_only_what_is_drawn() -> None:
    """In F int8 has no sound overload, so it is neither in that plot nor in its legend."""
    figure = draw_goodput(summary.load(PUBLISHED))

    assert figure is not None
    assert "onnx_py-int8" not in legend_names(figure)
    assert "onnx_py" in legend_names(figure)
    plt.close(figure)


def test_every_window_is_a_dot_and_peers_are_drawn(tmp_path: Path) -> None:
    """The p99 by rate has a dot for each sound window, the study's line, and the limit."""
    read = summary.load(every_scenario.write(tmp_path / "campaign", blocks=3))
    figure = draw_latency_by_rate(read)

    assert figure is not None
    assert "study" in legend_names(figure)
    assert "SLO: p99 ≤ 150 ms" in legend_names(figure)
    dots = [line for line in figure.axes[0].get_lines() if line.get_linestyle() == "None"]
    sound = read.runs[(read.runs.scenario == "server") & (read.runs.precision != "pseudo") & ~read.runs.refused]
    own = sound[~sound.target.str.endswith("~twin")]
    assert sum(len(np.asarray(line.get_xdata())) for line in dots if line.get_marker() != "None") == len(own)
    plt.close(figure)


def test_the_forest_states_its_blocks_and_marks_what_has_no_interval(tmp_path: Path) -> None:
    """Two common blocks have no interval: the mark is hollow and n is said."""
    rows = [row(name, rps, block) for block in (1, 2) for name, rps in (("onnx_py", 180 + block), ("study", 45.0))]
    figure = draw_forest(campaign(tmp_path / "c", rows))

    assert figure is not None
    assert any("(n=2)" in text.get_text() for text in figure.axes[0].texts)
    assert "fewer than three blocks: no interval" in legend_names(figure)
    plt.close(figure)


def test_the_first_plot_is_the_rate_held_against_memory() -> None:
    """It has the study as well: hollow in F, where peers had no open loop."""
    figure = draw_held_rate(summary.load(PUBLISHED))

    assert figure is not None
    assert [plot.name for plot in PLOTS[:3]] == ["held_rate", "latency_by_rate", "cost"]
    assert any(text.get_text().startswith("study") for text in figure.axes[0].texts)
    assert "closed loop, held to no limit" in legend_names(figure)
    plt.close(figure)


def rung(target: str, arrangement: str, cores: int, texts_per_s: float, batch: int | None = 32) -> Row:
    """Return a row of the ladder of cores."""
    given = {"scenario": "cores", "route": "embeddings", "concurrency": cores, "batch": batch, "cores": cores}
    return row(target, texts_per_s, 1, arrangement=arrangement, texts_per_s=texts_per_s, **given)


def test_scaling_has_a_line_for_each_arrangement(tmp_path: Path) -> None:
    """Threads, processes and apart of each target; what one core would do so many times is behind them."""
    rows = [rung("onnx_py", "threads", cores, 40.0 * cores**0.9) for cores in (1, 2, 4, 8, 16)]
    rows += [rung("onnx_py", "processes", cores, 39.0 * cores) for cores in (2, 4, 8, 16)]
    rows += [rung("split", "apart", cores, 39.0 * (cores - 1)) for cores in (2, 4, 8, 16)]
    rows += [rung("onnx_py", "threads", cores, 300.0 * cores, batch=None) for cores in (1, 2, 4, 8)]
    figure = draw_scaling(campaign(tmp_path / "c", rows))

    assert figure is not None
    names = {"onnx_py, threads", "onnx_py, processes", "split, apart", "one core, so many times"}
    assert set(legend_names(figure)) == names
    assert [axes.get_title() for axes in figure.axes] == ["Passages, 32 a request", "Questions"]
    plt.close(figure)


def test_one_number_of_cores_is_no_scaling(tmp_path: Path) -> None:
    """A machine of one server core has no such plot."""
    assert draw_scaling(campaign(tmp_path / "c", [rung("onnx_py", "threads", 1, 40.0)])) is None
