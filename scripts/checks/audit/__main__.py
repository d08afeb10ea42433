"""
Audit the project: known vulnerabilities in the packages of each gateway, unsafe code, secrets in the repository.

    python -m scripts.checks.audit

Writes a CycloneDX bill of materials (SBOM) of each gateway to build/sbom. The tools are in .venvs/audit, which
`make audit` sets up.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parents[3]
TOOLS = ROOT / ".venvs" / "audit" / "bin"
GATEWAYS = ("python", "onnx_py", "split")
CODE = ("gateways", "bench", "scripts")
# Errors of pip-audit that mean the database was not reached: the result is then unknown, not clean.
UNREACHABLE = ("ConnectionError", "ConnectionTimeout", "Max retries", "ServiceError", "HTTPError", "Failed to")
# Detectors of hex and base64 strings are off: checksums and commits in models.yaml are public.
NOT_SECRET = ("Base64HighEntropyString", "HexHighEntropyString")


def main() -> int:
    """Run all audits. Returns exit status 1 if one of them has a finding."""
    argparse.ArgumentParser(description=__doc__).parse_args()
    failed = [name for name, check in (("bandit", check_code), ("secrets", check_secrets)) if not check()]
    for gateway in GATEWAYS:
        write_sbom(gateway)
        if not check_vulnerabilities(gateway):
            failed.append(f"vulnerabilities of {gateway}")
    print(f"findings: {', '.join(failed)}" if failed else "no findings")
    return bool(failed)


def check_code() -> bool:
    """Scan our code with bandit. B615 (unpinned hub downloads) is skipped: models are verified by sha256."""
    result = run_tool("bandit", "--quiet", "--recursive", "--severity-level", "medium", "--skip", "B615", *CODE)
    print(result.stdout if result.returncode else "bandit: nothing of medium or high severity")
    return not result.returncode


def check_secrets() -> bool:
    """Scan the files of the git repository for secrets, except results, tests and constraints."""
    listing = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True)  # noqa: S607
    skipped = ("results/", "tests/", "constraints.txt")
    files = [name for name in listing.stdout.splitlines() if not name.startswith(skipped)]
    disabled = [part for plugin in NOT_SECRET for part in ("--disable-plugin", plugin)]
    result = run_tool("detect-secrets", "scan", *disabled, "--exclude-secrets", "^none$", *files)
    secrets = json.loads(result.stdout)["results"]
    for name, hits in secrets.items():
        for hit in hits:
            print(f"secrets: {name}:{hit['line_number']}: {hit['type']}")
    print(f"secrets: {sum(map(len, secrets.values()))} in {len(files)} files")
    return not secrets


def check_vulnerabilities(gateway: str) -> bool:
    """Look up every package of a gateway's environment in the advisory database. True if it is unreachable."""
    packages = next((ROOT / ".venvs" / gateway / "lib").glob("python*/site-packages"))
    result = run_tool("pip-audit", "--path", str(packages), "--format", "json", "--progress-spinner", "off")
    dependencies = json.loads(result.stdout)["dependencies"] if result.stdout else []
    checked = [package for package in dependencies if "skip_reason" not in package]
    # A mirror of the index may have no advisories. pip-audit then skips every package.
    if not checked and (dependencies or any(word in result.stderr for word in UNREACHABLE)):
        print(f"pip-audit: {gateway}: unknown, the database cannot be reached from here")
        return True
    for package in checked:
        for vulnerability in package["vulns"]:
            print(f"pip-audit: {gateway}: {package['name']} {package['version']}: {vulnerability['id']}")
    print(f"pip-audit: {gateway}: {len(checked)} of {len(dependencies)} packages looked up", result.stderr.strip())
    return not result.returncode


def write_sbom(gateway: str) -> None:
    """Write the bill of materials of a gateway, with versions and licences."""
    folder = ROOT / "build" / "sbom"
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / f"{gateway}.cdx.json"
    python = ROOT / ".venvs" / gateway / "bin" / "python"
    command = ("environment", str(python), "--output-reproducible", "--output-file", str(file))
    result = run_tool("cyclonedx-py", *command)
    if result.returncode:
        raise SystemExit(result.stderr)
    print(f"SBOM: {file.relative_to(ROOT)}: {len(json.loads(file.read_bytes())['components'])} components")


def run_tool(tool: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run a tool of .venvs/audit in the repository root, and return its result."""
    command: Sequence[str] = [str(TOOLS / tool), *arguments]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)  # noqa: S603


if __name__ == "__main__":
    sys.exit(main())
