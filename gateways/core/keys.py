"""
Who may do what: keys by their hashes, with scopes and limits.

API_KEYS_FILE is YAML; `python -m scripts.new_key` makes an entry. A key is 256 random bits, so its SHA-256 says
nothing about it, and a slower hash would say no less.

    keys:
      - name: n8n
        sha256: 5e884898da28047151d0e56f8dc6292773603d0d6aabbdd62a11ef721d1542d8
        scopes: [read, write]
        requests_per_minute: 600
        requests_per_day: 100000
"""

from __future__ import annotations

import hashlib
import hmac
import math
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal, TypeAlias

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from gateways.core.errors import Forbidden, GatewayError, Overloaded, Unauthorized
from gateways.core.settings import Settings

Scope: TypeAlias = Literal["read", "write", "admin"]
SCOPES: tuple[Scope, ...] = ("read", "write", "admin")
DAY_S = 86_400


class Entry(BaseModel):
    """One key of the file."""

    model_config = ConfigDict(extra="forbid", defer_build=True)

    name: Annotated[str, Field(pattern=r"^[A-Za-z0-9._-]{1,64}$")]
    sha256: Annotated[str, Field(pattern="^[0-9a-f]{64}$")]
    scopes: list[Scope] = Field(min_length=1)
    requests_per_minute: int | None = Field(None, ge=1)
    requests_per_day: int | None = Field(None, ge=1)


class KeysFile(BaseModel):
    """The file."""

    model_config = ConfigDict(extra="forbid", defer_build=True)

    keys: list[Entry] = Field(min_length=1)


@dataclass(eq=False, slots=True)
class Key:
    """A key as known here; what is left of its limits is counted since this process began."""

    entry: Entry
    digest: bytes
    left: float
    left_at_s: float
    day: int = 0
    today: int = 0


class Keys:
    """All keys; with none, everyone may do everything."""

    def __init__(self, entries: Iterable[Entry]) -> None:
        self._keys = [
            Key(entry, bytes.fromhex(entry.sha256), float(entry.requests_per_minute or 0), time.monotonic())
            for entry in entries
        ]

    def __bool__(self) -> bool:
        """Whether a key is needed."""
        return bool(self._keys)

    def refusal(self, headers: Sequence[tuple[bytes, bytes]], scope: Scope) -> GatewayError | None:
        """Return why a request with these headers may not do what takes `scope`, None where it may."""
        sent = next((value for name, value in headers if name == b"authorization"), b"")
        key = self._known(hashlib.sha256(sent.removeprefix(b"Bearer ").strip()).digest())
        if key is None:
            return Unauthorized("this gateway needs a key: send the header Authorization: Bearer <key>")
        if scope not in key.entry.scopes:
            has = ", ".join(key.entry.scopes)
            return Forbidden(f"this takes a key of the scope {scope}; the key {key.entry.name} has {has}")
        return _over_day(key) or _over_minute(key)

    def _known(self, digest: bytes) -> Key | None:
        # All keys are compared, whichever fits: the time taken tells nothing.
        found = [key for key in self._keys if hmac.compare_digest(key.digest, digest)]
        return found[0] if found else None


def read_keys(settings: Settings) -> Keys:
    """Read API_KEYS and API_KEYS_FILE. Raises ValueError that says what is wrong with the file, and where."""
    given = [key.strip() for key in settings.api_keys.split(",") if key.strip()]
    entries = [
        Entry(name=f"API_KEYS.{at}", sha256=hashlib.sha256(key.encode()).hexdigest(), scopes=list(SCOPES))
        for at, key in enumerate(given)
    ]
    return Keys([*entries, *(_of_file(settings.api_keys_file) if settings.api_keys_file else [])])


def scope_of(method: str, path: str) -> Scope:
    """Return what a request takes: `admin` to change collections, `write` documents and jobs, `read` for all else."""
    if method == "PUT" or (method == "DELETE" and "/collections/" in path):
        return "admin"
    return "write" if method == "DELETE" or path.endswith("/ingest") else "read"


def _of_file(path: Path) -> list[Entry]:
    import yaml  # most have no such file

    try:
        entries = KeysFile.model_validate(yaml.safe_load(path.read_text())).keys
    except (OSError, yaml.YAMLError) as error:
        raise ValueError(f"API_KEYS_FILE={path}: {error}") from None
    except ValidationError as error:
        # Without the input: it might be a key that somebody wrote where its hash belongs.
        wrong = "; ".join(f"{'.'.join(map(str, one['loc']))}: {one['msg']}" for one in error.errors())
        raise ValueError(f"API_KEYS_FILE={path}: {wrong}") from None
    for field in ("name", "sha256"):
        values = [getattr(entry, field) for entry in entries]
        if twice := next((value for value in values if values.count(value) > 1), None):
            raise ValueError(f"API_KEYS_FILE={path}: two keys have the {field} {twice}")
    return entries


def _over_minute(key: Key) -> Overloaded | None:
    """Take one of the requests that a minute has: as many at once, at most, and as many a minute from then on."""
    if not (most := key.entry.requests_per_minute):
        return None
    now_s = time.monotonic()
    key.left = min(most, key.left + (now_s - key.left_at_s) * most / 60)
    key.left_at_s = now_s
    if key.left < 1:
        wait_s = math.ceil((1 - key.left) * 60 / most)
        return _limited(f"the key {key.entry.name} has {most} requests a minute", wait_s)
    key.left -= 1
    return None


def _over_day(key: Key) -> Overloaded | None:
    """Count one of the requests that a day, by UTC, has."""
    if not (most := key.entry.requests_per_day):
        return None
    day, into_s = divmod(time.time(), DAY_S)
    if day != key.day:
        key.day, key.today = int(day), 0
    if key.today >= most:
        return _limited(f"the key {key.entry.name} has {most} requests a day, by UTC", math.ceil(DAY_S - into_s))
    key.today += 1
    return None


def _limited(said: str, wait_s: int) -> Overloaded:
    return Overloaded(f"{said}; they are used up", code="rate_limit_exceeded", retry_after_s=max(1, wait_s))
