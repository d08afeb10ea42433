"""The model catalogue: `models.yaml`, read and checked once."""

from __future__ import annotations

from pathlib import Path
from typing import Literal, Self

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from gateways.core.backend import NO_PROMPTS, ModelInfo


class CatalogError(Exception):
    """The catalogue cannot be used; the message names the file and the place in it."""


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Source(_Strict):
    """Where the weights come from: a hub repository at a revision, or a folder inside a Python package."""

    hub: str | None = None
    revision: str | None = None
    package: str | None = None
    path: str | None = None


class Entry(_Strict):
    """One model; `files` pins the sha256 of every file that a gateway reads."""

    kind: Literal["dense"]
    dimensions: int = Field(gt=0)
    max_input_tokens: int = Field(gt=0)
    aliases: tuple[str, ...] = ()
    languages: tuple[str, ...] = ()
    licence: str
    prompts: dict[str, str] = {}
    sources: tuple[Source, ...] = ()
    files: dict[str, str] = {}


class Catalog(_Strict):
    """All models by id, and the default of each kind."""

    defaults: dict[str, str]
    models: dict[str, Entry]

    @model_validator(mode="after")
    def _defaults_exist(self) -> Self:
        for kind, name in self.defaults.items():
            if name not in self.models:
                raise ValueError(f"defaults.{kind} names {name!r}, which is not among the models")
        return self

    def resolve(self, name: str) -> str:
        """Return the id that an id, an alias or "" (the default dense model) means."""
        if not name:
            return self.defaults["dense"]
        for model_id, entry in self.models.items():
            if name == model_id or name in entry.aliases:
                return model_id
        raise CatalogError(f"MODEL={name}: not in the catalogue; it has {', '.join(self.models)}")

    def info(self, model_id: str, *, precision: str, device: str) -> ModelInfo:
        """Describe one model as it is served."""
        entry = self.models[model_id]
        return ModelInfo(
            id=model_id,
            kind=entry.kind,
            dimensions=entry.dimensions,
            max_input_tokens=entry.max_input_tokens,
            languages=entry.languages,
            aliases=entry.aliases,
            prompts=tuple((dict(NO_PROMPTS) | entry.prompts).items()),
            precision=precision,
            device=device,
        )


def load(path: Path) -> Catalog:
    """Read the catalogue; CatalogError names what is wrong and where."""
    try:
        return Catalog.model_validate(yaml.safe_load(path.read_text(encoding="utf-8")))
    except FileNotFoundError:
        raise CatalogError(f"{path}: no such file; set MODELS_FILE to the model catalogue") from None
    except yaml.YAMLError as error:
        raise CatalogError(f"{path}: {error}") from None
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"]) or "top level"
        raise CatalogError(f"{path}: {where}: {first['msg']}") from None


def folder(models_dir: Path, model_id: str) -> Path:
    """Return the folder of a fetched model; CatalogError says how to fetch it when it is not there."""
    path = models_dir / model_id
    if not (path / "tokenizer.json").is_file():
        raise CatalogError(f"{path} does not hold {model_id}: run `make setup`, or set MODELS_DIR")
    return path
