"""
A locustfile: unique questions to any server, every answer validated, from one machine or many.

`locust -f bench/cross_check/locustfile.py --host http://… --dialect gateway --route search`

`--master` and `--worker` add machines or cores. Give every process `--shares`, the number of workers, so that no two
workers send the same text. Locust writes only the files that its own options name.
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
from bench.datasets.unseen_texts import TextStream
from bench.errors import AnswerError


@events.init_command_line_parser.add_listener  # type: ignore[untyped-decorator]  # has no types
def add_options(parser: ArgumentParser, **_: Any) -> None:
    """Add the options of the requests to Locust's own."""
    parser.add_argument("--dialect", default="gateway", help="openai, tei, cohere or gateway")
    parser.add_argument("--route", default="embeddings", help="embeddings or search")
    parser.add_argument("--model", default="", help="the model to request")
    parser.add_argument("--header", action="append", default=[], help="'name: value'; may be repeated")
    parser.add_argument(
        "--bodies", default="", help="a file of request bodies, one per line; default: SQuAD's questions"
    )
    parser.add_argument("--shares", type=int, default=1, help="number of workers that share the bodies")
    parser.add_argument("--seed", type=int, default=1)


class Bodies:
    """This process's share of the request bodies, each once; `options` are those of `add_options`."""

    def __init__(self, options: Any, worker: int) -> None:
        self.route = options.route
        self.dialect = dialects.load(options.dialect, options.model)
        self.path = self.dialect.path(self.route)
        self.sent = 0
        self._lines = self._read(options, worker) if options.bodies else None
        own_texts = squad.load().texts[worker :: options.shares] if not options.bodies else ()
        self._texts = TextStream(own_texts, options.seed) if own_texts else None

    def _read(self, options: Any, worker: int) -> list[str]:
        with Path(options.bodies).open() as lines:
            return [line.rstrip("\n") for line in islice(lines, worker, None, options.shares)]

    def next(self) -> str:
        """Return the next body. Raises StopUser at the end of the file."""
        self.sent += 1
        if self._texts is not None:
            return self.dialect.body(self.route, self._texts.take(1)[0]).decode()
        if self._lines is None or self.sent > len(self._lines):
            raise StopUser
        return self._lines[self.sent - 1]


@events.test_start.add_listener  # type: ignore[untyped-decorator]  # has no types
def begin(environment: Any, **_: Any) -> None:
    """Give every process with users its bodies, and record its start times."""
    environment.bodies = Bodies(environment.parsed_options, getattr(environment.runner, "worker_index", 0))
    environment.began = time.perf_counter(), time.process_time()


@events.test_stop.add_listener  # type: ignore[untyped-decorator]  # has no types
def end(environment: Any, **_: Any) -> None:
    """Print the number of sent bodies, and the CPU in cores: a client near one core measures itself."""
    wall_s, cpu_s = time.perf_counter() - environment.began[0], time.process_time() - environment.began[1]
    sys.stdout.write(f'{{"sent": {environment.bodies.sent}, "cpu": {cpu_s / wall_s:.4f}}}\n')
    sys.stdout.flush()


class ClosedLoopUser(FastHttpUser):
    """A user that sends the next question as soon as the last one is answered."""

    @task
    def send(self) -> None:
        """Send one request; an empty answer, or one of another shape, is a failure."""
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
