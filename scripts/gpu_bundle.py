"""
Pack what scripts/gpu_bench.sh needs on a GPU machine without a network: `python -m scripts.gpu_bundle`.

That machine brings Python with PyTorch and what usually stands beside it (`SYSTEM`). The bundle brings the rest, out
of its wheels, which compress worse, and the default model's weights in fp16. Run it in .venv, with a network, and
take the file that it writes along.
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

ROOT = Path(__file__).resolve().parent.parent
MODEL = "all-MiniLM-L6-v2"
PROJECT, EXTRAS = "embedding-gateways", ("bench", "python")
# What images with PyTorch have as a rule; --has names what else the machine has, --lacks what it has not.
SYSTEM = """
anyio certifi click h11 httpcore httpx huggingface-hub idna jinja2 markdown-it-py matplotlib numpy nvidia-ml-py
packaging pandas prometheus-client psutil pygments pyyaml rich safetensors scipy sentence-transformers threadpoolctl
tokenizers torch transformers typing-extensions typing-inspection uvloop
"""
# Locust is not run there: the driver alone loads the gateway.
LEFT_OUT = ("locust",)
# Wheels of any of these are taken, the newest first.
PLATFORMS = [f"manylinux_2_{minor}_x86_64" for minor in (39, 35, 34, 31, 28, 27, 24, 17)] + ["manylinux2014_x86_64"]
MOST_BYTES = 64 * 2**20


def main() -> None:
    """Read the command line, and write the bundle. It ends with what is wrong where a wheel cannot be had."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=ROOT / "build" / "gpu-bundle.tar.xz")
    parser.add_argument("--python-version", default="3.12", help="of the GPU machine; default: 3.12")
    parser.add_argument("--has", default="", help="packages that it has besides, by comma")
    parser.add_argument("--lacks", default="", help="packages that it lacks though most such machines have them")
    asked = parser.parse_args()
    there = {*SYSTEM.split(), *_names(asked.has)} - _names(asked.lacks)
    wanted = sorted(lacking(there | {*LEFT_OUT}))
    with tempfile.TemporaryDirectory() as made:
        folder = Path(made)
        halve(ROOT / "models" / MODEL, folder / "models" / MODEL)
        unpack(wanted, folder / "site", asked.python_version)
        asked.out.parent.mkdir(parents=True, exist_ok=True)
        with tarfile.open(asked.out, "w:xz") as bundle:
            for path in sorted(folder.iterdir()):
                bundle.add(path, path.name)
    size = asked.out.stat().st_size
    print(f"{asked.out}: {size / 2**20:.1f} MiB, {len(wanted)} packages for Python {asked.python_version}")
    if size > MOST_BYTES:
        raise SystemExit(f"that is over {MOST_BYTES / 2**20:.0f} MiB: name with --has what the machine has already")


def lacking(there: AbstractSet[str]) -> Iterator[str]:
    """Yield `name==version` of all that the project needs and is not there, as installed in this environment."""
    seen = set(there)
    waiting = [Requirement(f"{PROJECT}[{','.join(EXTRAS)}]")]
    while waiting:
        requirement = waiting.pop()
        name = canonicalize_name(requirement.name)
        if name in seen:
            continue
        seen.add(name)
        installed = importlib.metadata.distribution(name)
        if name != PROJECT:
            yield f"{name}=={installed.version.partition('+')[0]}"
        for line in installed.requires or ():
            needed = Requirement(line)
            if needed.marker is None or any(
                needed.marker.evaluate({"extra": extra}) for extra in ("", *requirement.extras)
            ):
                waiting.append(needed)


def halve(weights: Path, folder: Path) -> None:
    """Copy a model's files, its tensors of floats in fp16; graphs stay behind."""
    shutil.copytree(weights, folder, ignore=shutil.ignore_patterns("onnx", ".*", "sha256.json", "vocab.txt"))
    file = folder / "model.safetensors"
    tensors = load_file(file)
    halves = {name: tensor.half() if tensor.is_floating_point() else tensor for name, tensor in tensors.items()}
    save_file(halves, file)


def unpack(wanted: list[str], folder: Path, python: str) -> None:
    """Unpack the wheel of each `name==version` into a folder, for Linux on x86-64."""
    platforms = [word for name in PLATFORMS for word in ("--platform", name)]
    only = ["--no-deps", "--only-binary=:all:", "--implementation", "cp", "--python-version", python, "--no-compile"]
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    done = subprocess.run([*pip, *only, *platforms, "--target", str(folder), *wanted], check=False)  # noqa: S603 pip
    if done.returncode:
        raise SystemExit(done.returncode)


def _names(listed: str) -> set[str]:
    return {canonicalize_name(name.strip()) for name in listed.split(",") if name.strip()}


if __name__ == "__main__":
    main()
