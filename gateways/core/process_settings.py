"""The settings of each kind of process, and the refusal of variables that only another kind reads."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from difflib import get_close_matches
from typing import ClassVar, Literal

from pydantic import Field
from pydantic.fields import FieldInfo

from gateways.core.settings import (
    AdmissionSettings,
    HttpSettings,
    IngestSettings,
    ModelSettings,
    SearchSettings,
    StoreSettings,
    UpstreamSettings,
)

# The settings that `/v1/config` shows. A new setting stays private until it is named here.
PUBLIC = frozenset(
    {
        "allow_token_ids",
        "allow_vector_mismatch",
        "cors_origins",
        "device",
        "docs_access",
        "drain_s",
        "embed_cache_mb",
        "embed_runtime",
        "embedding_api_dialect",
        "flush_every_s",
        "hedge_ms",
        "host",
        "job_lease_s",
        "jobs",
        "keep_alive_s",
        "late_interaction",
        "log_format",
        "log_level",
        "max_batch_tokens",
        "max_bodies_bytes",
        "max_body_bytes",
        "max_bulk_wait_ms",
        "max_collections",
        "max_connections",
        "max_document_chars",
        "max_documents",
        "max_filter_conditions",
        "max_filter_values",
        "max_inputs",
        "max_metadata_bytes",
        "max_query_chars",
        "max_queue_tokens",
        "max_wait_ms",
        "metrics_access",
        "max_journal_mb",
        "min_free_mb",
        "model",
        "model_hang_s",
        "model_idle_s",
        "model_memory_mb",
        "port",
        "precision",
        "qdrant_replicas",
        "qdrant_shards",
        "read_timeout_s",
        "request_timeout_s",
        "rerank_cache_mb",
        "shutdown_grace_s",
        "store",
        "threads",
        "verify_models",
        "write_timeout_s",
    }
)

# Names from this length on are compared with the variables that are set: HOST and PORT are like too many others.
MIN_COMPARED = 6
# API_KEY is as like API_KEYS as 0.92, LOGLEVEL is LOG_LEVEL, and no variable of Kubernetes, CI or torch comes near.
MIN_LIKENESS = 0.9


class ProcessSettings(HttpSettings):
    """All settings of a kind of process; `process` is its name in messages."""

    process: ClassVar[str]


class GatewaySettings(ProcessSettings, StoreSettings, IngestSettings, SearchSettings, AdmissionSettings):
    """A gateway of any kind: the routes, the store and the job queue."""

    embed_cache_mb: int = Field(
        8, ge=0, description="Maximum MB (10^6) of cached embeddings of single texts. Set 0 for no cache."
    )

    allow_token_ids: bool = Field(
        False,
        description="Set `true` to accept token ids of the model's own tokenizer as inputs. Default: they are "
        "refused, because ids of another tokenizer mean other words.",
    )

    def public(self) -> dict[str, object]:
        """Return the settings of PUBLIC as JSON values. Those of another kind of process have their default."""
        others = {name: field.default for name, field in fields().items() if name in PUBLIC}
        return others | self.model_dump(mode="json", include=set(PUBLIC)) | {"threads": self.cores()}


class ModelGatewaySettings(GatewaySettings, ModelSettings):
    """`gateways.python` and `gateways.onnx_py`."""

    process = "gateway with a model (python, onnx_py)"


class EmbedServiceSettings(ProcessSettings, ModelSettings):
    """`gateways.split.embed_service`."""

    process = "embed service"

    embed_runtime: Literal["onnx_py", "python"] = Field(
        "onnx_py", description="Runtime of the models: `onnx_py` (ONNX Runtime) or `python` (torch)."
    )


class ThinGatewaySettings(GatewaySettings, UpstreamSettings):
    """`gateways.split.gateway`."""

    process = "thin gateway (split, pseudo)"


# The settings of each process, by the module that `python -m` runs.
PROCESSES: dict[str, type[ProcessSettings]] = {
    "gateways.python": ModelGatewaySettings,
    "gateways.onnx_py": ModelGatewaySettings,
    "gateways.split.embed_service": EmbedServiceSettings,
    "gateways.split.gateway": ThinGatewaySettings,
}


def fields() -> dict[str, FieldInfo]:
    """Return the settings of all processes, by name."""
    return {name: field for kind in PROCESSES.values() for name, field in kind.model_fields.items()}


def refusals(kind: type[ProcessSettings], environ: Mapping[str, str]) -> list[str]:
    """Return a line for each variable that is not empty and that only other processes read."""
    ignored = [name for name in fields() if environ.get(name.upper()) and name not in kind.model_fields]
    kinds = dict.fromkeys(PROCESSES.values())
    names = {name.upper() for name in fields()}
    readers = {name: ", ".join(other.process for other in kinds if name in other.model_fields) for name in ignored}
    return [
        f"{variable} is set, and nothing reads it. Did you mean {meant}? Rename it, or unset it."
        for variable, meant in _misspelt(names, environ).items()
    ] + [
        f"{name.upper()} is set, but the {kind.process} does not read it. Set it only for: {readers[name]}. "
        "An empty value counts as not set."
        for name in ignored
    ]


def usage(kind: type[ProcessSettings]) -> str:
    """Return the help text of a process in ASCII: each variable that it reads, its default, and what it does."""
    lines = [f"usage: no arguments. The {kind.process} reads these environment variables:", ""]
    for name, field in kind.model_fields.items():
        default = "not set" if field.default in ("", None) else f"{field.default}"
        lines += [f"{name.upper()} ({default})", f"    {field.description}"]
    return "\n".join(lines).replace("\N{HORIZONTAL ELLIPSIS}", "...")


def _misspelt(names: Collection[str], environ: Mapping[str, str]) -> dict[str, str]:
    """Return the variables that are almost the name of a setting, with that name: API_KEY and API_KEYS."""
    plain = {name.replace("_", ""): name for name in names if len(name) >= MIN_COMPARED}
    misspelt = {}
    for variable, value in environ.items():
        if value and variable not in names and len(variable) >= MIN_COMPARED:
            match = get_close_matches(variable.replace("_", ""), plain, 1, MIN_LIKENESS)
            if match:
                misspelt[variable] = plain[match[0]]
    return misspelt


def environment(
    kind: type[ProcessSettings], kinds: Sequence[type[ProcessSettings]], environ: Mapping[str, str]
) -> dict[str, str]:
    """Return `environ` without the variables that the process ignores and another process of `kinds` reads."""
    read = {name.upper() for other in kinds for name in other.model_fields}
    own = {name.upper() for name in kind.model_fields}
    return {name: value for name, value in environ.items() if name in own or name not in read}
