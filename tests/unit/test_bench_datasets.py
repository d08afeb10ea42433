"""The vendored corpus and the stream of texts that never repeat."""

from __future__ import annotations

from itertools import pairwise

from bench.datasets import squad
from bench.datasets.stream import TextStream, splice


def test_squad_is_whole() -> None:
    """1,204 distinct passages and 11,873 questions, 5,928 of them answerable by a passage that is there."""
    corpus = squad.load()

    assert len(corpus.passages) == len(set(corpus.passages.values())) == 1204
    assert len(corpus.questions) == 11_873
    assert len(corpus.answerable) == 5928
    assert {question.passage_id for question in corpus.answerable} <= corpus.passages.keys()


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
