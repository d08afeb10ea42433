"""Rate limits of keys hold over gateways that share a database, and over restarts."""

from __future__ import annotations

import sys
import time
from pathlib import Path

import httpx

from tests.support.gateways import Gateway, wait_until
from tests.system.security.conftest import Start
from tests.system.security.test_keys import new_key

PYTHON = Path(sys.executable)
# The minute of the key: more than a gateway is asked for until it has heard of the other.
PER_MINUTE = 300


def share(file: Path, database_url: str) -> dict[str, str]:
    """Return the settings of gateways that share a database and the keys of a file."""
    return {"API_KEYS_FILE": str(file), "STORE": "pgvector", "JOBS": "postgres", "DATABASE_URL": database_url}


def make_key(file: Path, *limit: str) -> dict[str, str]:
    """Return the header of a new key with a limit."""
    file.write_text("keys:\n")
    return {"Authorization": f"Bearer {new_key(file, 'limited', '--scopes', 'read', *limit)}"}


def count_allowed(gateway: Gateway, headers: dict[str, str], most: int) -> int:
    """Return how many of up to `most` requests are let in before the first 429."""
    with gateway.client(headers=headers) as http:
        return next((number for number in range(most) if ask(http) == 429), most)


def ask(http: httpx.Client) -> int:
    """Return the status of a request that is charged."""
    return http.get("/v1/models").status_code


def test_a_limit_per_minute_holds_over_two_gateways(start: Start, database_url: str, tmp_path: Path) -> None:
    """A key that has used its minute at one gateway is refused by the other, which has let in far fewer."""
    headers = make_key(tmp_path / "keys.yaml", "--requests-per-minute", str(PER_MINUTE))
    settings = share(tmp_path / "keys.yaml", database_url)
    first, second = start(PYTHON, **settings), start(PYTHON, **settings)
    statuses: list[int] = []

    used = count_allowed(first, headers, 10 * PER_MINUTE)
    with second.client(headers=headers) as http:

        def refused() -> bool:
            time.sleep(0.05)  # a busy machine has time for the exchange of counts
            statuses.append(ask(http))
            return statuses[-1] == 429

        wait_until(refused, 30, "the second gateway to hear of the requests")

    assert used >= PER_MINUTE
    assert len(statuses) < PER_MINUTE / 2


def test_a_limit_per_day_outlives_a_restart(start: Start, database_url: str, tmp_path: Path) -> None:
    """A gateway that starts again learns what the key has used today."""
    headers = make_key(tmp_path / "keys.yaml", "--requests-per-day", "40")
    settings = share(tmp_path / "keys.yaml", database_url)
    gateway = start(PYTHON, **settings)

    used = count_allowed(gateway, headers, 50)
    gateway.stop()
    again = start(PYTHON, **settings)
    with again.client(headers=headers) as http:
        wait_until(lambda: ask(http) == 429, 30, "the new process to read the count")

    assert used == 40
    assert count_allowed(again, headers, 20) == 0
