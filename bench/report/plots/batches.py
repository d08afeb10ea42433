"""The plot of bulk work: texts and pairs per second by batch size."""

from __future__ import annotations

from matplotlib.figure import Figure

from bench.analysis.summary import Campaign
from bench.report.plots.panels import band, columns, drawable, legend, line, load_axis, rate_axis
from bench.report.plots.style import looks

KINDS = {
    "offline": ("embeddings", "texts_per_s", "Offline embedding", "texts per second", "texts per request"),
    "rerank": ("rerank", "pairs_per_s", "Reranking", "pairs per second", "documents per request (k)"),
}


def draw_batches(campaign: Campaign) -> Figure | None:
    """Draw a panel each for offline embedding and reranking, with intervals, without the pseudo target."""
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
