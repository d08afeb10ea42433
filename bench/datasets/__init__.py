"""Corpora of real text: passages, questions and relevance judgements."""

from __future__ import annotations

from pathlib import Path

from bench.datasets import beir, jsonl, squad
from bench.datasets.corpus import Corpus, CorpusError, Question

__all__ = ["Corpus", "CorpusError", "Question", "load"]


def load(name: str = "squad") -> Corpus:
    """
    Return the corpus of a name: `squad`, or the path of a BEIR folder or of a JSON Lines file.

    Raises CorpusError if there is no such corpus.
    """
    if name == "squad":
        return squad.load()
    path = Path(name)
    if path.is_dir():
        return beir.load(path)
    if path.is_file():
        return jsonl.load(path)
    raise CorpusError(f"no corpus {name!r}: give squad, a BEIR folder or a .jsonl file")
