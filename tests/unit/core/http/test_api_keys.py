"""API keys with a clock that the test sets: limits per minute and per day, scopes, unknown keys."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

import pytest

from gateways.core.errors import Forbidden, GatewayError, Overloaded, Unauthorized
from gateways.core.http.api_keys import DAY_S, SCOPES, Entry, Keys, Scope, required_scope

KEY, OTHER_KEY = "a-key", "another-key"
# 30 requests a minute: one every 2 s.
PER_MINUTE, REFILL_S = 30, 2
NOON_S = 20_000 * DAY_S + DAY_S / 2


@dataclass
class Clock:
    """The time of a test. Both clocks of a process move together."""

    passed_s: float = 0.0

    def monotonic_s(self) -> float:
        """Return seconds from an arbitrary moment."""
        return 1_000.0 + self.passed_s

    def unix_s(self) -> float:
        """Return seconds since the epoch. The test starts at noon by UTC."""
        return NOON_S + self.passed_s


def entry(
    name: str = "n8n",
    key: str = KEY,
    scopes: tuple[Scope, ...] = SCOPES,
    minute: int | None = None,
    day: int | None = None,
) -> Entry:
    """Return the entry of a key."""
    digest = hashlib.sha256(key.encode()).hexdigest()
    return Entry(name=name, sha256=digest, scopes=list(scopes), requests_per_minute=minute, requests_per_day=day)


def keys_of(clock: Clock, *entries: Entry) -> Keys:
    """Return the keys of a process that runs by `clock`."""
    return Keys(entries, clock.monotonic_s, clock.unix_s)


def refusal(keys: Keys, key: str = KEY, scope: Scope = "read") -> GatewayError | None:
    """Send a request with a key."""
    answer = keys.authorize([(b"host", b"localhost"), (b"authorization", f"Bearer {key}".encode())], scope)
    return answer if isinstance(answer, GatewayError) else None


def served(keys: Keys, requests: int) -> int:
    """Send requests. Returns the number that are served."""
    return sum(refusal(keys) is None for _ in range(requests))


def wait_s(keys: Keys) -> int:
    """Send a request over the limit. Returns its Retry-After in seconds."""
    error = refusal(keys)
    assert isinstance(error, Overloaded)
    assert error.code == "rate_limit_exceeded"
    return int(error.headers()["Retry-After"])


def test_a_burst_is_capped_at_the_requests_of_a_minute() -> None:
    """No more than `requests_per_minute` at once, however long the key was idle before."""
    clock = Clock()
    keys = keys_of(clock, entry(minute=PER_MINUTE))
    clock.passed_s = 3_600

    assert served(keys, 2 * PER_MINUTE) == PER_MINUTE


def test_a_bucket_is_refilled_evenly_over_a_minute() -> None:
    """One request every 60 / `requests_per_minute` seconds, and the 429 says when: not earlier, not later."""
    clock = Clock()
    keys = keys_of(clock, entry(minute=PER_MINUTE))
    assert served(keys, PER_MINUTE) == PER_MINUTE

    assert wait_s(keys) == REFILL_S
    clock.passed_s += REFILL_S - 0.01
    assert refusal(keys) is not None
    clock.passed_s += 0.02
    assert served(keys, 5) == 1
    clock.passed_s += 10 * REFILL_S
    assert served(keys, PER_MINUTE) == 10


@pytest.mark.parametrize(("passed_s", "retry_after_s"), [(0, 6), (0.5, 6), (3, 3), (5.9, 1)])
def test_retry_after_is_the_rest_of_the_time_until_the_next_request(passed_s: float, retry_after_s: int) -> None:
    """In whole seconds, rounded up; of a key with 10 requests a minute."""
    clock = Clock()
    keys = keys_of(clock, entry(minute=10))
    served(keys, 10)
    clock.passed_s += passed_s

    assert wait_s(keys) == retry_after_s


def test_a_minute_refills_a_bucket_whole() -> None:
    """As many again after a minute, and no more."""
    clock = Clock()
    keys = keys_of(clock, entry(minute=PER_MINUTE))
    served(keys, PER_MINUTE)
    clock.passed_s += 60.01

    assert served(keys, 2 * PER_MINUTE) == PER_MINUTE


def test_a_refused_request_takes_nothing_from_the_bucket() -> None:
    """A client that keeps on asking is served as soon as one that waits."""
    clock = Clock()
    keys = keys_of(clock, entry(minute=PER_MINUTE))
    served(keys, PER_MINUTE)
    for _ in range(9):
        clock.passed_s += REFILL_S / 10
        assert refusal(keys) is not None
    clock.passed_s += REFILL_S / 10 + 0.01

    assert refusal(keys) is None


def test_a_count_of_the_day_resets_at_midnight_by_utc() -> None:
    """Not 24 hours after the first request; until then the 429 says how long."""
    clock = Clock()
    keys = keys_of(clock, entry(day=3))
    assert served(keys, 5) == 3

    assert wait_s(keys) == DAY_S / 2
    clock.passed_s = DAY_S / 2 - 1
    assert wait_s(keys) == 1
    clock.passed_s = DAY_S / 2
    assert served(keys, 5) == 3


def test_each_key_has_limits_of_its_own() -> None:
    """One key that is used up leaves the other alone, and no limit means no limit."""
    clock = Clock()
    keys = keys_of(clock, entry(minute=1), entry("other", OTHER_KEY))
    served(keys, 2)

    assert refusal(keys) is not None
    assert all(refusal(keys, OTHER_KEY) is None for _ in range(1_000))


@pytest.mark.parametrize("has", SCOPES)
@pytest.mark.parametrize("needs", SCOPES)
def test_a_scope_grants_itself_only(has: Scope, needs: Scope) -> None:
    """Another one is a 403 that names both, and is not charged to the limits."""
    keys = keys_of(Clock(), entry(scopes=(has,), day=1))

    error = refusal(keys, scope=needs)

    if has == needs:
        assert error is None
    else:
        assert isinstance(error, Forbidden)
        assert f"scope {needs}; the key n8n has {has}" in error.message
        assert refusal(keys, scope=has) is None


@pytest.mark.parametrize("header", [b"", b"Bearer", b"Bearer unknown", b"a-ke", b"Bearer a-key2"])
def test_an_unknown_key_is_refused(header: bytes) -> None:
    """401 that says which header to send; so is a request without the header."""
    keys = keys_of(Clock(), entry())

    for headers in ([(b"authorization", header)], []):
        error = keys.authorize(headers, "read")
        assert isinstance(error, Unauthorized)
        assert "Authorization: Bearer <key>" in error.message


def test_the_second_key_is_known_as_well_as_the_first() -> None:
    """Each of a file's keys is compared."""
    keys = keys_of(Clock(), entry(), entry("other", OTHER_KEY, ("write",)))

    assert refusal(keys) is None
    assert refusal(keys, OTHER_KEY, "write") is None
    assert isinstance(refusal(keys, OTHER_KEY, "read"), Forbidden)


def test_what_the_minute_refuses_is_not_taken_from_the_day() -> None:
    """A client that asks too often has all requests of its day left."""
    clock = Clock()
    keys = keys_of(clock, entry(minute=1, day=3))
    assert served(keys, 50) == 1
    for _ in range(2):
        clock.passed_s += 60
        assert served(keys, 50) == 1
    clock.passed_s += 60
    assert served(keys, 50) == 0


def test_a_clock_that_is_set_back_begins_no_day() -> None:
    """The requests of a day are not given a second time, and the wait is that of the day that was counted."""
    clock = Clock()
    keys = keys_of(clock, entry(day=2))
    assert served(keys, 2) == 2
    clock.passed_s -= DAY_S
    assert served(keys, 2) == 0
    assert wait_s(keys) == DAY_S / 2 + DAY_S
    clock.passed_s += 2 * DAY_S
    assert served(keys, 5) == 2


@pytest.mark.parametrize(
    ("method", "path", "scope"),
    [
        ("POST", "/v1/search", "read"),
        ("GET", "/v1/collections", "read"),
        ("POST", "/v1/ingest", "write"),
        ("DELETE", "/v1/jobs/{job_id}", "write"),
        ("POST", "/v1/jobs/{job_id}/retry", "write"),
        ("GET", "/v1/jobs/{job_id}", "read"),
        ("GET", "/v1/documents/{document_id:path}", "read"),
        ("DELETE", "/v1/documents/{document_id:path}", "write"),
        ("PUT", "/v1/collections/{name}", "admin"),
        ("DELETE", "/v1/collections/{name}", "admin"),
        ("POST", "/v1/snapshot", "admin"),
    ],
)
def test_a_route_needs_the_scope_of_what_it_changes(method: str, path: str, scope: Scope) -> None:
    """`admin` for collections, `write` for documents and jobs, `read` for all that changes nothing."""
    assert required_scope(method, path) == scope
