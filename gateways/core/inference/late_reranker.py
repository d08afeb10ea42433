"""A late-interaction reranker: MaxSim over token vectors, which an LRU cache keeps."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from itertools import chain
from typing import NamedTuple, TypeAlias

import numpy as np

from gateways.core import tenants
from gateways.core.backend import DEFAULT_OPTIONS, EncodeOptions, Scores, Times
from gateways.core.cache.lru import key_of
from gateways.core.cache.token_vector_cache import Read, RerankCache
from gateways.core.errors import InvalidInput
from gateways.core.scoring.late_interaction import maxsim
from gateways.core.text.truncation import of_document

# A dense model's id and n texts to the vectors of each text's own tokens, float32 (tokens, dimensions), and the
# timings of the pass. Raises what Backend raises, InvalidInput with the index among these texts.
EncodeTokens: TypeAlias = Callable[[str, Sequence[str], EncodeOptions], Awaitable[tuple[list[Read], Times]]]

# Distinct documents encoded together: 6 MB of MiniLM's token vectors at full length, and several full batches.
DOCUMENTS_AT_ONCE = 16


class _Text(NamedTuple):
    """A text and its first position among the documents, -1 for the query."""

    position: int
    content: str


class LateReranker:
    """Scores documents by the token vectors of a dense model; a text in the cache costs no forward pass."""

    def __init__(self, encode: EncodeTokens, cache_bytes: int) -> None:
        self._encode = encode
        self._cache = RerankCache(cache_bytes)

    async def rerank(
        self, model: str, query: str, documents: Sequence[str], options: EncodeOptions = DEFAULT_OPTIONS
    ) -> Scores:
        """
        Return the scores of n documents; `token_counts` are 1 + n, the query's first.

        `model` is the dense model. Equal documents are encoded once. Raises what the encoder raises,
        InvalidInput with the index of the document.
        """
        groups = _group_distinct(documents)
        (question, *tokens), times = await self._read(model, [_Text(-1, query), *groups[0]], options)
        parts = [await _compare(question, tokens, times)]
        for group in groups[1:]:
            tokens, times = await self._read(model, group, options)
            parts.append(await _compare(question, tokens, times))
        return _join(parts, question.tokens, groups, documents)

    async def _read(self, model: str, texts: Sequence[_Text], options: EncodeOptions) -> tuple[list[Read], Times]:
        """Return the token vectors of n texts, after one pass over those that are not in the cache."""
        suffix = tenants.cache_suffix()
        keys = [key_of(model, options.truncate, text.content) + suffix for text in texts]
        reads = {key: read for key in dict.fromkeys(keys) if (read := self._cache.get(key))}
        missing = {key: text for key, text in zip(keys, texts, strict=True) if key not in reads}
        times = Times(tokenize_ms=0.0, queue_ms=0.0, infer_ms=0.0)
        if missing:
            contents = [text.content for text in missing.values()]
            try:
                encoded, times = await self._encode(model, contents, options)
            except InvalidInput as error:
                raise of_document(error, list(missing.values())[error.item].position) from error
            for key, read in zip(missing, encoded, strict=True):
                reads[key] = read
                self._cache.put(key, read)
        return [reads[key] for key in keys], times


def _group_distinct(documents: Sequence[str]) -> list[list[_Text]]:
    """Return each distinct document once, in groups of DOCUMENTS_AT_ONCE."""
    positions: dict[str, int] = {}
    for position, document in enumerate(documents):
        positions.setdefault(document, position)
    texts = [_Text(position, document) for document, position in positions.items()]
    return [texts[start : start + DOCUMENTS_AT_ONCE] for start in range(0, len(texts), DOCUMENTS_AT_ONCE)]


async def _compare(question: Read, tokens: Sequence[Read], times: Times) -> Scores:
    """Return the scores of n texts; `infer_ms` is that of their pass and of the comparison."""
    started_s = time.perf_counter()
    values = await asyncio.to_thread(maxsim, question.vectors, [text.vectors for text in tokens])
    infer_ms = times["infer_ms"] + (time.perf_counter() - started_s) * 1e3
    counts = [text.tokens for text in tokens]
    return Scores(values, counts, tokenize_ms=times["tokenize_ms"], queue_ms=times["queue_ms"], infer_ms=infer_ms)


def _join(
    parts: Sequence[Scores], query_tokens: int, groups: Sequence[Sequence[_Text]], documents: Sequence[str]
) -> Scores:
    """Return the scores of n documents from those of the distinct ones, group by group."""
    rows = {text.content: row for row, text in enumerate(chain.from_iterable(groups))}
    order = [rows[document] for document in documents]
    counts = [count for part in parts for count in part.token_counts]
    return Scores(
        np.concatenate([part.values for part in parts])[order],
        [query_tokens, *(counts[row] for row in order)],
        tokenize_ms=sum(part.tokenize_ms for part in parts),
        queue_ms=sum(part.queue_ms for part in parts),
        infer_ms=sum(part.infer_ms for part in parts),
    )
