"""
What each gateway takes on disk: its packages, the model files it reads, and its images where docker or podman is.

    python -m scripts.footprint
"""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator
from itertools import islice

from rich.console import Console
from rich.table import Table

from bench import footprint, targets

# As docker-compose.yml names them, in the order of the environments; they are the same at any precision, and no model
# is in them.
IMAGES = {"onnx_py": ["onnx_py"], "python": ["python"], "split": ["embed", "split"], "pseudo": ["pseudo"]}
LARGEST = 3


def main() -> None:
    """Print a line for each target."""
    table = Table("target", "packages, MB", "of them", "model, MB", "image, MB", title="on disk (MB: 10^6 bytes)")
    for target in targets.ours():
        environments = footprint.environments_mb(target)
        packages = " + ".join(f"{mb:.0f}" for mb in environments.values())
        largest = "; ".join(", ".join(_largest(env)) for env in environments)
        images = " + ".join(map(_image, IMAGES[target.name.partition("-")[0]]))
        table.add_row(target.name, packages, largest, f"{footprint.models_mb(target):.0f}", images)
    Console().print(table)


def _largest(env: str) -> Iterator[str]:
    """Return the largest of an environment's packages, each with its MB."""
    return (f"{name} {mb:.0f}" for name, mb in islice(footprint.packages_mb(env).items(), LARGEST))


def _image(name: str) -> str:
    """Return the size of an image, "-" where no engine has it."""
    for engine in filter(None, map(shutil.which, ("docker", "podman"))):
        asked = [engine, "image", "inspect", "--format", "{{.Size}}", f"embedding-gateways/{name}"]
        told = subprocess.run(asked, capture_output=True, text=True, check=False)  # noqa: S603 an engine on the PATH
        if told.returncode == 0:
            return f"{int(told.stdout) / footprint.MB:.0f}"
    return "-"


if __name__ == "__main__":
    main()
