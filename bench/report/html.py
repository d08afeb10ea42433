"""report.html: one file with everything inside, readable without a network."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from html import escape
from pathlib import Path
from string import Template

from bench.report import tables, verdict
from bench.report.summary import Campaign
from bench.report.tables import Content
from bench.scenarios import load as load_scenario

TEMPLATE = Path(__file__).parent / "template.html"
CAPTIONS = {
    "throughput": "Throughput by concurrency. Closed loop, unique questions, validated answers only.",
    "efficiency": "Against the baseline, at the headline concurrency. The grey band is ±5 %.",
    "latency": "Service time: p50 (circle), p95 (diamond), p99 (bar). Closed loop, so not for an SLO.",
    "latency_vs_throughput": "What more load buys and costs; right and down is better. The floor is left out.",
    "memory": "Resident memory by role. The split shape counts both of its processes.",
    "cold_start": "From exec to the first answer that agrees with the reference.",
}


def write(campaign: Campaign, plots: Sequence[Path]) -> None:
    """Write the report beside the runs."""
    page = Template(TEMPLATE.read_text()).substitute(
        title=escape(f"Campaign {campaign.folder.name}"),
        verdict=escape(verdict.sentence(campaign)),
        facts=_facts(campaign),
        notes="".join(f"<li>{escape(note)}</li>" for note in tables.notes(campaign)),
        results=_table(tables.results(campaign)),
        plots="".join(_figure(plot) for plot in plots),
        targets=_targets(campaign),
        details="".join(_table(content) for content in _details(campaign)),
        ledger=_ledger(campaign),
        command=escape(_commands(campaign)),
        scenarios="".join(
            f"<li><code>{escape(name)}</code> {escape(text)}</li>" for name, text in _scenarios(campaign)
        ),
    )
    (campaign.folder / "report.html").write_text(page)


def _details(campaign: Campaign) -> list[Content]:
    parts = [tables.sweep(campaign), tables.verification(campaign), tables.cold(campaign)]
    return [content for content in parts if content.rows]


def _facts(campaign: Campaign) -> str:
    manifest = campaign.manifest
    machine, pinning = manifest["machine"], manifest["pinning"]
    git = manifest["git"]
    facts = {
        "machine": f"{machine['cpu']}, {machine['cores']} cores, {machine['memory_gib']} GiB",
        "pinning": f"server on {_cores(pinning['server'])}, driver on {_cores(pinning['driver'])}",
        "profile": f"{manifest['profile']['name']}, {campaign.blocks} block{'s' * (campaign.blocks > 1)}",
        "started": manifest["started_utc"].replace("T", " ").replace("+00:00", " UTC"),
        "code": f"{(git['sha'] or 'no commit')[:12]}{' + changes' if git['dirty'] else ''}",
        "corpus": f"{manifest['corpus']['name']}, {manifest['corpus']['passages']:,} passages",
        "client ceiling": ", ".join(_ceilings(campaign)),
    }
    return "".join(f"<div><dt>{escape(name)}</dt><dd>{escape(text)}</dd></div>" for name, text in facts.items())


def _cores(cores: Sequence[int]) -> str:
    return f"core{'s' * (len(cores) > 1)} {', '.join(map(str, cores))}"


def _ceilings(campaign: Campaign) -> list[str]:
    return [
        f"{route} {max(levels.values()):,.0f}/s" for route, levels in campaign.manifest["client_ceiling_rps"].items()
    ]


def _figure(svg: Path) -> str:
    data = base64.b64encode(svg.read_bytes()).decode()
    caption = escape(CAPTIONS[svg.stem])
    return (
        f'<figure class="{svg.stem}"><img alt="{caption}" src="data:image/svg+xml;base64,{data}">'
        f"<figcaption>{caption}</figcaption></figure>"
    )


def _table(content: Content) -> str:
    head = "".join(
        f'<th scope="col"><button type="button">{escape(column)}</button></th>' for column in content.columns
    )
    rows = "".join(f"<tr>{''.join(f'<td>{escape(cell)}</td>' for cell in row)}</tr>" for row in content.rows)
    return (
        f"<h3>{escape(content.title)}</h3>"
        f'<div class="scroll"><table><thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table></div>'
    )


def _ledger(campaign: Campaign) -> str:
    content = tables.ledger(campaign)
    return _table(content) if content.rows else "<p>No row earned a code.</p>"


def _targets(campaign: Campaign) -> str:
    items = ((name, campaign.title(name)) for name in campaign.targets)
    return "".join(f"<li><code>{escape(name)}</code> {escape(title)}</li>" for name, title in items)


def _scenarios(campaign: Campaign) -> list[tuple[str, str]]:
    return [(name, load_scenario(name).HEADLINE) for name in campaign.manifest["scenarios"]]


def _commands(campaign: Campaign) -> str:
    command = campaign.manifest["command"]
    cells = campaign.runs[campaign.runs.scenario == "closed"]
    one = ""
    if len(cells):
        first = cells.iloc[0]
        one = f"\n# one cell of it\n{command.split(' --gateways')[0].split(' --peers')[0]}"
        one += f" --scenarios closed --gateways {first.target} --concurrency {int(first.concurrency)}"
    return f"git checkout {campaign.manifest['git']['sha'] or 'main'}\n{command}{one}"
