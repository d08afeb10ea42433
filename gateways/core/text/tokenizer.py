"""Tokenizer: texts to token ids by the model's own `tokenizer.json`. Needs the package `tokenizers`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path

from tokenizers import Encoding, Tokenizer

from gateways.core.backend import Inputs, Span, Token, TokenIds, Truncate
from gateways.core.text.chunking import chunk
from gateways.core.text.truncation import check_fits, check_ids, cut
from gateways.core.text.windows import read_windows


@dataclass(frozen=True, slots=True)
class Pair:
    """A query and a document as one input. Token types are 0 for `ids[:second]` and 1 for `ids[second:]`."""

    ids: TokenIds
    second: int

    def __len__(self) -> int:
        """Return the number of tokens."""
        return len(self.ids)


class TextTokenizer:
    """
    A tokenizer that truncates to the model's length and never pads.

    Padding and truncation of `tokenizer.json` are switched off. MiniLM's file says 128 for both, while
    sentence-transformers pads to the longest input and truncates at 256.
    """

    def __init__(self, path: Path, max_tokens: int) -> None:
        self._path = path
        self._max_tokens = max_tokens
        self._tokenizer = Tokenizer.from_file(str(path))
        self._tokenizer.no_padding()
        self._tokenizer.no_truncation()
        self._vocabulary = self._tokenizer.get_vocab_size()
        around = self._tokenizer.encode("a")
        first = around.special_tokens_mask.index(0)
        self._prefix, self._suffix = around.ids[:first], around.ids[first + 1 :]
        self._room = max_tokens - len(self._prefix) - len(self._suffix)

    def pairs(self, query: str, documents: Sequence[str], truncate: Truncate) -> list[Pair]:
        """
        Return n pairs for a cross-encoder. The longer side of a pair is truncated until both sides fit.

        The query is tokenised once. Raises InvalidInput if `truncate` is "NONE" and a pair does not fit.
        """
        tokenizer = self._left_pairs if truncate == "START" else self._right_pairs
        encode = partial(self._tokenizer.encode_batch, add_special_tokens=False)
        [question] = read_windows(encode, [query], self._max_tokens, truncate)
        pairs = []
        for position, window in enumerate(read_windows(encode, documents, self._max_tokens, truncate)):
            encoding = tokenizer.post_process(question.encoding, window.encoding)
            if truncate == "NONE":
                whole = question.whole and window.whole
                check_fits(not whole or bool(encoding.overflowing), self._max_tokens, position)
            pairs.append(_to_pair(encoding))
        return pairs

    @cached_property
    def _right_pairs(self) -> Tokenizer:
        return self._make_truncating_tokenizer("right")

    @cached_property
    def _left_pairs(self) -> Tokenizer:
        return self._make_truncating_tokenizer("left")

    def _make_truncating_tokenizer(self, direction: str) -> Tokenizer:
        tokenizer = Tokenizer.from_file(str(self._path))
        tokenizer.no_padding()
        tokenizer.enable_truncation(self._max_tokens, strategy="longest_first", direction=direction)
        return tokenizer

    @property
    def frame(self) -> tuple[int, int]:
        """Return the numbers of special tokens before and after a text."""
        return len(self._prefix), len(self._suffix)

    def tokens(self, texts: Sequence[str]) -> list[list[Token]]:
        """Return the tokens of n texts, special tokens included, without truncation."""
        return [_to_tokens(encoding) for encoding in self._tokenizer.encode_batch(list(texts))]

    def chunk(self, texts: Sequence[str], max_tokens: int, overlap: int) -> list[list[Span]]:
        """Return the chunks of n texts, each of at most `max_tokens` own tokens: (start, end) in characters."""
        return chunk(self._tokenizer, texts, max_tokens, overlap)

    def tokenize(self, inputs: Inputs, truncate: Truncate) -> list[TokenIds]:
        """
        Return n lists of ids, special tokens included, none longer than the model's limit.

        An input that is a list of ids counts as the tokens of a text; its special tokens are not added twice.
        Raises InvalidInput for an id outside the vocabulary, and for an input that is too long if `truncate` is
        "NONE".
        """
        encode = partial(self._tokenizer.encode_batch_fast, add_special_tokens=False)
        windows = read_windows(encode, (item for item in inputs if isinstance(item, str)), self._room, truncate)
        rows = []
        for position, item in enumerate(inputs):
            if isinstance(item, list):
                rows.append(self._fit(self._strip_special_ids(item, position), truncate, position))
            else:
                window = next(windows)
                rows.append(self._fit(window.encoding.ids, truncate, position, whole=window.whole))
        return rows

    def _strip_special_ids(self, ids: TokenIds, position: int) -> TokenIds:
        check_ids(ids, self._vocabulary, position)
        ends = len(ids) - len(self._suffix)
        framed = ids[: len(self._prefix)] == self._prefix and ids[ends:] == self._suffix
        return ids[len(self._prefix) : ends] if framed else ids

    def _fit(self, content: TokenIds, truncate: Truncate, position: int, *, whole: bool = True) -> TokenIds:
        return self._prefix + cut(content, self._room, truncate, position, whole=whole) + self._suffix


def _to_pair(encoding: Encoding) -> Pair:
    types = encoding.type_ids
    return Pair(encoding.ids, types.index(1) if types and types[-1] else len(types))


def _to_tokens(encoding: Encoding) -> list[Token]:
    parts = zip(encoding.ids, encoding.tokens, encoding.special_tokens_mask, encoding.offsets, strict=True)
    return [
        Token(token, text, bool(special), *((None, None) if special else offsets))
        for token, text, special, offsets in parts
    ]
