"""Clients of a gateway with a full queue. Each waits for `Retry-After`, sends again, and gets its vectors."""

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
# Tokens of a request. Two of them do not fit into a queue of 1,000.
TOKENS = 900

Vectors = list[list[float]]
Embed = Callable[[str, str, list[str], "RequestLog"], Vectors]


class RequestLog:
    """
    The times of one client's requests and refusals.

    A refusal is the index of the request that follows it, the time of the 429, and `Retry-After` in seconds.
    """

    def __init__(self) -> None:
        self.sent_s: list[float] = []
        self.refusals: list[tuple[int, float, float]] = []

    def make_hooks(self) -> dict[str, list[Callable[[Any], None]]]:
        """Return httpx hooks that record each request and each refusal."""
        return {"request": [self._record_request], "response": [self._record_response]}

    def _record_request(self, request: httpx.Request) -> None:
        self.sent_s.append(time.monotonic())

    def _record_response(self, response: httpx.Response) -> None:
        if response.status_code == 429:
            retry_after_s = float(response.headers["Retry-After"])
            self.refusals.append((len(self.sent_s), time.monotonic(), retry_after_s))

    def compute_waits(self) -> list[tuple[float, float]]:
        """Return per refusal the seconds of `Retry-After` and the seconds that the client waited."""
        return [(retry_after_s, self.sent_s[place] - at_s) for place, at_s, retry_after_s in self.refusals]


def embed_with_openai(url: str, model: str, texts: list[str], log: RequestLog) -> Vectors:
    """Embed with OpenAI's client."""
    http = openai.DefaultHttpxClient(event_hooks=log.make_hooks())
    client = openai.OpenAI(base_url=f"{url}/v1", api_key="none", max_retries=TRIES, http_client=http)
    return [item.embedding for item in client.embeddings.create(model=model, input=texts).data]


def embed_with_cohere(url: str, model: str, texts: list[str], log: RequestLog) -> Vectors:
    """Embed with Cohere's client."""
    http = httpx.Client(event_hooks=log.make_hooks(), timeout=60)
    client = cohere.ClientV2(api_key="none", base_url=url, max_retries=TRIES, httpx_client=http)
    vectors: Vectors = client.embed(model=model, texts=texts, input_type="search_document").embeddings.float_
    return vectors


@pytest.mark.parametrize("embed", [embed_with_openai, embed_with_cohere])
def test_retry_after_is_honoured(url: str, golden: Golden, embed: Embed) -> None:
    """
    If many clients send at the same time, the gateway answers some of them with 429.

    No client sends again before `Retry-After` has passed.
    """
    place = max(range(len(golden.texts)), key=lambda place: len(golden.texts[place]))
    logs, barrier = [RequestLog() for _ in range(CLIENTS)], Barrier(CLIENTS)
    copies = max(1, TOKENS // golden.tokens[place])

    def run_client(log: RequestLog) -> Vectors:
        barrier.wait(30)
        return embed(url, golden.model, [golden.texts[place]] * copies, log)

    with ThreadPoolExecutor(CLIENTS) as clients:
        answers = list(clients.map(run_client, logs))

    for answer in answers:
        assert_same(answer, [golden.vectors[place]] * copies)
    waits = [wait for log in logs for wait in log.compute_waits()]
    assert waits, "no client was refused"
    assert all(1 <= retry_after_s <= waited_s < retry_after_s + 5 for retry_after_s, waited_s in waits), waits
