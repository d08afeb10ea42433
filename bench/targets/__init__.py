"""Targets, read from TOML files. README.md beside this file is the schema."""

from __future__ import annotations

import tomllib
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from bench import paths
from bench.errors import TargetError

LOOPBACK = ("localhost", "127.0.0.1", "::1")
PRECISIONS = ("fp32", "fp16", "bf16", "int8", "pseudo")
HALF = ("fp16", "bf16")
CAPABILITIES = ("search", "embeddings", "rerank", "hybrid")


@dataclass(frozen=True)
class Role:
    """One process of a target. `caching` enables its caches: the scenario `cache` adds it to `environ`."""

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
        """The interpreter of the role's environment. Do not resolve the link, which selects the environment."""
        return paths.ROOT / self.env / "bin" / "python"


@dataclass(frozen=True)
class Target:
    """
    A system under test: its processes, its dialect and its promises.

    * `durable`: the data folder holds the index, so a start on a copy of it need not ingest again.
    * `model`: the model to request, if the dialect needs one. `other_model`: a second served model; verification
      requests it too and checks that the two are not confused.
    * `url`, `headers`: of an external target, which the harness did not start and which has no roles.
    * `root`: the checkout whose code runs, in the environments of this checkout.
    * `device`: the value of `{device}` in the target file (see `bench.targets.devices`); "" for an external target.
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
        """The role to which clients connect."""
        return self.roles[-1]

    @property
    def remote(self) -> bool:
        """Whether it is an external target on another machine."""
        return bool(self.url) and urlsplit(self.url).hostname not in LOOPBACK

    @property
    def ranked(self) -> bool:
        """Whether the target takes part in rankings: it runs a model and is set up like a real deployment."""
        return self.precision != "pseudo" and self.ingest

    @property
    def with_caches(self) -> Target:
        """The target with its caches enabled."""
        return replace(self, roles=tuple(replace(role, environ=role.environ | role.caching) for role in self.roles))

    def model_file(self, name: str) -> Path:
        """Return the file of an entry of `model_files`: below the model's folder, or in `{prepared_dir}`."""
        return paths.model_dir() / name.replace("{prepared_dir}", str(paths.prepared_dir(self.folder)))

    def check_installed(self) -> None:
        """Raise TargetError if the environment of a role is missing."""
        for role in self.roles:
            if not role.python.exists():
                raise TargetError(
                    f"target {self.name}: {role.env} is missing (make setup{' PEERS=1' if self.peer else ''})"
                )


def load(file: Path, name: str) -> Target:
    """Return the target of a file. Raises TargetError that names the file and the key."""
    table = tomllib.loads(file.read_text())
    try:
        roles = tuple(_read_role(role) for role in table.pop("roles"))
        target = Target(**_convert_lists(table), roles=roles, folder=file.parent)
    except (KeyError, TypeError) as error:
        raise TargetError(f"{file.name} of target {name}: {error}") from error
    _check(target, name)
    return target


def _read_role(table: dict[str, Any]) -> Role:
    environ, caching = (
        {key: str(value) for key, value in table.pop(name, {}).items()} for name in ("environ", "caching")
    )
    return Role(**_convert_lists(table), environ=environ, caching=caching)


def _convert_lists(table: dict[str, Any]) -> dict[str, Any]:
    return {key: tuple(value) if isinstance(value, list) else value for key, value in table.items()}


def _check(target: Target, name: str) -> None:
    unknown = [name for name in target.capabilities if name not in CAPABILITIES]
    if target.name != name:
        raise TargetError(f"target {name}: its file has name = {target.name!r}")
    if unknown or target.precision not in PRECISIONS:
        raise TargetError(f"target {name}: unknown capability or precision: {unknown or target.precision}")
    if not target.roles:
        raise TargetError(f"target {name}: no roles")


def ours() -> list[Target]:
    """Return every target of this project, in the order of names."""
    return [load(file, file.stem) for file in sorted(paths.TARGETS.glob("*.toml"))]


def peers() -> list[Target]:
    """Return every peer: of a folder's `target.toml` under the folder's name, of another file under the file's."""
    files = paths.PEERS.glob("*/*.toml")
    named = {file.parent.name if file.stem == "target" else file.stem: file for file in files}
    return [load(named[name], name) for name in sorted(named)]


def choose(names: list[str] | None, with_peers: bool) -> list[Target]:
    """
    Return the targets named (ours or peers), or all of ours for None; with `with_peers`, all peers too.

    Raises TargetError for an unknown name.
    """
    by_name = {target.name: target for target in [*ours(), *peers()]}
    if names is None:
        return [target for target in by_name.values() if with_peers or not target.peer]
    unknown = sorted(set(names) - by_name.keys())
    if unknown:
        raise TargetError(f"unknown target {', '.join(unknown)}; known: {', '.join(sorted(by_name))}")
    extra = [name for name, target in by_name.items() if with_peers and target.peer and name not in names]
    return [by_name[name] for name in [*names, *extra]]
