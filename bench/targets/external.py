"""External targets, which the harness did not start: a URL and a dialect instead of processes."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path
from urllib.parse import urlsplit

import httpx

from bench import dialects
from bench.errors import TargetError
from bench.targets import PRECISIONS, Target

NOTE = "not started by the harness: memory, CPU and pinning are unknown"
# The capabilities measured in each dialect. Documents are ingested into a target with search.
CAPABILITIES = {
    "openai": ("embeddings",),
    "tei": ("embeddings", "rerank"),
    "cohere": ("embeddings", "rerank"),
    "gateway": ("search", "embeddings", "rerank", "hybrid"),
}


def describe(
    url: str,
    dialect: str,
    name: str = "",
    model: str = "",
    other_model: str = "",
    precision: str = "fp32",
    key: str = "",
) -> Target:
    """
    Return the target at a URL, a peer. The default name is its host and port.

    Raises TargetError for an unknown dialect or precision, or a URL with more than scheme, host and port.
    """
    if dialect not in CAPABILITIES:
        raise TargetError(f"--dialect is one of {', '.join(CAPABILITIES)}, not {dialect!r}")
    if precision not in PRECISIONS:
        raise TargetError(f"--precision is one of {', '.join(PRECISIONS)}, not {precision!r}")
    address = _parse_address(url)
    netloc = urlsplit(address).netloc
    return Target(
        name=name or "-".join(re.findall(r"[\w.]+", netloc)),
        title=f"{name or netloc}, external ({dialect}, {precision})",
        dialect=dialect,
        precision=precision,
        capabilities=CAPABILITIES[dialect],
        roles=(),
        folder=Path(),
        peer=True,
        model=model,
        other_model=other_model,
        url=address,
        headers={"authorization": f"Bearer {key}"} if key else {},
        device="",
    )


def _parse_address(url: str) -> str:
    """Return `scheme://host[:port]`; the dialect adds the paths. Raises TargetError for another URL."""
    parts = urlsplit(url)
    try:
        port = parts.port
    except ValueError as error:
        raise TargetError(f"--target {url}: {error}") from error
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise TargetError(f"--target takes http://host:port or https://host, not {url!r}")
    if parts.path.strip("/") or parts.query or parts.username:
        raise TargetError(f"--target {url}: scheme, host and port only; the paths are the dialect's")
    if parts.scheme == "https" and port not in (None, 443):
        raise TargetError(f"--target {url}: https is supported on port 443 only")
    return f"{parts.scheme}://{parts.netloc}"


def probe(target: Target) -> Target:
    """
    Return the target without the capability `rerank` if a test request for it fails.

    Raises TargetError if no server answers at the URL.
    """
    dialect = dialects.load(target.dialect, target.model)
    body = dialect.rerank_body("Who?", ["I.", "You."]) if "rerank" in target.capabilities else b""
    with httpx.Client(base_url=target.url, headers=target.headers, trust_env=False, timeout=60) as client:
        try:
            if not body:
                client.get(dialect.health_path)
                return target
            answer = client.post(dialect.path("rerank"), content=body, headers={"content-type": "application/json"})
        except httpx.TransportError as error:
            raise TargetError(f"--target {target.url}: nothing answers ({error}); is it started?") from error
    if answer.is_success:
        return target
    return replace(target, capabilities=tuple(name for name in target.capabilities if name != "rerank"))
