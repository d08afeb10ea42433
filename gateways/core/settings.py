"""Every option of a gateway process, read once at start from the environment."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Literal, Self

from pydantic import BaseModel, ConfigDict, Field, field_validator


class Settings(BaseModel):
    """Frozen; each field is the environment variable of the same name in capitals."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    host: str = Field("127.0.0.1", description="Address to listen on.")
    port: int = Field(8000, ge=0, le=65_535, description="Port to listen on.")
    data_dir: Path = Field(Path("data"), description="Folder of the vectors and the job journal.")
    models_dir: Path = Field(Path("models"), description="Folder of the fetched weights and exported graphs.")
    models_file: Path = Field(Path("models.yaml"), description="The model catalogue.")
    model: str = Field("", description="Id or alias of the default dense model; empty: the catalogue's.")
    model_memory_mb: int = Field(0, ge=0, description="Weights in memory at once, in MB (10^6); 0: no limit.")
    model_idle_s: float = Field(0.0, ge=0, description="Seconds until a model nobody uses is unloaded; 0: never.")
    embed_cache_mb: int = Field(8, ge=0, description="Embeddings of single texts kept, in MB (10^6); 0: none.")
    rerank_cache_mb: int = Field(16, ge=0, description="Token vectors of reranked texts kept, in MB (10^6); 0: none.")
    precision: Literal["fp32", "int8"] = Field("fp32", description="Precision of the graph (`onnx_py`).")
    device: Literal["auto", "cpu", "cuda"] = Field("auto", description="Where the model runs.")
    threads: int = Field(0, ge=0, description="Model threads, one core each; 0: the cores this process may use.")
    store: str = Field("edge", pattern="^[a-z_]+$", description="Vector store: a file of `gateways/core/stores`.")
    late_interaction: bool = Field(True, description="Whether new collections store the vectors of tokens too.")
    jobs: str = Field("sqlite", pattern="^[a-z_]+$", description="Job queue: a file of `gateways/core/jobs`.")
    max_batch_tokens: int = Field(
        512, ge=1, description="Tokens of one forward pass, at most; padding counts where a model computes it."
    )
    max_queue_tokens: int = Field(2_000_000, ge=1, description="Tokens that may wait before a request gets 429.")
    max_inputs: int = Field(2_048, ge=1, description="Texts, or documents to rerank, of one request, at most.")
    max_documents: int = Field(10_000, ge=1, description="Documents of one ingest request, at most.")
    max_body_bytes: int = Field(33_554_432, ge=1_024, description="Bytes of one request body, at most.")
    max_metadata_bytes: int = Field(65_536, ge=2, description="Bytes of one document's metadata as JSON, at most.")
    request_timeout_s: float = Field(60.0, gt=0, description="Seconds until a request gets 504.")
    shutdown_grace_s: int = Field(10, ge=0, description="Seconds that requests in flight get after SIGTERM.")
    api_keys: str = Field("", description="Keys that are let in, separated by commas; empty: everyone.")
    embedding_api_url: str = Field("", description="Embed service of the thin gateway; empty: pseudo vectors.")
    embedding_api_dialect: Literal["native", "texts", "openai", "tei"] = Field(
        "native", description="What the embed service speaks."
    )
    embedding_api_key: str = Field("", description="Bearer token sent to the embed service.")
    embed_runtime: Literal["onnx_py", "python"] = Field("onnx_py", description="Runtime of the embed service.")
    log_level: Literal["debug", "info", "warning", "error"] = Field("info", description="What is logged.")

    @field_validator("log_level", "device", "precision", mode="before")
    @classmethod
    def _lower(cls, value: object) -> object:
        return value.lower() if isinstance(value, str) else value

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
            "embedding_api_key",
            "embedding_api_url",
            "data_dir",
            "models_dir",
            "models_file",
        }
        return self.model_dump(mode="json", exclude=secret) | {"threads": self.cores()}
