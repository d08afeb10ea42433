"""`scripts/fetch_corpora.py`: records of two shapes to a BEIR folder that the harness reads."""

from __future__ import annotations

from importlib import import_module
from pathlib import Path
from typing import Any

from bench import datasets

script: Any = import_module("scripts.fetch_corpora")

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


def test_what_supports_an_answer_is_what_answers(tmp_path: Path) -> None:
    """Title and text are a passage, an equal one is there once, and each question has its own answers."""
    made = script.write(tmp_path / "made", map(script.supported, (HOTPOT, MUSIQUE)))

    corpus = datasets.load(str(tmp_path / "made"))
    assert made == 3
    assert list(corpus.passages.values()) == [
        "Danube. It flows. Far.",
        "Alps. They are high.",
        "Rhine. It flows too.",
    ]
    assert {question.text: set(question.relevant) for question in corpus.answerable} == {
        "Which river?": {"p0"},
        "Which mountains?": {"p1"},
    }


def test_the_index_is_the_one_that_pip_was_told(monkeypatch: Any) -> None:
    """The variable comes before pip's own configuration."""
    monkeypatch.setenv("PIP_INDEX_URL", "https://index.example/simple")

    assert script.index_url() == "https://index.example/simple"
