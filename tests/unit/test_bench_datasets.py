"""The vendored corpus, corpora of one's own, and the texts made of them: never repeating, of a length, repeating."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from tokenizers import Tokenizer

from bench import datasets, paths
from bench.datasets import CorpusError, squad
from bench.datasets.lengths import CHUNK, RAG_QUERY, Words
from bench.datasets.repeats import repeat
from bench.datasets.stream import TextStream, splice

BEIR_FILES = {
    "corpus.jsonl": '{"_id": "d1", "title": "Water", "text": "It boils."}\n{"_id": "d2", "text": "Ice."}\n',
    "queries.jsonl": '{"_id": "q1", "text": "What boils?"}\n{"_id": "q2", "text": "Who asks?"}\n',
    "qrels/test.tsv": "query-id\tcorpus-id\tscore\nq1\td1\t2\nq1\td2\t0\n",
}


def test_squad_is_whole() -> None:
    """1,204 distinct passages and 11,873 questions, 5,928 of them answerable by a passage that is there."""
    corpus = squad.load()

    assert len(corpus.passages) == len(set(corpus.passages.values())) == 1204
    assert len(corpus.questions) == 11_873
    assert len(corpus.answerable) == 5928
    assert {key for question in corpus.answerable for key in question.relevant} <= corpus.passages.keys()


def test_query_texts_are_distinct_and_not_empty() -> None:
    """What is asked is each distinct question once, trimmed."""
    texts = squad.load().texts

    assert len(texts) == len(set(texts)) == 11_860
    assert all(text and text == text.strip() for text in texts)


def test_a_stream_never_repeats_a_text_even_past_the_questions() -> None:
    """30,000 texts from 11,860 questions: all different, none held out, the real questions first."""
    texts = squad.load().texts
    held_out = texts[:100]

    taken = TextStream(texts, seed=7, held_out=held_out).take(30_000)

    assert len(set(taken)) == 30_000
    assert not set(taken) & set(held_out)
    assert set(taken[: len(texts) - 100]) == set(texts[100:])


def test_splices_are_as_long_as_questions() -> None:
    """The mean number of words of what comes after the questions is within 5 % of the questions' own."""
    texts = squad.load().texts
    stream = TextStream(texts, seed=3)
    real = stream.take(len(texts))
    spliced = stream.take(10_000)

    def mean_words(sample: list[str]) -> float:
        return sum(len(text.split()) for text in sample) / len(sample)

    assert abs(mean_words(spliced) / mean_words(real) - 1) < 0.05


def test_a_stream_is_the_seeds_and_another_seed_is_another_stream() -> None:
    """The same seed gives the same order, so that all targets of a block are asked the same."""
    texts = squad.load().texts

    first, again, other = (TextStream(texts, seed=seed).take(500) for seed in (1, 1, 2))

    assert first == again
    assert first != other


def test_what_is_given_back_comes_again_and_nothing_else_does() -> None:
    """Texts serialised but not sent are not lost, and those that were sent never return."""
    stream = TextStream(squad.load().texts, seed=5)
    batches = [stream.take(100)]
    stream.give_back(batches[0][40:])
    batches.append(stream.take(100))

    sent = batches[0][:40] + batches[1]

    assert batches[1][:60] == batches[0][40:]
    assert len(set(sent)) == len(sent)


def test_a_splice_takes_the_first_half_of_one_and_the_second_of_the_other() -> None:
    """Halves are halves of the words."""
    assert splice("a b c", "1 2 3 4") == "a b 3 4"
    assert all(left != right for left, right in pairwise(splice("a b c d", "a b c d").split()))


def tokens_of(texts: list[str]) -> list[int]:
    """The number of tokens of each text, special ones not counted."""
    tokenizer = Tokenizer.from_file(str(paths.model_dir() / "tokenizer.json"))
    tokenizer.no_truncation()
    tokenizer.no_padding()
    return [len(encoding.ids) for encoding in tokenizer.encode_batch(texts, add_special_tokens=False)]


def test_chunks_have_the_lengths_of_their_profile() -> None:
    """Mean 256, deviation 96 less what clipping takes, 64 (but for part of a word) to 510 tokens; all different."""
    texts = Words(list(squad.load().passages.values()), seed=1).runs(CHUNK, 4000)

    lengths = tokens_of(texts)

    assert len(set(texts)) == 4000
    assert 250 < np.mean(lengths) < 262
    assert 88 < np.std(lengths) < 98
    assert min(lengths) >= 54
    assert max(lengths) <= 510


def test_rag_queries_have_the_lengths_of_their_profile() -> None:
    """Half of them are up to 12 tokens long and 95 % up to 28; all different, and the seed's."""
    corpus = squad.load()
    texts = Words(corpus.texts, seed=1).runs(RAG_QUERY, 4000)

    lengths = tokens_of(texts)

    assert len(set(texts)) == 4000
    assert 11 <= np.median(lengths) <= 12
    assert 26 <= np.percentile(lengths, 95) <= 30
    assert texts == Words(corpus.texts, seed=1).runs(RAG_QUERY, 4000)
    assert texts != Words(corpus.texts, seed=2).runs(RAG_QUERY, 4000)


def test_runs_are_the_corpus_own_words() -> None:
    """A run stands in the corpus as it is; a corpus too small for so many is told, not repeated."""
    words = Words(["One two three four five."], seed=1)

    [run] = words.runs(CHUNK, 1)

    assert run == "One two three four five."
    with pytest.raises(CorpusError, match="too small for 2 different texts"):
        words.runs(CHUNK, 2)


@pytest.mark.parametrize("share", [0.0, 0.5, 0.9])
def test_the_share_of_repeats_is_the_one_asked_for(share: float) -> None:
    """Within two points over 10,000 texts; with a share of zero nothing repeats."""
    asked = repeat([f"text {i}" for i in range(10_000)], share, 10_000, seed=1)

    repeated = 1 - len(set(asked)) / len(asked)

    assert abs(repeated - share) <= (0.02 if share else 0)


def test_popular_texts_are_repeated_most() -> None:
    """By Zipf's law the first text is asked about twice as often as the second, and new ones come in their order."""
    asked = repeat([str(i) for i in range(12_000)], 0.9, 100_000, seed=1)

    assert 1.8 < asked.count("0") / asked.count("1") < 2.2
    assert [int(text) for text in dict.fromkeys(asked)] == list(range(len(set(asked))))


def beir(folder: Path, **changed: str) -> Path:
    """A small corpus as BEIR lays it out, with these files changed."""
    (folder / "qrels").mkdir()
    for name, content in {**BEIR_FILES, **changed}.items():
        (folder / name).write_text(content)
    return folder


def test_a_beir_folder_is_a_corpus(tmp_path: Path) -> None:
    """Titles stand before texts, grades are kept, a grade of zero is no answer, and its files give the hash."""
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
    ("file", "content", "said"),
    [
        ("corpus.jsonl", "{", "corpus.jsonl:1: not JSON"),
        ("corpus.jsonl", '{"_id": "d1", "body": "x"}', "corpus.jsonl:1: no text in 'text'; it has _id, body"),
        ("queries.jsonl", "[]", "queries.jsonl:1: not an object"),
        ("qrels/test.tsv", "heading\nq1 d1 1\n", "test.tsv:2: not query, passage and grade"),
        ("qrels/test.tsv", "heading\nq1\td9\t1\n", "passage 'd9' answers a question and is not in the corpus"),
        ("qrels/test.tsv", "heading\n", "no question with one of them as its answer"),
    ],
)
def test_what_is_wrong_with_a_corpus_is_told(tmp_path: Path, file: str, content: str, said: str) -> None:
    """The message names the file and the line."""
    folder = beir(tmp_path, **{file: content})

    with pytest.raises(CorpusError, match=said.replace("(", r"\(")):
        datasets.load(str(folder))


def test_a_file_of_json_lines_is_a_corpus(tmp_path: Path) -> None:
    """A passage a line with its questions; one that two passages answer is one question with two."""
    file = tmp_path / "own.jsonl"
    file.write_text('{"id": "a", "text": "A.", "questions": ["Which? "]}\n{"text": "B.", "questions": ["Which?"]}\n')

    corpus = datasets.load(str(file))

    assert corpus.name == "own"
    assert corpus.passages == {"a": "A.", "line-2": "B."}
    assert [dict(question.relevant) for question in corpus.questions] == [{"a": 1, "line-2": 1}]


def test_an_unknown_corpus_is_told_with_what_is_possible(tmp_path: Path) -> None:
    """Neither a name nor a path: the message says what could be given; so it does for a folder that is not BEIR's."""
    with pytest.raises(CorpusError, match=r"no corpus 'sqad': squad, a BEIR folder"):
        datasets.load("sqad")
    with pytest.raises(CorpusError, match=r"has no corpus.jsonl, queries.jsonl"):
        datasets.load(str(tmp_path))
