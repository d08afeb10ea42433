"""Keys by their hashes: who may do what, how often, and that none is written anywhere."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import httpx
import pytest

from bench import paths
from tests.support.gateways import Gateway, describe
from tests.system.security.conftest import Start

DOCUMENT = {"documents": [{"id": "a", "text": "a text"}]}

pytestmark = pytest.mark.gateway("pseudo")


def new_key(file: Path, name: str, *options: str) -> str:
    """Make a key as an operator would, its entry at the end of the file; the key."""
    command = [sys.executable, "-m", "gateways.admin", "new-key", name, *options]
    made = subprocess.run(command, cwd=paths.ROOT, check=True, capture_output=True, text=True)  # noqa: S603
    with file.open("a") as keys:
        keys.write(made.stdout)
    return made.stderr.split()[-1]


@pytest.fixture
def keys(tmp_path: Path) -> Path:
    """Return the file of keys, without any."""
    file = tmp_path / "keys.yaml"
    file.write_text("keys:\n")
    return file


def calls(gateway: Gateway, key: str | None) -> dict[str, int]:
    """Do one thing of each kind; the status of each."""
    headers = {"Authorization": f"Bearer {key}"} if key else {}
    with gateway.client(headers=headers) as http:
        return {
            "search": http.post("/v1/search", json={"query": "a text"}).status_code,
            "models": http.get("/v1/models").status_code,
            "ingest": http.post("/v1/ingest", json=DOCUMENT).status_code,
            "delete": http.delete("/v1/documents/nothing").status_code,
            "put": http.put("/v1/collections/books", json={"top_k": 3}).status_code,
            "metrics": http.get("/metrics").status_code,
            "docs": http.get("/docs").status_code,
            "health": http.get("/healthz").status_code,
        }


def test_a_key_does_what_its_scopes_say(start: Start, keys: Path) -> None:
    """401 without one, 403 beyond its scopes, and no key stands in the log or in an answer."""
    reader, writer = new_key(keys, "reader"), new_key(keys, "writer", "--scopes", "read,write")
    admin = new_key(keys, "admin", "--scopes", "read,write,admin")
    gateway = start(API_KEYS_FILE=str(keys), METRICS_ACCESS="key", LOG_LEVEL="debug")

    statuses = {name: calls(gateway, key) for name, key in [("", None), ("r", reader), ("w", writer), ("a", admin)]}

    assert set(statuses[""].values()) == {401, 200}
    assert statuses[""]["health"] == 200
    assert statuses["r"] | {"docs": 200} == {
        **{"search": 200, "models": 200, "ingest": 403, "delete": 403, "put": 403},
        **{"metrics": 403, "docs": 200, "health": 200},
    }
    assert (statuses["w"]["ingest"], statuses["w"]["delete"], statuses["w"]["put"], statuses["w"]["metrics"]) == (
        202,
        404,
        403,
        403,
    )
    assert (statuses["a"]["ingest"], statuses["a"]["put"], statuses["a"]["metrics"]) == (202, 201, 200)
    config = httpx.get(f"{gateway.url}/v1/config", headers={"Authorization": f"Bearer {admin}"}, trust_env=False).text
    for key in (reader, writer, admin):
        assert key not in gateway.front.log() + config + keys.read_text()


def test_a_key_has_its_limits(start: Start, keys: Path) -> None:
    """So many requests a minute, so many a day; beyond: 429, with the time until there is another one."""
    minute, day = new_key(keys, "m", "--requests-per-minute", "3"), new_key(keys, "d", "--requests-per-day", "2")
    gateway = start(API_KEYS_FILE=str(keys))

    def models_response(key: str) -> httpx.Response:
        return httpx.get(f"{gateway.url}/v1/models", headers={"Authorization": f"Bearer {key}"}, trust_env=False)

    by_minute, by_day = [models_response(minute) for _ in range(5)], [models_response(day) for _ in range(4)]

    assert [answer.status_code for answer in by_minute] == [200, 200, 200, 429, 429]
    assert [answer.status_code for answer in by_day] == [200, 200, 429, 429]
    assert 1 <= int(by_minute[-1].headers["retry-after"]) <= 20
    assert 1 <= int(by_day[-1].headers["retry-after"]) <= 86_400
    assert by_day[-1].json()["error"]["code"] == "rate_limit_exceeded"


def test_what_is_closed_is_not_there(start: Start) -> None:
    """METRICS_ACCESS and DOCS_ACCESS off: 404, like any path that does not exist."""
    gateway = start(METRICS_ACCESS="off", DOCS_ACCESS="off")

    for path in ("/metrics", "/docs", "/openapi.json"):
        assert httpx.get(gateway.url + path, trust_env=False).status_code == 404


def test_pages_of_other_origins_are_let_in_by_name_only(start: Start) -> None:
    """No CORS header by default; with CORS_ORIGINS one for those origins."""
    closed, opened = start(), start(CORS_ORIGINS="https://docs.example")
    for gateway, origin, allowed in [
        (closed, "https://docs.example", None),
        (opened, "https://docs.example", "https://docs.example"),
        (opened, "https://other.example", None),
    ]:
        answer = httpx.get(f"{gateway.url}/v1/models", headers={"Origin": origin}, trust_env=False)
        assert answer.status_code == 200
        assert answer.headers.get("access-control-allow-origin") == allowed


@pytest.mark.parametrize(
    ("written", "said"),
    [
        ("keys:\n  - {name: a, sha256: secret-key-itself, scopes: [read]}\n", "keys.0.sha256"),
        ("keys:\n  - {name: a, sha256: " + "0" * 64 + ", scopes: [all]}\n", "keys.0.scopes.0"),
        ("keys: []\n", "keys"),
        ("keys: [}", "API_KEYS_FILE"),
    ],
)
def test_a_wrong_file_is_told_at_the_start(tmp_path: Path, written: str, said: str) -> None:
    """Where it is wrong, on one line, without what may be a key; and the process ends."""
    (tmp_path / "keys.yaml").write_text(written)
    gateway = describe("pseudo", tmp_path / "run", API_KEYS_FILE=str(tmp_path / "keys.yaml"))
    gateway.front.launch()
    assert gateway.front.popen is not None

    assert gateway.front.popen.wait(30) == 2
    assert said in gateway.front.log()
    assert "secret-key-itself" not in gateway.front.log()
