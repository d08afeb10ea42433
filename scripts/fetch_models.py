"""Fetch the catalogue's weights into models/<id>/, held to the sha256 that the catalogue or the first fetch says."""

from __future__ import annotations

import argparse
import hashlib
import json
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from sources import FetchError, described, fetch_into, inside, refuse

from gateways.core import catalog
from gateways.core.catalog import Catalog, CatalogError, Entry, Source

ROOT = Path(__file__).resolve().parent.parent
PINS = "sha256.json"


def sha256_of(path: Path) -> str:
    """The file's sha256, in hex."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def chosen(models: Catalog, names: Sequence[str]) -> list[str]:
    """The ids that names or aliases mean; of no name, the models that `make setup` fetches. Raises CatalogError."""
    if names:
        return [models.resolve(name) for name in names]
    return [model for model, entry in models.models.items() if entry.setup]


def expected(entry: Entry, folder: Path) -> dict[str, str]:
    """Every file of a model with its sha256: the catalogue's, else the first fetch's, else ""."""
    path = folder / PINS
    pinned: dict[str, str] = json.loads(path.read_text()) if path.is_file() else {}
    return {name: sha256 or pinned.get(name, "") for name, sha256 in entry.files.items()} or pinned


def verify(folder: Path, files: dict[str, str]) -> None:
    """Hold every file of folder to its sha256: FetchError names the first that differs, and both hashes."""
    for name, sha256 in files.items():
        path = folder / name
        if not path.is_file():
            raise FetchError(f"{path} is missing")
        if sha256 and (found := sha256_of(path)) != sha256:
            raise FetchError(f"{path} is corrupt: sha256 is {found}, it must be {sha256}")


def fetch(model: str, entry: Entry, models_dir: Path) -> str:
    """
    Make models_dir/<model> hold the model's files; returns the source that served, or "reused".

    Each file is moved into place only when all are verified. FetchError tells what each source said.
    """
    folder = models_dir / model
    files = expected(entry, folder)
    refuse(files)
    refused = []
    try:
        if files and all(files.values()):
            verify(folder, files)
            return "reused"
    except FetchError as error:
        refused += [str(error)] if folder.is_dir() else []
    for source in entry.sources:
        print(f"{model}: trying {described(source)}", flush=True)
        try:
            place(source, entry, files, folder)
            return described(source)
        except FetchError as error:
            print(f"  {error}", flush=True)
            refused.append(str(error))
    raise FetchError(f"{model}: no source could serve it:\n  " + "\n  ".join(refused))


def place(source: Source, entry: Entry, files: dict[str, str], folder: Path) -> None:
    """Fetch from one source beside folder, verify, pin what no hash was known of, then move each file into folder."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder.parent, prefix=".fetch-") as staging:
        fetched = Path(staging) / folder.name
        fetched.mkdir()
        fetch_into(source, list(files), fetched)
        verify(fetched, files)
        names = sorted(path.relative_to(fetched).as_posix() for path in fetched.rglob("*") if path.is_file())
        if not names:
            raise FetchError(f"{described(source)} has no file of a model")
        pins = {name: sha256_of(fetched / name) for name in names if not entry.files.get(name)}
        for name in names:
            (fetched / name).replace(inside(folder, name))
        if pins:
            (folder / PINS).write_text(json.dumps(pins, indent=2) + "\n")


def main(arguments: list[str] | None = None) -> int:
    """Fetch the models named, or those of `make setup`; 1 when one cannot be had."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("models", nargs="*", help="ids or aliases (default: those with `setup: true`)")
    parser.add_argument("--catalogue", type=Path, default=ROOT / "models.yaml")
    parser.add_argument("--models-dir", type=Path, default=ROOT / "models")
    options = parser.parse_args(arguments)
    try:
        models = catalog.load(options.catalogue)
        for model in chosen(models, options.models):
            entry = models.models[model]
            if entry.engine != "transformer":
                print(f"{model}: it needs no weights of its own")
                continue
            served = fetch(model, entry, options.models_dir)
            files = expected(entry, options.models_dir / model)
            said = "reused" if served == "reused" else f"fetched from {served}"
            print(f"{model}: {said}, {len(files)} files, every sha256 verified")
    except (CatalogError, FetchError) as error:
        print(f"fetch_models: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
