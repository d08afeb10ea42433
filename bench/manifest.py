"""manifest.json: what was measured, on what, with what, and the command that does it again."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import orjson

from bench import machine, paths
from bench.ceiling import Ceilings
from bench.footprint import environments_mb, models_mb
from bench.plan import Options
from bench.processes import Place, threads
from bench.reference import Reference, sha256_of
from bench.targets import Target, foreign

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
    """The whole manifest, without a path or a name of this machine."""
    return {
        "schema": 2,
        "started_utc": datetime.now(UTC).isoformat(timespec="seconds"),
        "command": command,
        "git": git_state(),
        "machine": machine.describe(),
        "pinning": {"server": place.pinning.server, "driver": place.pinning.driver, "apart": place.pinning.apart},
        "profile": dict(vars(options.profile)),
        "slo_ms": options.slo_ms,
        "seed": options.seed,
        "scenarios": options.scenarios,
        "concurrency": options.concurrency,
        "client": options.client,
        "device": options.device,
        "client_ceiling_rps": _ceilings(ceilings.rps),
        "calibration_s": speed_s,
        "corpus": {
            "name": "SQuAD v2 dev" if reference.squad.name == "squad" else reference.squad.name,
            "sha256": reference.squad.sha256,
            "passages": len(reference.squad.passages),
            "questions": len(reference.squad.texts),
        },
        "models": model_hashes(targets),
        "targets": {target.name: _target(target, place) for target in targets},
        "environments": {env: packages(env) for env in sorted({r.env for t in targets for r in t.roles})},
        "harness_packages": _packages_of(Path(sys.executable)),
    }


def write(file: Path, content: Mapping[str, Any]) -> None:
    """Write it whole or not at all."""
    partial = file.with_suffix(".partial")
    partial.write_bytes(orjson.dumps(content, option=orjson.OPT_INDENT_2) + b"\n")
    partial.replace(file)


def git_state() -> dict[str, Any]:
    """The commit and whether the working tree differs from it; None outside a repository with a commit."""
    sha = _git("rev-parse", "HEAD")
    status = _git("status", "--porcelain", "--", ":!results")
    return {"sha": sha or None, "dirty": bool(status) if status is not None else None}


def _git(*arguments: str) -> str | None:
    try:
        done = subprocess.run(  # noqa: S603  (git with our own words)
            ["git", *arguments],  # noqa: S607  (the user's git)
            cwd=paths.ROOT,
            capture_output=True,
            text=True,
            check=False,
        )
    except FileNotFoundError:
        return None
    return done.stdout.strip() if done.returncode == 0 else None


def model_hashes(targets: Sequence[Target]) -> dict[str, str]:
    """The sha256 of every model file some role reads."""
    names = sorted({name for target in targets for role in target.roles for name in role.model_files})
    return {
        f"{paths.MODEL}/{name}": sha256_of(paths.model_dir() / name)
        for name in names
        if (paths.model_dir() / name).exists()
    }


def packages(env: str) -> dict[str, Any]:
    """Python and package versions of an environment, by name."""
    return _packages_of(paths.ROOT / env / "bin" / "python")


def _packages_of(python: Path) -> dict[str, Any]:
    listed = subprocess.run(  # noqa: S603  (an environment of ours)
        [str(python), "-c", LIST_PACKAGES], capture_output=True, check=True
    )
    versions: dict[str, Any] = json.loads(listed.stdout)
    return versions


def _target(target: Target, place: Place) -> dict[str, Any]:
    """Facts of a target that do not change while it is measured; placeholders stay as they are written."""
    return {
        "title": target.title,
        "dialect": target.dialect,
        "precision": target.precision,
        "device": target.device,
        "peer": target.peer,
        "ranked": target.ranked,
        "ingest": target.ingest,
        **({"url": target.url, "note": foreign.NOTE} if target.url else {}),
        "roles": {
            role.name: {"argv": role.argv, "environ": _environ(role.environ, target, place)} for role in target.roles
        },
        "environments_mb": {env: round(mb, 1) for env, mb in environments_mb(target).items()},
        "models_mb": round(models_mb(target), 1),
    }


def _environ(environ: Mapping[str, str], target: Target, place: Place) -> dict[str, str | None]:
    """What the role was given, device and thread variables filled in, and those left unset said to be so."""
    filled = {key: value.replace("{threads}", threads(target, place)) for key, value in environ.items()}
    filled = {key: value.replace("{device}", target.device) for key, value in filled.items()}
    return {**dict.fromkeys(THREAD_VARIABLES), **filled}


def _ceilings(ceilings: Mapping[tuple[str, int], float]) -> dict[str, dict[str, float]]:
    routes = sorted({route for route, _ in ceilings})
    return {
        route: {str(c): round(rps, 1) for (of, c), rps in sorted(ceilings.items()) if of == route} for route in routes
    }
