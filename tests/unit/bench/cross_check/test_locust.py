"""Second opinions: the counts of wrk and Locust, each body sent once, and their agreement with the driver."""

from __future__ import annotations

import csv
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import orjson
import pytest

from bench import targets
from bench.cross_check import LoadRequest, locust, verdict, wrk
from bench.errors import BenchError
from bench.machine import cores
from bench.measurement.plan import PROFILES, Cell, Options
from bench.records import runs_csv
from bench.scenarios import second_opinion
from bench.targets import Target
from tests.support.gateways import ROOT, Fleet
from tests.support.metrics import metric

# What wrk 4.1.0 printed with our script, against a gateway without a model.
WRK_SAID = """\
Running 8s test @ http://127.0.0.1:50451
  1 threads and 16 connections
  Thread Stats   Avg      Stdev     Max   +/- Stdev
    Latency    13.90ms    5.52ms 118.27ms   85.30%
    Req/Sec     1.17k   212.52     1.90k    76.25%
  9319 requests in 8.00s, 44.06MB read
Requests/sec:   1164.34
Transfer/sec:      5.51MB

{"requests": 9319, "refused": 0, "broken": 0, "sent": 9335, "duration_us": 8003662, \
"p50_us": 13230, "p95_us": 22167, "p99_us": 31364}
"""
# What Locust 2.47.0 wrote as CSV, against a gateway.
LOCUST_SAID = """\
Type,Name,Request Count,Failure Count,Median Response Time,Average Response Time,Min Response Time,\
Max Response Time,Average Content Size,Requests/s,Failures/s,50%,66%,75%,80%,90%,95%,98%,99%,99.9%,99.99%,100%
POST,search,722,0,170,174.7,46.1,389.3,4948.7,87.56188677258355,0.0,170,200,220,230,260,280,310,320,390,390,390
,Aggregated,722,0,170,174.7,46.1,389.3,4948.7,87.56188677258355,0.0,170,200,220,230,260,280,310,320,390,390,390
"""
real_locust = pytest.mark.slow("8 s each: Locust starts, spawns its users and stops")
OPTIONS = Options(PROFILES["full"], (1, 16), ("closed", second_opinion.NAME), "raw", "auto", 1)


def forwards(url: str) -> float:
    """Return the number of texts that the gateway has embedded."""
    return metric(f"{url}/metrics", "gateway_forward_texts_total")


def load_request(fleet: Fleet, folder: Path, bodies: int, seconds: int, *, good: bool = True) -> LoadRequest:
    """Return a load of distinct bodies for the gateway without a model."""
    lines = [orjson.dumps({"input" if good else "inputs": f"text {i} of {folder.name}"}) for i in range(bodies)]
    (folder / "bodies.jsonl").write_bytes(b"\n".join(lines) + b"\n")
    return LoadRequest(
        url=fleet.running("pseudo").url,
        path="/v1/embeddings",
        headers={"x-request-id": "second-opinion"},
        bodies=folder / "bodies.jsonl",
        concurrency=4,
        seconds=seconds,
        cores=cores.available()[:1],
        log=folder / "client.log",
    )


def test_what_wrk_prints_is_read() -> None:
    """Requests, rate, percentiles and CPU share are those of the recorded run."""
    result = wrk.read(WRK_SAID, cpu_s=0.5 * 8.003662, cores=1)

    assert (result.requests, result.errors, result.sent) == (9319, 0, 9335)
    assert result.rps == pytest.approx(1164.34, abs=0.01)
    assert (result.p50_ms, result.p95_ms, result.p99_ms) == (13.23, 22.167, 31.364)
    assert result.cpu == pytest.approx(0.5)


def test_wrk_errors_are_no_answers() -> None:
    """A status above 399 and a broken connection count as errors and not in the rate."""
    output = WRK_SAID.replace('"refused": 0, "broken": 0', '"refused": 19, "broken": 5')
    result = wrk.read(output, cpu_s=0.0, cores=1)

    assert (result.requests, result.errors) == (9324, 24)
    assert result.rps == pytest.approx(9300 / 8.003662)


def test_output_without_counts_is_said() -> None:
    """If wrk cannot connect, the error quotes its output."""
    with pytest.raises(BenchError, match="unable to connect"):
        wrk.read("unable to connect to 127.0.0.1:9 Connection refused", cpu_s=0.0, cores=1)


def test_what_locust_writes_is_read() -> None:
    """The result comes from the total line of the CSV and the last line of each worker."""
    logs = ["starting\n" + '{"sent": 362, "cpu": 0.25}' + "\nended\n", '{"sent": 360, "cpu": 0.15}\n']
    result = locust.read(LOCUST_SAID, logs, cores=2)

    assert (result.requests, result.errors, result.sent) == (722, 0, 724)
    assert result.rps == pytest.approx(87.56188677258355)
    assert (result.p50_ms, result.p95_ms, result.p99_ms) == (170, 280, 320)
    assert result.cpu == pytest.approx(0.2)


def test_a_locust_worker_that_said_nothing_is_missed() -> None:
    """A worker without a report is an error, so that half of the load is not taken for all of it."""
    with pytest.raises(BenchError, match="1 of 2"):
        locust.read(LOCUST_SAID, ['{"sent": 1, "cpu": 0.1}', "killed"], cores=1)


@pytest.mark.program("wrk")
def test_wrk_sends_each_body_and_counts_what_the_gateway_counted(fleet: Fleet, tmp_path: Path) -> None:
    """The gateway's counter grows by wrk's count, apart from the requests in flight at the end."""
    request = load_request(fleet, tmp_path, bodies=100_000, seconds=1)
    before = forwards(request.url)
    result = wrk.run(request)

    assert result.errors == 0
    assert (
        0
        < result.requests
        <= forwards(request.url) - before
        <= result.sent
        <= result.requests + 2 * request.concurrency
    )


@real_locust
def test_locust_workers_share_the_bodies_and_each_is_sent_once(fleet: Fleet, tmp_path: Path) -> None:
    """A master and two workers send sixty bodies as sixty requests, and exit."""
    request = load_request(fleet, tmp_path, bodies=60, seconds=4)
    before = forwards(request.url)
    result = locust.run(request, workers=2, dialect="gateway", route="embeddings")

    assert (result.requests, result.errors) == (60, 0)
    assert forwards(request.url) - before == 60
    assert result.rps > 0


@real_locust
def test_locust_calls_an_answer_of_another_shape_a_failure(fleet: Fleet, tmp_path: Path) -> None:
    """Every body that the gateway refuses is a failure."""
    request = load_request(fleet, tmp_path, bodies=20, seconds=3, good=False)
    result = locust.run(request, workers=1, dialect="gateway", route="embeddings")

    assert (result.requests, result.errors, result.rps) == (20, 20, 0.0)


@real_locust
def test_the_locustfile_alone_asks_squad_of_any_server(fleet: Fleet, tmp_path: Path) -> None:
    """Locust's own command line, as used on many machines, sends questions without a failure."""
    words = ["-m", "locust", "-f", str(locust.FILE), "--headless", "--host", fleet.running("pseudo").url]
    words += ["--dialect", "tei", "-u", "2", "-r", "2", "-t", "8s", "--only-summary", "--csv", str(tmp_path / "own")]
    done = subprocess.run(  # noqa: S603 Locust, with our own words
        [sys.executable, *words], cwd=ROOT, capture_output=True, text=True, timeout=120, check=False
    )
    total = list(csv.DictReader((tmp_path / "own_stats.csv").read_text().splitlines()))[-1]

    assert done.returncode == 0, done.stderr
    assert int(total["Request Count"]) > 0
    assert total["Failure Count"] == "0"


@real_locust
def test_a_campaign_has_the_opinion_as_a_row(fleet: Fleet, tmp_path: Path) -> None:
    """`--locust-workers` adds a row with the client, its rate and the verdict beside the driver's row."""
    words = ["--target", fleet.running("pseudo").url, "--precision", "pseudo", "--name", "theirs"]
    words += [
        "--scenarios",
        "closed,second_opinion",
        "--concurrency",
        "4",
        "--campaign",
        f"test-{os.getpid()}-opinion",
    ]
    words += ["--locust-workers", "1", "--locust-seconds", "5", "--results", str(tmp_path)]
    done = subprocess.run(  # noqa: S603 our own command
        [sys.executable, "-m", "bench", "run", *words],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    [runs] = tmp_path.glob("*/*/runs.csv")
    rows = {row["scenario"]: row for row in runs_csv.read(runs)}

    assert rows["closed"]["client"] == "raw"
    assert rows[second_opinion.NAME]["client"] == "locust"
    assert float(rows[second_opinion.NAME]["rps"]) > 0
    assert "the driver" in rows[second_opinion.NAME]["reason"]


@pytest.mark.parametrize(
    ("rps", "driver", "sentence"),
    [
        (104.9, 100.0, "agrees with the driver: 104.9 against 100.0 requests a second (+4.9 %)"),
        (94.9, 100.0, "disagrees with the driver: 94.9 against 100.0 requests a second (-5.1 %)"),
        (100.0, None, "no sound closed-loop row"),
    ],
)
def test_within_five_percent_is_agreement(rps: float, driver: float | None, sentence: str) -> None:
    """The sentence has the verdict, both rates and their difference."""
    assert sentence in verdict(rps, driver)


def test_the_driver_is_asked_in_the_same_block_first() -> None:
    """A sound closed-loop row of the same block is preferred to another block's; a refused row never counts."""
    [cell] = second_opinion.cells(described(("search",)), replace(OPTIONS, locust_workers=2), block=2)
    base = {"target": "pseudo", "scenario": "closed", "route": "search", "concurrency": "16", "codes": ""}
    rows = [base | {"block": block, "rps": rps} for block, rps in (("1", "90"), ("2", "100"), ("3", "110"))]

    assert second_opinion.driver_rps(rows, cell) == 100
    assert second_opinion.driver_rps(rows[:1], cell) == 90
    assert second_opinion.driver_rps([rows[1] | {"codes": "E_ENV"}], cell) is None


def test_locust_where_it_has_workers_else_wrk_else_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each route has a cell at 16 in flight, else at the largest concurrency; without a client there is no cell."""
    both = described(("search", "embeddings", "rerank"))
    with_locust = replace(OPTIONS, locust_workers=2)

    assert second_opinion.client_of(with_locust) == "locust"
    assert second_opinion.cells(both, with_locust, 1) == [
        Cell(1, both, second_opinion.NAME, route, 16) for route in ("search", "embeddings")
    ]
    eight = replace(with_locust, concurrency=(1, 8))
    assert [cell.concurrency for cell in second_opinion.cells(both, eight, 1)] == [8, 8]
    monkeypatch.setenv("PATH", "")
    assert second_opinion.cells(both, OPTIONS, 1) == []


def described(capabilities: tuple[str, ...]) -> Target:
    """Return the target without a model, with these routes."""
    [target] = targets.choose(["pseudo"], with_peers=False)
    return replace(target, capabilities=capabilities)
