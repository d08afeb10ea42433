"""
The published study's shortcut, put before any gateway: an empty index is answered before anything is embedded.

`python -m bench.early_return PORT URL`. Everything else, and every search after the first ingest, is the gateway's.
"""

from __future__ import annotations

import sys
from dataclasses import replace

import uvloop

from bench import relay
from bench.relay import Answer, Reply, Request
from bench.targets import Role, Target

NOTHING = Reply(200, b'{"results":[],"took_ms":0.0}')


class EarlyReturn:
    """Answers searches itself for as long as nobody has ingested a document through it."""

    def __init__(self, gateway: Answer) -> None:
        self._gateway = gateway
        self._empty = True

    async def __call__(self, request: Request) -> Reply:
        """Nothing found, at once; or what the gateway says."""
        if request.path == "/v1/ingest":
            self._empty = False
        if request.path == "/v1/search" and self._empty:
            return NOTHING
        return await self._gateway(request)


def before(target: Target) -> Target:
    """The target with the shortcut as its front door; its own processes run, ready and unasked."""
    argv = (sys.executable, "-m", "bench.early_return", "{port}", f"{{role.{target.front.name}.url}}")
    return replace(target, roles=(*target.roles, Role("early_return", "", argv, target.front.ready)))


if __name__ == "__main__":
    uvloop.run(relay.serve(int(sys.argv[1]), EarlyReturn(relay.Upstream(sys.argv[2]))))
