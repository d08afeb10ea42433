"""Real text to ingest and to ask, with what is relevant to what."""

from __future__ import annotations

from pathlib import Path

from bench.datasets import beir, jsonl, squad
from bench.datasets.corpus import Corpus, CorpusError, Question

__all__ = ["Corpus", "CorpusError", "Question", "load"]


def load(name: str = "squad") -> Corpus:
    """
    The corpus `squad`, or the one at a path: a BEIR folder, or a file of JSON lines.

    Raises CorpusError where there is none.
    """
    if name == "squad":
        return squad.load()
    path = Path(name)
    if path.is_dir():
        return beir.load(path)
    if path.is_file():
        return jsonl.load(path)
    raise CorpusError(f"no corpus {name!r}: squad, a BEIR folder or a .jsonl file are possible")
