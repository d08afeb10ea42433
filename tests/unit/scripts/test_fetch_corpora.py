"""`scripts/studies/fetch_corpora.py`: records in two formats become a BEIR folder that the harness reads."""

from __future__ import annotations

from importlib import import_module
from pathlib import Path
from typing import Any

from bench import datasets

script: Any = import_module("scripts.studies.fetch_corpora")

HOTPOT = {
    "question": "Which river?",
    "context": [["Danube", ["It flows. ", " Far."]], ["Alps", ["They are high."]]],
    "supporting_facts": [["Danube", 0], ["Danube", 1]],
}
MUSIQUE = {
    "question": "Which mountains?",
    "paragraphs": [
        {"title": "Alps", "paragraph_text": "They are high.", "is_supporting": True},
        {"title": "Rhine", "paragraph_text": "It flows too.", "is_supporting": False},
    ],
}


def test_supporting_paragraphs_are_relevant(tmp_path: Path) -> None:
    """A passage is title and text, duplicates are written once, and each question has its own relevant passages."""
    passages = script.write_corpus(tmp_path / "corpus", map(script.read_record, (HOTPOT, MUSIQUE)))

    corpus = datasets.load(str(tmp_path / "corpus"))
    assert passages == 3
    assert list(corpus.passages.values()) == [
        "Danube. It flows. Far.",
        "Alps. They are high.",
        "Rhine. It flows too.",
    ]
    assert {question.text: set(question.relevant) for question in corpus.answerable} == {
        "Which river?": {"p0"},
        "Which mountains?": {"p1"},
    }


def test_the_index_of_pip_is_used(monkeypatch: Any) -> None:
    """PIP_INDEX_URL has priority over pip's configuration."""
    monkeypatch.setenv("PIP_INDEX_URL", "https://index.example/simple")

    assert script.index_url() == "https://index.example/simple"
