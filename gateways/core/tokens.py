"""Texts to token ids, by the model's own `tokenizer.json`; needs the `tokenizers` package."""

from __future__ import annotations

from pathlib import Path

from tokenizers import Tokenizer

from gateways.core.backend import Inputs, TokenIds, Truncate
from gateways.core.truncation import check_ids, cut


class TextTokenizer:
    """
    Tokenise and cut to the model's length.

    The padding and truncation that `tokenizer.json` may ask for are switched off: MiniLM's says 128 for both,
    while sentence-transformers pads to the longest and cuts at 256.
    """

    def __init__(self, path: Path, max_tokens: int) -> None:
        self._tokenizer = Tokenizer.from_file(str(path))
        self._tokenizer.no_padding()
        self._tokenizer.no_truncation()
        self._vocabulary = self._tokenizer.get_vocab_size()
        around = self._tokenizer.encode("a")
        first = around.special_tokens_mask.index(0)
        self._prefix, self._suffix = around.ids[:first], around.ids[first + 1 :]
        self._room = max_tokens - len(self._prefix) - len(self._suffix)

    def tokenize(self, inputs: Inputs, truncate: Truncate) -> list[TokenIds]:
        """
        Return n lists of ids, special tokens included, each at most the model's length.

        Lists of ids are taken as the tokens of a text; special tokens that are there already are kept once.
        Raises InvalidRequest with `param` "input.<i>" for ids outside the vocabulary and for `truncate` "NONE".
        """
        contents = [
            self._content(item, position) if isinstance(item, list) else item for position, item in enumerate(inputs)
        ]
        texts = [content for content in contents if isinstance(content, str)]
        encoded = iter(self._tokenizer.encode_batch_fast(texts, add_special_tokens=False) if texts else ())
        return [
            self._fit(content if isinstance(content, list) else next(encoded).ids, truncate, position)
            for position, content in enumerate(contents)
        ]

    def _content(self, ids: TokenIds, position: int) -> TokenIds:
        check_ids(ids, self._vocabulary, position)
        ends = len(ids) - len(self._suffix)
        framed = ids[: len(self._prefix)] == self._prefix and ids[ends:] == self._suffix
        return ids[len(self._prefix) : ends] if framed else ids

    def _fit(self, content: TokenIds, truncate: Truncate, position: int) -> TokenIds:
        return self._prefix + cut(content, self._room, truncate, position) + self._suffix
