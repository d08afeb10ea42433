"""
What an auditor asks: are there known holes in what a gateway installs, unsafe code of ours, secrets in the tree.

    python scripts/audit

Writes a CycloneDX bill of materials of each gateway to build/sbom. Its tools are in .venvs/audit.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
TOOLS = ROOT / ".venvs" / "audit" / "bin"
GATEWAYS = ("python", "onnx_py", "split")
CODE = ("gateways", "bench", "scripts")
# pip-audit's own words where it cannot ask: then nothing is known, which is not the same as nothing found.
UNREACHABLE = ("ConnectionError", "ConnectionTimeout", "Max retries", "ServiceError", "HTTPError", "Failed to")
# Checksums and commits are public, and half of models.yaml.
NOT_SECRET = ("Base64HighEntropyString", "HexHighEntropyString")


def main() -> int:
    """Do all of it; 1 where something was found."""
    found = [name for name, look in (("bandit", bandit), ("secrets", secrets)) if not look()]
    for gateway in GATEWAYS:
        bill_of_materials(gateway)
        if not vulnerabilities(gateway):
            found.append(f"vulnerabilities of {gateway}")
    print(f"found: {', '.join(found)}" if found else "nothing found")
    return bool(found)


def bandit() -> bool:
    """Look for unsafe code; B615 is about names of the hub, and here models come from folders with checked sums."""
    done = run("bandit", "--quiet", "--recursive", "--severity-level", "medium", "--skip", "B615", *CODE)
    print(done.stdout if done.returncode else "bandit: nothing of medium or high severity")
    return not done.returncode


def secrets() -> bool:
    """Look for secrets in every file that git knows."""
    listed = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True)  # noqa: S607
    unread = ("results/", "tests/", "constraints.txt")
    looked = [name for name in listed.stdout.splitlines() if not name.startswith(unread)]
    disabled = [part for plugin in NOT_SECRET for part in ("--disable-plugin", plugin)]
    done = run("detect-secrets", "scan", *disabled, "--exclude-secrets", "^none$", *looked)
    results = json.loads(done.stdout)["results"]
    for name, hits in results.items():
        for hit in hits:
            print(f"secrets: {name}:{hit['line_number']}: {hit['type']}")
    print(f"secrets: {sum(map(len, results.values()))} in {len(looked)} files")
    return not results


def vulnerabilities(gateway: str) -> bool:
    """Ask the database of the Python Package Index about every package of a gateway's environment."""
    packages = next((ROOT / ".venvs" / gateway / "lib").glob("python*/site-packages"))
    done = run("pip-audit", "--path", str(packages), "--format", "json", "--progress-spinner", "off")
    known = json.loads(done.stdout)["dependencies"] if done.stdout else []
    looked_up = [package for package in known if "skip_reason" not in package]
    # A mirror of the index may know of no advisories at all: it then skips whatever it is asked about.
    if not looked_up and (known or any(word in done.stderr for word in UNREACHABLE)):
        print(f"pip-audit: {gateway}: not known, the database cannot be reached from here")
        return True
    for package in looked_up:
        for hole in package["vulns"]:
            print(f"pip-audit: {gateway}: {package['name']} {package['version']}: {hole['id']}")
    print(f"pip-audit: {gateway}: {len(looked_up)} of {len(known)} packages looked up", done.stderr.strip())
    return not done.returncode


def bill_of_materials(gateway: str) -> None:
    """Write what a gateway installs, with versions and licences."""
    folder = ROOT / "build" / "sbom"
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / f"{gateway}.cdx.json"
    python = ROOT / ".venvs" / gateway / "bin" / "python"
    done = run("cyclonedx-py", "environment", str(python), "--output-reproducible", "--output-file", str(file))
    if done.returncode:
        raise SystemExit(done.stderr)
    print(f"SBOM: {file.relative_to(ROOT)}: {len(json.loads(file.read_bytes())['components'])} components")


def run(tool: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run one of the tools in the repository root."""
    command: Sequence[str] = [str(TOOLS / tool), *arguments]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)  # noqa: S603


if __name__ == "__main__":
    sys.exit(main())
