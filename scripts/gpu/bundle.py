"""
Pack a bundle for scripts/gpu/bench.sh on a GPU machine without a network.

    python -m scripts.gpu.bundle

The GPU machine must have Python, PyTorch and the packages in SYSTEM. The bundle has the other packages, extracted
from their wheels because that compresses better, and the default model's weights in fp16. Run this in .venv on a
machine with a network, and copy the bundle to the GPU machine.
"""

from __future__ import annotations

import argparse
import importlib.metadata
import shutil
import subprocess
import sys
import tarfile
import tempfile
from collections.abc import Iterator
from collections.abc import Set as AbstractSet
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from safetensors.torch import load_file, save_file

ROOT = Path(__file__).resolve().parents[2]
MODEL = "all-MiniLM-L6-v2"
PROJECT, EXTRAS = "embedding-gateways", ("bench", "python")
# Packages that images with PyTorch usually have. --has adds to them, --lacks removes from them.
SYSTEM = """
anyio certifi click h11 httpcore httpx huggingface-hub idna jinja2 markdown-it-py matplotlib numpy nvidia-ml-py
packaging pandas prometheus-client psutil pygments pyyaml rich safetensors scipy sentence-transformers threadpoolctl
tokenizers torch transformers typing-extensions typing-inspection uvloop
"""
# Locust does not run on the GPU machine; the driver alone loads the gateway.
EXCLUDED = ("locust",)
# Accepted platforms of wheels, newest first.
PLATFORMS = [f"manylinux_2_{minor}_x86_64" for minor in (39, 35, 34, 31, 28, 27, 24, 17)] + ["manylinux2014_x86_64"]
MAX_BYTES = 64 * 2**20


def main() -> None:
    """Read the command line and write the bundle. Exits with a message if it is over MAX_BYTES."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=ROOT / "build" / "gpu-bundle.tar.xz", help="file to write")
    parser.add_argument("--python-version", default="3.12", help="Python of the GPU machine; default: 3.12")
    parser.add_argument("--has", default="", help="other packages that the GPU machine has, separated by commas")
    parser.add_argument("--lacks", default="", help="packages of SYSTEM that the GPU machine does not have")
    options = parser.parse_args()
    installed = {*SYSTEM.split(), *_split_names(options.has)} - _split_names(options.lacks)
    requirements = sorted(missing_requirements(installed | {*EXCLUDED}))
    with tempfile.TemporaryDirectory() as staging:
        folder = Path(staging)
        convert_to_fp16(ROOT / "models" / MODEL, folder / "models" / MODEL)
        install_wheels(requirements, folder / "site", options.python_version)
        options.out.parent.mkdir(parents=True, exist_ok=True)
        with tarfile.open(options.out, "w:xz") as bundle:
            for path in sorted(folder.iterdir()):
                bundle.add(path, path.name)
    size = options.out.stat().st_size
    print(f"{options.out}: {size / 2**20:.1f} MiB, {len(requirements)} packages for Python {options.python_version}")
    if size > MAX_BYTES:
        raise SystemExit(f"the bundle is over {MAX_BYTES / 2**20:.0f} MiB: name installed packages with --has")


def missing_requirements(installed_names: AbstractSet[str]) -> Iterator[str]:
    """Yield `name==version` of each package that the project needs and `installed_names` lacks, as in this .venv."""
    seen = set(installed_names)
    queue = [Requirement(f"{PROJECT}[{','.join(EXTRAS)}]")]
    while queue:
        requirement = queue.pop()
        name = canonicalize_name(requirement.name)
        if name in seen:
            continue
        seen.add(name)
        distribution = importlib.metadata.distribution(name)
        if name != PROJECT:
            yield f"{name}=={distribution.version.partition('+')[0]}"
        for line in distribution.requires or ():
            dependency = Requirement(line)
            if dependency.marker is None or any(
                dependency.marker.evaluate({"extra": extra}) for extra in ("", *requirement.extras)
            ):
                queue.append(dependency)


def convert_to_fp16(weights: Path, folder: Path) -> None:
    """Copy a model's files to `folder` without its graphs, and convert its float tensors to fp16."""
    shutil.copytree(weights, folder, ignore=shutil.ignore_patterns("onnx", ".*", "sha256.json", "vocab.txt"))
    file = folder / "model.safetensors"
    tensors = load_file(file)
    halves = {name: tensor.half() if tensor.is_floating_point() else tensor for name, tensor in tensors.items()}
    save_file(halves, file)


def install_wheels(requirements: list[str], folder: Path, python: str) -> None:
    """Extract the wheel of each `name==version` into `folder`, for Linux on x86-64. Exits if pip fails."""
    platforms = [word for name in PLATFORMS for word in ("--platform", name)]
    wheels = [
        "--no-deps",
        "--only-binary=:all:",
        "--implementation",
        "cp",
        "--python-version",
        python,
        "--no-compile",
    ]
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    command = [*pip, *wheels, *platforms, "--target", str(folder), *requirements]
    result = subprocess.run(command, check=False)  # noqa: S603 pip
    if result.returncode:
        raise SystemExit(result.returncode)


def _split_names(text: str) -> set[str]:
    return {canonicalize_name(name.strip()) for name in text.split(",") if name.strip()}


if __name__ == "__main__":
    main()
