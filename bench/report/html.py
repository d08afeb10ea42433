"""report.html: one self-contained file, readable offline."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from pathlib import Path
from string import Template

from bench.analysis import headline, replay
from bench.analysis.summary import Campaign
from bench.recommend import recommendation
from bench.report import elements, reproduce
from bench.report.tables import decision, results, scenarios

NOT_OFFERED = "Not measured: without an open loop, no capacity within an SLO is known."
TEMPLATE = Path(__file__).parent / "template.html"


def write(campaign: Campaign, plots: Sequence[Path]) -> None:
    """Write report.html into the campaign's folder; `plots` are its SVG files."""
    decisions = decision.tables(campaign)
    page = Template(TEMPLATE.read_text()).substitute(
        title=escape(f"Campaign {campaign.folder.name}"),
        verdict=escape(headline.sentence(campaign)),
        facts=elements.facts(_list_facts(campaign)),
        decision="".join(elements.table(content) for content in decisions),
        apart=escape(decision.recommend_by(decisions)),
        shape=elements.items(recommendation(campaign) or [NOT_OFFERED]),
        results=elements.table(results.results(campaign)),
        notes=elements.items(results.notes(campaign)),
        plots="".join(elements.figure(plot) for plot in plots),
        targets=elements.named((name, campaign.title(name)) for name in campaign.targets),
        details="".join(elements.folded(content) for content in scenarios.every(campaign)),
        replay=escape(" ".join(replay.sentences(campaign))),
        ledger=elements.ledger(results.ledger(campaign), int(campaign.runs.refused.sum())),
        command=escape(reproduce.whole(campaign)),
        scenarios=elements.named(_list_scenarios(campaign)),
    )
    (campaign.folder / "report.html").write_text(page)


def _list_facts(campaign: Campaign) -> list[tuple[str, str]]:
    manifest = campaign.manifest
    machine, pinning, git = manifest["machine"], manifest["pinning"], manifest["git"]
    return [
        ("machine", f"{machine['cpu']}, {machine['cores']} cores, {machine['memory_gib']} GiB"),
        ("GPU", _describe_gpus(campaign)),
        ("pinning", f"server on {_format_cores(pinning['server'])}, driver on {_format_cores(pinning['driver'])}"),
        ("profile", f"{manifest['profile']['name']}, {campaign.blocks} block{'s' * (campaign.blocks > 1)}"),
        ("started", manifest["started_utc"].replace("T", " ").replace("+00:00", " UTC")),
        ("code", f"{(git['sha'] or 'no commit')[:12]}{' + changes' if git['dirty'] else ''}"),
        ("corpus", f"{manifest['corpus']['name']}, {manifest['corpus']['passages']:,} passages"),
        ("client ceiling", ", ".join(_list_ceilings(campaign))),
    ]


def _describe_gpus(campaign: Campaign) -> str:
    """Return the names of the machine's GPUs, with a remark if the campaign used none."""
    names = [str(card["name"]) for card in campaign.manifest["machine"].get("gpus") or ()]
    if campaign.on_gpu:
        return ", ".join(names) or "not reported by a driver"
    return f"{', '.join(names) or 'none'}: nothing here was measured on one"


def _format_cores(cores: Sequence[int]) -> str:
    return f"core{'s' * (len(cores) > 1)} {', '.join(map(str, cores))}"


def _list_ceilings(campaign: Campaign) -> list[str]:
    return [
        f"{route} {max(levels.values()):,.0f}/s" for route, levels in campaign.manifest["client_ceiling_rps"].items()
    ]


def _list_scenarios(campaign: Campaign) -> list[tuple[str, str]]:
    """Return each scenario and its headline, which is "" in manifests from before 2026-11-28."""
    questions = campaign.manifest.get("headlines", {})
    return [(name, questions.get(name, "")) for name in campaign.manifest["scenarios"]]
