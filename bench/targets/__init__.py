"""Targets as read from their TOML files; the schema is README.md beside this file."""

from __future__ import annotations

import tomllib
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from bench import paths
from bench.errors import TargetError

PRECISIONS = ("fp32", "fp16", "bf16", "int8", "pseudo")
HALF = ("fp16", "bf16")
CAPABILITIES = ("search", "embeddings", "rerank", "hybrid")


@dataclass(frozen=True)
class Role:
    """One process of a target; with `caching` on top of its environment it remembers what it answered."""

    name: str
    env: str
    argv: tuple[str, ...]
    ready: str
    environ: dict[str, str] = field(default_factory=dict)
    caching: dict[str, str] = field(default_factory=dict)
    metrics: str | None = None
    forward_counter: str | None = None
    pass_counter: str | None = None
    model_files: tuple[str, ...] = ()

    @property
    def python(self) -> Path:
        """The interpreter of the role's environment, not resolved: a link is what makes it that environment's."""
        return paths.ROOT / self.env / "bin" / "python"


@dataclass(frozen=True)
class Target:
    """
    What the harness hits: its processes, the dialect it speaks and what it promises.

    `durable` says that its data folder holds the index: what starts on a copy of it need not ingest again. `model` is
    the name to ask for where the dialect needs one; `other_model` another that it serves, which verifying
    asks too, to see that the two are not mixed up. A foreign target has a `url` and `headers`, and no roles: it was
    started by others. `root` is the checkout that its code is run from, in the environments of this one. `device` is
    what `{device}` in its file becomes (see `bench.devices`), empty where others decided that.
    """

    name: str
    title: str
    dialect: str
    precision: str
    capabilities: tuple[str, ...]
    roles: tuple[Role, ...]
    folder: Path
    peer: bool = False
    ingest: bool = True
    durable: bool = False
    model: str = ""
    other_model: str = ""
    url: str = ""
    headers: dict[str, str] = field(default_factory=dict)
    root: Path = paths.ROOT
    device: str = "auto"

    @property
    def front(self) -> Role:
        """The role that clients speak to."""
        return self.roles[-1]

    @property
    def ranked(self) -> bool:
        """Whether it may win: it runs the model, and it is set up as a user would."""
        return self.precision != "pseudo" and self.ingest

    @property
    def remembering(self) -> Target:
        """The target with its caches on."""
        return replace(self, roles=tuple(replace(role, environ=role.environ | role.caching) for role in self.roles))

    def check_installed(self) -> None:
        """Raise TargetError when a role's environment is not there."""
        for role in self.roles:
            if not role.python.exists():
                raise TargetError(
                    f"target {self.name}: {role.env} is missing (make setup{' PEERS=1' if self.peer else ''})"
                )


def load(file: Path, name: str) -> Target:
    """Read one target file; raises TargetError that names the file and the key."""
    table = tomllib.loads(file.read_text())
    try:
        roles = tuple(_role(role) for role in table.pop("roles"))
        target = Target(**_tuples(table), roles=roles, folder=file.parent)
    except (KeyError, TypeError) as error:
        raise TargetError(f"{file.name} of target {name}: {error}") from error
    _check(target, name)
    return target


def _role(table: dict[str, Any]) -> Role:
    environ, caching = (
        {key: str(value) for key, value in table.pop(name, {}).items()} for name in ("environ", "caching")
    )
    return Role(**_tuples(table), environ=environ, caching=caching)


def _tuples(table: dict[str, Any]) -> dict[str, Any]:
    return {key: tuple(value) if isinstance(value, list) else value for key, value in table.items()}


def _check(target: Target, name: str) -> None:
    wrong = [word for word in target.capabilities if word not in CAPABILITIES]
    if target.name != name:
        raise TargetError(f"target {name}: its file says name = {target.name!r}")
    if wrong or target.precision not in PRECISIONS:
        raise TargetError(f"target {name}: unknown capability or precision: {wrong or target.precision}")
    if not target.roles:
        raise TargetError(f"target {name}: no roles")


def ours() -> list[Target]:
    """Every target of this project, by name."""
    return [load(file, file.stem) for file in sorted(paths.TARGETS.glob("*.toml"))]


def peers() -> list[Target]:
    """Every peer that has a target file, by name."""
    return [load(file, file.parent.name) for file in sorted(paths.PEERS.glob("*/target.toml"))]


def choose(names: list[str] | None, with_peers: bool) -> list[Target]:
    """The targets named (ours or peers), or all of ours and, if wanted, all peers."""
    known = {target.name: target for target in [*ours(), *peers()]}
    if names is None:
        return [target for target in known.values() if with_peers or not target.peer]
    unknown = sorted(set(names) - known.keys())
    if unknown:
        raise TargetError(f"unknown target {', '.join(unknown)}; known: {', '.join(sorted(known))}")
    extra = [name for name, target in known.items() if with_peers and target.peer and name not in names]
    return [known[name] for name in [*names, *extra]]
