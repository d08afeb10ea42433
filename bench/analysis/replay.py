"""The replay of the published study, explained in three sentences from its refused rows."""

from __future__ import annotations

import pandas as pd

from bench.analysis.summary import Campaign


def sentences(campaign: Campaign) -> list[str]:
    """Return the method, the outcome and the reason of the refusal; empty if the replay was not run."""
    rows = campaign.runs[campaign.runs.scenario == "replay_empty_index"].dropna(subset=["rps"])
    if rows.empty:
        return []
    return [
        "The published study sent one query over and over to an index into which nothing had been ingested, and its "
        "gateways answer an empty index before they embed anything.",
        f"Run the same way here, {_describe_rates(rows)}{_compare_ceiling(rows)}.",
        _explain_refusal(rows),
    ]


def _explain_refusal(rows: pd.DataFrame) -> str:
    if not all(rows.codes.str.contains(rf"\b{code}\b").all() for code in ("E_EMPTY", "E_NOMODEL")):
        return "Not every one of these runs was refused for it: their codes are in the ledger."
    return (
        "Every one of these runs is refused: E_EMPTY, since search found nothing, and E_NOMODEL, since no forward "
        "pass happened; they say nothing of any model, and no plot, table or ranking uses them."
    )


def _describe_rates(rows: pd.DataFrame) -> str:
    names = ", ".join(dict.fromkeys(rows.target))
    low, high = rows.rps.min(), rows.rps.max()
    rate = f"{low:,.0f}" if round(low) == round(high) else f"{low:,.0f} to {high:,.0f}"
    alike = ", whatever model stands behind" if rows.target.nunique() > 1 else ""
    return f"{names} answered {rate} requests a second{alike}"


def _compare_ceiling(rows: pd.DataFrame) -> str:
    """Return the share of the client's own ceiling as a clause; "" if the ceiling is not known."""
    shares = (rows.rps / rows.ceiling_rps).dropna()
    if shares.empty:
        return ""
    return (
        f", where the client alone reaches {rows.ceiling_rps.median():,.0f} (this is up to {shares.max():.0%} of it)"
    )
