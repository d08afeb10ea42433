"""report.html: one file with everything inside, readable without a network."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from html import escape
from pathlib import Path
from string import Template

from bench.errors import BenchError
from bench.recommend import recommendation
from bench.report import again, elements, replay, scenario_tables, tables, verdict
from bench.report.summary import Campaign
from bench.scenarios import load as load_scenario

NOT_OFFERED = "Not measured: no rate was offered in an open loop, so what holds which rate is not known."
TEMPLATE = Path(__file__).parent / "template.html"


def write(campaign: Campaign, plots: Sequence[Path]) -> None:
    """Write the report beside the runs."""
    page = Template(TEMPLATE.read_text()).substitute(
        title=escape(f"Campaign {campaign.folder.name}"),
        verdict=escape(verdict.sentence(campaign)),
        facts=elements.facts(_facts(campaign)),
        shape=elements.items(recommendation(campaign) or [NOT_OFFERED]),
        results=elements.table(tables.results(campaign)),
        notes=elements.items(tables.notes(campaign)),
        plots="".join(elements.figure(plot) for plot in plots),
        targets=elements.named((name, campaign.title(name)) for name in campaign.targets),
        details="".join(elements.folded(content) for content in scenario_tables.every(campaign)),
        replay=escape(" ".join(replay.sentences(campaign))),
        ledger=elements.ledger(tables.ledger(campaign), int(campaign.runs.refused.sum())),
        command=escape(again.whole(campaign)),
        scenarios=elements.named(_scenarios(campaign)),
    )
    (campaign.folder / "report.html").write_text(page)


def _facts(campaign: Campaign) -> list[tuple[str, str]]:
    manifest = campaign.manifest
    machine, pinning, git = manifest["machine"], manifest["pinning"], manifest["git"]
    return [
        ("machine", f"{machine['cpu']}, {machine['cores']} cores, {machine['memory_gib']} GiB"),
        ("GPU", _gpus(campaign)),
        ("pinning", f"server on {_cores(pinning['server'])}, driver on {_cores(pinning['driver'])}"),
        ("profile", f"{manifest['profile']['name']}, {campaign.blocks} block{'s' * (campaign.blocks > 1)}"),
        ("started", manifest["started_utc"].replace("T", " ").replace("+00:00", " UTC")),
        ("code", f"{(git['sha'] or 'no commit')[:12]}{' + changes' if git['dirty'] else ''}"),
        ("corpus", f"{manifest['corpus']['name']}, {manifest['corpus']['passages']:,} passages"),
        ("client ceiling", ", ".join(_ceilings(campaign))),
    ]


def _gpus(campaign: Campaign) -> str:
    """The cards of the machine, or in words that none says anything here."""
    names = [str(card["name"]) for card in campaign.manifest["machine"].get("gpus") or ()]
    if campaign.on_gpu:
        return ", ".join(names) or "not told by a driver"
    return f"{', '.join(names) or 'none'}: nothing here was measured on one"


def _cores(cores: Sequence[int]) -> str:
    return f"core{'s' * (len(cores) > 1)} {', '.join(map(str, cores))}"


def _ceilings(campaign: Campaign) -> list[str]:
    return [
        f"{route} {max(levels.values()):,.0f}/s" for route, levels in campaign.manifest["client_ceiling_rps"].items()
    ]


def _scenarios(campaign: Campaign) -> list[tuple[str, str]]:
    """What each scenario answers; one that is no longer there has its name only."""
    said = []
    for name in campaign.manifest["scenarios"]:
        headline = ""
        with suppress(BenchError):
            headline = load_scenario(name).HEADLINE
        said.append((name, headline))
    return said
