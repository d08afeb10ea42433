"""Write constraints.txt: the version of every package in .venv, as installed and tested."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
HEADER = """\
# Every version the gateways, the harness and the tests were run with; made by `make lock`, used by `make setup`.
# A build tag such as +cpu is left out: which torch build is installed is the machine's choice (TORCH_INDEX_URL).
"""


def main() -> None:
    """Freeze this environment, without the project itself and without local version tags."""
    freeze = [sys.executable, "-m", "pip", "freeze", "--exclude-editable", "--disable-pip-version-check"]
    frozen = subprocess.run(freeze, check=True, capture_output=True, text=True).stdout  # noqa: S603 our own command
    pins = sorted({line.partition("+")[0] for line in frozen.splitlines() if "==" in line}, key=str.lower)
    (ROOT / "constraints.txt").write_text(HEADER + "\n".join(pins) + "\n")
    print(f"constraints.txt: {len(pins)} packages")


if __name__ == "__main__":
    main()
