"""Every option of a gateway process, read once at start from the environment."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Literal, Self, TypeAlias

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

Access: TypeAlias = Literal["open", "key", "off"]
DEVICE = re.compile(r"auto|cpu|mps|cuda(:\d{1,3})?")


class Settings(BaseModel):
    """Frozen; each field is the environment variable of the same name in capitals."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    host: str = Field("127.0.0.1", description="Address to listen on.")
    port: int = Field(8000, ge=0, le=65_535, description="Port to listen on.")
    data_dir: Path = Field(Path("data"), description="Folder of the vectors and the job journal.")
    min_free_mb: int = Field(
        256, ge=0, description="MB (10^6) that DATA_DIR's disk must have free for more to be ingested."
    )
    models_dir: Path = Field(Path("models"), description="Folder of the fetched weights and exported graphs.")
    models_file: Path = Field(Path("models.yaml"), description="The model catalogue.")
    model: str = Field("", description="Id or alias of the default dense model; empty: the catalogue's.")
    model_memory_mb: int = Field(0, ge=0, description="Weights in memory at once, in MB (10^6); 0: no limit.")
    model_idle_s: float = Field(0.0, ge=0, description="Seconds until a model nobody uses is unloaded; 0: never.")
    embed_cache_mb: int = Field(8, ge=0, description="Embeddings of single texts kept, in MB (10^6); 0: none.")
    rerank_cache_mb: int = Field(16, ge=0, description="Token vectors of reranked texts kept, in MB (10^6); 0: none.")
    precision: Literal["fp32", "fp16", "bf16", "int8"] = Field(
        "fp32", description="What models compute in: `onnx_py` fp32 or int8, `python` fp32, fp16 or bf16."
    )
    device: str = Field(
        "auto", description="Where models run: `cpu`, `cuda`, `cuda:1`, …, `mps`; `auto`: on a GPU if there is one."
    )
    threads: int = Field(
        0, ge=0, description="Model threads, one core each; 0: the cores this process may use, or two for a GPU."
    )
    store: Literal["edge", "pgvector", "qdrant"] = Field(
        "edge", description="Vector store: `edge` in DATA_DIR, `pgvector` at DATABASE_URL, `qdrant` at QDRANT_URL."
    )
    late_interaction: bool = Field(True, description="Whether new collections store the vectors of tokens too.")
    jobs: Literal["sqlite", "postgres"] = Field(
        "sqlite", description="Job queue: `sqlite` in DATA_DIR, or `postgres` at DATABASE_URL, which gateways share."
    )
    flush_every_s: float = Field(
        2.0, ge=0, description="Seconds between two flushes of small ingest jobs, which share one; 0: one for each."
    )
    database_url: str = Field("", description="PostgreSQL of STORE=pgvector and JOBS=postgres: `postgresql://…`.")
    max_batch_tokens: int = Field(
        512,
        ge=1,
        description="Tokens of one forward pass, at most; padding counts where a model computes it. On a GPU, "
        "unless it is set, as many as make its passes efficient: that is measured.",
    )
    max_queue_tokens: int = Field(
        2_000_000, ge=1, description="Tokens that may wait in each lane before a request gets 429."
    )
    max_wait_ms: int = Field(
        2_000,
        ge=1,
        description="Milliseconds a query, of up to 128 tokens, may wait; over that it gets 429.",
    )
    max_bulk_wait_ms: int = Field(
        20_000, ge=1, description="The same of longer requests and ingests, which get the time that queries leave."
    )
    model_hang_s: float = Field(60.0, gt=0, description="Seconds until a forward pass counts as hung.")
    max_inputs: int = Field(2_048, ge=1, description="Texts, or documents to rerank, of one request, at most.")
    max_documents: int = Field(10_000, ge=1, description="Documents of one ingest request, at most.")
    max_body_bytes: int = Field(33_554_432, ge=1_024, description="Bytes of one request body, at most.")
    max_metadata_bytes: int = Field(65_536, ge=2, description="Bytes of one document's metadata as JSON, at most.")
    request_timeout_s: float = Field(60.0, gt=0, description="Seconds until a request gets 504.")
    read_timeout_s: float = Field(30.0, gt=0, description="Seconds that a client may take to send a request.")
    drain_s: float = Field(
        0.0, ge=0, description="Seconds that requests are still taken after SIGTERM, while /readyz says 503."
    )
    shutdown_grace_s: int = Field(10, ge=0, description="Seconds that requests in flight get after SIGTERM.")
    api_keys: str = Field("", description="Keys that may do everything, separated by commas.")
    api_keys_file: Path | None = Field(
        None, description="YAML of keys by hash, with scopes and limits; with neither, everyone is let in."
    )
    metrics_access: Access = Field("open", description="`/metrics`: open, for keys of the scope admin, or off.")
    docs_access: Access = Field(
        "key", description="`/docs` and `/openapi.json`: open, for keys where there are any, or off."
    )
    cors_origins: str = Field("", description="Origins whose pages may call, separated by commas; empty: none.")
    tls_certfile: Path | None = Field(None, description="Certificate chain in PEM; with TLS_KEYFILE: serve HTTPS.")
    tls_keyfile: Path | None = Field(None, description="Its private key in PEM.")
    embedding_api_url: str = Field(
        "", description="Embed services of the thin gateway, separated by commas; empty: pseudo vectors."
    )
    embedding_api_dialect: Literal["native", "texts", "openai", "tei"] = Field(
        "native", description="What the embed service speaks."
    )
    embedding_api_key: str = Field("", description="Bearer token sent to the embed service.")
    hedge_ms: int = Field(
        0, ge=0, description="Milliseconds until a call is made to a second embed service as well; 0: never."
    )
    embed_runtime: Literal["onnx_py", "python"] = Field("onnx_py", description="Runtime of the embed service.")
    log_format: Literal["text", "json"] = Field("text", description="How a line of the log looks.")
    log_level: Literal["debug", "info", "warning", "error"] = Field("info", description="What is logged.")

    qdrant_url: str = Field("", description="Qdrant of STORE=qdrant; empty: its client's own engine, to try it out.")
    qdrant_api_key: str = Field("", description="API key of that Qdrant.")
    qdrant_shards: int = Field(1, ge=1, description="Shards of a new collection there.")
    qdrant_replicas: int = Field(1, ge=1, description="Copies of each shard of a new collection there.")

    @field_validator("log_level", "device", "precision", mode="before")
    @classmethod
    def _lower(cls, value: object) -> object:
        return value.lower() if isinstance(value, str) else value

    @field_validator("device")
    @classmethod
    def _device(cls, value: str) -> str:
        if not DEVICE.fullmatch(value):
            raise ValueError("it may be auto, cpu, cuda, cuda:0, cuda:1, … or mps")
        return value

    @model_validator(mode="after")
    def _go_together(self) -> Self:
        if bool(self.tls_certfile) != bool(self.tls_keyfile):
            raise ValueError("TLS_CERTFILE and TLS_KEYFILE go together")
        if (self.store == "pgvector" or self.jobs == "postgres") and not self.database_url:
            raise ValueError("STORE=pgvector and JOBS=postgres need DATABASE_URL")
        if self.jobs == "postgres" and self.store == "edge":
            raise ValueError("JOBS=postgres needs a STORE that gateways share, for any of them may work a job off")
        return self

    @classmethod
    def read(cls, environ: Mapping[str, str]) -> Self:
        """Read the variables that are set and not empty; pydantic's ValidationError tells all that are wrong."""
        given = {name: environ[name.upper()] for name in cls.model_fields if environ.get(name.upper())}
        return cls.model_validate(given)

    def cores(self) -> int:
        """Return the number of model threads: THREADS, or the cores this process may use."""
        return self.threads or len(os.sched_getaffinity(0))

    def public(self) -> dict[str, object]:
        """Return the settings a client may see: no secret, nothing about this machine's folders."""
        secret = {
            "api_keys",
            "api_keys_file",
            "tls_certfile",
            "tls_keyfile",
            "embedding_api_key",
            "embedding_api_url",
            "database_url",
            "qdrant_url",
            "qdrant_api_key",
            "data_dir",
            "models_dir",
            "models_file",
        }
        return self.model_dump(mode="json", exclude=secret) | {"threads": self.cores()}
