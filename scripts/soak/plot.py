"""Plot a soak over time: answers by status, latency, memory, and the time of each fault."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import matplotlib as mpl
import pandas as pd
from matplotlib import pyplot as plt

mpl.use("Agg")
COLOURS = {"200": "#2a7f62", "202": "#6aa5d8", "429": "#d9a441", "503": "#b5482a", "0": "#5c4a72"}
NAMES = {"0": "no connection"}


def draw(frame: pd.DataFrame, faults: Sequence[tuple[float, str]], title: str, file: Path) -> None:
    """Write a plot with three panels over the minutes to `file`; a vertical line marks each fault (seconds, name)."""
    figure, (answers, latency, memory) = plt.subplots(3, 1, figsize=(11, 9), sharex=True, layout="constrained")
    minutes = frame["second"] / 60
    columns = [str(column) for column in frame]
    statuses = sorted(column.removeprefix("status_") for column in columns if column.startswith("status_"))
    answers.stackplot(
        minutes,
        [frame[f"status_{status}"].fillna(0) for status in statuses],
        labels=[NAMES.get(status, status) for status in statuses],
        colors=[COLOURS.get(status, "#888888") for status in statuses],
    )
    answers.set_ylabel("answers a second")
    answers.legend(loc="upper left", ncols=len(statuses), frameon=False)
    answers.set_title(title, loc="left")
    for column, colour in (("p50_ms", "#2a7f62"), ("p99_ms", "#b5482a")):
        latency.plot(minutes, frame[column], color=colour, linewidth=0.9, label=column.removesuffix("_ms"))
    latency.set_yscale("log")
    latency.set_ylabel("latency of a 200, ms")
    latency.legend(loc="upper left", ncols=2, frameon=False)
    for column in (name for name in columns if name.endswith("_pss_mib")):
        memory.plot(minutes, frame[column], linewidth=1.2, label=column.removesuffix("_pss_mib"))
    memory.set_ylim(bottom=0)
    memory.set_ylabel("PSS, MiB")
    memory.set_xlabel("minutes")
    memory.legend(loc="lower right", frameon=False)
    for panel in (answers, latency, memory):
        panel.spines[["top", "right"]].set_visible(False)
        for at_s, _ in faults:
            panel.axvline(at_s / 60, color="#999999", linewidth=0.6, linestyle=":")
    for at_s, name in faults:
        memory.annotate(name.replace("_", " "), (at_s / 60, 4), rotation=90, fontsize=7, color="#666666")
    figure.savefig(file, dpi=110)
    plt.close(figure)
