"""The vendored corpus, user corpora, and the texts drawn from them: unique, of given lengths, and repeated."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from tokenizers import Tokenizer

from bench import datasets, paths
from bench.datasets import CorpusError, squad
from bench.datasets.lengths import CHUNK, RAG_QUERY, Words
from bench.datasets.unseen_texts import TextStream, splice
from bench.datasets.zipf_repeats import repeat

BEIR_FILES = {
    "corpus.jsonl": '{"_id": "d1", "title": "Water", "text": "It boils."}\n{"_id": "d2", "text": "Ice."}\n',
    "queries.jsonl": '{"_id": "q1", "text": "What boils?"}\n{"_id": "q2", "text": "Who asks?"}\n',
    "qrels/test.tsv": "query-id\tcorpus-id\tscore\nq1\td1\t2\nq1\td2\t0\n",
}


def test_squad_is_whole() -> None:
    """1,204 distinct passages and 11,873 questions, 5,928 of them with an answer in the corpus."""
    corpus = squad.load()

    assert len(corpus.passages) == len(set(corpus.passages.values())) == 1204
    assert len(corpus.questions) == 11_873
    assert len(corpus.answerable) == 5928
    assert {key for question in corpus.answerable for key in question.relevant} <= corpus.passages.keys()


def test_query_texts_are_distinct_and_not_empty() -> None:
    """The query texts are the distinct questions, stripped."""
    texts = squad.load().texts

    assert len(texts) == len(set(texts)) == 11_860
    assert all(text and text == text.strip() for text in texts)


def test_a_stream_never_repeats_a_text_even_past_the_questions() -> None:
    """30,000 texts from 11,860 questions are distinct, contain no held-out text, and start with the questions."""
    texts = squad.load().texts
    held_out = texts[:100]

    taken = TextStream(texts, seed=7, held_out=held_out).take(30_000)

    assert len(set(taken)) == 30_000
    assert not set(taken) & set(held_out)
    assert set(taken[: len(texts) - 100]) == set(texts[100:])


def test_splices_are_as_long_as_questions() -> None:
    """The mean number of words of splices is within 5 % of that of the questions."""
    texts = squad.load().texts
    stream = TextStream(texts, seed=3)
    real = stream.take(len(texts))
    spliced = stream.take(10_000)

    def mean_words(sample: list[str]) -> float:
        return sum(len(text.split()) for text in sample) / len(sample)

    assert abs(mean_words(spliced) / mean_words(real) - 1) < 0.05


def test_a_stream_is_the_seeds_and_another_seed_is_another_stream() -> None:
    """The same seed gives the same order, so that all targets of a block get the same texts."""
    texts = squad.load().texts

    first, again, other = (TextStream(texts, seed=seed).take(500) for seed in (1, 1, 2))

    assert first == again
    assert first != other


def test_what_is_given_back_comes_again_and_nothing_else_does() -> None:
    """Texts given back come again, and texts that were sent never do."""
    stream = TextStream(squad.load().texts, seed=5)
    batches = [stream.take(100)]
    stream.give_back(batches[0][40:])
    batches.append(stream.take(100))

    sent = batches[0][:40] + batches[1]

    assert batches[1][:60] == batches[0][40:]
    assert len(set(sent)) == len(sent)


def test_a_splice_takes_the_first_half_of_one_and_the_second_of_the_other() -> None:
    """Texts are halved by words."""
    assert splice("a b c", "1 2 3 4") == "a b 3 4"
    assert all(left != right for left, right in pairwise(splice("a b c d", "a b c d").split()))


def tokens_of(texts: list[str]) -> list[int]:
    """Return the number of tokens of each text, without special tokens."""
    tokenizer = Tokenizer.from_file(str(paths.model_dir() / "tokenizer.json"))
    tokenizer.no_truncation()
    tokenizer.no_padding()
    return [len(encoding.ids) for encoding in tokenizer.encode_batch(texts, add_special_tokens=False)]


def test_chunks_have_the_lengths_of_their_profile() -> None:
    """Chunks are distinct, with a mean of 256 tokens, the clipped standard deviation, and 64 to 510 tokens."""
    texts = Words(list(squad.load().passages.values()), seed=1).cut(CHUNK, 4000)

    lengths = tokens_of(texts)

    assert len(set(texts)) == 4000
    assert 250 < np.mean(lengths) < 262
    assert 88 < np.std(lengths) < 98
    assert min(lengths) >= 54
    assert max(lengths) <= 510


def test_rag_queries_have_the_lengths_of_their_profile() -> None:
    """Half of the queries have up to 12 tokens and 95 % up to 28. They are distinct and fixed by the seed."""
    corpus = squad.load()
    texts = Words(corpus.texts, seed=1).cut(RAG_QUERY, 4000)

    lengths = tokens_of(texts)

    assert len(set(texts)) == 4000
    assert 11 <= np.median(lengths) <= 12
    assert 26 <= np.percentile(lengths, 95) <= 30
    assert texts == Words(corpus.texts, seed=1).cut(RAG_QUERY, 4000)
    assert texts != Words(corpus.texts, seed=2).cut(RAG_QUERY, 4000)


def test_runs_are_the_corpus_own_words() -> None:
    """A run is a part of the corpus. A corpus that is too small raises an error instead of repeating."""
    words = Words(["One two three four five."], seed=1)

    [run] = words.cut(CHUNK, 1)

    assert run == "One two three four five."
    with pytest.raises(CorpusError, match="too small for 2 different texts"):
        words.cut(CHUNK, 2)


@pytest.mark.parametrize("share", [0.0, 0.5, 0.9])
def test_the_share_of_repeats_is_the_one_asked_for(share: float) -> None:
    """The share is met within two points over 10,000 texts; a share of 0 repeats nothing."""
    texts = repeat([f"text {i}" for i in range(10_000)], share, 10_000, seed=1)

    repeated = 1 - len(set(texts)) / len(texts)

    assert abs(repeated - share) <= (0.02 if share else 0)


def test_popular_texts_are_repeated_most() -> None:
    """By Zipf's law the first text is about twice as frequent as the second; new texts come in order."""
    texts = repeat([str(i) for i in range(12_000)], 0.9, 100_000, seed=1)

    assert 1.8 < texts.count("0") / texts.count("1") < 2.2
    assert [int(text) for text in dict.fromkeys(texts)] == list(range(len(set(texts))))


def beir(folder: Path, **changed: str) -> Path:
    """Write a small corpus in BEIR's layout, with these files changed; return its folder."""
    (folder / "qrels").mkdir()
    for name, content in {**BEIR_FILES, **changed}.items():
        (folder / name).write_text(content)
    return folder


def test_a_beir_folder_is_a_corpus(tmp_path: Path) -> None:
    """Titles precede texts, grades are kept, grade 0 is no answer, and the hash is that of the files."""
    corpus = datasets.load(str(beir(tmp_path)))

    assert corpus.passages == {"d1": "Water It boils.", "d2": "Ice."}
    assert [(question.text, dict(question.relevant)) for question in corpus.questions] == [
        ("What boils?", {"d1": 2}),
        ("Who asks?", {}),
    ]
    assert corpus.texts == ("What boils?", "Who asks?")
    before = corpus.sha256
    (tmp_path / "corpus.jsonl").write_text(BEIR_FILES["corpus.jsonl"].replace("Ice", "Fire"))
    assert datasets.load(str(tmp_path)).sha256 != before


@pytest.mark.parametrize(
    ("file", "content", "message"),
    [
        ("corpus.jsonl", "{", "corpus.jsonl:1: not JSON"),
        ("corpus.jsonl", '{"_id": "d1", "body": "x"}', "corpus.jsonl:1: no text in 'text'; it has _id, body"),
        ("queries.jsonl", "[]", "queries.jsonl:1: not an object"),
        ("qrels/test.tsv", "heading\nq1 d1 1\n", "test.tsv:2: not query, passage and grade"),
        ("qrels/test.tsv", "heading\nq1\td9\t1\n", "passage 'd9' answers a question and is not in the corpus"),
        ("qrels/test.tsv", "heading\n", "no question with one of them as its answer"),
    ],
)
def test_what_is_wrong_with_a_corpus_is_told(tmp_path: Path, file: str, content: str, message: str) -> None:
    """The message names the file and the line."""
    folder = beir(tmp_path, **{file: content})

    with pytest.raises(CorpusError, match=message.replace("(", r"\(")):
        datasets.load(str(folder))


def test_a_file_of_json_lines_is_a_corpus(tmp_path: Path) -> None:
    """Each line is a passage with its questions; a question of two passages has two answers."""
    file = tmp_path / "own.jsonl"
    file.write_text('{"id": "a", "text": "A.", "questions": ["Which? "]}\n{"text": "B.", "questions": ["Which?"]}\n')

    corpus = datasets.load(str(file))

    assert corpus.name == "own"
    assert corpus.passages == {"a": "A.", "line-2": "B."}
    assert [dict(question.relevant) for question in corpus.questions] == [{"a": 1, "line-2": 1}]


def test_an_unknown_corpus_is_told_with_what_is_possible(tmp_path: Path) -> None:
    """The message for an unknown name lists the possible values, and that for a wrong folder the files of BEIR."""
    with pytest.raises(CorpusError, match=r"no corpus 'sqad': give squad, a BEIR folder"):
        datasets.load("sqad")
    with pytest.raises(CorpusError, match=r"has no corpus.jsonl, queries.jsonl"):
        datasets.load(str(tmp_path))
