"""A wall clock that jumps under a running gateway, an hour ahead or back. Leases and deadlines do not follow it."""

from __future__ import annotations

import hashlib
import sys
import time
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path

import httpx
import pytest

from gateways.admin.snapshot import restore
from tests.support.gateways import Gateway, describe
from tests.support.ingest_client import Client, client_of
from tests.support.wall_clock import WallClock
from tests.system.faults.test_kill import numbered

pytestmark = [
    pytest.mark.gateway("pseudo"),
    pytest.mark.program("cc"),
    pytest.mark.parametrize("jump_s", [3_600.0, -3_600.0], ids=["ahead", "back"]),
]

# Between the clock of the gateway and that of the test, on a busy machine.
TOLERANCE_S = 120.0
DEADLINE = {"X-Request-Timeout-Ms": "30000"}


@pytest.fixture
def clock(tmp_path: Path) -> WallClock:
    """Return a clock that has not jumped yet."""
    return WallClock(tmp_path)


@pytest.fixture
def gateway(tmp_path: Path, clock: WallClock) -> Iterator[Gateway]:
    """Yield a gateway with this clock, and with a key file in its folder, started."""
    described = describe("pseudo", tmp_path / "gateway", FLUSH_EVERY_S="0.1")
    clock.give_to(described)
    try:
        yield described.start()
    finally:
        described.kill()


def test_nothing_acknowledged_is_lost(gateway: Gateway, clock: WallClock, jump_s: float, tmp_path: Path) -> None:
    """Jobs at work complete, later ones too, in the order of acceptance. Kill -9 and a snapshot keep all."""
    texts = numbered(300)
    with client_of(gateway) as client:
        jobs = client.submit(texts)
        clock.jump(jump_s)
        texts |= numbered(300, "later")
        jobs += client.submit({name: texts[name] for name in texts if name.startswith("later")})
        client.completed(jobs)
        _require_jump(client, jobs[-1], jump_s)
        listed = client.http.get("/v1/jobs").json()["data"]
        assert [job["job_id"] for job in reversed(listed)] == jobs
        assert client.http.delete("/v1/documents/d-7").status_code == 200
        del texts["d-7"]
        file = tmp_path / "snapshot.tar.gz"
        file.write_bytes(client.http.post("/v1/snapshot").content)

    gateway.front.kill()
    gateway.front.start()
    with client_of(gateway) as client:
        client.holds_exactly(texts)

    gateway.front.kill()
    restored = tmp_path / "restored"
    restore(restored, file)
    gateway.front.environ["DATA_DIR"] = str(restored)
    gateway.front.start()
    with client_of(gateway) as client:
        client.holds_exactly(texts)


def test_deadlines_probes_and_keys_do_not_follow(gateway: Gateway, clock: WallClock, jump_s: float) -> None:
    """A request has its whole time, health is well, and an Idempotency-Key finds its job, before a kill and after."""
    body = {"documents": [{"id": "a", "text": "only once"}]}
    with client_of(gateway) as client:
        first = client.http.post("/v1/ingest", json=body, headers={"Idempotency-Key": "k"}).json()
        client.completed([first["job_id"]])
        clock.jump(jump_s)
        _require_well(client.http)
        assert client.http.post("/v1/ingest", json=body, headers={"Idempotency-Key": "k"}).json() == {
            **client.job(first["job_id"])
        }
    gateway.front.kill()
    gateway.front.start()
    with client_of(gateway) as client:
        again = client.http.post("/v1/ingest", json=body, headers={"Idempotency-Key": "k"}).json()
        assert again["job_id"] == first["job_id"]
        _require_well(client.http)
        client.holds_exactly({"a": "only once"})


def test_retry_after_does_not_follow(clock: WallClock, jump_s: float, tmp_path: Path) -> None:
    """The limit of a key per minute holds across the jump, and tells to wait for seconds, not for an hour."""
    keys = tmp_path / "keys.yaml"
    digest = hashlib.sha256(b"secret").hexdigest()
    keys.write_text(f"keys:\n- name: limited\n  sha256: {digest}\n  scopes: [read]\n  requests_per_minute: 2\n")
    gateway = describe("pseudo", tmp_path / "gateway", API_KEYS_FILE=str(keys))
    clock.give_to(gateway)
    try:
        gateway.start()
        with gateway.client(headers={"Authorization": "Bearer secret"}) as http:
            before = [http.post("/v1/search", json={"query": "a"}) for _ in range(3)]
            clock.jump(jump_s)
            after = http.post("/v1/search", json={"query": "a"})
    finally:
        gateway.kill()

    assert [answer.status_code for answer in before] == [200, 200, 429]
    # A machine that is very busy lets the next one in, after half a minute.
    assert after.status_code in {200, 429}
    assert 1 <= int(before[-1].headers["retry-after"]) <= 60
    assert after.status_code == 200 or 1 <= int(after.headers["retry-after"]) <= 60


def test_leases_do_not_follow(clock: WallClock, jump_s: float, tmp_path: Path, database_url: str) -> None:
    """The clock of one of two gateways jumps: no job is taken from the living, and that of a dead one goes on."""
    settings = {
        "STORE": "pgvector",
        "JOBS": "postgres",
        "DATABASE_URL": database_url,
        "FLUSH_EVERY_S": "0.1",
        "JOB_LEASE_S": "1",
    }
    python = Path(sys.executable)  # with psycopg
    pair = [describe("pseudo", tmp_path / name, python=python, **settings) for name in ("jumps", "stays")]
    jumping, staying = pair
    clock.give_to(jumping)
    texts = numbered(300)
    try:
        for gateway in pair:
            gateway.start()
        with client_of(jumping) as client:
            jobs = client.submit(texts)
            clock.jump(jump_s)
            jobs += client.submit(later := numbered(300, "later"))
            _require_jump(client, jobs[-1], jump_s)
        jumping.front.kill()
        with client_of(staying) as client:
            client.completed(jobs)
            client.holds_exactly(texts | later)
    finally:
        for gateway in pair:
            gateway.kill()


def _require_jump(client: Client, job_id: str, jump_s: float) -> None:
    """Require that the gateway gave a job the time of the clock that jumped."""
    created = datetime.fromisoformat(client.job(job_id)["created_at"]).timestamp()
    assert abs(created - time.time() - jump_s) < TOLERANCE_S


def _require_well(http: httpx.Client) -> None:
    """Require that probes answer 200, and that a search with a deadline is not late."""
    assert http.get("/healthz").json()["status"] == "ok"
    assert http.get("/readyz").status_code == 200
    answer = http.post("/v1/search", json={"query": "only once"}, headers=DEADLINE)
    assert answer.status_code == 200, answer.text
