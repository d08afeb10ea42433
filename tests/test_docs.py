"""The pages under `docs/`, run as a reader would: every block of code, in order, against the gateway they start."""

from __future__ import annotations

import json
import os
import re
import shlex
import signal
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import httpx
import pytest
import yaml

from bench.targets.ports import free_port
from bench.targets.processes import answers, tail
from tests.support.gateways import ROOT, wait_until
from tests.test_clients import CLIENTS

DOCS = ROOT / "docs"
PAGES = sorted(DOCS.glob("*.md"))
FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
LINK = re.compile(r"\]\((?!http)([^)#]+)(?:#[^)]*)?\)")
INTERPRETERS = {"sh": ["bash", "-euo", "pipefail", "-c"], "python": [str(CLIENTS / "python"), "-c"]}
READY_S, STOP_S, BLOCK_S = 120, 60, 120
# Nothing answers at that proxy: what a block asks of another machine is refused at once.
OFFLINE = {
    "HTTP_PROXY": "http://127.0.0.1:9",
    "HTTPS_PROXY": "http://127.0.0.1:9",
    "NO_PROXY": "localhost,127.0.0.1",
    "LITELLM_LOCAL_MODEL_COST_MAP": "True",
    "HAYSTACK_TELEMETRY_ENABLED": "False",
}

pytestmark = pytest.mark.gateway("onnx_py")


class Block(NamedTuple):
    """One fenced block: its language, its text, and the line of the page it starts at."""

    language: str
    text: str
    line: int


def blocks(page: Path) -> list[Block]:
    """Return a page's fenced blocks, in order."""
    source = page.read_text(encoding="utf-8")
    return [Block(match[1], match[2], source[: match.start()].count("\n") + 1) for match in FENCE.finditer(source)]


@dataclass
class Reader:
    """Who reads all pages on one machine: gateways once started stay, and ports are those that happen to be free."""

    folder: Path
    environ: dict[str, str]
    ports: dict[str, int] = field(default_factory=dict)
    started: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict)

    def here(self, text: str) -> str:
        """Return a block with the ports 8000, 8001 and so on replaced by free ones."""
        return re.sub(r"\b80\d\d\b", lambda match: str(self.ports.setdefault(match[0], free_port())), text)

    def serve(self, command: str) -> None:
        """Start what `make run` starts after its set-up, which has been done, and return when it is ready."""
        if command in self.started:
            return
        words = shlex.split(self.here(command))
        given = dict(word.split("=", 1) for word in words if "=" in word)
        recipe = subprocess.run(  # noqa: S603 make says what it would run
            ["make", "--no-print-directory", "-n", *words[words.index("make") + 1 :]],  # noqa: S607 found on PATH
            cwd=ROOT,
            env={name: value for name, value in os.environ.items() if not name.startswith("MAKE")},
            check=True,
            capture_output=True,
            text=True,
        ).stdout.splitlines()[-1]
        data = self.folder / f"data-{len(self.started)}"
        with (self.folder / f"gateway-{len(self.started)}.log").open("wb") as log:
            self.started[command] = subprocess.Popen(  # noqa: S603 what make would run
                shlex.split(recipe),
                cwd=ROOT,
                env=os.environ | self.environ | {"DATA_DIR": str(data)} | given,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        with httpx.Client(trust_env=False, timeout=5) as client:
            url = f"http://127.0.0.1:{given['PORT']}/readyz"
            wait_until(lambda: self._alive(command) and answers(client, url), READY_S, f"{command}: ready")

    def _alive(self, command: str) -> bool:
        code = self.started[command].poll()
        log = self.folder / f"gateway-{list(self.started).index(command)}.log"
        assert code is None, f"{command} ended with {code}:\n{tail(log)}"
        return True

    def run(self, page: Path, block: Block) -> str:
        """Run a block as the shell or Python does, in the clients' environment; what it printed."""
        done = subprocess.run(  # noqa: S603 the project's own pages
            [*INTERPRETERS[block.language], self.here(block.text)],
            cwd=ROOT,
            env=os.environ | OFFLINE | {"PATH": f"{CLIENTS}:{os.environ['PATH']}"},
            capture_output=True,
            text=True,
            timeout=BLOCK_S,
            check=False,
        )
        assert done.returncode == 0, f"{page.name}:{block.line}\n{block.text}\n{done.stdout}\n{done.stderr}"
        return done.stdout

    def stop(self) -> dict[str, int]:
        """Interrupt every gateway, as Ctrl-C does; their exit codes."""
        for process in self.started.values():
            process.send_signal(signal.SIGINT)
        codes = {command: process.wait(STOP_S) for command, process in self.started.items()}
        return {command: code for command, code in codes.items() if code}


@pytest.fixture(scope="module")
def reader(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Reader]:
    """Yield a reader who has made every edit of models.yaml that a page asks for."""
    assert (CLIENTS / "python").is_file(), f"{CLIENTS} is not there: run `make setup`"
    folder = tmp_path_factory.mktemp("docs")
    catalogue = yaml.safe_load((ROOT / "models.yaml").read_text(encoding="utf-8"))
    for edit in (block for page in PAGES for block in blocks(page) if block.language == "yaml"):
        catalogue = merged(catalogue, yaml.safe_load(edit.text))
    edited = folder / "models.yaml"
    edited.write_text(yaml.safe_dump(catalogue), encoding="utf-8")
    reader = Reader(folder, {"MODELS_FILE": str(edited)})
    yield reader
    failed = reader.stop()
    assert not failed, f"stopped with an exit code other than 0: {failed}"


def merged(base: Any, overlay: Any) -> Any:
    """Return one YAML value with another laid over it: mappings by key, lists with what is new at the end."""
    if isinstance(base, dict) and isinstance(overlay, dict):
        return base | {key: merged(base.get(key), value) for key, value in overlay.items()}
    if isinstance(base, list) and isinstance(overlay, list):
        return base + [item for item in overlay if item not in base]
    return overlay


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_block_of_a_page_works(reader: Reader, page: Path) -> None:
    """Commands and programs end with 0, and print what the page says they print."""
    printed = ""
    for block in blocks(page):
        if block.language == "text":
            assert printed.strip() == block.text.strip(), f"{page.name}:{block.line}"
        elif block.language == "sh" and "make run" in block.text:
            reader.serve(block.text.strip())
        elif block.language in INTERPRETERS:
            printed = reader.run(page, block)
        else:
            assert block.language == "yaml", f"{page.name}:{block.line}: who runs {block.language!r}?"


def test_the_search_of_the_readme_is_answered_as_it_says(tmp_path: Path) -> None:
    """A new gateway, its documents, its query: each score of the answer, and all else but the times."""
    page = ROOT / "README.md"
    shell = [block for block in blocks(page) if block.language == "sh"]
    [ingest, search] = [block for block in shell if "/v1/ingest" in block.text or "/v1/search" in block.text]
    [expected] = [json.loads(block.text) for block in blocks(page) if block.language == "json"]
    newcomer = Reader(tmp_path, {})
    newcomer.serve("make run GATEWAY=onnx_py PORT=8000")
    try:
        newcomer.run(page, ingest)
        with httpx.Client(trust_env=False, base_url=newcomer.here("http://127.0.0.1:8000")) as client:
            wait_until(lambda: client.get("/v1/documents/tapestry").is_success, 10, "ingested")
        response = json.loads(newcomer.run(page, search))
    finally:
        assert not newcomer.stop()

    for answer in (response, expected):
        assert answer["took_ms"] > 0
        assert set(answer.pop("timings_ms")) == {"tokenize", "queue", "infer", "retrieve", "rerank"}
        del answer["took_ms"]
        [result] = answer["results"]
        explained = result.pop("explain")
        answer["ranks"] = explained.pop("ranks")
        answer["scores"] = [result.pop("score"), *explained.values()]
    assert response.pop("scores") == pytest.approx(expected.pop("scores"), abs=2e-3)
    assert response == expected


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page: Path) -> None:
    """Every link to a file has a file at its end."""
    for link in LINK.findall(page.read_text(encoding="utf-8")):
        assert (DOCS / link).is_file(), f"{page.name}: {link}"


def test_the_n8n_workflow_runs(reader: Reader) -> None:
    """From the trigger on, each node sends what n8n would send, and gets what the page says."""
    reader.serve("make run GATEWAY=onnx_py PORT=8000")
    workflow = json.loads((DOCS / "n8n-workflow.json").read_text(encoding="utf-8"))
    nodes = {node["name"]: node for node in workflow["nodes"]}
    sent, name = {}, "Start"

    assert nodes[name]["type"] == "n8n-nodes-base.manualTrigger"
    while name in workflow["connections"]:
        [[next_node]] = workflow["connections"][name]["main"]
        name = next_node["node"]
        sent[name] = request(reader, nodes[name])

    assert list(sent) == ["Config", "Embed", "Rerank"]
    assert len(nodes) == len({node["id"] for node in workflow["nodes"]}) == 1 + len(sent)
    assert "all-MiniLM-L6-v2" in [model["name"] for model in sent["Config"]["embedding_models"]]
    assert [len(vector) for vector in sent["Embed"]["embeddings"]] == [sent["Embed"]["model_dim"]] * 2
    assert [item["doc"] for item in sent["Rerank"]["ranked"]] == [
        "You get 20 vacation days per year",
        "You can request time off here",
    ]
    assert {"embeddings", "model", "model_dim", "inference_time_ms"} <= sent["Embed"].keys()
    assert {"ranked", "model", "inference_time_ms"} <= sent["Rerank"].keys()


def request(reader: Reader, node: dict[str, Any]) -> dict[str, Any]:
    """Send what an HTTP Request node is set to; what came back."""
    assert node["type"] == "n8n-nodes-base.httpRequest"
    parameters = node["parameters"]
    body = None
    if parameters.get("sendBody"):
        assert (parameters["contentType"], parameters["specifyBody"]) == ("json", "json")
        body = json.loads(parameters["jsonBody"])
    response = httpx.request(parameters["method"], reader.here(parameters["url"]), json=body, trust_env=False)
    assert response.status_code == 200, response.text
    payload: dict[str, Any] = response.json()
    return payload
