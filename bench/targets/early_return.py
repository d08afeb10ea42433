"""
A proxy with the published study's shortcut: it answers searches of an empty index before anything is embedded.

`python -m bench.targets.early_return PORT URL`. The gateway at URL answers all other requests, and searches after the
first ingest.
"""

from __future__ import annotations

import sys
from dataclasses import replace

import uvloop

from bench.targets import Role, Target, relay
from bench.targets.relay import Answer, Reply, Request

NOTHING = Reply(200, b'{"results":[],"took_ms":0.0}')


class EarlyReturn:
    """Answers searches itself until a document is ingested through it."""

    def __init__(self, gateway: Answer) -> None:
        self._gateway = gateway
        self._empty = True

    async def __call__(self, request: Request) -> Reply:
        """Return an empty result for a search of an empty index, else the gateway's answer."""
        if request.path == "/v1/ingest":
            self._empty = False
        if request.path == "/v1/search" and self._empty:
            return NOTHING
        return await self._gateway(request)


def before(target: Target) -> Target:
    """Return the target with the shortcut in front. Its own processes start, and receive no searches."""
    argv = (sys.executable, "-m", "bench.targets.early_return", "{port}", f"{{role.{target.front.name}.url}}")
    return replace(target, roles=(*target.roles, Role("early_return", "", argv, target.front.ready)))


if __name__ == "__main__":
    uvloop.run(relay.serve(int(sys.argv[1]), EarlyReturn(relay.Upstream(sys.argv[2]))))
