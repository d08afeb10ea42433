"""
Lint what deploys the gateways: Dockerfiles, docker-compose.yml, the chart, the workflow, every YAML file. No network.

One line per check; exits with 1, after running all of them, when one found something.
"""

from __future__ import annotations

import platform
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import kubernetes_validate
import yaml

ROOT = Path(__file__).resolve().parent.parent
HELM = ROOT / ".cache" / "tools" / "helm"  # where scripts/fetch_helm.py puts it
CHART = ROOT / "deploy" / "helm" / "embedding-gateways"
# Where helm is not to be had there is no case.
CASES = sorted(path.name for path in CHART.glob("ci/*.yaml")) if platform.machine() == "x86_64" else []
# The oldest release that is looked after; and kinds that no release knows.
KUBERNETES, OF_OTHERS = "1.33", {"keda.sh"}
COMPOSE = ROOT / "docker-compose.yml"
COMPOSE_GPU = ROOT / "deploy" / "docker-compose.gpu.yml"
BAKED = ROOT / "deploy" / "baked.Dockerfile"
SHAPES = {"python", "onnx_py", "split", "pseudo"}
# Several of all, and what they share.
TOGETHER = "scale"


def main() -> None:
    """Run every check, print what each found."""
    dockerfiles = named(ROOT.glob("gateways/**/Dockerfile"))
    workflows = named(ROOT.glob(".github/workflows/*.yml"))
    yamls = named(ROOT.glob("*.y*ml")) + named(ROOT.glob("deploy/**/*.yml")) + workflows
    schema = ["check-jsonschema", "--builtin-schema"]
    verdicts = [
        linted("hadolint", [*dockerfiles, *named([BAKED])], ["hadolint", "--no-color", "--config", ".hadolint.yaml"]),
        linted("compose schema", named([COMPOSE, COMPOSE_GPU]), [*schema, "vendor.compose-spec"]),
        linted("workflow schema", workflows, [*schema, "vendor.github-workflows"]),
        linted("yamllint", yamls, ["yamllint", "--strict", "--config-file", ".yamllint.yaml"]),
        *(
            report("chart", f"{case}: helm lint and template, Kubernetes' schemas", chart_faults(case))
            for case in CASES
        ),
        report("compose shapes", f"{COMPOSE.name} and {len(dockerfiles)} Dockerfiles", compose_faults(dockerfiles)),
    ]
    raise SystemExit(0 if all(verdicts) else 1)


def named(paths: Iterable[Path]) -> list[str]:
    """Return the paths as they are named from the repository root, sorted."""
    return sorted(str(path.relative_to(ROOT)) for path in paths)


def linted(name: str, files: list[str], command: list[str]) -> bool:
    """Run one tool of this environment on the files; no file to check is a fault too."""
    if not files:
        return report(name, "no file", ["there is nothing to check"])
    tool = Path(sys.executable).parent / command[0]
    if not tool.is_file():
        return report(name, command[0], [f"{tool.name} is not installed here: run `make setup`"])
    done = subprocess.run([tool, *command[1:], *files], cwd=ROOT, capture_output=True, text=True, check=False)  # noqa: S603 a tool of ours
    said = (done.stdout + done.stderr).strip().splitlines()
    return report(name, ", ".join(files), said or [f"exit code {done.returncode}"] if done.returncode else [])


def chart_faults(case: str) -> list[str]:
    """Return what helm says of the chart with these values, and what Kubernetes would of what it makes of them."""
    if not HELM.is_file():
        return ["helm is not here: run `python -m scripts.fetch_helm`"]
    values = ["--values", str(CHART / "ci" / case)]
    for command in (["lint", "--strict", "--quiet", str(CHART)], ["template", "release", str(CHART)]):
        done = subprocess.run([HELM, *command, *values], capture_output=True, text=True, check=False)  # noqa: S603 ours
        if done.returncode:
            return (done.stdout + done.stderr).strip().splitlines()
    made = [made for made in yaml.safe_load_all(done.stdout) if made]
    faults = [] if {"Deployment", "Service"} <= {its["kind"] for its in made} else ["there is no gateway in it"]
    for its in made:
        if its["apiVersion"].partition("/")[0] in OF_OTHERS:
            continue
        try:
            kubernetes_validate.validate(its, KUBERNETES, strict=True)
        except kubernetes_validate.ValidationError as error:
            faults.append(f"{its['kind']} {its['metadata']['name']}: {error.message}")
    return faults


def compose_faults(dockerfiles: list[str]) -> list[str]:
    """Return what no schema knows: a shape without a profile, a Dockerfile that nothing builds or is missing."""
    services = yaml.safe_load(COMPOSE.read_text())["services"]
    profiles = {profile for service in services.values() for profile in service.get("profiles", [])}
    built = {service["build"]["dockerfile"] for service in services.values() if "build" in service}
    wanted = SHAPES | {TOGETHER}
    faults = [f"profiles are {sorted(profiles)}, not {sorted(wanted)}"] if profiles != wanted else []
    faults += [fault for profile in sorted(profiles) for fault in profile_faults(services, profile)]
    faults += [f"no service builds {file}" for file in dockerfiles if file not in built]
    return faults + [f"{file} is built but is not there" for file in sorted(built - set(dockerfiles))]


def profile_faults(services: dict[str, Any], profile: str) -> list[str]:
    """Return what one profile lacks: a service that another waits for, a file that one mounts."""
    chosen = {name: service for name, service in services.items() if profile in service["profiles"]}
    faults = []
    for name, service in chosen.items():
        faults += [f"{name} waits for {other}" for other in service.get("depends_on", ()) if other not in chosen]
        mounted = [its.split(":")[0] for its in service.get("volumes", ()) if isinstance(its, str)]
        faults += [f"{name} mounts {its}" for its in mounted if its.startswith("./") and not (ROOT / its).exists()]
    return [f"profile {profile}: {fault}, which is not there" for fault in faults]


def report(name: str, subject: str, faults: list[str]) -> bool:
    """Print one check's line, and below it what it found; say whether it found nothing."""
    print(f"{'FAILED' if faults else 'ok'}  {name}: {subject}")
    for fault in faults:
        print(f"    {fault}")
    return not faults


if __name__ == "__main__":
    main()
