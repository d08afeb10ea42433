"""Mixes of requests and logs as workloads: their files, and clear errors for wrong ones."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from bench.datasets import mixes, trace
from bench.errors import BenchError

LINES = '{"time": 10, "route": "search", "text": "why?"}\n\n{"time": 12.0, "route": "embeddings", "tokens": 40}\n'
PART = '[[requests]]\nroute = "search"\nshare = 1.0\nlength = { median = 12, p95 = 28 }\n'


@pytest.mark.parametrize("mix", mixes.load_all(), ids=lambda mix: mix.name)
def test_the_mixes_of_the_folder_are_sound(mix: mixes.Mix) -> None:
    """The shares add up to 1, something is judged, and the route finds the mix again."""
    assert sum(mix.shares) == pytest.approx(1.0)
    assert any(kind.judged for kind in mix.kinds)
    assert mixes.find(mix.route) is mix


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ('title = "t"\nslo_ms = 1\n' + PART.replace("1.0", "0.5"), "add up to 0.5"),
        ('title = "t"\nslo_ms = 1\n' + PART.replace('"search"', '"nosuch"'), "unknown route nosuch"),
        ('title = "t"\nslo_ms = 1\n' + PART + "weight = 3\n", "unknown weight"),
        ("slo_ms = 1\n" + PART, "title"),
        ("title = ", "TOMLDecodeError"),
    ],
)
def test_a_wrong_mix_says_what_is_wrong(content: str, message: str, tmp_path: Path) -> None:
    """The error names the file and the fault."""
    (tmp_path / "mine.toml").write_text(content)

    with pytest.raises(BenchError, match=rf"mine\.toml: .*{message}"):
        mixes.load(tmp_path / "mine.toml")


def test_a_log_keeps_its_order_and_its_gaps(tmp_path: Path) -> None:
    """The gaps are scaled to the offered rate; the log is repeated until there are enough arrivals."""
    (tmp_path / "log.jsonl").write_text(LINES + '{"time": 13, "route": "search", "tokens": 9}\n')

    log = trace.load(tmp_path / "log.jsonl")
    gaps = np.diff(log.schedule_s(2.0, 600), prepend=0.0)

    assert [(entry.route, entry.text, entry.tokens) for entry in log.entries] == [
        ("search", "why?", 0),
        ("embeddings", "", 40),
        ("search", "", 9),
    ]
    assert log.needs == {"search", "embeddings"}
    assert gaps.sum() == pytest.approx(300.0)
    assert gaps[1] == pytest.approx(2 * gaps[2])
    assert np.allclose(gaps[:3], gaps[3:6])


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("{", "line 4: unexpected end"),
        ("[]", "line 4: not an object"),
        ('{"time": "10", "route": "search", "text": "a"}', "line 4: `time`"),
        ('{"time": 10, "route": "delete", "text": "a"}', "line 4: `route` is one of"),
        ('{"time": 10, "route": "search"}', "line 4: needs `text`"),
        ('{"time": 10, "route": "search", "tokens": 0}', "line 4: needs `text`"),
    ],
)
def test_a_wrong_line_is_named(line: str, message: str, tmp_path: Path) -> None:
    """The error has the number of the line and what it lacks."""
    (tmp_path / "log.jsonl").write_text(LINES + line + "\n")

    with pytest.raises(BenchError, match=message):
        trace.load(tmp_path / "log.jsonl")


def test_a_log_that_is_missing_or_too_short_is_an_error(tmp_path: Path) -> None:
    """A rate needs two requests at different times."""
    (tmp_path / "one.jsonl").write_text(LINES.splitlines()[0])

    with pytest.raises(BenchError, match="No such file"):
        trace.load(tmp_path / "none.jsonl")
    with pytest.raises(BenchError, match="two requests"):
        trace.load(tmp_path / "one.jsonl")
