"""Availability: the models of the catalogue that this machine can serve, and the default of each kind."""

from __future__ import annotations

import dataclasses
import logging
from collections.abc import Mapping
from typing import NamedTuple

from gateways.core.backend import ModelInfo, PassCost
from gateways.core.errors import fetching
from gateways.core.models.catalog import Catalog, CatalogError, Located, WeightsAbsent
from gateways.core.models.runtime import Runtime
from gateways.core.scoring import bm25
from gateways.core.settings import ModelSettings

log = logging.getLogger(__name__)


class Measured(NamedTuple):
    """Measurements of a model at load time, with the field names of ModelInfo."""

    inference_time_ms: float
    pass_cost: PassCost


class Availability:
    """
    The catalogue as this machine can serve it.

    `default` is the id of the default dense model, which must be present. `located` holds the models with files.
    `late` maps each late interaction to the dense model whose token vectors it compares. `absent` maps each model
    without weights to the model that must be fetched.
    """

    def __init__(self, catalogue: Catalog, runtime: Runtime, settings: ModelSettings) -> None:
        """Look for the files of every model. Raises CatalogError if those of a default model are absent."""
        self._catalogue = catalogue
        self.default = catalogue.resolve(settings.model)
        if (kind := catalogue.models[self.default].kind) != "dense":
            raise CatalogError(f"MODEL={settings.model}: a {kind} model; the default model is a dense one")
        self.located: dict[str, Located] = {}
        self.absent: dict[str, str] = {}
        for model_id, entry in catalogue.models.items():
            if entry.engine != "transformer":
                continue
            try:
                self.located[model_id] = runtime.locate(model_id, catalogue, settings)
            except CatalogError as error:
                if model_id == self.default:
                    raise
                expected = isinstance(error, WeightsAbsent)
                log.log(logging.DEBUG if expected else logging.WARNING, "%s is not served: %s", model_id, error)
                if expected:
                    self.absent[model_id] = model_id
        dense_of = {
            model_id: entry.of or self.default
            for model_id, entry in catalogue.models.items()
            if entry.engine == "late_interaction"
        }
        self.late = {model_id: dense for model_id, dense in dense_of.items() if dense in self.located}
        self.absent |= {model_id: dense for model_id, dense in dense_of.items() if dense in self.absent}
        self._defaults = {"dense": self.default} | {
            kind: self._default_or_stand_in(kind, model_id)
            for kind, model_id in catalogue.defaults.items()
            if kind != "dense"
        }

    def infos(self, loaded: Mapping[str, ModelInfo], measured: Mapping[str, Measured]) -> tuple[ModelInfo, ...]:
        """
        Describe every model that can be served, the default of each kind first.

        Absent models without a stand-in come last.
        """
        infos = {
            model_id: dataclasses.replace(
                loaded.get(model_id, located.info),
                loaded=model_id in loaded,
                **(measured[model_id]._asdict() if model_id in measured else {}),
            )
            for model_id, located in self.located.items()
        }
        for model_id, entry in self._catalogue.models.items():
            if entry.engine == "bm25":
                infos[model_id] = dataclasses.replace(bm25.INFO, id=model_id, aliases=entry.aliases)
            elif model_id in self.late:
                tokens_of = infos[self.late[model_id]]
                infos[model_id] = dataclasses.replace(
                    tokens_of,
                    id=model_id,
                    kind="rerank",
                    dimensions=0,
                    aliases=entry.aliases,
                    scores="cosines",
                    of=tokens_of.id,
                )
        self._add_stand_ins(infos)
        served = sorted(infos.values(), key=lambda info: self._defaults.get(info.kind) != info.id)
        names = {name for info in served for name in (info.id, *info.stands_in_for)}
        return (*served, *(self._describe_absent(model_id) for model_id in self.absent if model_id not in names))

    def _default_or_stand_in(self, kind: str, model_id: str) -> str:
        """Return the default of a kind, else its stand-in. Raises CatalogError if neither is present."""
        for candidate in filter(None, (model_id, self._catalogue.models[model_id].stand_in)):
            if candidate in self.located or candidate in self.late or candidate == bm25.ID:
                return candidate
        if model_id not in self.absent:
            raise CatalogError(f"defaults.{kind} is {model_id}, which cannot be served here; the log has the cause")
        raise CatalogError(
            f"defaults.{kind} is {model_id}, and the weights of {self.absent[model_id]} are not here: "
            f"{fetching(self.absent[model_id])}, or name another default"
        )

    def _describe_absent(self, model_id: str) -> ModelInfo:
        """Describe a model without weights from its catalogue entry alone."""
        entry = self._catalogue.models[model_id]
        return ModelInfo(
            id=model_id,
            kind=entry.kind,
            dimensions=entry.dimensions or 0,
            max_input_tokens=entry.max_input_tokens or 0,
            languages=entry.languages,
            aliases=entry.aliases,
            loaded=False,
            fetched=False,
            of=self.absent[model_id] if entry.engine == "late_interaction" else None,
        )

    def _add_stand_ins(self, infos: dict[str, ModelInfo]) -> None:
        for model_id, entry in self._catalogue.models.items():
            if model_id not in infos and entry.stand_in in infos:
                stand_in = infos[entry.stand_in]
                names = (*stand_in.stands_in_for, model_id, *entry.aliases)
                infos[entry.stand_in] = dataclasses.replace(stand_in, stands_in_for=names)
