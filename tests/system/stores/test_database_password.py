"""The password of the database as compose hands it on, in characters that have a meaning in a URL."""

from __future__ import annotations

import sys
from pathlib import Path
from urllib.parse import urlsplit

import psycopg
import pytest
import yaml

from tests.support.gateways import ROOT, StartFailed, describe

ROLE, PASSWORD = "gateways_by_password", "p@ss/w:rd?#%41 &'\""


@pytest.fixture
def url(server: str) -> str:
    """Return compose's DATABASE_URL for the test's server, where this role is let in by password only."""
    with psycopg.connect(server, autocommit=True) as connection:
        row = connection.execute("SHOW hba_file").fetchone()
        assert row
        rules = Path(row[0])
        rules.write_text(f"local all {ROLE} scram-sha-256\n{rules.read_text()}")
        connection.execute(f"DROP ROLE IF EXISTS {ROLE}")
        connection.execute(
            psycopg.sql.SQL("CREATE ROLE {} SUPERUSER LOGIN PASSWORD {}").format(
                psycopg.sql.Identifier(ROLE), psycopg.sql.Literal(PASSWORD)
            )
        )
        connection.execute("SELECT pg_reload_conf()")
        folder = connection.info.host
    service = yaml.safe_load((ROOT / "docker-compose.yml").read_text())["services"]["gateway-1"]
    written = urlsplit(service["environment"]["DATABASE_URL"])
    assert service["environment"]["PGPASSWORD"] == "${POSTGRES_PASSWORD:-}"
    assert written.password is None
    return f"{written.scheme}://{ROLE}@{written.path}?host={folder}"


@pytest.mark.gateway("pseudo")
def test_any_password_reaches_the_database(url: str, tmp_path: Path) -> None:
    """A gateway with it becomes ready. One without it does not start, so the server did ask."""
    shared = {"STORE": "qdrant", "JOBS": "postgres", "DATABASE_URL": url}
    without = describe("pseudo", tmp_path / "without", python=Path(sys.executable), **shared)
    with pytest.raises(StartFailed, match="password"):
        without.start()

    gateway = describe(
        "pseudo", tmp_path / "with", python=Path(sys.executable), PGPASSWORD=PASSWORD, **shared
    ).start()
    try:
        with gateway.client() as client:
            assert client.get("/v1/jobs").status_code == 200
    finally:
        codes = gateway.stop()
    assert not any(codes.values()), codes
