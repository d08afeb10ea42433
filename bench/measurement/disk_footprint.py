"""The disk footprint of a target: the packages of its environments and its model files."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from functools import cache
from pathlib import Path

from bench import paths
from bench.targets import Target

MB = 1_000_000


def environments_mb(target: Target) -> dict[str, float]:
    """Return the size of site-packages in MB, by environment. Hard links to one file count once."""
    return {role.env: sum(packages_mb(role.env).values()) for role in target.roles}


@cache
def packages_mb(env: str) -> dict[str, float]:
    """
    Return the size of each package of an environment in MB, by its name in site-packages, largest first.

    Bytecode is not counted, because it depends on the imports so far.
    """
    sizes: Counter[str] = Counter()
    for site in (paths.ROOT / env / "lib").glob("python3*/site-packages"):
        for file, size in _sizes(file for file in site.glob("**/*") if "__pycache__" not in file.parts):
            sizes[file.relative_to(site).parts[0].removesuffix(".libs")] += size
    return {name: size / MB for name, size in sizes.most_common()}


def models_mb(target: Target) -> float:
    """Return the size of the model files of all roles in MB. A file of two roles counts once."""
    files = {target.model_file(name) for role in target.roles for name in role.model_files}
    return sum(size for _, size in _sizes(file for file in files if file.exists())) / MB


def _sizes(files: Iterable[Path]) -> Iterator[tuple[Path, int]]:
    """Yield each regular file and its size in bytes; of several hard links, only the first."""
    inodes: set[tuple[int, int]] = set()
    for file in files:
        if file.is_file() and not file.is_symlink():
            status = file.stat()
            if (status.st_dev, status.st_ino) not in inodes:
                inodes.add((status.st_dev, status.st_ino))
                yield file, status.st_size
