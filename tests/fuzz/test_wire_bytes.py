"""The decoders of the wire format, fuzzed with coverage feedback."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.gateways import ROOT

# `make fuzz` runs 500,000.
RUNS = int(os.environ.get("FUZZ_WIRE_RUNS", "20000"))


@pytest.mark.timeout(1800)
def test_any_bytes_decode_to_an_answer_or_a_wire_error(tmp_path: Path) -> None:
    """No crash, no other exception, no huge allocation; accepted bytes are the same when they are encoded again."""
    pytest.importorskip("atheris", reason="atheris has wheels for Linux on x86-64 only")

    done = subprocess.run(  # noqa: S603 our own interpreter
        [sys.executable, "-m", "tests.fuzz.wire_bytes", str(tmp_path / "corpus"), f"-runs={RUNS}", "-seed=1",
         "-max_len=512", "-rss_limit_mb=1024", f"-artifact_prefix={tmp_path}/"],
        cwd=ROOT, capture_output=True, text=True, check=False,
    )  # fmt: skip

    assert done.returncode == 0, done.stderr[-4000:]
    covered = re.findall(r"#(\d+)\s+DONE\s+cov: (\d+)", done.stderr)
    print(f"{covered[0][0]} inputs, {covered[0][1]} edges of the decoder")
    # Decoders that refuse all bytes at once would have almost no coverage.
    assert int(covered[0][1]) > 30
