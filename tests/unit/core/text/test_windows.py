"""Windows of long texts: the tokens that a model reads are those of the whole text, for every kind of tokenizer."""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest
from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers

from bench import paths
from bench.datasets import squad
from gateways.core.backend import Truncate
from gateways.core.errors import InvalidInput
from gateways.core.text.tokenizer import TextTokenizer
from gateways.core.text.windows import GROUP_CHARACTERS, MAX_WINDOW, read_windows

MAX_TOKENS = 64
SPECIALS = ["<s>", "</s>", "<unk>"]
FRAME = processors.TemplateProcessing(
    single="<s> $A </s>", pair="<s> $A </s> </s> $B </s>", special_tokens=[("<s>", 0), ("</s>", 1)]
)
# Of scripts with and without blanks, composed and decomposed, with a word that has no end and a run of blanks.
ODD_TEXTS = [
    "",
    " ",
    "x" * 30_000 + " then words of all kinds follow " * 50,
    "a few words" + " " * 50_000 + "and the end",
    "東京と大阪、" * 4_000,
    "Straße naïve cafe\u0301 \U0001f680 " * 3_000,
    "\u0301" * 20_000 + "a",
    "0123456789abcdef" * 4_000 + "\n\n" + "a paragraph. " * 2_000,
]


def train(kind: str, folder: Path) -> Path:
    """Train the tokenizer of a family that is only on a hub: byte-level BPE as Qwen3's, Unigram as XLM-RoBERTa's."""
    trainer: trainers.Trainer
    if kind == "bpe":
        tokenizer = Tokenizer(models.BPE())
        tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
        tokenizer.decoder = decoders.ByteLevel()
        alphabet = pre_tokenizers.ByteLevel.alphabet()
        trainer = trainers.BpeTrainer(vocab_size=4_000, special_tokens=SPECIALS, initial_alphabet=alphabet)
    else:
        tokenizer = Tokenizer(models.Unigram())
        tokenizer.normalizer = normalizers.NFKC()
        tokenizer.pre_tokenizer = pre_tokenizers.Metaspace()
        unknown = SPECIALS[-1]
        trainer = trainers.UnigramTrainer(vocab_size=4_000, special_tokens=SPECIALS, unk_token=unknown)
    tokenizer.train_from_iterator(sorted(squad.load().passages.values())[:400] + ODD_TEXTS[4:6], trainer)
    tokenizer.post_processor = FRAME
    tokenizer.save(str(folder / "tokenizer.json"))
    return folder / "tokenizer.json"


@pytest.fixture(scope="module", params=["all-MiniLM-L6-v2", "all-mpnet-base-v2", "bpe", "unigram"])
def path(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a `tokenizer.json`."""
    released = paths.models_dir() / request.param / "tokenizer.json"
    return released if "-" in request.param else train(request.param, tmp_path_factory.mktemp("tokenizer"))


@pytest.fixture(scope="module")
def texts() -> list[str]:
    """Return honest texts from a word to a book, and odd ones."""
    passages, rng = sorted(squad.load().passages.values()), random.Random(7)  # noqa: S311 no secret
    books = ["\n\n".join(rng.sample(passages, number)) for number in (1, 2, 10, 60)]
    return ["word", *passages[:40], *books, *ODD_TEXTS]


def tokenize_whole(path: Path, texts: Sequence[str], truncate: Truncate) -> Iterator[list[int]]:
    """Yield the ids of whole texts, cut afterwards."""
    tokenizer = Tokenizer.from_file(str(path))
    tokenizer.no_padding()
    tokenizer.no_truncation()
    frame = tokenizer.encode("a")
    first = frame.special_tokens_mask.index(0)
    prefix, suffix = frame.ids[:first], frame.ids[first + 1 :]
    room = MAX_TOKENS - len(prefix) - len(suffix)
    for text in texts:
        ids = tokenizer.encode(text, add_special_tokens=False).ids
        yield prefix + (ids[:room] if truncate == "END" else ids[-room:]) + suffix


@pytest.mark.parametrize("truncate", ["END", "START"])
def test_a_window_has_the_tokens_of_the_whole_text(path: Path, texts: list[str], truncate: Truncate) -> None:
    """Token by token, so that the vectors are the same too."""
    ids = TextTokenizer(path, MAX_TOKENS).tokenize(texts, truncate)

    assert ids == list(tokenize_whole(path, texts, truncate))


@pytest.mark.parametrize("truncate", ["END", "START"])
@pytest.mark.parametrize("words", [2, 30, 70, 300])
def test_a_query_that_is_tokenised_once_makes_the_same_pairs(
    path: Path, texts: list[str], truncate: Truncate, words: int
) -> None:
    """As one call of the tokenizer for each pair: ids, and where the document begins."""
    query = " ".join((squad.load().questions[0].text.split() * words)[:words])
    tokenizer = Tokenizer.from_file(str(path))
    tokenizer.no_padding()
    direction = "left" if truncate == "START" else "right"
    tokenizer.enable_truncation(MAX_TOKENS, strategy="longest_first", direction=direction)
    documents = [text for text in texts if len(text) < 10_000]
    whole = tokenizer.encode_batch([(query, document) for document in documents])

    pairs = TextTokenizer(path, MAX_TOKENS).pairs(query, documents, truncate)

    assert [pair.ids for pair in pairs] == [encoding.ids for encoding in whole]
    types = [[0] * pair.second + [1] * (len(pair) - pair.second) for pair in pairs]
    assert types == [encoding.type_ids for encoding in whole]


def test_none_refuses_what_is_longer_than_a_window(path: Path) -> None:
    """Also if its length is not known: it has more tokens than were read, or more than MAX_WINDOW characters."""
    tokenizer = TextTokenizer(path, MAX_TOKENS)
    for text in ("a word " * 100_000, " " * MAX_WINDOW + "word"):
        with pytest.raises(InvalidInput, match=r"has over \d+ tokens and this model reads"):
            tokenizer.tokenize(["short", text], "NONE")
        with pytest.raises(InvalidInput, match="over the 64 tokens"):
            tokenizer.pairs("short", ["short", text], "NONE")
        with pytest.raises(InvalidInput, match="over the 64 tokens"):
            tokenizer.pairs(text, ["short"], "NONE")


def test_no_more_than_a_group_is_tokenised_at_once(path: Path) -> None:
    """Nor more of a text than a window, which grows to MAX_WINDOW for blanks that are no tokens."""
    tokenizer, calls = Tokenizer.from_file(str(path)), []
    tokenizer.no_truncation()
    tokenizer.no_padding()

    def encode(group: list[str]) -> list[object]:
        calls.append(sum(map(len, group)))
        return list(tokenizer.encode_batch_fast(group, add_special_tokens=False))

    windows = list(read_windows(encode, ["a word " * 100_000] * 300, MAX_TOKENS, "END"))  # type: ignore[arg-type]
    assert len(windows) == 300
    assert max(calls) <= GROUP_CHARACTERS
    calls.clear()
    blanks = "a word" + " " * 3_000_000
    assert not next(read_windows(encode, [blanks], MAX_TOKENS, "END")).whole  # type: ignore[arg-type]
    few_tokens = len(tokenizer.encode(" " * 9, add_special_tokens=False)) < 9  # not where a blank is a token
    assert max(calls) == MAX_WINDOW if few_tokens else max(calls) <= MAX_WINDOW
