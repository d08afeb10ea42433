"""A request has an id, in its answer and in every line of the log that is about it."""

from __future__ import annotations

import json
from typing import Any

import httpx

from tests.support.gateways import Gateway, wait_until
from tests.system.observability.conftest import Begin


def lines_about(gateway: Gateway, request_id: str) -> dict[str, list[dict[str, Any]]]:
    """Return the lines of each process's log that are about a request."""
    lines_by_process = {}
    for name, process in gateway.processes.items():
        lines = [json.loads(line) for line in process.logs[-1].read_text().splitlines()]
        lines_by_process[name] = [line for line in lines if line["request_id"] == request_id]
    return lines_by_process


def test_the_log_of_both_processes_names_the_request(begin: Begin) -> None:
    """As JSON: the client's own id goes through to the embed service."""
    gateway = begin(LOG_FORMAT="json", LOG_LEVEL="debug")

    answer = httpx.post(
        f"{gateway.url}/v1/search", json={"query": "Danube"}, headers={"X-Request-Id": "from-the-client"}, timeout=60
    )

    assert answer.headers["x-request-id"] == "from-the-client"
    wait_until(lambda: all(lines_about(gateway, "from-the-client").values()), 10, "lines in both logs")
    lines = lines_about(gateway, "from-the-client")
    assert any(line["message"].startswith("POST /v1/search: 200 after") for line in lines["gateway"])
    assert any(line["message"].startswith("POST /embed: 200 after") for line in lines["embed"])
    assert {"time", "level", "logger", "request_id", "message"} <= set(lines["gateway"][0])


def test_what_could_forge_a_line_is_no_id(begin: Begin) -> None:
    """Only what is an id is taken; who sends something else, or nothing, is given one."""
    gateway = begin()

    ids = [
        httpx.get(f"{gateway.url}/v1/models", headers={"X-Request-Id": given}, timeout=60).headers["x-request-id"]
        for given in ("", "a b", "x" * 129, "[a]")
    ]

    assert all(len(request_id) == 16 for request_id in ids)
    assert len(set(ids)) == len(ids)


def test_an_answer_tells_where_its_time_went(begin: Begin) -> None:
    """Each stage with its milliseconds, none longer than the request took."""
    gateway = begin()

    answer = httpx.post(f"{gateway.url}/v1/search", json={"query": "Danube", "rerank": True}, timeout=60)

    stages = dict(stage.split(";dur=") for stage in answer.headers["server-timing"].split(", "))
    assert {"upstream", "retrieve", "rerank"} <= set(stages)
    assert all(0 <= float(ms) <= answer.elapsed.total_seconds() * 1e3 for ms in stages.values())
