"""Query texts that never repeat: the real questions first, then splices of two questions."""

from __future__ import annotations

import random
from collections import deque
from collections.abc import Iterator, Sequence


class TextStream:
    """
    A stream of unique texts in the order fixed by `seed`; texts in `held_out` are skipped.

    A fast target consumes tens of thousands of texts, more than there are questions. The stream continues with
    splices: the first half of one question and the second half of another. Splices have the length of questions, and
    no cache has seen them.
    """

    def __init__(self, texts: Sequence[str], seed: int, held_out: Sequence[str] = ()) -> None:
        self._texts = list(texts)
        self._random = random.Random(seed)  # noqa: S311  (a workload must be reproducible, not secret)
        self._seen = set(held_out)
        self._source = self._generate()
        self._ahead: deque[str] = deque()

    def take(self, count: int) -> list[str]:
        """Return the next `count` texts."""
        while len(self._ahead) < count:
            self._ahead.append(next(self._source))
        return [self._ahead.popleft() for _ in range(count)]

    def give_back(self, texts: Sequence[str]) -> None:
        """Put back texts that were taken and not sent; the next `take` returns them first, in this order."""
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
    """Return the first half of the words of `head`, followed by the second half of the words of `tail`."""
    left, right = head.split(), tail.split()
    return " ".join(left[: (len(left) + 1) // 2] + right[len(right) // 2 :])
