"""The model catalogue: `models.yaml`, or another service's model file, read and checked once."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Self

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from gateways.core.backend import NO_PROMPTS, Kind, ModelInfo
from gateways.core.errors import fetching

# What the Unified Embedding API calls the kinds in its own models.yaml.
_UNIFIED_KINDS = {"embeddings": "dense", "sparse-embeddings": "sparse", "rerank": "rerank"}


class CatalogError(Exception):
    """The catalogue cannot be used; the message names the file and the place in it."""


class WeightsAbsent(CatalogError):
    """A model's files are not here; the message says which command fetches them."""


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Source(_Strict):
    """Where the weights come from: a hub repository, a folder inside Python packages, or a folder on this machine."""

    hub: str | None = None
    revision: str | None = None
    package: str | None = None
    packages: tuple[str, ...] = ()
    joined: str | None = Field(None, description="Parts inside `packages` that make one zip, in order.")
    path: str | None = Field(None, description="Folder inside the package; alone: a folder on this machine.")

    @property
    def local(self) -> bool:
        """Say whether this is a folder on this machine."""
        return bool(self.path) and not (self.hub or self.package or self.packages)


class Entry(_Strict):
    """One model. `files` names what a gateway reads, with the sha256 that each must have where that is known."""

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
        """Read `{name, type}` too, which is all that the Unified Embedding API's file says of a model."""
        if not isinstance(value, dict) or set(value) != {"name", "type"}:
            return value
        if value["type"] not in _UNIFIED_KINDS:
            raise ValueError(f"type is {value['type']!r}; it may be {', '.join(_UNIFIED_KINDS)}")
        source = {"hub": value["name"], "revision": "main"}
        return {"kind": _UNIFIED_KINDS[value["type"]], "aliases": (value["name"],), "sources": (source,)}

    @field_validator("files", mode="before")
    @classmethod
    def _names_alone(cls, value: Any) -> Any:
        return dict.fromkeys(value, "") if isinstance(value, list) else value


class Catalog(_Strict):
    """All models by id, and the default of each kind; `use_gpu` false keeps DEVICE=auto on the CPU."""

    defaults: dict[Kind, str] = {}
    models: dict[str, Entry]
    use_gpu: bool = True

    @model_validator(mode="after")
    def _names_mean_one_thing(self) -> Self:
        for kind, name in self.defaults.items():
            if name not in self.models:
                raise ValueError(f"defaults.{kind} names {name!r}, which is not among the models")
            if self.models[name].kind != kind:
                raise ValueError(f"defaults.{kind} names {name!r}, which is a {self.models[name].kind} model")
        seen: dict[str, str] = {}
        for model_id, entry in self.models.items():
            if (entry.engine == "bm25") != (model_id == "bm25"):
                raise ValueError(f"models.{model_id}: the engine bm25 and the id bm25 belong together")
            for name in (model_id, *entry.aliases):
                if seen.setdefault(name, model_id) != model_id:
                    raise ValueError(f"{name!r} is a name of {seen[name]} and of {model_id}")
            for said in filter(None, (entry.stand_in, entry.of)):
                if said not in self.models:
                    raise ValueError(f"models.{model_id} names {said!r}, which is not among the models")
        return self

    def resolve(self, name: str, kind: Kind = "dense") -> str:
        """Return the id that an id, an alias or "" (the default of the kind, else its first model) means."""
        if not name:
            first = (model_id for model_id, entry in self.models.items() if entry.kind == kind)
            found = self.defaults.get(kind) or next(first, None)
            if found is None:
                raise CatalogError(f"the catalogue has no {kind} model")
            return found
        for model_id, entry in self.models.items():
            if name == model_id or name in entry.aliases:
                return model_id
        raise CatalogError(f"MODEL={name}: not in the catalogue; it has {', '.join(self.models)}")

    def folder(self, models_dir: Path, model_id: str) -> Path:
        """Return the folder of a fetched model; WeightsAbsent says how to fetch it when it is not there."""
        local = (Path(source.path) for source in self.models[model_id].sources if source.local and source.path)
        for path in (models_dir / model_id, *local):
            if (path / "tokenizer.json").is_file():
                return path
        raise WeightsAbsent(f"{models_dir / model_id} does not hold {model_id}: {fetching(model_id)}")

    def locate(self, models_dir: Path, model_id: str, weights: str, *, precision: str, device: str) -> Located:
        """
        Find a model on disk; `weights` is the file below its folder that is loaded.

        Raises WeightsAbsent, and CatalogError for files that do not say enough.
        """
        folder = self.folder(models_dir, model_id)
        if not (folder / weights).is_file():
            raise WeightsAbsent(f"{folder / weights} is not there: {fetching(model_id)}")
        entry = self.models[model_id]
        info = ModelInfo(
            id=model_id,
            kind=entry.kind,
            dimensions=entry.dimensions or _dimensions(entry.kind, folder),
            max_input_tokens=entry.max_input_tokens or _max_input_tokens(folder),
            languages=entry.languages,
            aliases=entry.aliases,
            prompts=tuple((dict(NO_PROMPTS) | entry.prompts).items()),
            precision=precision,
            device=device,
            loaded=False,
        )
        return Located(info, entry, folder, folder / weights)


@dataclass(frozen=True, slots=True)
class Located:
    """A model whose files are here: what is known of it before it is loaded."""

    info: ModelInfo
    entry: Entry
    folder: Path
    weights: Path

    def memory_bytes(self) -> int:
        """Return about what it takes when loaded: the size of its weights, unless the catalogue says otherwise."""
        if self.entry.memory_mb:
            return self.entry.memory_mb * 1_000_000
        beside = self.weights.with_name(f"{self.weights.name}.data")  # where an ONNX graph has them
        return sum(file.stat().st_size for file in (self.weights, beside) if file.is_file())


def load(path: Path) -> Catalog:
    """Read the catalogue; CatalogError names what is wrong, and in which line."""
    try:
        text = path.read_text(encoding="utf-8")
        content = yaml.safe_load(text)
    except FileNotFoundError:
        raise CatalogError(f"{path}: no such file; set MODELS_FILE to the model catalogue") from None
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise CatalogError(f"{path}: {error}") from None
    if isinstance(content, dict) and set(content) == {"embeddings"}:
        return _chosen(path, content["embeddings"])
    try:
        return Catalog.model_validate(content)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"]) or "top level"
        said = first["msg"].removeprefix("Value error, ")
        raise CatalogError(f"{path}, line {_line(text, first['loc'])}: {where}: {said}") from None


class _Engine(_Strict):
    """The `embeddings` of the RAG NLP engine's model file; how it batches is for our batcher to say."""

    default_model: str
    reranker_model: str | None = None
    batch_size: int = Field(32, gt=0)
    use_gpu: bool = True


def _chosen(path: Path, content: Any) -> Catalog:
    """Return the catalogue beside a file in the RAG NLP engine's shape, with that file's choice of defaults."""
    try:
        engine = _Engine.model_validate(content)
    except ValidationError as error:
        first = error.errors()[0]
        line = _line(path.read_text(encoding="utf-8"), ("embeddings", *first["loc"]))
        where = ".".join(("embeddings", *map(str, first["loc"])))
        raise CatalogError(f"{path}, line {line}: {where}: {first['msg']}") from None
    catalogue = load(path.with_name("models.yaml"))
    chosen: dict[Kind, str] = {"dense": engine.default_model}
    if engine.reranker_model:
        chosen["rerank"] = engine.reranker_model
    try:
        resolved = {kind: catalogue.resolve(name) for kind, name in chosen.items()}
        defaults = catalogue.defaults | resolved
        return Catalog.model_validate(catalogue.model_dump() | {"defaults": defaults, "use_gpu": engine.use_gpu})
    except (CatalogError, ValidationError) as error:
        raise CatalogError(f"{path}: {json.dumps(content)}: {error}") from None


def _line(text: str, path: Sequence[int | str]) -> int:
    """Return the line, from 1, of the deepest part of a place such as ("models", "x", "kind") that the text has."""
    node = yaml.compose(text, Loader=yaml.SafeLoader)
    mark = node.start_mark if node else None
    for part in path:
        found = next((pair for pair in _children(node) if pair[0] == str(part)), None)
        if found is None:
            break
        _, mark, node = found
    return mark.line + 1 if mark else 1


def _children(node: Any) -> Iterator[tuple[str, Any, Any]]:
    """Yield name, place and content of what a mapping or a list holds."""
    if isinstance(node, yaml.MappingNode):
        yield from ((key.value, key.start_mark, value) for key, value in node.value)
    elif isinstance(node, yaml.SequenceNode):
        yield from ((str(at), item.start_mark, item) for at, item in enumerate(node.value))


def _dimensions(kind: Kind, folder: Path) -> int:
    config = json.loads((folder / "config.json").read_text())
    return 0 if kind == "rerank" else int(config["vocab_size" if kind == "sparse" else "hidden_size"])


def _max_input_tokens(folder: Path) -> int:
    for name, key in (("sentence_bert_config.json", "max_seq_length"), ("config.json", "max_position_embeddings")):
        path = folder / name
        if path.is_file() and (found := json.loads(path.read_text()).get(key)):
            return int(found)
    raise CatalogError(f"{folder} does not say how many tokens its model reads: set max_input_tokens")
