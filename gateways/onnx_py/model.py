"""ONNX Runtime, as a Model."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import onnxruntime as ort

from gateways.core import catalog
from gateways.core.backend import F32, Inputs, ModelInfo, TokenIds, Truncate
from gateways.core.settings import Settings
from gateways.core.tokens import TextTokenizer

CUDA, CPU = "CUDAExecutionProvider", "CPUExecutionProvider"


class OnnxModel:
    """One session, shared by all model threads: `run` is thread-safe, and each call stays on its thread."""

    def __init__(self, session: ort.InferenceSession, tokenizer: TextTokenizer, info: ModelInfo) -> None:
        self._session = session
        self._tokenizer = tokenizer
        self._info = info

    @property
    def info(self) -> ModelInfo:
        """Describe the model as loaded."""
        return self._info

    def tokenize(self, inputs: Inputs, truncate: Truncate) -> list[TokenIds]:
        """Return n token lists, special tokens included."""
        return self._tokenizer.tokenize(inputs, truncate)

    def encode(self, batch: Sequence[TokenIds]) -> F32:
        """Return the pooled vectors of n token lists, float32 (n, dimensions); the graph pools."""
        longest = max(map(len, batch))
        ids = np.zeros((len(batch), longest), dtype=np.int64)
        mask = np.zeros_like(ids)
        for row, tokens in enumerate(batch):
            ids[row, : len(tokens)] = tokens
            mask[row, : len(tokens)] = 1
        vectors: F32 = self._session.run(["sentence_embedding"], {"input_ids": ids, "attention_mask": mask})[0]
        return vectors


def load(settings: Settings) -> OnnxModel:
    """Load the exported graph of the model from MODELS_DIR; CatalogError when it is not there."""
    models = catalog.load(settings.models_file)
    model_id = models.resolve(settings.model)
    folder = catalog.folder(settings.models_dir, model_id)
    graph = folder / "onnx" / f"{settings.precision}.onnx"
    if not graph.is_file():
        raise catalog.CatalogError(f"{graph} is not there: run `make setup` to export it")
    providers = _providers(settings.device)
    session = ort.InferenceSession(str(graph), _options(), providers=providers)
    device = "cuda" if CUDA in providers else "cpu"
    info = models.info(model_id, precision=settings.precision, device=device)
    return OnnxModel(session, TextTokenizer(folder / "tokenizer.json", info.max_input_tokens), info)


def _providers(device: str) -> list[str]:
    available = ort.get_available_providers()
    if device == "cuda" and CUDA not in available:
        raise ValueError("DEVICE=cuda: this onnxruntime has no CUDA provider; install onnxruntime-gpu")
    return [CUDA, CPU] if device != "cpu" and CUDA in available else [CPU]


def _options() -> ort.SessionOptions:
    options = ort.SessionOptions()
    # Parallelism is many batches on many model threads; inside one, threads would fight over the same cores.
    options.intra_op_num_threads = 1
    options.inter_op_num_threads = 1
    # The arena keeps the largest batch's memory for ever and plans every new shape; plain malloc serves as fast.
    options.enable_cpu_mem_arena = False
    options.enable_mem_pattern = False
    return options
