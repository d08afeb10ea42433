"""What a target takes on disk: the packages of its environments and the model files it reads."""

from __future__ import annotations

from collections.abc import Iterable
from functools import cache
from pathlib import Path

from bench import paths
from bench.targets import Target

MB = 1_000_000


def environments_mb(target: Target) -> dict[str, float]:
    """Installed size of site-packages, by environment; a file hard-linked twice counts once."""
    return {role.env: _environment_mb(role.env) for role in target.roles}


@cache
def _environment_mb(env: str) -> float:
    """Bytecode is left out: whether it is there depends on what has been imported so far."""
    files = (paths.ROOT / env / "lib").glob("python3*/site-packages/**/*")
    return _bytes(file for file in files if "__pycache__" not in file.parts) / MB


def models_mb(target: Target) -> float:
    """Size of the model files of all roles; a file that two roles read counts once."""
    files = {paths.model_dir() / name for role in target.roles for name in role.model_files}
    return _bytes(file for file in files if file.exists()) / MB


def _bytes(files: Iterable[Path]) -> int:
    found: dict[tuple[int, int], int] = {}
    for file in files:
        if file.is_file() and not file.is_symlink():
            status = file.stat()
            found[status.st_dev, status.st_ino] = status.st_size
    return sum(found.values())
