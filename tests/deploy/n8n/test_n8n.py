"""The workflows of docs/call-it-from-n8n.md, imported and executed by n8n itself, against a real gateway."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeAlias

import httpx
import pytest

from tests.selection import shapes
from tests.support.gateways import ROOT, Fleet

DOCS = ROOT / "docs"
N8N = ROOT / ".cache" / "n8n" / "node_modules" / ".bin" / "n8n"
# Its other engine for expressions is a native module, which is not compiled for this.
SETTINGS = {"N8N_EXPRESSION_ENGINE": "legacy", "N8N_DIAGNOSTICS_ENABLED": "false"}
LIMIT_S = 300
Nodes: TypeAlias = dict[str, Any]


@pytest.fixture(scope="module", params=[shape for shape in shapes() if shape != "pseudo"])
def url(fleet: Fleet, request: pytest.FixtureRequest) -> str:
    """Return where a gateway with a model listens."""
    return fleet.running(request.param).url


@pytest.fixture
def n8n(tmp_path: Path, url: str) -> Callable[[str], Nodes]:
    """Return what executes a workflow of the documentation and returns what each node put out."""
    credential = {"id": "embedding-gateway", "name": "Embedding gateway", "type": "openAiApi"}
    given = tmp_path / "credentials.json"
    given.write_text(json.dumps([credential | {"data": {"apiKey": "any", "url": f"{url}/v1"}}]))
    run(tmp_path, "import:credentials", f"--input={given}")

    def execute(name: str) -> Nodes:
        workflow = json.loads((DOCS / name).read_text().replace("http://localhost:8000", url)) | {"id": "documented"}
        file = tmp_path / name
        file.write_text(json.dumps([workflow]))
        run(tmp_path, "import:workflow", f"--input={file}")
        output = run(tmp_path, "execute", "--id=documented", "--rawOutput")
        result = json.loads(output[output.index("{") :])["data"]["resultData"]
        assert "error" not in result, result["error"]
        return {node: runs[0]["data"] for node, runs in result["runData"].items()}

    return execute


def run(folder: Path, *arguments: str) -> str:
    """Run n8n with a home of its own and return what it printed; AssertionError where it fails."""
    assert N8N.is_file(), f"{N8N} is not there: run `make n8n`"
    environ = os.environ | SETTINGS | {"N8N_USER_FOLDER": str(folder)}
    command = [str(N8N), *arguments]
    done = subprocess.run(command, env=environ, capture_output=True, text=True, timeout=LIMIT_S, check=False)  # noqa: S603
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
    return done.stdout


def test_plain_requests(n8n: Callable[[str], Nodes]) -> None:
    """HTTP Request nodes get the configuration, vectors and a ranking."""
    put_out = n8n("n8n-workflow.json")
    [[config], [embedded], [ranked]] = (put_out[name]["main"][0] for name in ("Config", "Embed", "Rerank"))
    assert config["json"]["status"] == "healthy"
    assert [len(vector) for vector in embedded["json"]["embeddings"]] == [384, 384]
    assert ranked["json"]["ranked"][0]["doc"] == "You get 20 vacation days per year"


def test_ai_nodes(n8n: Callable[[str], Nodes], url: str) -> None:
    """n8n's node for OpenAI's embeddings fills its vector store and asks it; its vectors are the gateway's."""
    put_out = n8n("n8n-ai-workflow.json")
    first, second = (item["json"] for item in put_out["Ask"]["main"][0])
    assert first["document"]["pageContent"].startswith("You get 20 vacation days")
    assert first["score"] > second["score"]
    [embeddings_item] = put_out["Embeddings"]["ai_embedding"][0]
    texts = [item["json"]["pageContent"] for item in put_out["Store"]["main"][0]]
    answer = httpx.post(f"{url}/v1/embeddings", json={"input": texts}, trust_env=False).json()
    expected = [item["embedding"] for item in answer["data"]]
    for vector, other in zip(embeddings_item["json"]["response"], expected, strict=True):
        assert vector == pytest.approx(other, abs=1e-5)
