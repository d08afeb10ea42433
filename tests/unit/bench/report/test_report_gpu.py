"""Reports of campaigns with rows on a GPU and on a CPU, and of campaigns without a GPU."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
from matplotlib.colors import to_rgb
from matplotlib.patches import Rectangle

from bench import paths
from bench.analysis import headline, summary
from bench.recommend import recommendation
from bench.records.runs_csv import Row
from bench.report import build, reproduce
from bench.report.plots.gpu import draw_gpu
from bench.report.plots.style import looks
from bench.report.tables import results
from tests.support.campaign_builder import campaign, row


def on_both() -> list[Row]:
    """Return the sweep of two shapes, one of them also on a GPU."""
    card: dict[str, Any] = {"gpu_mem_mib": 900.0, "gpu_util": 60.0, "gpu_power_w": 200.0, "gpu_j_per_1k_texts": 12.5}
    cpu = [row(name, rps, device="cpu") for name, rps in (("python", 90), ("onnx_py", 180))]
    return [*cpu, row("python@cuda", 2000, device="cuda", **card)]


def test_what_ran_on_a_gpu_is_beside_what_did_not(tmp_path: Path) -> None:
    """GPU rows are in the headline, in the tables, and in a plot with bars for targets on a GPU."""
    read = campaign(tmp_path / "c", on_both())
    build(read.folder)
    page, plots = (read.folder / "report.html").read_text(), read.folder / "plots"
    figure = draw_gpu(read)

    assert read.on_gpu == {"python@cuda"}
    assert headline.sentence(read).startswith("python@cuda came first with 2,000")
    assert {"python", "python@cuda"} <= {line[0] for line in results.results(read).rows}
    assert "The GPU in the sweep" in page
    assert "12.50" in page
    assert (plots / "gpu.png").stat().st_size > 5_000
    assert "nothing here was measured on one" not in page
    assert figure is not None
    assert [[text.get_text() for text in axes.get_yticklabels()] for axes in figure.axes] == [["python@cuda"]] * 2
    bars = [bar for axes in figure.axes for bar in axes.patches if isinstance(bar, Rectangle)]
    assert [bar.get_width() for bar in bars] == [900.0, 12.5]


def test_a_card_that_does_not_tell_its_energy_has_no_panel_of_it(tmp_path: Path) -> None:
    """Unknown energy has no panel."""
    rows = on_both()
    rows[-1].gpu_j_per_1k_texts = None
    figure = draw_gpu(campaign(tmp_path / "c", rows))

    assert figure is not None
    assert [axes.get_title() for axes in figure.axes] == ["GPU memory at c = 16"]


def test_what_could_not_have_its_gpu_was_not_measured_on_one(tmp_path: Path) -> None:
    """A target refused at its start is in the ledger, and the report is that of a machine without a GPU."""
    refused = row("python@cuda", 1, device="cuda", scenario="verify", codes="E_START")
    read = campaign(tmp_path / "c", [row("python", 90, device="cpu"), refused])
    build(read.folder)

    assert read.on_gpu == frozenset()
    assert [line[0] for line in results.ledger(read).rows] == ["python@cuda"]
    assert "<dd>none: nothing here was measured on one</dd>" in (read.folder / "report.html").read_text()


def test_without_a_gpu_the_report_says_so_once_and_draws_nothing_of_one(tmp_path: Path) -> None:
    """One fact, no plot and no table."""
    read = campaign(tmp_path / "c", [row("python", 90), row("onnx_py", 180)])
    build(read.folder)
    page = re.sub(r'base64,[^"]*', "", (read.folder / "report.html").read_text())

    assert draw_gpu(read) is None
    assert not (read.folder / "plots" / "gpu.svg").exists()
    assert page.count("GPU") == page.count("<dt>GPU</dt>") == 1
    assert "<dd>none: nothing here was measured on one</dd>" in page


def test_a_target_on_a_further_device_looks_like_itself_and_not_the_same() -> None:
    """It has a darker shade of its colour, another dash and marker; other targets keep their style."""
    names = ["python", "python@cuda", "onnx_py", "mine", "mine@cuda:1", "pseudo"]
    drawn, alone = looks(names), looks(["python", "onnx_py", "mine", "pseudo"])

    assert len({(look.colour, look.dash) for look in drawn.values()}) == len(names)
    assert len({look.marker for look in drawn.values()}) == len(names)
    assert {name: drawn[name].colour for name in alone} == {name: look.colour for name, look in alone.items()}
    assert sum(to_rgb(drawn["python@cuda"].colour)) < sum(to_rgb(drawn["python"].colour))


def test_a_cell_on_a_further_device_is_measured_again_there() -> None:
    """The device of the name is the last option of the command, which counts."""
    assert reproduce.cell("single", "python@cuda:1") == "--scenarios single --gateways python --device cuda:1"
    assert reproduce.cell("single", "python") == "--scenarios single --gateways python"


def before_gpus() -> list[Path]:
    """Return the committed campaigns without `gpu_` columns, by name."""
    files = paths.CAMPAIGNS.glob("*/*/runs.csv")
    old = (file.parent for file in files if "gpu_mem_mib" not in file.read_text().partition("\n")[0])
    return sorted(old, key=lambda folder: folder.name)


@pytest.mark.parametrize("folder", [before_gpus()[0], before_gpus()[-1]], ids=lambda folder: folder.name)
def test_campaigns_from_before_gpus_are_read_as_they_were(folder: Path, tmp_path: Path) -> None:
    """Campaigns without `gpu_` columns load, give a recommendation and plots, and report no GPU."""
    copied = tmp_path / folder.name
    copied.mkdir()
    for name in ("manifest.json", "runs.csv"):
        (copied / name).write_bytes((folder / name).read_bytes())
    read = summary.load(copied)
    build(copied)

    assert read.on_gpu == frozenset()
    assert len(read.summary) > 0
    assert recommendation(read) == [] or "For 100 searches a second" in recommendation(read)[0]
    assert "nothing here was measured on one" in (copied / "report.html").read_text()
