"""OpenAI's embeddings of a server that refuses long texts, as llama.cpp's does: the client cuts them first."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache

from tokenizers import Tokenizer

from bench import paths
from bench.dialects import openai

TOKENS = 256  # with both special tokens, as sentence-transformers reads at most


class Dialect(openai.Dialect):
    """The bodies of `openai`, with each text cut after the last token that the model would read of it."""

    def embed_body(self, texts: str | Sequence[str]) -> bytes:
        """Return the body of an embeddings request."""
        return super().embed_body(cut(texts) if isinstance(texts, str) else [cut(text) for text in texts])


def cut(text: str) -> str:
    """Return the text up to its last token within the limit."""
    encoding = _load_tokenizer().encode(text)
    # The last offset is that of the closing special token.
    return text[: encoding.offsets[-2][1]] if encoding.overflowing else text


@cache
def _load_tokenizer() -> Tokenizer:
    tokenizer = Tokenizer.from_file(str(paths.model_dir() / "tokenizer.json"))
    tokenizer.no_padding()
    tokenizer.enable_truncation(TOKENS)
    return tokenizer
