"""Memory: several models under a budget, of which the idle one makes room; and what an ingest needed for a while."""

from __future__ import annotations

import re
from functools import partial
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml

from bench import paths
from tests.support import gateways
from tests.support.gateways import Gateway, wait_until
from tests.support.load import load, more
from tests.support.metrics import samples
from tests.system.faults.conftest import Start

SMALL, LARGE, THIRD = "all-MiniLM-L6-v2", "all-mpnet-base-v2", "third"
DIMENSIONS = {SMALL: 384, LARGE: 768, THIRD: 384}
# MiniLM's weights are 91 MB and mpnet's 438: both fit, a third model does not fit beside them.
BUDGET_MB = 560


def catalogue(folder: Path) -> Path:
    """Write a catalogue of three models; the third is MiniLM's files again, under a name and a place of its own."""
    models = yaml.safe_load((paths.ROOT / "models.yaml").read_text())["models"]
    files = {"path": str(paths.models_dir() / SMALL)}
    third = {"kind": "dense", "dimensions": 384, "max_input_tokens": 256, "sources": [files]}
    path = folder / "models.yaml"
    chosen = {SMALL: models[SMALL], LARGE: models[LARGE], THIRD: third}
    path.write_text(yaml.safe_dump({"defaults": {"dense": SMALL}, "models": chosen}))
    return path


TORCH = pytest.param("python", marks=pytest.mark.slow("30 s: the models are held by onnx_py's code"))


@pytest.fixture(params=[TORCH, "onnx_py", "split"])
def gateway(request: pytest.FixtureRequest, tmp_path: Path) -> Any:
    """Yield a gateway of each shape that has a model, with room for two of three."""
    folder, models_file = tmp_path / "run", str(catalogue(tmp_path))
    started = gateways.describe(
        request.param, folder, MODELS_FILE=models_file, MODEL_MEMORY_MB=str(BUDGET_MB)
    ).start()
    yield started
    started.kill()


def embed(gateway: Gateway, model: str, text: str = "two of three fit") -> httpx.Response:
    """Embed one text."""
    body = {"input": text, "model": model}
    return httpx.post(f"{gateway.url}/v1/embeddings", json=body, timeout=120, trust_env=False)


def loaded(gateway: Gateway) -> set[str]:
    """Return which models are in memory, as the process that holds them tells."""
    seen = samples(gateway.metrics_url)
    return {name for name in DIMENSIONS if seen.get(f'gateway_model_loaded{{model="{name}"}}') == 1}


def test_a_third_model_evicts_the_idle_one_and_nothing_in_flight_fails(gateway: Gateway) -> None:
    """Two models of different dimensions serve side by side; the third comes, and the large idle one goes."""
    assert loaded(gateway) == {SMALL}
    for model in (LARGE, SMALL):
        answer = embed(gateway, model)
        assert answer.status_code == 200, answer.text
        assert len(answer.json()["data"][0]["embedding"]) == DIMENSIONS[model]
    assert loaded(gateway) == {SMALL, LARGE}

    def ask_small(_: httpx.Client, number: int) -> int:
        return embed(gateway, SMALL, f"request {number}").status_code

    with load(gateway, 4, ask_small) as answers:
        for model in (THIRD, LARGE, THIRD, LARGE):
            # The one that goes is the one idle longest: the small one has to be used after the other one was.
            wait_until(more(answers, 8), 60, "answers of the small model")
            vector = embed(gateway, model).json()["data"][0]["embedding"]
            assert len(vector) == DIMENSIONS[model]
            assert loaded(gateway) == {SMALL, model}

    assert len(answers) > 20
    assert set(answers) == {200}


def test_the_same_weights_under_two_names_give_the_same_vectors(gateway: Gateway) -> None:
    """A model is what its files are, wherever they lie."""
    first, second = (embed(gateway, model).json()["data"][0]["embedding"] for model in (SMALL, THIRD))

    assert first == pytest.approx(second, abs=1e-6)


@pytest.mark.gateway("onnx_py")
def test_what_an_ingest_has_mapped_is_let_go_of_once_it_rests(start: Start) -> None:
    """However many jobs it was: the vectors of tokens are most of what is stored, and searches do not read them."""
    gateway = start("onnx_py", FLUSH_EVERY_S="0")
    text = " ".join(f"a passage of many words, of which this is number {number}." for number in range(20))
    with gateway.client() as http:
        jobs = [
            http.post("/v1/ingest", json={"documents": [{"id": f"{number}", "text": f"{number} {text}"}]}).json()
            for number in range(8)
        ]
        wait_until(lambda: mapped_kib(gateway, "-late/") > 100, 60, "vectors of tokens are written")
        for job in jobs:
            wait_until(partial(ended, http, job["job_id"]), 60, "the job's end")
    wait_until(lambda: mapped_kib(gateway, "-late/") == 0, 30, "their pages are let go of")


def ended(http: httpx.Client, job_id: str) -> bool:
    """Whether a job has ended well."""
    return bool(http.get(f"/v1/jobs/{job_id}").json()["status"] == "completed")


def mapped_kib(gateway: Gateway, part: str) -> int:
    """Return how much a gateway has in memory of the files with this in their path."""
    popen = gateway.processes["gateway"].popen
    assert popen is not None
    mappings = re.split(r"\n(?=[0-9a-f]+-[0-9a-f]+ )", Path(f"/proc/{popen.pid}/smaps").read_text())
    ours = [mapping for mapping in mappings if part in mapping.split("\n", 1)[0]]
    return sum(int(kib) for mapping in ours for kib in re.findall(r"^Rss: +(\d+) kB", mapping, re.M))
