"""Query texts that never repeat: the real questions first, then splices of two of them."""

from __future__ import annotations

import random
from collections import deque
from collections.abc import Iterator, Sequence


class TextStream:
    """
    Hands out texts, each once, in an order the seed fixes.

    When the questions are used up (a fast target asks tens of thousands) it goes on with splices: the first half of
    one question and the second half of another. As long as the questions are, and as unseen by any cache.
    """

    def __init__(self, texts: Sequence[str], seed: int, held_out: Sequence[str] = ()) -> None:
        self._texts = list(texts)
        self._random = random.Random(seed)  # noqa: S311  (a workload must be reproducible, not secret)
        self._seen = set(held_out)
        self._source = self._generate()
        self._ahead: deque[str] = deque()

    def take(self, count: int) -> list[str]:
        """The next `count` texts."""
        while len(self._ahead) < count:
            self._ahead.append(next(self._source))
        return [self._ahead.popleft() for _ in range(count)]

    def give_back(self, texts: Sequence[str]) -> None:
        """These were taken and not sent: they come again, first and in this order."""
        self._ahead.extendleft(reversed(texts))

    def _generate(self) -> Iterator[str]:
        shuffled = self._random.sample(self._texts, len(self._texts))
        candidates = (text for source in (shuffled, self._splices()) for text in source)
        for text in candidates:
            if text not in self._seen:
                self._seen.add(text)
                yield text

    def _splices(self) -> Iterator[str]:
        while True:
            head, tail = self._random.sample(self._texts, 2)
            yield splice(head, tail)


def splice(head: str, tail: str) -> str:
    """The first half of the words of one text, then the second half of the words of the other."""
    left, right = head.split(), tail.split()
    return " ".join(left[: (len(left) + 1) // 2] + right[len(right) // 2 :])
