"""External servers: given by URL and dialect, verified like ours, with empty columns for unknown figures."""

from __future__ import annotations

import csv
import os
import subprocess
import sys
from argparse import ArgumentParser, Namespace
from pathlib import Path

import numpy as np
import orjson
import pytest

from bench.__main__ import main
from bench.commands import run_arguments
from bench.commands.run_options import read_options, read_request
from bench.dialects.openai import check_ranking
from bench.errors import BenchError, TargetError
from bench.machine import cores
from bench.records.runs_csv import COLUMNS
from bench.targets import Target, external
from bench.targets.api_client import Api
from bench.targets.ports import free_port
from bench.targets.processes import Place, Server
from tests.support.gateways import ROOT, Fleet

UNSEEN = (
    "cpu_ms_per_req",
    "server_cores",
    "rss_steady_mib",
    "pss_mib",
    "environment_mb",
    "model_mb",
    "foreign_cores",
)
DIALECTS = ("openai", "tei", "cohere", "gateway")
needs_onnx = pytest.mark.gateway("onnx_py")


def parsed(*words: str, **environ: str) -> Namespace:
    """Return the arguments of `bench run`, with this environment only."""
    parser = ArgumentParser()
    run_arguments.add_options(parser, environ)
    return parser.parse_args(words)


def bench_run(url: str, dialect: str, results: Path, *more: str) -> tuple[str, list[dict[str, str]]]:
    """Run the harness against a URL in a process of its own; return its output and its rows."""
    words = ["--target", url, "--dialect", dialect, "--name", "theirs", "--scenarios", "closed", *more]
    words += ["--campaign", f"test-{os.getpid()}-{results.name}"]
    done = subprocess.run(  # noqa: S603 our own command
        [sys.executable, "-m", "bench", "run", "--concurrency", "4", "--results", str(results), *words],
        cwd=ROOT,
        env={name: value for name, value in os.environ.items() if name not in run_arguments.ENVIRONMENT.values()},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    [runs] = results.glob("*/*/runs.csv")
    with runs.open(newline="") as lines:
        return done.stdout, list(csv.DictReader(lines))


@pytest.mark.parametrize("dialect", DIALECTS)
def test_every_dialect_embeds_the_same(fleet: Fleet, tmp_path: Path, dialect: str) -> None:
    """One gateway returns the same vectors in all four dialects, for the requested model."""
    url = fleet.running("pseudo").url
    texts = [f"text {i}" for i in range(40)]
    place = Place(cores.split(cores.available()), tmp_path / "data", tmp_path / "logs")
    vectors = {}
    for request, name in (("contract", "gateway"), ("theirs", dialect)):
        target = external.describe(url, name, model="pseudo-64")
        with Server(target, place, request) as running, Api(running) as api:
            running.wait_ready()
            vectors[request], _ = api.embed(texts)
            raw = api.post(api.dialect.path("embeddings"), api.dialect.embed_body(texts[0]))
            assert api.dialect.check("embeddings", raw, 1)

    assert vectors["theirs"].shape == (40, 64)
    np.testing.assert_allclose(vectors["theirs"], vectors["contract"], atol=1e-6)


@pytest.mark.parametrize("dialect", ["tei", "cohere"])
def test_rerank_is_probed_and_read(fleet: Fleet, tmp_path: Path, dialect: str) -> None:
    """A server with the route keeps the capability, and its ranking has every document once."""
    target = external.probe(external.describe(fleet.running("pseudo").url, dialect))
    place = Place(cores.split(cores.available()), tmp_path / "data", tmp_path / "logs")

    assert "rerank" in target.capabilities
    with Server(target, place, "theirs") as running, Api(running) as api:
        body = api.dialect.rerank_body("capital of France", ["Paris", "a fish", "Rome"])
        raw = api.post(api.dialect.path("rerank"), body)
        assert check_ranking(api.dialect.read_rerank(raw), 3)


@needs_onnx
@pytest.mark.parametrize("dialect", ["tei", pytest.param("cohere", marks=pytest.mark.slow("15 s: tei stays"))])
def test_a_foreign_server_is_verified_and_measured_and_what_is_not_seen_stays_empty(
    fleet: Fleet, tmp_path: Path, dialect: str
) -> None:
    """Vectors agree with the reference, the window has a rate, and memory and CPU are empty, with a note."""
    _, rows = bench_run(fleet.running("onnx_py").url, dialect, tmp_path, "--api-key", "a-secret-word")
    verified, timed = (next(row for row in rows if row["scenario"] == name) for name in ("verify", "closed"))

    assert not {"E_WRONG", "E_NOMODEL", "E_ERR", "E_EMPTY"} & set(f"{verified['codes']} {timed['codes']}".split())
    assert float(verified["cosine_min"]) > 0.999
    assert float(timed["rps"]) > 0
    assert timed["checked"] == timed["agreed"] != "0"
    assert timed["peer"] == "true"
    assert [row[name] for row in rows for name in UNSEEN] == [""] * len(UNSEEN) * len(rows)
    [folder] = tmp_path.glob("*/*")
    manifest = (folder / "manifest.json").read_bytes()
    assert orjson.loads(manifest)["targets"]["theirs"]["note"] == external.NOTE
    assert all(b"a-secret-word" not in file.read_bytes() for file in folder.rglob("*") if file.is_file())


def test_wrong_vectors_of_a_foreign_server_are_refused(fleet: Fleet, tmp_path: Path) -> None:
    """A server without the model, declared as fp32, is refused with E_WRONG and not timed."""
    _, rows = bench_run(fleet.running("pseudo").url, "openai", tmp_path)

    assert [(row["scenario"], row["codes"]) for row in rows] == [("verify", "E_WRONG")]


def test_a_url_where_nothing_answers_is_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The run ends before anything is measured, and names the URL."""
    url = f"http://127.0.0.1:{free_port()}"

    assert main(["run", "--target", url, "--results", str(tmp_path)]) == 1
    assert f"{url}: nothing answers" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("localhost:8080", "http://host:port"),
        ("ftp://server", "http://host:port"),
        ("http://server:8080/v1", "the paths are the dialect's"),
        ("http://user:word@server", "the paths are the dialect's"),
        ("https://server:8443", "port 443"),
        ("http://server:99999", "range"),
    ],
)
def test_a_url_is_scheme_host_and_port(url: str, message: str) -> None:
    """A URL with more or less raises an error with the right form."""
    with pytest.raises(TargetError, match=message):
        external.describe(url, "openai")


def test_an_unknown_dialect_or_precision_is_told_with_those_that_are_known() -> None:
    """The message lists the known values."""
    with pytest.raises(TargetError, match="openai, tei, cohere, gateway"):
        external.describe("http://server", "tie")
    with pytest.raises(TargetError, match="fp32, fp16, bf16, int8, pseudo"):
        external.describe("http://server", "tei", precision="fp64")


def test_a_key_becomes_a_bearer_token_and_https_takes_httpx() -> None:
    """The header belongs to the target, and https selects the client with TLS."""
    target: Target = external.describe("https://server/", "openai", key="word")

    assert target.headers == {"authorization": "Bearer word"}
    assert (target.url, target.name) == ("https://server", "server")
    assert read_options(parsed("--target", "https://server")).client == "httpx"


@pytest.mark.parametrize(
    "words",
    [
        "",
        "--profile full --peers --gateways onnx_py,split --concurrency 1,16 --twin --blocks 3 --seed 4",
        "--target http://server:1 --dialect tei --name 'their server' --model m --other-model o --precision int8",
        "--slo-ms search=100,embeddings=50 --corpus data/nfcorpus --client httpx --device cpu --server-cores 1-3",
        "--scenarios closed,second_opinion --locust-workers 2 --locust-seconds 9",
        "--gateways python --device cpu,cuda:1",
    ],
)
def test_the_command_reproduces_its_options(words: str) -> None:
    """The command gives the same arguments again, and contains the values of the environment."""
    parser = ArgumentParser()
    run_arguments.add_options(parser, {"PEERS": "1", "DEVICE": "cpu", "GATEWAYS": ""})
    arguments = run_arguments.read_back(f"{run_arguments.COMMAND} {words}")
    from_environment = parser.parse_args([])

    assert run_arguments.read_back(run_arguments.command_of(arguments)) == arguments
    assert (from_environment.peers, from_environment.device, from_environment.gateways) == (True, "cpu", None)
    assert run_arguments.command_of(from_environment) == "python -m bench run --profile quick --peers --device cpu"


@pytest.mark.parametrize(("words", "closed", "mixed"), [(["--blocks", "3"], 3, 0), (["--profile", "full"], 3, 1)])
def test_what_runs_in_every_block_runs_in_as_many_as_are_asked_for(words: list[str], closed: int, mixed: int) -> None:
    """A scenario of every block of the profile runs in every requested block."""
    options = read_options(parsed(*words))
    blocks = range(1, options.profile.blocks + 1)

    assert sum(options.includes("closed", block) for block in blocks) == closed
    assert options.profile.scenarios.get("mixed", 0) == mixed


def test_a_key_is_not_in_the_command(monkeypatch: pytest.MonkeyPatch) -> None:
    """The command names the variable, and reading it back takes the key from the environment."""
    command = run_arguments.command_of(parsed("--target", "http://server", API_KEY="a-secret-word"))
    monkeypatch.setenv("API_KEY", "a-secret-word")

    assert "a-secret-word" not in command
    assert run_arguments.read_back(command).api_key == "a-secret-word"


def test_limits_are_for_all_routes_or_by_name() -> None:
    """`100` is for both routes, `search=50` for one; an unknown route raises an error with the known ones."""
    assert set(read_options(parsed("--slo-ms", "100")).slo_ms.values()) == {100.0}
    assert read_options(parsed("--slo-ms", "search=50")).slo_ms["search"] == 50.0
    assert read_options(parsed("--slo-ms", "search=50")).slo_ms["embeddings"] == 150.0
    with pytest.raises(BenchError, match=r"chat.*search"):
        read_options(parsed("--slo-ms", "chat=50"))
    with pytest.raises(BenchError, match="milliseconds"):
        read_options(parsed("--slo-ms", "fast"))


def test_resume_takes_the_newest_unfinished_campaign_with_its_own_options(tmp_path: Path) -> None:
    """The finished campaign and the one of another profile are skipped; the options are the old command's."""
    words = ["--gateways", "pseudo", "--scenarios", "closed", "--concurrency", "4", "--results", str(tmp_path)]
    machine = read_request(parsed(*words, "--campaign", "x")).folder.parent
    for hour, name, profile, done in (
        (1, "old", "quick", False),
        (2, "whole", "quick", True),
        (3, "long", "full", False),
    ):
        request = read_request(parsed(*words, "--campaign", name, "--profile", profile, "--seed", "7"))
        request.folder.mkdir(parents=True)
        manifest = {"started_utc": f"2026-01-01T0{hour}", "command": request.command, "profile": {"name": profile}}
        (request.folder / "manifest.json").write_bytes(orjson.dumps(manifest))
        with request.runs.open("w", newline="") as stream:
            rows = csv.DictWriter(stream, COLUMNS)
            rows.writeheader()
            cells = [cell for work in request.todo() for cell in work.verified] if done else []
            for cell in cells:
                rows.writerow(
                    dict(zip(("block", "target", "scenario", "route", "concurrency"), cell.key, strict=False))
                )
    resumed = read_request(parsed("--resume", "--results", str(tmp_path)))

    assert resumed.folder == machine / "old"
    assert resumed.options.seed == 7
    assert [target.name for target in resumed.targets] == ["pseudo"]
    resumed.folder.joinpath("manifest.json").unlink()
    with pytest.raises(BenchError, match="nothing to resume"):
        read_request(parsed("--resume", "--results", str(tmp_path)))


def test_rows_of_another_version_are_not_appended_to(tmp_path: Path) -> None:
    """A campaign with other columns cannot be continued."""
    words = ["--gateways", "pseudo", "--results", str(tmp_path), "--campaign", "x"]
    request = read_request(parsed(*words))
    request.folder.mkdir(parents=True)
    request.runs.write_text("block,target\n")

    with pytest.raises(BenchError, match="begin a new campaign"):
        read_request(parsed(*words))
