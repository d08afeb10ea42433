"""
A proxy that breaks a gateway in one way: `python -m tests.support.breaking_proxy PORT URL FAULT=NUMBER ...`.

It runs as a further role of a target and is what the driver speaks to; the gateway behind it is real and counts its
own forward passes. Faults touch the routes that are timed and ingest; everything else is handed on.
"""

from __future__ import annotations

import asyncio
import os
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from itertools import count
from typing import Any

import orjson
import uvloop

from bench.targets import Role, Target, relay
from bench.targets.relay import Answer, Reply, Request

EMBEDDINGS, SEARCH, INGEST = "/v1/embeddings", "/v1/search", "/v1/ingest"
ASKED = (EMBEDDINGS, SEARCH)


def fail(gateway: Answer, every: float) -> Answer:
    """Every n-th request is a 500 and never reaches the gateway."""
    numbers = count(1)

    async def answer(request: Request) -> Reply:
        if next(numbers) % every == 0:
            return Reply(500, b'{"error":"planted"}')
        return await gateway(request)

    return answer


def stall(gateway: Answer, number: float) -> Answer:
    """With that request everything stands still, once, for one second."""
    numbers = count(1)

    async def answer(request: Request) -> Reply:
        if next(numbers) == number:
            time.sleep(1.0)  # noqa: ASYNC251  (no other request goes on either: that is the fault)
        return await gateway(request)

    return answer


def die(gateway: Answer, number: float) -> Answer:
    """With that request the process ends."""
    numbers = count(1)

    async def answer(request: Request) -> Reply:
        if next(numbers) == number:
            sys.stderr.write("planted death\n")
            os._exit(3)
        return await gateway(request)

    return answer


def queue(gateway: Answer, ms: float) -> Answer:
    """One request at a time, each for at least so many milliseconds: a gateway with a low limit of its own."""
    turn = asyncio.Lock()

    async def answer(request: Request) -> Reply:
        async with turn:
            reply, _ = await asyncio.gather(gateway(request), asyncio.sleep(ms / 1000))
        return reply

    return answer


def slow(gateway: Answer, percent: float) -> Answer:
    """Every answer is held back by so many percent of the time the gateway took for it."""

    async def answer(request: Request) -> Reply:
        began = time.perf_counter()
        reply = await gateway(request)
        time.sleep((time.perf_counter() - began) * percent / 100)  # noqa: ASYNC251  (the loop's timers count whole ms)
        return reply

    return answer


def mix(gateway: Answer, after: float) -> Answer:
    """From that request on everyone gets the answer to the request before."""
    numbers = count(1)
    last: list[Reply] = []

    async def answer(request: Request) -> Reply:
        last.append(await gateway(request))
        given = last[0] if next(numbers) > after else last[-1]
        del last[:-1]
        return given

    return answer


def cut(gateway: Answer, words: float) -> Answer:
    """The model sees only the first words of each text."""

    def shorter(text: str) -> str:
        return " ".join(text.split()[: int(words)])

    async def answer(request: Request) -> Reply:
        body = orjson.loads(request.body)
        texts = body["input"] if isinstance(body["input"], list) else [body["input"]]
        return await gateway(request._replace(body=orjson.dumps({**body, "input": [*map(shorter, texts)]})))

    return answer


def lose(gateway: Answer, every: float) -> Answer:
    """Every n-th document is accepted and never indexed."""

    async def answer(request: Request) -> Reply:
        body = orjson.loads(request.body)
        kept = [document for number, document in enumerate(body["documents"], start=1) if number % every]
        return await gateway(request._replace(body=orjson.dumps({**body, "documents": kept})))

    return answer


def cache(gateway: Answer, with_model: float) -> Answer:
    """What was answered once is answered again at once; a key without the model is the fault within the fault."""
    kept: dict[object, Reply] = {}

    async def answer(request: Request) -> Reply:
        body: dict[str, Any] = orjson.loads(request.body)
        key = request.path, orjson.dumps(body if with_model else {**body, "model": None})
        if key not in kept:
            kept[key] = await gateway(request)
        return kept[key]

    return answer


FAULTS: dict[str, tuple[Callable[[Answer, float], Answer], tuple[str, ...]]] = {
    "fail": (fail, ASKED),
    "stall": (stall, ASKED),
    "die": (die, ASKED),
    "queue": (queue, ASKED),
    "slow": (slow, ASKED),
    "mix": (mix, ASKED),
    "cut": (cut, (EMBEDDINGS,)),
    "lose": (lose, (INGEST,)),
    "cache": (cache, (EMBEDDINGS,)),
}


def broken(gateway: Answer, fault: str) -> Answer:
    """The gateway with a fault, such as `fail=100`, on the routes that the fault is about."""
    name, _, number = fault.partition("=")
    spoil, paths = FAULTS[name]
    spoilt = spoil(gateway, float(number))

    async def answer(request: Request) -> Reply:
        return await (spoilt if request.path in paths else gateway)(request)

    return answer


def behind(target: Target, *faults: str) -> Target:
    """The target with the proxy as its front door; without a fault the proxy hands everything on."""
    argv = (
        sys.executable,
        "-m",
        "tests.support.breaking_proxy",
        "{port}",
        f"{{role.{target.front.name}.url}}",
        *faults,
    )
    name = "+".join((target.name, *faults)) if faults else target.name
    return replace(target, name=name, roles=(*target.roles, Role("proxy", "", argv, target.front.ready)))


async def main(port: int, url: str, faults: list[str]) -> None:
    """Serve until killed."""
    answer: Answer = relay.Upstream(url)
    for fault in faults:
        answer = broken(answer, fault)
    await relay.serve(port, answer)


if __name__ == "__main__":
    uvloop.run(main(int(sys.argv[1]), sys.argv[2], sys.argv[3:]))
