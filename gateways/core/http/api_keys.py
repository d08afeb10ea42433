"""
API keys: authentication by SHA-256 hash, authorization by scopes and collections, and rate limits per key.

API_KEYS_FILE is YAML, and `gateways.admin new-key` makes an entry. A fast hash is enough, because a key is 256 random
bits and cannot be guessed from its hash.

    keys:
      - name: n8n
        sha256: 8411585bac9a45c65c782cc022a74217c913b32012211fbf58a0e040b49c5e0e
        scopes: [read, write]
        collections: [handbook, n8n-*]
        requests_per_minute: 600
        requests_per_day: 100000
"""

from __future__ import annotations

import hashlib
import hmac
import math
import time
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Annotated, Literal, TypeAlias

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from gateways.core.errors import Forbidden, GatewayError, Overloaded, Unauthorized
from gateways.core.settings import HttpSettings
from gateways.core.tenants import Tenant

Scope: TypeAlias = Literal["read", "write", "admin"]
SCOPES: tuple[Scope, ...] = ("read", "write", "admin")
MINUTE_S, DAY_S = 60, 86_400
# The name of a collection, or its beginning and a star.
COLLECTION_PATTERN = r"^[A-Za-z0-9_-]{1,64}$|^[A-Za-z0-9_-]{0,63}\*$"
_PLAIN = "API_KEYS."


class Entry(BaseModel):
    """One key of the file."""

    model_config = ConfigDict(extra="forbid", defer_build=True)

    name: Annotated[str, Field(pattern=r"^[A-Za-z0-9._-]{1,64}$")]
    sha256: Annotated[str, Field(pattern="^[0-9a-f]{64}$")]
    scopes: list[Scope] = Field(min_length=1)
    collections: list[Annotated[str, Field(pattern=COLLECTION_PATTERN)]] | None = Field(None, min_length=1)
    requests_per_minute: int | None = Field(None, ge=1)
    requests_per_day: int | None = Field(None, ge=1)


class KeysFile(BaseModel):
    """The file."""

    model_config = ConfigDict(extra="forbid", defer_build=True)

    keys: list[Entry] = Field(min_length=1)


class TokenBucket:
    """A limit per minute: `capacity` requests at once, refilled evenly by `capacity` per minute."""

    def __init__(self, capacity: int, now_s: float) -> None:
        self.capacity = capacity
        self._tokens = float(capacity)
        self._refilled_s = now_s

    def take(self, now_s: float) -> float:
        """Take a token. Returns 0.0, or the seconds until there is one."""
        refill = (now_s - self._refilled_s) * self.capacity / MINUTE_S
        self._tokens = min(self.capacity, self._tokens + refill)
        self._refilled_s = now_s
        if self._tokens < 1:
            return (1 - self._tokens) * MINUTE_S / self.capacity
        self._tokens -= 1
        return 0.0

    def spend(self, tokens: int) -> None:
        """Take tokens that another process has given away, at most the capacity more than there are."""
        self._tokens = max(-float(self.capacity), self._tokens - tokens)


class DayCounter:
    """A limit per day by UTC, counted from the start of this process, or over all processes that share a database."""

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self._day = 0
        self._count = 0

    def wait_s(self, unix_s: float) -> float:
        """Return 0.0, or the seconds until the next day if the limit is reached. A clock set back begins no day."""
        if (day := int(unix_s // DAY_S)) > self._day:
            self._day, self._count = day, 0
        return (self._day + 1) * DAY_S - unix_s if self._count >= self.limit else 0.0

    def count(self) -> None:
        """Count a request that is let in."""
        self._count += 1

    def learn(self, day: int, count: int) -> None:
        """Replace the count of a day, in days since 1970, by that over all processes."""
        if day >= self._day:
            self._day, self._count = day, count


class Key:
    """A key and what is left of its limits."""

    def __init__(self, entry: Entry, now_s: float) -> None:
        self.name = entry.name
        self.scopes = entry.scopes
        self.digest = bytes.fromhex(entry.sha256)
        names = None if entry.collections is None else tuple(entry.collections)
        # Keys of API_KEYS are one tenant: they have no names that stay the same.
        self.tenant = None if entry.name.startswith(_PLAIN) else Tenant(entry.name, names)
        self._minute = TokenBucket(entry.requests_per_minute, now_s) if entry.requests_per_minute else None
        self._day = DayCounter(entry.requests_per_day) if entry.requests_per_day else None
        self._untold = 0  # requests that other processes do not know of yet

    def charge(self, now_s: float, unix_s: float) -> Overloaded | None:
        """Charge a request to both limits. Returns the 429 if one is reached, with the seconds to wait."""
        if self._day and (wait_s := self._day.wait_s(unix_s)):
            return _rate_limited(f"the key {self.name} has {self._day.limit} requests a day, by UTC", wait_s)
        if self._minute and (wait_s := self._minute.take(now_s)):
            return _rate_limited(f"the key {self.name} has {self._minute.capacity} requests a minute", wait_s)
        if self._day:
            self._day.count()
        self._untold += 1
        return None

    def rate_limited(self) -> bool:
        """Return whether the key has a limit."""
        return bool(self._minute or self._day)

    def take_count(self) -> int:
        """Return the requests that were let in since the last call."""
        count, self._untold = self._untold, 0
        return count

    def give_back(self, count: int) -> None:
        """Count requests for the next `take_count`: the others could not be told of them."""
        self._untold += count

    def charge_others(self, requests: int, day: int, today: int) -> None:
        """Charge requests that other processes have let in. `today` are those of all processes on `day`."""
        if self._minute:
            self._minute.spend(requests)
        if self._day:
            self._day.learn(day, today + self._untold)


class Keys:
    """All keys of a process. Without any, every request has every scope."""

    def __init__(
        self,
        entries: Iterable[Entry],
        monotonic_s: Callable[[], float] = time.monotonic,
        unix_s: Callable[[], float] = time.time,
    ) -> None:
        self._monotonic_s = monotonic_s
        self._unix_s = unix_s
        self._keys = [Key(entry, monotonic_s()) for entry in entries]

    def __bool__(self) -> bool:
        """Return whether a request needs a key."""
        return bool(self._keys)

    def authorize(self, headers: Sequence[tuple[bytes, bytes]], scope: Scope) -> Key | GatewayError:
        """Charge a request to its key, and return the key, or the 401, 403 or 429 of a request without the right."""
        sent = next((value for name, value in headers if name == b"authorization"), b"")
        scheme, _, rest = sent.partition(b" ")
        secret = rest if scheme.lower() == b"bearer" else sent
        key = self._find(hashlib.sha256(secret.strip()).digest())
        if key is None:
            return Unauthorized(_explain(sent, headers))
        if scope not in key.scopes:
            scopes = ", ".join(key.scopes)
            return Forbidden(f"this takes a key of the scope {scope}; the key {key.name} has {scopes}")
        return key.charge(self._monotonic_s(), self._unix_s()) or key

    def limited(self) -> bool:
        """Return whether a key is limited to collections."""
        return any(key.tenant and key.tenant.collections is not None for key in self._keys)

    def rate_limited(self) -> Sequence[Key]:
        """Return the keys that have a rate limit."""
        return [key for key in self._keys if key.rate_limited()]

    def _find(self, digest: bytes) -> Key | None:
        # Every key is compared, so that the time taken does not tell which one matches.
        matches = [key for key in self._keys if hmac.compare_digest(key.digest, digest)]
        return matches[0] if matches else None


def read_keys(settings: HttpSettings) -> Keys:
    """Return the keys of API_KEYS and API_KEYS_FILE. Raises ValueError that names the fault and its place."""
    plain = [key.strip() for key in settings.api_keys.split(",") if key.strip()]
    entries = [
        Entry(name=f"{_PLAIN}{at}", sha256=hashlib.sha256(key.encode()).hexdigest(), scopes=list(SCOPES))
        for at, key in enumerate(plain)
    ]
    return Keys([*entries, *(_read_file(settings.api_keys_file) if settings.api_keys_file else [])])


def required_scope(method: str, path: str) -> Scope:
    """
    Return the scope of a route: `write` changes documents and jobs, `read` is the rest.

    `admin` changes collections, and takes all data away in a snapshot. `path` is the template of the route, such as
    `/v1/jobs/{job_id}`, empty where there is none.
    """
    if path == "/v1/snapshot":
        return "admin"
    if method == "PUT" or (method == "DELETE" and "/collections/" in path):
        return "admin"
    writes = method == "POST" and (path == "/v1/ingest" or path.startswith("/v1/jobs/"))
    return "write" if writes or method == "DELETE" else "read"


def _read_file(path: Path) -> list[Entry]:
    import yaml  # imported here: most processes have no such file

    try:
        entries = KeysFile.model_validate(yaml.safe_load(path.read_text())).keys
    except (OSError, yaml.YAMLError) as error:
        raise ValueError(f"API_KEYS_FILE={path}: {error}") from None
    except ValidationError as error:
        # Without the input, which may be a key that somebody wrote in place of its hash.
        faults = "; ".join(f"{'.'.join(map(str, fault['loc']))}: {fault['msg']}" for fault in error.errors())
        raise ValueError(f"API_KEYS_FILE={path}: {faults}") from None
    for field in ("name", "sha256"):
        values = [getattr(entry, field) for entry in entries]
        if twice := next((value for value in values if values.count(value) > 1), None):
            raise ValueError(f"API_KEYS_FILE={path}: two keys have the {field} {twice}")
    return entries


def _explain(sent: bytes, headers: Sequence[tuple[bytes, bytes]]) -> str:
    """Return why a request is not let in, for the header that it has."""
    right = "send the header Authorization: Bearer <key>"
    if not sent:
        other = next((name for name, _ in headers if name in (b"x-api-key", b"api-key")), b"").decode()
        hint = f" ({other} is not read)" if other else ""
        return f"This gateway needs a key: {right}{hint}."
    scheme = sent.partition(b" ")[0]
    if scheme.lower() != b"bearer" and b" " in sent:
        return f"Authorization has the scheme {scheme[:20].decode('latin-1')!r}; {right}."
    return f"This key is not known here; {right} with one that is."


def _rate_limited(limit: str, wait_s: float) -> Overloaded:
    retry_after_s = max(1, math.ceil(wait_s))
    return Overloaded(f"{limit}; they are used up", code="rate_limit_exceeded", retry_after_s=retry_after_s)
