"""The plot of the rate by the length of a text."""

from __future__ import annotations

from matplotlib.figure import Figure

from bench.analysis.summary import Campaign
from bench.report.plots.panels import band, columns, legend, line, log_axes
from bench.report.plots.style import looks


def draw_lengths(campaign: Campaign) -> Figure | None:
    """Draw embeddings per second by tokens of a text, with intervals where there are three blocks."""
    if "text_tokens" not in campaign.summary:
        return None
    lines = campaign.lines("lengths", "embeddings").sort_values("text_tokens", kind="stable")
    lines = lines[(lines.precision != "pseudo") & lines.index.isin(lines.index[lines.rps.notna()])]
    if lines.empty:
        return None
    figure, (axes,) = columns(1, 8.2, 4.4)
    style = looks(campaign.targets)
    for target, curve in lines.groupby(level=0, sort=False):
        look = style[str(target)]
        line(axes, curve.text_tokens, curve.rps, look, str(target))
        if "rps_low" in curve:
            band(axes, curve.text_tokens, curve.rps_low, curve.rps_high, look)
    log_axes(axes)
    axes.set_xlabel("tokens of a text (log scale)")
    axes.set_ylabel("embeddings per second (log scale)")
    axes.set_title(f"POST /v1/embeddings by the length of the text, {campaign.concurrency} in flight")
    legend(figure, [axes])
    return figure
