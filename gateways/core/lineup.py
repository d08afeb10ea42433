"""Which models of the catalogue can be served here, under which names, and which is the default of its kind."""

from __future__ import annotations

import dataclasses
import logging
from collections.abc import Mapping

from gateways.core import bm25
from gateways.core.backend import ModelInfo
from gateways.core.catalog import Catalog, CatalogError, Located
from gateways.core.runtime import Runtime
from gateways.core.settings import Settings

log = logging.getLogger(__name__)


class Lineup:
    """
    The catalogue as this machine can serve it.

    `default` is the dense model that must be here; `located` holds the models whose files are; `late` the late
    interactions, each with the dense model whose tokens it compares.
    """

    def __init__(self, catalogue: Catalog, runtime: Runtime, settings: Settings) -> None:
        """Look for every model's files. Raises CatalogError when those of the default one are not here."""
        self._catalogue = catalogue
        self.default = catalogue.resolve(settings.model)
        self.located: dict[str, Located] = {}
        for model_id, entry in catalogue.models.items():
            if entry.engine != "transformer":
                continue
            try:
                self.located[model_id] = runtime.locate(model_id, catalogue, settings)
            except CatalogError as error:
                if model_id == self.default:
                    raise
                log.debug("%s is not served: %s", model_id, error)
        self.late = {
            model_id: dense
            for model_id, entry in catalogue.models.items()
            if entry.engine == "late_interaction" and (dense := entry.of or self.default) in self.located
        }

    def infos(self, loaded: Mapping[str, ModelInfo], measured_ms: Mapping[str, float]) -> tuple[ModelInfo, ...]:
        """Describe every model that can be served, the default of each kind before the others."""
        infos = {
            model_id: dataclasses.replace(
                loaded.get(model_id, located.info),
                loaded=model_id in loaded,
                inference_time_ms=measured_ms.get(model_id),
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
        first = {**self._catalogue.defaults, "dense": self.default}
        return tuple(sorted(infos.values(), key=lambda info: first.get(info.kind) != info.id))

    def _add_stand_ins(self, infos: dict[str, ModelInfo]) -> None:
        for model_id, entry in self._catalogue.models.items():
            if model_id not in infos and entry.stand_in in infos:
                stand_in = infos[entry.stand_in]
                names = (*stand_in.stands_in_for, model_id, *entry.aliases)
                infos[entry.stand_in] = dataclasses.replace(stand_in, stands_in_for=names)
