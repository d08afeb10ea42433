"""
Locust's users: unique questions to any server, every answer validated, from one machine or many.

`locust -f bench/locustfile.py --host http://… --dialect gateway --route search`, with `--master` and `--worker` for
more machines (or cores); give every process `--shares` (how many workers there are), so that no two ask the same.
Nothing is written but what Locust's own options ask for.
"""

from __future__ import annotations

import sys
import time
from argparse import ArgumentParser
from itertools import islice
from pathlib import Path
from typing import Any

from locust import FastHttpUser, events, task
from locust.exception import StopUser

from bench import dialects
from bench.datasets import squad
from bench.datasets.stream import TextStream
from bench.errors import AnswerError


@events.init_command_line_parser.add_listener  # type: ignore[untyped-decorator]  # has no types
def add_options(parser: ArgumentParser, **_: Any) -> None:
    """What to ask, beside Locust's own options."""
    parser.add_argument("--dialect", default="gateway", help="openai, tei, cohere or gateway")
    parser.add_argument("--route", default="embeddings", help="embeddings or search")
    parser.add_argument("--model", default="", help="the name to ask for")
    parser.add_argument("--header", action="append", default=[], help="'name: value', as often as wanted")
    parser.add_argument("--bodies", default="", help="a file of bodies, one a line; default: SQuAD's questions")
    parser.add_argument("--shares", type=int, default=1, help="how many workers share them")
    parser.add_argument("--seed", type=int, default=1)


class Bodies:
    """The share of this process of all bodies, each once; `asked` names dialect, route, model, file and shares."""

    def __init__(self, asked: Any, worker: int) -> None:
        self.route = asked.route
        self.dialect = dialects.load(asked.dialect, asked.model)
        self.path = self.dialect.path(self.route)
        self.sent = 0
        self._lines = self._read(asked, worker) if asked.bodies else None
        self._texts = TextStream(squad.load().texts[worker :: asked.shares], asked.seed) if not asked.bodies else None

    def _read(self, asked: Any, worker: int) -> list[str]:
        with Path(asked.bodies).open() as lines:
            return [line.rstrip("\n") for line in islice(lines, worker, None, asked.shares)]

    def next(self) -> str:
        """One more body; raises StopUser when the file has no more."""
        self.sent += 1
        if self._texts is not None:
            return self.dialect.body(self.route, self._texts.take(1)[0]).decode()
        if self._lines is None or self.sent > len(self._lines):
            raise StopUser
        return self._lines[self.sent - 1]


@events.test_start.add_listener  # type: ignore[untyped-decorator]  # has no types
def begin(environment: Any, **_: Any) -> None:
    """Give every process that has users its bodies, and note its clock."""
    environment.bodies = Bodies(environment.parsed_options, getattr(environment.runner, "worker_index", 0))
    environment.began = time.perf_counter(), time.process_time()


@events.test_stop.add_listener  # type: ignore[untyped-decorator]  # has no types
def end(environment: Any, **_: Any) -> None:
    """Say what this process sent, and its share of a core: a client near a whole one measures itself."""
    wall_s, cpu_s = time.perf_counter() - environment.began[0], time.process_time() - environment.began[1]
    sys.stdout.write(f'{{"sent": {environment.bodies.sent}, "cpu": {cpu_s / wall_s:.4f}}}\n')
    sys.stdout.flush()


class Asker(FastHttpUser):
    """One user: the next question as soon as the last is answered."""

    @task
    def ask(self) -> None:
        """Ask; an answer of another shape, or an empty one, is a failure."""
        bodies: Bodies = self.environment.bodies
        headers = dict(header.split(": ", 1) for header in self.environment.parsed_options.header)
        headers["content-type"] = "application/json"
        with self.client.post(
            bodies.path, data=bodies.next(), headers=headers, name=bodies.route, catch_response=True
        ) as answer:
            if answer.status_code >= 300 or not answer.status_code:
                answer.failure(f"status {answer.status_code}")
                return
            try:
                if not bodies.dialect.check(bodies.route, answer.content):
                    answer.failure("an empty answer")
            except AnswerError as error:
                answer.failure(str(error))
