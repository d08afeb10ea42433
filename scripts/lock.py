"""Write constraints.txt, the versions of the packages in .venv, and constraints.sha256. `make lock` runs it."""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

from scripts import setup

ROOT = Path(__file__).resolve().parent.parent
HEADER = """\
# The package versions that the gateways, the harness and the tests were run with. `make lock` writes this file,
# `make setup` reads it. Build tags such as +cpu are removed: TORCH_INDEX_URL chooses the build of torch.
"""


HASHES = """\
# The SHA-256 of the files of constraints.txt that PyPI has, for the platforms on which `make lock` ran: here Linux on
# x86-64 with Python 3.11. `make setup` refuses a file of one of these names with another hash.
"""
PYPI = "https://pypi.org/simple"
OTHER_SOURCES = ("PIP_FIND_LINKS", "PIP_EXTRA_INDEX_URL", "PIP_NO_INDEX")


def main() -> None:
    """Write the versions of this environment, without the project itself and without local version tags."""
    argparse.ArgumentParser(description=__doc__).parse_args()
    command = [sys.executable, "-m", "pip", "freeze", "--exclude-editable", "--disable-pip-version-check"]
    listing = subprocess.run(command, check=True, capture_output=True, text=True).stdout  # noqa: S603 our own command
    pins = sorted({line.partition("+")[0] for line in listing.splitlines() if "==" in line}, key=str.lower)
    (ROOT / "constraints.txt").write_text(HEADER + "\n".join(pins) + "\n")
    print(f"constraints.txt: {len(pins)} packages")
    write_hashes(resolve(), ROOT / "constraints.sha256", {pin.partition("==")[2] for pin in pins})


def resolve() -> dict[str, str]:
    """Return the SHA-256 by name of the files that pip would install from PyPI here."""
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder) / "report.json"
        options = ["--quiet", "--dry-run", "--ignore-installed", "--index-url", PYPI]
        project = [f"{ROOT}[{setup.TOOLS}]", "--constraint", str(ROOT / "constraints.txt"), "--report", str(report)]
        command = [sys.executable, "-m", "pip", "install", *options, *project]
        environ = {name: value for name, value in os.environ.items() if name not in OTHER_SOURCES}
        subprocess.run(command, check=True, env=environ | {"PIP_CONFIG_FILE": os.devnull})  # noqa: S603 our own command
        return setup.hashes_of(json.loads(report.read_text())["install"])


def write_hashes(found: dict[str, str], path: Path, versions: set[str]) -> None:
    """Write the hashes, and keep those of other platforms whose version is still one of `versions`."""
    kept = {name: sha256 for name, sha256 in setup.read_hashes(path).items() if name.split("-")[1] in versions}
    lines = [f"{sha256}  {name}" for name, sha256 in sorted((kept | found).items(), key=lambda pair: pair[0].lower())]
    path.write_text(HASHES + "\n".join(lines) + "\n")
    print(f"{path.name}: {len(lines)} files")


if __name__ == "__main__":
    main()
