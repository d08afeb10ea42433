"""The model catalogue: `models.yaml`, or another service's model file, read and checked once."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Self

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from gateways.core.backend import NO_PROMPTS, Kind, ModelInfo
from gateways.core.errors import fetching

# The kinds in the models.yaml of the Unified Embedding API, and ours.
_UNIFIED_KINDS = {"embeddings": "dense", "sparse-embeddings": "sparse", "rerank": "rerank"}

_COMMIT = re.compile("[0-9a-f]{40}")
# An id is a folder below MODELS_DIR, also in a file of models that somebody else wrote.
_FOLDER_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:+@-]*(/[A-Za-z0-9._:+@-]+)*")
# The modes of sentence-transformers, and their names in the catalogue.
_POOLINGS = {"mean_tokens": "mean", "cls_token": "cls", "lasttoken": "last"}


class CatalogError(Exception):
    """The catalogue is not usable. The message names the file and the place in it."""


class WeightsAbsent(CatalogError):
    """The files of a model are absent. The message names the command that fetches them."""


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Source(_Strict):
    """The source of weights: a hub repository, a folder inside Python packages, or a folder on this machine."""

    hub: str | None = None
    revision: str | None = None
    package: str | None = None
    packages: tuple[str, ...] = ()
    joined: str | None = Field(None, description="Parts inside `packages` that make one zip, in order.")
    path: str | None = Field(None, description="Folder inside the package; alone: a folder on this machine.")

    @property
    def local(self) -> bool:
        """True for a folder on this machine."""
        return bool(self.path) and not (self.hub or self.package or self.packages)


class Entry(_Strict):
    """One model. `files` maps the files that a gateway reads to their sha256, empty if unknown."""

    kind: Kind
    engine: Literal["transformer", "bm25", "late_interaction"] = "transformer"
    of: str = Field("", description="Dense model of a late interaction; empty: the default one.")
    dimensions: int | None = Field(None, gt=0)
    max_input_tokens: int | None = Field(None, gt=0)
    aliases: tuple[str, ...] = ()
    languages: tuple[str, ...] = ()
    licence: str = ""
    prompts: dict[str, str] = {}
    pooling: Literal["mean", "cls", "last"] | None = None
    precision: tuple[Literal["fp32", "int8"], ...] = ("fp32", "int8")
    preload: bool = False
    setup: bool = Field(False, description="Fetched and exported by `make setup`.")
    memory_mb: int | None = Field(None, gt=0, description="Default: the size of its weights.")
    stand_in: str | None = Field(None, description="Model that answers while this one's weights are not here.")
    sources: tuple[Source, ...] = ()
    files: dict[str, str] = {}

    @model_validator(mode="before")
    @classmethod
    def _read_unified(cls, value: Any) -> Any:
        """Accept `{name, type}` too, the whole entry of a model in the file of the Unified Embedding API."""
        if not isinstance(value, dict) or set(value) != {"name", "type"}:
            return value
        if value["type"] not in _UNIFIED_KINDS:
            raise ValueError(f"type is {value['type']!r}; it may be {', '.join(_UNIFIED_KINDS)}")
        source = {"hub": value["name"], "revision": "main"}
        return {"kind": _UNIFIED_KINDS[value["type"]], "aliases": (value["name"],), "sources": (source,)}

    def revision(self) -> str | None:
        """Return the commit that the hashes of `files` belong to, None for a branch or a folder of this machine."""
        commits = (source.revision for source in self.sources if source.hub and source.revision)
        return next((commit for commit in commits if _COMMIT.fullmatch(commit)), None)

    @field_validator("files", mode="before")
    @classmethod
    def _names_alone(cls, value: Any) -> Any:
        return dict.fromkeys(value, "") if isinstance(value, list) else value


class Catalog(_Strict):
    """All models by id, and the default of each kind. `use_gpu` false keeps DEVICE=auto on the CPU."""

    defaults: dict[Kind, str] = {}
    models: dict[str, Entry]
    use_gpu: bool = True

    @model_validator(mode="after")
    def _check_names(self) -> Self:
        for kind, name in self.defaults.items():
            if name not in self.models:
                raise ValueError(f"defaults.{kind} names {name!r}, which is not among the models")
            if self.models[name].kind != kind:
                raise ValueError(f"defaults.{kind} names {name!r}, which is a {self.models[name].kind} model")
        owners: dict[str, str] = {}
        for model_id, entry in self.models.items():
            if not _FOLDER_NAME.fullmatch(model_id) or {".", ".."} & set(model_id.split("/")):
                raise ValueError(
                    f"models.{model_id!r}: an id names a folder below MODELS_DIR. It may have letters, digits and "
                    "`. _ - : + @ /`, begins with a letter or a digit, and has no part `..`"
                )
            if (entry.engine == "bm25") != (model_id == "bm25"):
                raise ValueError(f"models.{model_id}: the engine bm25 and the id bm25 belong together")
            for name in (model_id, *entry.aliases):
                if owners.setdefault(name, model_id) != model_id:
                    raise ValueError(f"{name!r} is a name of {owners[name]} and of {model_id}")
            for reference in filter(None, (entry.stand_in, entry.of)):
                if reference not in self.models:
                    raise ValueError(f"models.{model_id} names {reference!r}, which is not among the models")
        return self

    def resolve(self, name: str, kind: Kind = "dense") -> str:
        """Return the id of an id, an alias, or "" for the default of the kind, else its first model."""
        if not name:
            first = (model_id for model_id, entry in self.models.items() if entry.kind == kind)
            default = self.defaults.get(kind) or next(first, None)
            if default is None:
                raise CatalogError(f"the catalogue has no {kind} model")
            return default
        for model_id, entry in self.models.items():
            if name == model_id or name in entry.aliases:
                return model_id
        raise CatalogError(f"MODEL={name}: not in the catalogue; it has {', '.join(self.models)}")

    def folder(self, models_dir: Path, model_id: str) -> Path:
        """Return the folder of a fetched model. Raises WeightsAbsent, which says how to fetch it."""
        local = (Path(source.path) for source in self.models[model_id].sources if source.local and source.path)
        for path in (models_dir / model_id, *local):
            if (path / "tokenizer.json").is_file():
                return path
        raise WeightsAbsent(f"{models_dir / model_id} does not hold {model_id}: {fetching(model_id)}")

    def locate(self, models_dir: Path, model_id: str, weights: str, *, precision: str, device: str) -> Located:
        """
        Find a model on disk. `weights` is the file to load, relative to the model's folder.

        Raises WeightsAbsent, and CatalogError if the files lack a needed value.
        """
        folder = self.folder(models_dir, model_id)
        if not (folder / weights).is_file():
            raise WeightsAbsent(f"{folder / weights} is not there: {fetching(model_id)}")
        entry = self.models[model_id]
        info = ModelInfo(
            id=model_id,
            kind=entry.kind,
            dimensions=entry.dimensions or _read_dimensions(entry.kind, folder),
            max_input_tokens=entry.max_input_tokens or _read_max_input_tokens(folder),
            languages=entry.languages,
            aliases=entry.aliases,
            prompts=tuple((dict(NO_PROMPTS) | entry.prompts).items()),
            precision=precision,
            device=device,
            loaded=False,
            revision=entry.revision(),
            pooling=(entry.pooling or _read_pooling(folder)) if entry.kind == "dense" else None,
        )
        return Located(info, entry, folder, folder / weights)


@dataclass(frozen=True, slots=True)
class Located:
    """A model whose files are present, and the facts known before it is loaded."""

    info: ModelInfo
    entry: Entry
    folder: Path
    weights: Path

    def memory_bytes(self) -> int:
        """Return the estimated memory when loaded: `memory_mb` of the catalogue, else the size of the weights."""
        if self.entry.memory_mb:
            return self.entry.memory_mb * 1_000_000
        external = self.weights.with_name(f"{self.weights.name}.data")  # an ONNX graph may keep its weights there
        return sum(file.stat().st_size for file in (self.weights, external) if file.is_file())


def load(path: Path) -> Catalog:
    """Read the catalogue. Raises CatalogError with the fault and its line."""
    try:
        text = path.read_text(encoding="utf-8")
        content = yaml.safe_load(text)
    except FileNotFoundError:
        raise CatalogError(f"{path}: no such file; set MODELS_FILE to the model catalogue") from None
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise CatalogError(f"{path}: {error}") from None
    if isinstance(content, dict) and set(content) == {"embeddings"}:
        return _apply_engine_file(path, content["embeddings"])
    try:
        return Catalog.model_validate(content)
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(str(part) for part in first["loc"]) or "top level"
        message = first["msg"].removeprefix("Value error, ")
        raise CatalogError(f"{path}, line {_find_line(text, first['loc'])}: {place}: {message}") from None


class _Engine(_Strict):
    """The `embeddings` of the RAG NLP engine's model file. `batch_size` is accepted and ignored."""

    default_model: str
    reranker_model: str | None = None
    batch_size: int = Field(32, gt=0)
    use_gpu: bool = True


def _apply_engine_file(path: Path, content: Any) -> Catalog:
    """Return the models.yaml beside a file of the RAG NLP engine, with the defaults of that file."""
    try:
        engine = _Engine.model_validate(content)
    except ValidationError as error:
        first = error.errors()[0]
        line = _find_line(path.read_text(encoding="utf-8"), ("embeddings", *first["loc"]))
        place = ".".join(("embeddings", *map(str, first["loc"])))
        raise CatalogError(f"{path}, line {line}: {place}: {first['msg']}") from None
    catalogue = load(path.with_name("models.yaml"))
    choices: dict[Kind, str] = {"dense": engine.default_model}
    if engine.reranker_model:
        choices["rerank"] = engine.reranker_model
    try:
        resolved = {kind: catalogue.resolve(name) for kind, name in choices.items()}
        defaults = catalogue.defaults | resolved
        return Catalog.model_validate(catalogue.model_dump() | {"defaults": defaults, "use_gpu": engine.use_gpu})
    except (CatalogError, ValidationError) as error:
        raise CatalogError(f"{path}: {json.dumps(content)}: {error}") from None


def _find_line(text: str, path: Sequence[int | str]) -> int:
    """Return the line, from 1, of the deepest existing part of a path such as ("models", "x", "kind")."""
    node = yaml.compose(text, Loader=yaml.SafeLoader)
    mark = node.start_mark if node else None
    for part in path:
        child = next((child for child in _list_children(node) if child[0] == str(part)), None)
        if child is None:
            break
        _, mark, node = child
    return mark.line + 1 if mark else 1


def _list_children(node: Any) -> Iterator[tuple[str, Any, Any]]:
    """Yield (name, mark, node) for each item of a mapping or a list."""
    if isinstance(node, yaml.MappingNode):
        yield from ((key.value, key.start_mark, value) for key, value in node.value)
    elif isinstance(node, yaml.SequenceNode):
        yield from ((str(at), item.start_mark, item) for at, item in enumerate(node.value))


def _read_dimensions(kind: Kind, folder: Path) -> int:
    config = json.loads((folder / "config.json").read_text())
    return 0 if kind == "rerank" else int(config["vocab_size" if kind == "sparse" else "hidden_size"])


def _read_max_input_tokens(folder: Path) -> int:
    for name, key in (("sentence_bert_config.json", "max_seq_length"), ("config.json", "max_position_embeddings")):
        path = folder / name
        if path.is_file() and (limit := json.loads(path.read_text()).get(key)):
            return int(limit)
    raise CatalogError(f"{folder} does not say how many tokens its model reads: set max_input_tokens")


def _read_pooling(folder: Path) -> str | None:
    """Return the pooling that sentence-transformers reads in the model's files, None if there is not one alone."""
    path = folder / "1_Pooling" / "config.json"
    flags = json.loads(path.read_text()) if path.is_file() else {}
    modes = [name for name, value in flags.items() if name.startswith("pooling_mode_") and value is True]
    mode = modes[0].removeprefix("pooling_mode_") if len(modes) == 1 else None
    return mode and _POOLINGS.get(mode, mode)
