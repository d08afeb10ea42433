"""
Fetch model files into models/<id>/ and verify each one against the sha256 of the catalogue or of the first fetch.

    python -m scripts.models.fetch [id or alias ...]
"""

from __future__ import annotations

import argparse
import hashlib
import json
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from gateways.core.models import catalog
from gateways.core.models.catalog import Catalog, CatalogError, Entry, Source
from scripts.models.sources import FetchError, describe_source, fetch_into, refuse_unsafe, resolve_inside

ROOT = Path(__file__).resolve().parents[2]
PINS = "sha256.json"


def sha256_of(path: Path) -> str:
    """Return the sha256 of a file in hex."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def select_models(models: Catalog, names: Sequence[str]) -> list[str]:
    """Return the ids of `names` (ids or aliases); without names, the `setup: true` models. Raises CatalogError."""
    if names:
        return [models.resolve(name) for name in names]
    return [model for model, entry in models.models.items() if entry.setup]


def expected_hashes(entry: Entry, folder: Path) -> dict[str, str]:
    """Return the sha256 of each file of a model: from the catalogue, else from the first fetch, else ""."""
    path = folder / PINS
    pinned: dict[str, str] = json.loads(path.read_text()) if path.is_file() else {}
    return {name: sha256 or pinned.get(name, "") for name, sha256 in entry.files.items()} or pinned


def verify(folder: Path, files: dict[str, str]) -> None:
    """Compare every file of `folder` with its sha256. Raises FetchError for the first file that differs."""
    for name, sha256 in files.items():
        path = folder / name
        if not path.is_file():
            raise FetchError(f"{path} is missing")
        if sha256 and (actual := sha256_of(path)) != sha256:
            raise FetchError(f"{path} is corrupt: sha256 is {actual}, it must be {sha256}")


def fetch(model: str, entry: Entry, models_dir: Path) -> str:
    """
    Fetch the model's files into models_dir/<model>. Returns the description of the source, or "reused".

    Files are moved into place only after all of them are verified. Raises FetchError with the error of each source.
    """
    folder = models_dir / model
    files = expected_hashes(entry, folder)
    refuse_unsafe(files)
    failures = []
    try:
        if files and all(files.values()):
            verify(folder, files)
            return "reused"
    except FetchError as error:
        failures += [str(error)] if folder.is_dir() else []
    for source in entry.sources:
        print(f"{model}: trying {describe_source(source)}", flush=True)
        try:
            fetch_from(source, entry, files, folder)
            return describe_source(source)
        except FetchError as error:
            print(f"  {error}", flush=True)
            failures.append(str(error))
    raise FetchError(f"{model}: no source could serve it:\n  " + "\n  ".join(failures))


def fetch_from(source: Source, entry: Entry, files: dict[str, str], folder: Path) -> None:
    """Fetch from one source into a staging folder, verify, move into `folder`, pin hashes the catalogue lacks."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder.parent, prefix=".fetch-") as parent:
        staging = Path(parent) / folder.name
        staging.mkdir()
        fetch_into(source, list(files), staging)
        verify(staging, files)
        names = sorted(path.relative_to(staging).as_posix() for path in staging.rglob("*") if path.is_file())
        if not names:
            raise FetchError(f"{describe_source(source)} has no file of a model")
        pins = {name: sha256_of(staging / name) for name in names if not entry.files.get(name)}
        for name in names:
            (staging / name).replace(resolve_inside(folder, name))
        if pins:
            (folder / PINS).write_text(json.dumps(pins, indent=2) + "\n")


def main(arguments: list[str] | None = None) -> int:
    """Fetch the models in `arguments`, or those of `make setup`. Returns exit status 1 if a model has no source."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("models", nargs="*", help="ids or aliases (default: those with `setup: true`)")
    parser.add_argument("--catalogue", type=Path, default=ROOT / "models.yaml")
    parser.add_argument("--models-dir", type=Path, default=ROOT / "models")
    options = parser.parse_args(arguments)
    try:
        models = catalog.load(options.catalogue)
        for model in select_models(models, options.models):
            entry = models.models[model]
            if entry.engine != "transformer":
                print(f"{model}: it needs no weights of its own")
                continue
            source = fetch(model, entry, options.models_dir)
            files = expected_hashes(entry, options.models_dir / model)
            origin = "reused" if source == "reused" else f"fetched from {source}"
            print(f"{model}: {origin}, {len(files)} files, every sha256 verified")
    except (CatalogError, FetchError) as error:
        print(f"fetch_models: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
