"""The table of metrics, and the dashboard: both are about the series that there are, each of them."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import httpx
import pytest

from bench.targets.ports import free_port
from tests.support.gateways import ROOT, Gateway, wait_until
from tests.support.ingest_client import client_of
from tests.system.observability.conftest import Begin

TABLE = ROOT / "docs" / "observability.md"
DASHBOARD = ROOT / "deploy" / "grafana" / "gateways.json"
# An increase needs two scrapes; of a rate over so long there are plenty.
SCRAPE = "200ms"
WINDOW = "10s"


def series(url: str) -> set[str]:
    """Return the names of a process's own metrics, as `# TYPE` tells them."""
    names = re.findall(r"^# TYPE (gateway_\w+) \w+$", httpx.get(f"{url}/metrics").text, re.MULTILINE)
    return {name for name in names if not name.endswith("_created")}


def queries() -> list[str]:
    """Return every query of the dashboard, its variables filled in."""
    panels = json.loads(DASHBOARD.read_text())["panels"]
    written = [target["expr"] for panel in panels for target in panel["targets"]]
    return [query.replace("$__rate_interval", WINDOW).replace("$job", ".*") for query in written]


def test_the_table_lists_every_series(begin: Begin) -> None:
    """With its text, and no other."""
    gateway = begin()
    rows = re.findall(r"^\| `(gateway_\w+)` \|[^|]*\| (.*) \|$", TABLE.read_text(), re.MULTILINE)

    assert {name for name, _ in rows} == series(gateway.url)
    helps = dict(re.findall(r"^# HELP (gateway_\w+) (.*)$", httpx.get(f"{gateway.url}/metrics").text, re.MULTILINE))
    assert {name: helps[name] for name, _ in rows} == dict(rows)


def test_the_dashboard_asks_for_series_that_there_are(begin: Begin) -> None:
    """By name; what Prometheus makes of each query is tested below, where it is installed."""
    gateway = begin()
    there = series(gateway.url)

    metric_names = {name for query in queries() for name in re.findall(r"gateway_\w+", query)}

    assert {re.sub(r"_(bucket|sum|count)$", "", name) for name in metric_names} <= there
    assert len(metric_names) > 15


@pytest.fixture
def prometheus(begin: Begin, tmp_path: Path) -> Iterator[tuple[str, Gateway]]:
    """Yield the URL of a Prometheus that scrapes both processes of a split, and the split."""
    gateway = begin(EMBED_CACHE_MB="8", RERANK_CACHE_MB="16")
    targets = [process.url.removeprefix("http://") for process in gateway.processes.values()]
    config = {
        "global": {"scrape_interval": SCRAPE},
        "scrape_configs": [{"job_name": "gateways", "static_configs": [{"targets": targets}]}],
    }
    (tmp_path / "prometheus.yml").write_text(json.dumps(config))  # JSON is YAML
    port = free_port()
    command = [
        shutil.which("prometheus") or "",
        f"--config.file={tmp_path}/prometheus.yml",
        f"--storage.tsdb.path={tmp_path}/tsdb",
        f"--web.listen-address=127.0.0.1:{port}",
    ]
    with (tmp_path / "prometheus.log").open("wb") as log:
        running = subprocess.Popen(command, stdout=log, stderr=log)  # noqa: S603 as found
    yield f"http://127.0.0.1:{port}", gateway
    running.kill()
    running.wait()


def ask(url: str, query: str) -> list[Any]:
    """Return what a query finds now; nothing while Prometheus starts."""
    try:
        answer = httpx.get(f"{url}/api/v1/query", params={"query": query}).json()
    except httpx.TransportError:
        return []
    assert answer["status"] == "success", (query, answer)
    samples: list[Any] = [sample for sample in answer["data"]["result"] if sample["value"][1] != "NaN"]
    return samples


@pytest.mark.program("prometheus")
def test_every_query_of_the_dashboard_finds_something(prometheus: tuple[str, Gateway]) -> None:
    """Asked of a real Prometheus, while searches, ingests and a wrong request go on."""
    url, gateway = prometheus
    number = 0

    def traffic() -> None:
        nonlocal number
        number += 1
        with client_of(gateway) as client:
            client.completed(client.submit({f"note-{number}": f"Note {number}."}))
            client.http.post("/v1/search", json={"query": f"note {number // 2}", "rerank": True})
            client.http.post("/v1/rerank", json={"query": f"note {number // 2}", "documents": ["One.", "Two."]})
            client.http.post("/v1/search", json={"quary": "?"})

    missing = queries()

    def all_found() -> bool:
        traffic()
        missing[:] = [query for query in queries() if not ask(url, query)]
        return not missing

    with suppress(AssertionError):
        wait_until(all_found, 60, "an answer to each query")
    assert not missing
