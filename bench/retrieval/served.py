"""A gateway that has a corpus ingested, and the questions to ask it."""

from __future__ import annotations

import random
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

from rich.progress import Progress

from bench import cores, machine, paths
from bench.api import Api
from bench.datasets import Corpus, Question
from bench.processes import Place, Running
from bench.targets import Target


@contextmanager
def ingested(target: Target, corpus: Corpus, progress: Progress) -> Iterator[tuple[Api, Path]]:
    """Start a target on an empty data folder and ingest the corpus; yield its API and that folder."""
    target.check_installed()
    pinning = cores.split(cores.available())
    work = paths.CACHE / "bench" / f"retrieval-{datetime.now(UTC):%Y%m%dT%H%M%S}"
    place = Place(pinning, work / "data", work / "logs")
    try:
        with cores.pinned(pinning.driver), Running(target, place, target.name) as running:
            running.wait_ready()
            with Api(running) as api:
                say = bar(progress, f"{target.name} ingests {corpus.name}", len(corpus.passages))
                api.ingest(corpus.passages, say)
                say(len(corpus.passages))
                yield api, running.data_dir
    finally:
        shutil.rmtree(work, ignore_errors=True)


def bar(progress: Progress, title: str, total: int) -> Callable[[int], None]:
    """Return what moves a new progress bar to so many done."""
    task = progress.add_task(title, total=total)
    return lambda done: progress.update(task, completed=done)


def draw(corpus: Corpus, most: int, seed: int) -> list[Question]:
    """At most so many of the questions that some passage answers, the same for the same seed."""
    answerable = list({question.text: question for question in corpus.answerable}.values())
    return random.Random(seed).sample(answerable, min(most, len(answerable)))  # noqa: S311  (reproducible)


def folder(kind: str) -> Path:
    """Where results of this machine and day belong when nothing else is said."""
    return paths.RESULTS / machine.folder() / f"{datetime.now(UTC):%Y-%m-%d}-{kind}"
