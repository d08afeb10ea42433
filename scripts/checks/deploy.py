"""
Lint the Dockerfiles, the compose files, the Helm chart, the workflows and all YAML files, without a network.

    python -m scripts.checks.deploy

Prints a line per check. Runs all checks, and exits with 1 if one of them found a fault.
"""

from __future__ import annotations

import argparse
import platform
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import kubernetes_validate
import yaml

ROOT = Path(__file__).resolve().parents[2]
HELM = ROOT / ".cache" / "tools" / "helm"  # where scripts/checks/fetch_helm.py puts it
CHART = ROOT / "deploy" / "helm" / "embedding-gateways"
# Values files to render the chart with. There are none on a machine for which helm cannot be fetched.
CASES = sorted(path.name for path in CHART.glob("ci/*.yaml")) if platform.machine() == "x86_64" else []
# The oldest supported release of Kubernetes, and API groups that are not part of Kubernetes.
KUBERNETES, EXTENSION_GROUPS = "1.33", {"keda.sh", "monitoring.coreos.com"}
COMPOSE = ROOT / "docker-compose.yml"
COMPOSE_GPU = ROOT / "deploy" / "docker-compose.gpu.yml"
BAKED = ROOT / "deploy" / "baked.Dockerfile"
SHAPES = {"python", "onnx_py", "split", "pseudo"}
# The profile with several replicas behind a load balancer.
SCALE_PROFILE = "scale"


def main() -> None:
    """Run every check and print its result."""
    argparse.ArgumentParser(description=__doc__).parse_args()
    dockerfiles = relative_names(ROOT.glob("gateways/**/Dockerfile"))
    workflows = relative_names(ROOT.glob(".github/workflows/*.yml"))
    yamls = relative_names(ROOT.glob("*.y*ml")) + relative_names(ROOT.glob("deploy/**/*.yml")) + workflows
    schema = ["check-jsonschema", "--builtin-schema"]
    hadolint = ["hadolint", "--no-color", "--config", ".hadolint.yaml"]
    results = [
        run_linter("hadolint", [*dockerfiles, *relative_names([BAKED])], hadolint),
        run_linter("compose schema", relative_names([COMPOSE, COMPOSE_GPU]), [*schema, "vendor.compose-spec"]),
        run_linter("workflow schema", workflows, [*schema, "vendor.github-workflows"]),
        run_linter("yamllint", yamls, ["yamllint", "--strict", "--config-file", ".yamllint.yaml"]),
        *(
            report("chart", f"{case}: helm lint and template, Kubernetes' schemas", find_chart_faults(case))
            for case in CASES
        ),
        report(
            "compose shapes",
            f"{COMPOSE.name} and {len(dockerfiles)} Dockerfiles",
            find_compose_faults(dockerfiles),
        ),
    ]
    raise SystemExit(0 if all(results) else 1)


def relative_names(paths: Iterable[Path]) -> list[str]:
    """Return the paths relative to the repository root, sorted."""
    return sorted(str(path.relative_to(ROOT)) for path in paths)


def run_linter(name: str, files: list[str], command: list[str]) -> bool:
    """Run a tool of this environment on the files. Returns False if it fails, or if there is no file."""
    if not files:
        return report(name, "no file", ["there is no file to check"])
    tool = Path(sys.executable).parent / command[0]
    if not tool.is_file():
        return report(name, command[0], [f"{tool.name} is not installed here: run `make setup`"])
    result = subprocess.run([tool, *command[1:], *files], cwd=ROOT, capture_output=True, text=True, check=False)  # noqa: S603 a tool of ours
    lines = (result.stdout + result.stderr).strip().splitlines()
    return report(name, ", ".join(files), lines or [f"exit code {result.returncode}"] if result.returncode else [])


def find_chart_faults(case: str) -> list[str]:
    """Return the errors of helm for the values file `case`, and the schema errors of the rendered objects."""
    if not HELM.is_file():
        return ["helm is not here: run `python -m scripts.checks.fetch_helm`"]
    values = ["--values", str(CHART / "ci" / case)]
    for command in (["lint", "--strict", "--quiet", str(CHART)], ["template", "release", str(CHART)]):
        result = subprocess.run([HELM, *command, *values], capture_output=True, text=True, check=False)  # noqa: S603 ours
        if result.returncode:
            return (result.stdout + result.stderr).strip().splitlines()
    objects = [document for document in yaml.safe_load_all(result.stdout) if document]
    kinds = {document["kind"] for document in objects}
    faults = [] if {"Deployment", "Service"} <= kinds else ["the chart renders no gateway"]
    for document in objects:
        if document["apiVersion"].partition("/")[0] in EXTENSION_GROUPS:
            continue
        try:
            kubernetes_validate.validate(document, KUBERNETES, strict=True)
        except kubernetes_validate.ValidationError as error:
            faults.append(f"{document['kind']} {document['metadata']['name']}: {error.message}")
    return faults


def find_compose_faults(dockerfiles: list[str]) -> list[str]:
    """Return faults that no schema finds: a shape without profile, a Dockerfile that is missing or not built."""
    services = yaml.safe_load(COMPOSE.read_text())["services"]
    profiles = {profile for service in services.values() for profile in service.get("profiles", [])}
    built = {service["build"]["dockerfile"] for service in services.values() if "build" in service}
    expected = SHAPES | {SCALE_PROFILE}
    faults = [f"profiles are {sorted(profiles)}, not {sorted(expected)}"] if profiles != expected else []
    faults += [fault for profile in sorted(profiles) for fault in find_profile_faults(services, profile)]
    faults += [f"no service builds {file}" for file in dockerfiles if file not in built]
    return faults + [f"{file} is built but does not exist" for file in sorted(built - set(dockerfiles))]


def find_profile_faults(services: dict[str, Any], profile: str) -> list[str]:
    """Return the services that a service of the profile waits for, and the files it mounts, that do not exist."""
    members = {name: service for name, service in services.items() if profile in service["profiles"]}
    faults = []
    for name, service in members.items():
        faults += [f"{name} waits for {other}" for other in service.get("depends_on", ()) if other not in members]
        volumes = [volume.split(":")[0] for volume in service.get("volumes", ()) if isinstance(volume, str)]
        faults += [
            f"{name} mounts {file}" for file in volumes if file.startswith("./") and not (ROOT / file).exists()
        ]
    return [f"profile {profile}: {fault}, which does not exist" for fault in faults]


def report(name: str, subject: str, faults: list[str]) -> bool:
    """Print the result of a check, and its faults below. Returns True if there are none."""
    print(f"{'FAILED' if faults else 'ok'}  {name}: {subject}")
    for fault in faults:
        print(f"    {fault}")
    return not faults


if __name__ == "__main__":
    main()
