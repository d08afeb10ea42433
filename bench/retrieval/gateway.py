"""A gateway with an ingested corpus, and the questions to search."""

from __future__ import annotations

import random
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

from rich.progress import Progress

from bench import paths
from bench.datasets import Corpus, Question
from bench.machine import cores, facts
from bench.targets import Target
from bench.targets.api_client import Api
from bench.targets.processes import Place, Server


@contextmanager
def ingested(target: Target, corpus: Corpus, progress: Progress) -> Iterator[tuple[Api, Path]]:
    """Start a target on an empty data folder and ingest the corpus; yield its API client and the folder."""
    target.check_installed()
    pinning = cores.choose()
    work = paths.CACHE / "bench" / f"retrieval-{datetime.now(UTC):%Y%m%dT%H%M%S}"
    place = Place(pinning, work / "data", work / "logs")
    try:
        with cores.pinned(pinning.driver), Server(target, place, target.name) as server:
            server.wait_ready()
            with Api(server) as api:
                advance = add_bar(progress, f"{target.name} ingests {corpus.name}", len(corpus.passages))
                api.ingest(corpus.passages, advance)
                advance(len(corpus.passages))
                yield api, server.data_dir
    finally:
        shutil.rmtree(work, ignore_errors=True)


def add_bar(progress: Progress, title: str, total: int) -> Callable[[int], None]:
    """Add a progress bar; return the function that sets its number of finished items."""
    task = progress.add_task(title, total=total)
    return lambda done: progress.update(task, completed=done)


def draw_questions(corpus: Corpus, limit: int, seed: int) -> list[Question]:
    """Draw up to `limit` answerable questions, the same for the same seed."""
    answerable = list({question.text: question for question in corpus.answerable}.values())
    return random.Random(seed).sample(answerable, min(limit, len(answerable)))  # noqa: S311  (reproducible)


def folder(kind: str) -> Path:
    """Return the default folder for a study of this machine and day."""
    return paths.STUDIES / facts.folder() / f"{datetime.now(UTC):%Y-%m-%d}-{kind}"
