"""`python -m bench reference`: compute the reference vectors with which every target is compared."""

from __future__ import annotations

import argparse

from rich.progress import Progress

from bench import datasets, paths
from bench.commands.progress import console
from bench.errors import BenchError
from bench.verification import reference
from bench.verification.reference import Reference


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the options of this verb."""
    parser.add_argument("--corpus", default="squad", help="squad (default), a BEIR folder or a JSON Lines file")


def run(arguments: argparse.Namespace) -> int:
    """Compute the reference vectors of a corpus unless they are cached."""
    load_reference(arguments.corpus)
    return 0


def load_reference(name: str = "squad") -> Reference:
    """Return the reference vectors of a corpus; compute them, with a progress bar, if they are not cached."""
    corpus = datasets.load(name)
    weights = paths.model_dir() / "model.safetensors"
    if not weights.exists():
        raise BenchError(f"the model {paths.MODEL} is missing; run make setup")
    file = reference.cache_file(corpus, reference.sha256_of(weights))
    if file.exists():
        console.print(f"reference vectors: reused {file.relative_to(paths.ROOT)}", highlight=False)
        return reference.load(corpus)
    with Progress(console=console) as progress:
        task = progress.add_task("reference vectors", total=len(corpus.passages) + len(corpus.texts))
        return reference.load(corpus, lambda count: progress.advance(task, count))
