"""The options of a process in groups, one class for each part of it. Read once at start from the environment."""

from __future__ import annotations

import math
import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Literal, Self, TypeAlias

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

Access: TypeAlias = Literal["open", "key", "off"]
DEVICE = re.compile(r"auto|cpu|mps|cuda(:\d{1,3})?")


class Settings(BaseModel):
    """Frozen. The environment variable of a field has the field's name in capitals."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    @classmethod
    def read(cls, environ: Mapping[str, str]) -> Self:
        """Return the settings of the variables that are not empty. Raises ValidationError, which lists all faults."""
        values = {name: environ[name.upper()] for name in cls.model_fields if environ.get(name.upper())}
        return cls.model_validate(values)

    def cores(self) -> int:
        """Return the number of cores that this process may use."""
        return len(os.sched_getaffinity(0))


class LogSettings(Settings):
    """The log."""

    log_format: Literal["text", "json"] = Field("text", description="Format of a log line: `text` or `json`.")
    log_level: Literal["debug", "info", "warning", "error"] = Field(
        "info", description="Minimum level of a log line: `debug`, `info`, `warning` or `error`."
    )

    @field_validator("log_level", mode="before")
    @classmethod
    def _lower_level(cls, value: object) -> object:
        return value.lower() if isinstance(value, str) else value


class RequestLimits(Settings):
    """The limits of one request."""

    max_inputs: int = Field(2_048, ge=1, description="Maximum texts, or documents to rerank, per request.")
    max_body_bytes: int = Field(33_554_432, ge=1_024, description="Maximum bytes of a request body.")
    max_bodies_bytes: int = Field(
        67_108_864,
        ge=1_024,
        description="Maximum bytes of all request bodies over 64 KiB that are at work. Above it a request gets 429.",
    )
    max_query_chars: int = Field(32_768, ge=1, description="Maximum characters of a query to search or rerank with.")
    max_document_chars: int = Field(
        1_000_000,
        ge=1,
        description="Maximum characters of a document to ingest or to weigh, and of texts to tokenise.",
    )
    request_timeout_s: float = Field(60.0, gt=0, description="Maximum seconds per request before it gets 504.")


class HttpSettings(LogSettings, RequestLimits):
    """The HTTP server: its address, who may call it, how it stops."""

    host: str = Field("127.0.0.1", description="Address to listen on. Set `0.0.0.0` to serve other machines.")
    port: int = Field(8000, ge=0, le=65_535, description="Port to listen on.")
    read_timeout_s: float = Field(
        30.0, gt=0, description="Maximum seconds to receive a request, or the next MiB of its body, before 408."
    )
    write_timeout_s: float = Field(
        30.0, gt=0, description="Maximum seconds in which a client reads nothing of its answer before it is cut off."
    )
    keep_alive_s: int = Field(
        75, ge=1, description="Seconds that an idle connection stays open. Set it above the balancer's idle timeout."
    )
    max_connections: int = Field(
        2_048, ge=1, description="Maximum open connections. Above it an idle one is closed, or the new one gets 503."
    )
    drain_s: float = Field(
        0.0, ge=0, description="Seconds after SIGTERM in which requests are still served and /readyz answers 503."
    )
    shutdown_grace_s: int = Field(
        10, ge=0, description="Maximum seconds after SIGTERM for the requests in flight to finish."
    )
    api_keys: str = Field("", description="Keys with every scope, separated by commas.")
    api_keys_file: Path | None = Field(
        None, description="YAML file of key hashes with scopes and limits. Without any key everyone may call."
    )
    metrics_access: Access = Field(
        "open", description="Access to `/metrics`: `open`, `key` (a key with the scope admin) or `off`."
    )
    docs_access: Access = Field(
        "key", description="Access to `/docs` and `/openapi.json`: `open`, `key` (if keys are set) or `off`."
    )
    cors_origins: str = Field(
        "", description="Origins whose web pages may call, separated by commas. Default: none may."
    )
    tls_certfile: Path | None = Field(
        None, description="PEM file of the certificate chain. Set it together with TLS_KEYFILE to serve HTTPS."
    )
    tls_keyfile: Path | None = Field(None, description="PEM file of the private key of TLS_CERTFILE.")

    @model_validator(mode="after")
    def _check_tls(self) -> Self:
        if bool(self.tls_certfile) != bool(self.tls_keyfile):
            raise ValueError("TLS_CERTFILE and TLS_KEYFILE go together")
        return self


class StoreSettings(Settings):
    """The vector store and the job queue."""

    data_dir: Path = Field(Path("data"), description="Folder of the vectors and the job journal.")
    store: Literal["edge", "pgvector", "qdrant"] = Field(
        "edge", description="Vector store: `edge` in DATA_DIR, `pgvector` at DATABASE_URL, `qdrant` at QDRANT_URL."
    )
    max_collections: int = Field(256, ge=1, description="Maximum collections. Above it no new one is created.")
    late_interaction: bool = Field(
        True, description="Set `false` so that new collections store no token vectors unless they ask for them."
    )
    allow_vector_mismatch: bool = Field(
        False,
        description="Set `true` to serve collections whose vectors were made with another precision, revision, "
        "pooling or prompt. Default: such a gateway does not start.",
    )
    jobs: Literal["sqlite", "postgres"] = Field(
        "sqlite", description="Job queue: `sqlite` in DATA_DIR, or `postgres` at DATABASE_URL, shared by gateways."
    )
    job_lease_s: float = Field(
        15.0,
        ge=0.5,
        description="Seconds after which another gateway goes on with the jobs of one that died or stands still. "
        "For JOBS=postgres.",
    )
    database_url: str = Field(
        "", description="URL of the PostgreSQL of STORE=pgvector and JOBS=postgres: `postgresql://…`."
    )
    qdrant_url: str = Field(
        "", description="URL of the Qdrant of STORE=qdrant. Default: an engine inside the process, for trials."
    )
    qdrant_api_key: str = Field("", description="API key of the Qdrant at QDRANT_URL.")
    qdrant_shards: int = Field(1, ge=1, description="Shards per new collection in Qdrant.")
    qdrant_replicas: int = Field(1, ge=1, description="Copies of each shard of a new collection in Qdrant.")

    @model_validator(mode="after")
    def _check_database(self) -> Self:
        if (self.store == "pgvector" or self.jobs == "postgres") and not self.database_url:
            raise ValueError("STORE=pgvector and JOBS=postgres need DATABASE_URL")
        if self.jobs == "postgres" and self.store == "edge":
            raise ValueError("JOBS=postgres needs a STORE that gateways share, for any of them may work a job off")
        return self


class IngestSettings(Settings):
    """Ingest."""

    min_free_mb: int = Field(
        256, ge=0, description="Minimum free MB (10^6) on the disk of DATA_DIR. Below it an ingest gets 507."
    )
    max_journal_mb: int = Field(
        0,
        ge=0,
        description="Maximum MB (10^6) of the job journal, which keeps the text of every document. Above it an "
        "ingest gets 507. Measured each minute. Default: no limit but MIN_FREE_MB.",
    )
    flush_every_s: float = Field(
        2.0, ge=0, description="Seconds between two flushes, which small ingest jobs share. Set 0 to flush per job."
    )
    max_documents: int = Field(10_000, ge=1, description="Maximum documents per ingest request.")
    max_metadata_bytes: int = Field(65_536, ge=2, description="Maximum bytes of a document's metadata as JSON.")

    def journal_budget_bytes(self) -> float:
        """Return the maximum bytes of the job journal, infinity without a limit."""
        return self.max_journal_mb * 1e6 or math.inf


class SearchSettings(Settings):
    """Searches."""

    max_filter_conditions: int = Field(200, ge=1, description="Maximum conditions in the filter of a search.")
    max_filter_values: int = Field(1_000, ge=1, description="Maximum values in the `in` lists of a filter, together.")


class AdmissionSettings(Settings):
    """Which texts wait for the model, and how long."""

    model: str = Field("", description="Id or alias of the default dense model. Default: the catalogue's.")
    max_batch_tokens: int = Field(
        512,
        ge=1,
        description="Maximum tokens per forward pass, including padding if the model computes it. "
        "On a GPU the default is measured at load time.",
    )
    max_queue_tokens: int = Field(
        2_000_000, ge=1, description="Maximum tokens that wait in each lane. Above it a request gets 429."
    )
    max_wait_ms: int = Field(
        2_000,
        ge=1,
        description="Maximum wait of a query (up to 128 tokens) in milliseconds. Above it the query gets 429.",
    )
    max_bulk_wait_ms: int = Field(
        20_000,
        ge=1,
        description="Maximum wait of a longer request or an ingest in milliseconds. Above it they get 429.",
    )


class ModelSettings(AdmissionSettings):
    """The models of a process that runs them."""

    models_dir: Path = Field(Path("models"), description="Folder of the fetched weights and exported graphs.")
    models_file: Path = Field(Path("models.yaml"), description="File of the model catalogue.")
    verify_models: bool = Field(
        False,
        description="Set `true` to compare every file of a model with its SHA-256 at each load. "
        "Default: graphs only, and weights by their size.",
    )
    model_memory_mb: int = Field(0, ge=0, description="Maximum MB (10^6) of loaded weights. Set 0 for no limit.")
    model_idle_s: float = Field(
        0.0, ge=0, description="Seconds without a request until a model is unloaded. Set 0 for never."
    )
    rerank_cache_mb: int = Field(
        16, ge=0, description="Maximum MB (10^6) of cached token vectors of reranked texts. Set 0 for no cache."
    )
    precision: Literal["fp32", "fp16", "bf16", "int8"] = Field(
        "fp32", description="Arithmetic of the models: `fp32` or `int8` by ONNX, `fp32`, `fp16` or `bf16` by torch."
    )
    device: str = Field(
        "auto", description="Device of the models: `cpu`, `cuda`, `cuda:1`, …, `mps`, or `auto`: a GPU if present."
    )
    threads: int = Field(
        0, ge=0, description="Model threads, one core each. Set 0 for one per usable core, or two on a GPU."
    )
    model_hang_s: float = Field(
        60.0, gt=0, description="Maximum seconds per forward pass. Above it the model thread is replaced."
    )

    @field_validator("device", "precision", mode="before")
    @classmethod
    def _lower_choice(cls, value: object) -> object:
        return value.lower() if isinstance(value, str) else value

    @field_validator("device")
    @classmethod
    def _check_device(cls, value: str) -> str:
        if not DEVICE.fullmatch(value):
            raise ValueError("it may be auto, cpu, cuda, cuda:0, cuda:1, … or mps")
        return value

    def cores(self) -> int:
        """Return the number of model threads on a CPU: THREADS, or the cores that this process may use."""
        return self.threads or super().cores()


class UpstreamSettings(RequestLimits, AdmissionSettings):
    """The embed services behind a thin gateway."""

    embedding_api_url: str = Field(
        "", description="URLs of the embed services, separated by commas. Default: pseudo vectors, no model."
    )
    embedding_api_dialect: Literal["native", "texts", "openai", "tei"] = Field(
        "native", description="API of the embed services: `native` (ours), `texts`, `openai` or `tei`."
    )
    embedding_api_key: str = Field("", description="Bearer token sent to the embed services.")
    hedge_ms: int = Field(
        0, ge=0, description="Milliseconds until a hedged request to a second embed service. Set 0 for none."
    )
