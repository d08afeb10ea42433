"""Texts that a client cuts for a server which refuses long ones."""

from __future__ import annotations

import orjson
import pytest

from bench import dialects, paths
from bench.datasets import squad
from bench.dialects import openai_cut

pytestmark = pytest.mark.skipif(not paths.model_dir().exists(), reason="no weights here: make models")


def test_the_server_reads_the_tokens_that_the_reference_reads() -> None:
    """The tokens of the cut text are the first ones of the whole text; a short text stays as it is."""
    tokenizer = openai_cut._load_tokenizer()
    passages = list(squad.load().passages.values())[:300]
    long = [passage for passage in passages if tokenizer.encode(passage).overflowing]

    assert long
    assert all(openai_cut.cut(text) == text for text in passages if text not in long)
    for text in long:
        assert len(openai_cut.cut(text)) < len(text)
        assert not tokenizer.encode(openai_cut.cut(text)).overflowing
        assert tokenizer.encode(openai_cut.cut(text)).ids == tokenizer.encode(text).ids


def test_a_body_has_cut_texts_alone_and_in_a_list() -> None:
    """Both forms of OpenAI's input."""
    dialect = dialects.load("openai_cut")
    text = "word " * 400

    assert orjson.loads(dialect.embed_body(text))["input"] == openai_cut.cut(text)
    assert orjson.loads(dialect.embed_body([text, "short"]))["input"] == [openai_cut.cut(text), "short"]
