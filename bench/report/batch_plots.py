"""Plots of bulk work: texts a second by texts a request, and pairs a second by documents a request."""

from __future__ import annotations

from matplotlib.figure import Figure

from bench.report.panels import band, columns, drawable, legend, line, load_axis, rate_axis
from bench.report.style import looks
from bench.report.summary import Campaign

KINDS = {
    "offline": ("embeddings", "texts_per_s", "Offline embedding", "texts per second", "texts a request"),
    "rerank": ("rerank", "pairs_per_s", "Reranking", "pairs per second", "documents a request (k)"),
}


def batches(campaign: Campaign) -> Figure | None:
    """A panel each for offline embedding and reranking, with intervals; the floor without a model is left out."""
    drawn = {}
    for scenario, (route, column, *_) in KINDS.items():
        lines = drawable(campaign, scenario, route, column)
        if not lines.empty:
            drawn[scenario] = lines
    if not drawn:
        return None
    figure, panels = columns(len(drawn), 5.4, 4.0)
    style = looks(campaign.targets)
    for axes, (scenario, lines) in zip(panels, drawn.items(), strict=True):
        _, column, title, y_label, x_label = KINDS[scenario]
        for target, sizes in lines.groupby(level=0, sort=False):
            look = style[str(target)]
            line(axes, sizes.batch, sizes[column], look, str(target))
            band(axes, sizes.batch, sizes[f"{column}_low"], sizes[f"{column}_high"], look)
        load_axis(axes, sorted(lines.batch.unique()), x_label)
        rate_axis(axes, campaign, 1.08)
        axes.set_title(title)
        axes.set_ylabel(y_label)
    legend(figure, panels)
    return figure
