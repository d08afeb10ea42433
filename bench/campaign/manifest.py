"""manifest.json: the targets, the machine, the software and the command of a campaign."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import orjson

from bench import paths, scenarios
from bench.datasets.corpus import Corpus
from bench.machine import cpuset, facts
from bench.measurement.client_ceiling import Ceilings
from bench.measurement.disk_footprint import environments_mb, models_mb
from bench.measurement.plan import Options
from bench.targets import Role, Target, external
from bench.targets.processes import Place, threads
from bench.verification.reference import Reference, sha256_of

THREAD_VARIABLES = ("THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "TOKENIZERS_PARALLELISM")
LIST_PACKAGES = (
    "import importlib.metadata as m, json, platform;"
    "print(json.dumps({'python': platform.python_version(),"
    " 'packages': dict(sorted({d.name.lower(): d.version for d in m.distributions()}.items()))}))"
)


def compose(
    targets: Sequence[Target],
    options: Options,
    place: Place,
    reference: Reference,
    ceilings: Ceilings,
    speed_s: float,
    command: str,
) -> dict[str, Any]:
    """Return the manifest, which contains no absolute path and no host name."""
    return {
        "schema": 2,
        "started_utc": datetime.now(UTC).isoformat(timespec="seconds"),
        "command": command,
        "git": git_state(),
        "machine": facts.describe(),
        "pinning": describe_pinning(place),
        "profile": dict(vars(options.profile)),
        "slo_ms": options.slo_ms,
        "seed": options.seed,
        "scenarios": options.scenarios,
        "headlines": {name: scenarios.load(name).HEADLINE for name in options.scenarios},
        "concurrency": options.concurrency,
        "client": options.client,
        "device": options.device,
        "client_ceiling_rps": _describe_ceilings(ceilings.rps),
        "calibration_s": speed_s,
        "corpus": _describe_corpus(reference.squad),
        "models": hash_models(targets),
        "targets": {target.name: _describe_target(target, place) for target in targets},
        "environments": {env: list_packages(env) for env in sorted({r.env for t in targets for r in t.roles})},
        "harness_packages": _list_packages(Path(sys.executable)),
    }


def describe_pinning(place: Place) -> dict[str, Any]:
    """Return the cores of server, driver and neither, and what holds the server on its own."""
    pinning = place.pinning
    return {
        "server": pinning.server,
        "driver": pinning.driver,
        "idle": pinning.idle,
        "apart": pinning.disjoint,
        "held_by": "cpuset" if cpuset.enter_command(pinning.server) else "affinity",
    }


def _describe_corpus(corpus: Corpus) -> dict[str, Any]:
    return {
        "name": "SQuAD v2 dev" if corpus.name == "squad" else corpus.name,
        "sha256": corpus.sha256,
        "passages": len(corpus.passages),
        "questions": len(corpus.texts),
    }


def write(file: Path, content: Mapping[str, Any]) -> None:
    """Write the manifest atomically."""
    partial = file.with_suffix(".partial")
    partial.write_bytes(orjson.dumps(content, option=orjson.OPT_INDENT_2) + b"\n")
    partial.replace(file)


def git_state() -> dict[str, Any]:
    """Return the commit, and whether the working tree differs from it; both None outside a repository."""
    sha = _git("rev-parse", "HEAD")
    status = _git("status", "--porcelain", "--", ":!results")
    return {"sha": sha or None, "dirty": bool(status) if status is not None else None}


def _git(*arguments: str) -> str | None:
    try:
        done = subprocess.run(  # noqa: S603  (git with our own arguments)
            ["git", *arguments],  # noqa: S607  (the user's git)
            cwd=paths.ROOT,
            capture_output=True,
            text=True,
            check=False,
        )
    except FileNotFoundError:
        return None
    return done.stdout.strip() if done.returncode == 0 else None


def hash_models(targets: Sequence[Target]) -> dict[str, str]:
    """Return the SHA-256 of every existing model file of the targets' roles."""
    files = {
        f"{paths.MODEL}/{name.replace('{prepared_dir}', target.folder.name)}": target.model_file(name)
        for target in targets
        for role in target.roles
        for name in role.model_files
    }
    return {name: sha256_of(files[name]) for name in sorted(files) if files[name].exists()}


def list_packages(env: str) -> dict[str, Any]:
    """Return the Python version and the package versions of an environment."""
    return _list_packages(paths.ROOT / env / "bin" / "python")


def _list_packages(python: Path) -> dict[str, Any]:
    done = subprocess.run(  # noqa: S603  (an environment of ours)
        [str(python), "-c", LIST_PACKAGES], capture_output=True, check=True
    )
    versions: dict[str, Any] = json.loads(done.stdout)
    return versions


def _describe_target(target: Target, place: Place) -> dict[str, Any]:
    """Return the facts of a target. Placeholders other than device and threads are not filled in."""
    return {
        "title": target.title,
        "dialect": target.dialect,
        "precision": target.precision,
        "device": target.device,
        "peer": target.peer,
        "ranked": target.ranked,
        "ingest": target.ingest,
        **({"url": target.url, "note": external.NOTE} if target.url else {}),
        "roles": {
            role.name: {"argv": role.argv, "environ": _fill_environ(role, target, place)} for role in target.roles
        },
        "environments_mb": {env: round(mb, 1) for env, mb in environments_mb(target).items()},
        "models_mb": round(models_mb(target), 1),
    }


def _fill_environ(role: Role, target: Target, place: Place) -> dict[str, str | None]:
    """Return a role's environment with device and threads filled in; thread variables that are not set are None."""
    number = threads(target, role, place)
    filled = {key: value.replace("{threads}", number) for key, value in role.environ.items()}
    filled = {key: value.replace("{device}", target.device) for key, value in filled.items()}
    return {**dict.fromkeys(THREAD_VARIABLES), **filled}


def _describe_ceilings(ceilings: Mapping[tuple[str, int], float]) -> dict[str, dict[str, float]]:
    """Return the ceilings in requests per second, by route and concurrency."""
    by_route: dict[str, dict[str, float]] = {}
    for (route, concurrency), rps in sorted(ceilings.items()):
        by_route.setdefault(route, {})[str(concurrency)] = round(rps, 1)
    return by_route
