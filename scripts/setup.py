"""
Make everything `make bench`, `make test` and `make run` need; a second run finds it all and says so.

Standard library only: this runs before anything is installed.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
import tomllib
import venv
from pathlib import Path
from typing import Any
from urllib.parse import unquote

ROOT = Path(__file__).resolve().parent.parent
CONSTRAINTS = ROOT / "constraints.txt"
TOOLS = "dev,bench,export,python,onnx_py,split,pgvector,qdrant,bulk"
GATEWAYS = ("python", "onnx_py", "split")
OLDEST_PYTHON = (3, 11)
# The second dense model of the tests: other dimensions, another architecture.
TEST_MODELS = ("all-mpnet-base-v2",)


def main() -> None:
    """Make the environments, fetch the weights, export the graphs, embed the reference."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--peers", action="store_true", help="also the environments of the peers under bench/peers")
    parser.add_argument(
        "--tests", action="store_true", help="also the clients' environment, the tests' models, a browser, helm"
    )
    parser.add_argument("--audit", action="store_true", help="only the environment of the auditors")
    arguments = parser.parse_args()
    if sys.version_info < OLDEST_PYTHON:
        raise SystemExit(f"this needs Python 3.11 or newer; {sys.executable} is {sys.version.split()[0]}")
    started_s = time.monotonic()
    if arguments.audit:
        foreign("audit", ROOT / "scripts" / "checks" / "audit" / "requirements.txt")
        return
    environment(ROOT / ".venv", ["-e", f".[{TOOLS}]"], CONSTRAINTS, sources=[ROOT / "pyproject.toml"])
    for name in GATEWAYS:
        project = [ROOT / "pyproject.toml"]
        environment(ROOT / ".venvs" / name, ["-e", f".[{name}]"], CONSTRAINTS, sources=project)
    if arguments.peers:
        for requirements in sorted((ROOT / "bench" / "peers").glob("*/requirements.txt")):
            foreign(f"peer-{requirements.parent.name}", requirements)
    if arguments.tests:
        foreign("clients", ROOT / "tests" / "clients" / "requirements.txt")
    python = str(ROOT / ".venv/bin/python")
    for models in ((), TEST_MODELS) if arguments.tests else ((),):
        run([python, "-m", "scripts.models.fetch", *models])
        run([python, "-m", "scripts.models.export_onnx", *models])
    if arguments.peers:
        for script in sorted((ROOT / "bench" / "peers").glob("*/prepare_*.py")):
            prepare(script, Path(os.environ.get("MODELS_DIR", ROOT / "models")) / "all-MiniLM-L6-v2")
    run([python, "-m", "bench", "reference"])
    for program in ("scripts.browser", "scripts.checks.fetch_helm") if arguments.tests else ():
        run([python, "-m", program])
    say(f"ready after {time.monotonic() - started_s:.0f} s")


def foreign(name: str, requirements: Path) -> None:
    """Make an environment for other people's software, from its pinned requirements less `unwanted.txt`."""
    pins, unwanted = requirements.parent / "constraints.txt", requirements.parent / "unwanted.txt"
    path = ROOT / ".venvs" / name
    environment(path, ["-r", str(requirements)], pins, sources=[requirements])
    if unwanted.is_file():
        run([str(path / "bin" / "python"), "-m", "pip", "uninstall", "--quiet", "--yes", "-r", str(unwanted)])


def prepare(script: Path, model: Path) -> None:
    """Make a peer's model files in `.cache/peers/<folder>`; anew when weights, script or pins have changed."""
    folder = ROOT / ".cache" / "peers" / script.parent.name
    pins, stamp = script.parent / "constraints.txt", folder / "made-from.sha256"
    wanted = digest([script, pins], [hashlib.sha256((model / "model.safetensors").read_bytes()).hexdigest()])
    if stamp.is_file() and stamp.read_text() == wanted:
        say(f"{folder.relative_to(ROOT)}: reused")
        return
    say(f"{folder.relative_to(ROOT)}: {script.name}")
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    python = ROOT / ".venvs" / f"peer-{script.parent.name}" / "bin" / "python"
    run([str(python), str(script), str(model.resolve()), str(folder)], HF_HUB_OFFLINE="1")
    stamp.write_text(wanted)


def environment(path: Path, install: list[str], constraints: Path, sources: list[Path]) -> None:
    """Make one virtual environment; it is made anew when what it was made from has changed."""
    stamp = path / "made-from.sha256"
    hashes = constraints.with_suffix(".sha256")
    wanted = digest([*sources, constraints, *([hashes] if hashes.is_file() else [])], install)
    where = path.relative_to(ROOT)
    if stamp.is_file() and stamp.read_text() == wanted:
        say(f"{where}: reused")
        return
    say(f"{where}: installing {' '.join(part for part in install if not part.startswith('-'))}")
    shutil.rmtree(path, ignore_errors=True)
    venv.create(path, with_pip=True)
    pip = [str(path / "bin/python"), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    if index := os.environ.get("TORCH_INDEX_URL"):
        torch = next((line for line in constraints.read_text().splitlines() if line.startswith("torch==")), None)
        if torch and needs_torch(path):
            run([*pip, torch, "--index-url", index])
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder) / "report.json"
        run([*pip, "--constraint", str(constraints), "--report", str(report), *install])
        wrong, unknown = compare_hashes(json.loads(report.read_text())["install"], read_hashes(hashes))
    if wrong:
        shutil.rmtree(path)  # nothing of it has run: a wheel runs no code while it is installed
        raise SystemExit(f"setup: not the files of {hashes.name}: {', '.join(wrong)}")
    if unknown and hashes.is_file():
        say(f"{where}: {len(unknown)} files without a known SHA-256, as of another platform: {' '.join(unknown)}")
    stamp.write_text(wanted)


def read_hashes(path: Path) -> dict[str, str]:
    """Return the SHA-256 by file name of a list in the format of sha256sum; nothing if there is no list."""
    lines = path.read_text().splitlines() if path.is_file() else []
    pairs = (line.split("  ", 1) for line in lines if line and not line.startswith("#"))
    return {name: sha256 for sha256, name in pairs}


def hashes_of(installed: list[dict[str, Any]]) -> dict[str, str]:
    """Return the SHA-256 by file name of pip's report on an installation."""
    files = {}
    for entry in installed:
        if archive := entry["download_info"].get("archive_info"):  # a folder has none: our own project
            name = unquote(entry["download_info"]["url"].rpartition("/")[2])
            # Before 23.0 pip writes `hash: sha256=…` alone.
            files[name] = archive.get("hashes", {}).get("sha256") or archive["hash"].removeprefix("sha256=")
    return files


def compare_hashes(installed: list[dict[str, Any]], known: dict[str, str]) -> tuple[list[str], list[str]]:
    """Return the file names of pip's report whose SHA-256 is another one, and those that are not known."""
    files = hashes_of(installed)
    wrong = sorted(name for name, sha256 in files.items() if name in known and known[name] != sha256)
    return wrong, sorted(files.keys() - known.keys())


def needs_torch(path: Path) -> bool:
    """Say whether an environment runs torch: all but the two that exist to do without."""
    return path.name not in ("onnx_py", "split")


def digest(files: list[Path], install: list[str]) -> str:
    """Return one hash of everything an environment is made from."""
    parts = [sys.version, " ".join(install), *(ingredients(file) for file in files)]
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()


def ingredients(file: Path) -> str:
    """Return what of a file decides an installation: of pyproject.toml not what is for linters."""
    if file.suffix != ".toml":
        return file.read_text()
    tables = tomllib.loads(file.read_text())
    return json.dumps({name: tables[name] for name in ("build-system", "project")})


def run(command: list[str], **environ: str) -> None:
    """Run one step in the repository root; its failure ends the set-up with its exit code."""
    done = subprocess.run(command, cwd=ROOT, env={**os.environ, **environ}, check=False)  # noqa: S603 our own commands
    if done.returncode:
        raise SystemExit(done.returncode)


def say(line: str) -> None:
    """Print at once, so that long steps show what they are doing."""
    print(f"setup: {line}", flush=True)


if __name__ == "__main__":
    main()
