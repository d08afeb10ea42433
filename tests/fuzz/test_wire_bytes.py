"""The thin gateway reads whatever comes from behind; a fuzzer that sees the decoder's branches makes it up."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.processes import ROOT

# `make fuzz` reads half a million.
RUNS = int(os.environ.get("FUZZ_WIRE_RUNS", "20000"))


@pytest.mark.timeout(1800)
def test_no_bytes_from_behind_are_anything_but_an_answer_or_an_error(tmp_path: Path) -> None:
    """No crash, no other exception, no allocation by a number in a header, and what is believed is what was sent."""
    pytest.importorskip("atheris", reason="atheris has wheels for Linux on x86-64 only")

    done = subprocess.run(  # noqa: S603 our own interpreter
        [sys.executable, "-m", "tests.fuzz.wire_bytes", str(tmp_path / "corpus"), f"-runs={RUNS}", "-seed=1",
         "-max_len=512", "-rss_limit_mb=1024", f"-artifact_prefix={tmp_path}/"],
        cwd=ROOT, capture_output=True, text=True, check=False,
    )  # fmt: skip

    assert done.returncode == 0, done.stderr[-4000:]
    covered = re.findall(r"#(\d+)\s+DONE\s+cov: (\d+)", done.stderr)
    print(f"{covered[0][0]} inputs, {covered[0][1]} edges of the decoder")
    # Of decoders that refuse everything at their first line there is next to nothing to see.
    assert int(covered[0][1]) > 30
