"""
Print the disk space of each gateway: its packages, the model files it reads, and its images if an engine has them.

    python -m scripts.checks.footprint
"""

from __future__ import annotations

import argparse
import shutil
import subprocess
import sys
from collections.abc import Iterator, Sequence
from itertools import islice

from rich.console import Console
from rich.table import Table

from bench import targets
from bench.measurement import disk_footprint

# Image names of docker-compose.yml, in the order of the environments. An image has no model and serves any precision.
IMAGES = {"onnx_py": ["onnx_py"], "python": ["python"], "split": ["embed", "split"], "pseudo": ["pseudo"]}
LARGEST = 3  # number of packages to name


def main(arguments: Sequence[str] = ()) -> None:
    """Print a line for each target."""
    argparse.ArgumentParser(description=__doc__).parse_args(arguments)
    table = Table("target", "packages, MB", "of them", "model, MB", "image, MB", title="on disk (MB: 10^6 bytes)")
    for target in targets.ours():
        environments = disk_footprint.environments_mb(target)
        packages = " + ".join(f"{mb:.0f}" for mb in environments.values())
        largest = "; ".join(", ".join(_list_largest(env)) for env in environments)
        images = " + ".join(map(_measure_image, IMAGES[target.name.partition("-")[0]]))
        table.add_row(target.name, packages, largest, f"{disk_footprint.models_mb(target):.0f}", images)
    Console().print(table)


def _list_largest(env: str) -> Iterator[str]:
    """Yield the LARGEST largest packages of an environment, each with its MB."""
    return (f"{name} {mb:.0f}" for name, mb in islice(disk_footprint.packages_mb(env).items(), LARGEST))


def _measure_image(name: str) -> str:
    """Return the size of an image in MB, or "-" if neither docker nor podman has it."""
    for engine in filter(None, map(shutil.which, ("docker", "podman"))):
        command = [engine, "image", "inspect", "--format", "{{.Size}}", f"embedding-gateways/{name}"]
        result = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603 engine on the PATH
        if result.returncode == 0:
            return f"{int(result.stdout) / disk_footprint.MB:.0f}"
    return "-"


if __name__ == "__main__":
    main(sys.argv[1:])
