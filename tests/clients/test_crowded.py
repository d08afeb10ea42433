"""Clients of a gateway whose queue is full: each waits as long as it is told, tries again, and gets its vectors."""

from __future__ import annotations

import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier
from typing import Any

import cohere
import httpx
import openai
import pytest

from tests.clients.answers import Golden, assert_same

pytestmark = pytest.mark.crowded

CLIENTS = 6
TRIES = 60
# Tokens of a request: two such do not fit into a queue of 1,000.
TOKENS = 900

Vectors = list[list[float]]
Embed = Callable[[str, str, list[str], "Wire"], Vectors]


class Wire:
    """One client's requests and answers, with their times."""

    def __init__(self) -> None:
        self.sent_s: list[float] = []
        self.refused: list[tuple[int, float, float]] = []

    def hooks(self) -> dict[str, list[Callable[[Any], None]]]:
        """Return httpx hooks that write down what passes."""
        return {"request": [self._sent], "response": [self._answered]}

    def _sent(self, request: httpx.Request) -> None:
        self.sent_s.append(time.monotonic())

    def _answered(self, response: httpx.Response) -> None:
        if response.status_code == 429:
            told_s = float(response.headers["Retry-After"])
            self.refused.append((len(self.sent_s), time.monotonic(), told_s))

    def waits(self) -> list[tuple[float, float]]:
        """Return for each refusal how long the client was told to wait, and how long it did."""
        return [(told_s, self.sent_s[place] - at_s) for place, at_s, told_s in self.refused]


def with_openai(url: str, model: str, texts: list[str], wire: Wire) -> Vectors:
    """Embed with OpenAI's client."""
    http = openai.DefaultHttpxClient(event_hooks=wire.hooks())
    client = openai.OpenAI(base_url=f"{url}/v1", api_key="none", max_retries=TRIES, http_client=http)
    return [item.embedding for item in client.embeddings.create(model=model, input=texts).data]


def with_cohere(url: str, model: str, texts: list[str], wire: Wire) -> Vectors:
    """Embed with Cohere's client."""
    http = httpx.Client(event_hooks=wire.hooks(), timeout=60)
    client = cohere.ClientV2(api_key="none", base_url=url, max_retries=TRIES, httpx_client=http)
    found: Vectors = client.embed(model=model, texts=texts, input_type="search_document").embeddings.float_
    return found


@pytest.mark.parametrize("embed", [with_openai, with_cohere])
def test_retry_after_is_honoured(url: str, golden: Golden, embed: Embed) -> None:
    """Of clients that come at once some get 429; none of those tries again sooner than `Retry-After` says."""
    place = max(range(len(golden.texts)), key=lambda place: len(golden.texts[place]))
    wires, together = [Wire() for _ in range(CLIENTS)], Barrier(CLIENTS)
    copies = max(1, TOKENS // golden.tokens[place])

    def client(wire: Wire) -> Vectors:
        together.wait(30)
        return embed(url, golden.model, [golden.texts[place]] * copies, wire)

    with ThreadPoolExecutor(CLIENTS) as clients:
        answers = list(clients.map(client, wires))

    for answer in answers:
        assert_same(answer, [golden.vectors[place]] * copies)
    waits = [wait for wire in wires for wait in wire.waits()]
    assert waits, "no client was refused"
    assert all(1 <= told_s <= waited_s < told_s + 5 for told_s, waited_s in waits), waits
