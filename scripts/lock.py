"""Write constraints.txt: the version of every package in .venv. `make lock` runs it."""

from __future__ import annotations

import argparse
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
HEADER = """\
# The package versions that the gateways, the harness and the tests were run with. `make lock` writes this file,
# `make setup` reads it. Build tags such as +cpu are removed: TORCH_INDEX_URL chooses the build of torch.
"""


def main() -> None:
    """Write the versions of this environment, without the project itself and without local version tags."""
    argparse.ArgumentParser(description=__doc__).parse_args()
    command = [sys.executable, "-m", "pip", "freeze", "--exclude-editable", "--disable-pip-version-check"]
    listing = subprocess.run(command, check=True, capture_output=True, text=True).stdout  # noqa: S603 our own command
    pins = sorted({line.partition("+")[0] for line in listing.splitlines() if "==" in line}, key=str.lower)
    (ROOT / "constraints.txt").write_text(HEADER + "\n".join(pins) + "\n")
    print(f"constraints.txt: {len(pins)} packages")


if __name__ == "__main__":
    main()
