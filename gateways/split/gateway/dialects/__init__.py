"""
What an embed service may speak, by the name that EMBEDDING_API_DIALECT gives it.

* native   our embed service: `POST /embed {"texts"}` with a binary answer, and all else a backend does
* texts    the plain shape: `POST /embed {"texts"}` -> `{"embeddings"}`
* openai   `POST /v1/embeddings`
* tei      text-embeddings-inference: `POST /embed {"inputs"}` -> a list of vectors; `/embed_all`, `/tokenize`
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from gateways.core.settings import UpstreamSettings
from gateways.split.gateway.dialects.base import Dialect
from gateways.split.gateway.dialects.native import Native
from gateways.split.gateway.dialects.tei import Tei
from gateways.split.gateway.dialects.vectors_only import VectorsOnly


def _openai_vectors(answer: Any) -> list[Any]:
    return [entry["embedding"] for entry in sorted(answer["data"], key=lambda entry: entry["index"])]


DIALECTS: dict[str, Callable[[UpstreamSettings], Dialect]] = {
    "native": Native,
    "texts": partial(VectorsOnly, "embed", "texts", lambda answer: answer["embeddings"]),
    "openai": partial(VectorsOnly, "v1/embeddings", "input", _openai_vectors),
    "tei": Tei,
}
