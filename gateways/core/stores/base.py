"""What search and ingest need of a vector store."""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple, Protocol

from gateways.core.backend import F16, F32, SparseVector
from gateways.core.errors import NotFound
from gateways.core.profiles import Profile
from gateways.core.stores.filters import Condition

DEFAULT = "default"
# So many of each ranking are fused, at least.
FUSED = 50
Metadata = dict[str, Any]


class CollectionGone(NotFound):
    """The collection was deleted, or made anew, since it was looked up."""

    default_code = "unknown_collection"


@dataclass(frozen=True, slots=True)
class Passage:
    """
    A stretch of a document: characters `start` to `end` of it, the `number`-th from 0.

    `before` is what stands between the passage before and this one, `after` what follows the last one: with them
    the passages of a document are the whole document.
    """

    id: str
    document_id: str
    text: str
    start: int
    end: int
    metadata: Metadata = field(default_factory=dict)
    number: int = 0
    before: str = ""
    after: str = ""


class Vectors(NamedTuple):
    """
    The vectors of a passage: float32 (dimensions,) of unit length, and the sparse one.

    `late` are those of its tokens, float16 (n, dimensions) of unit length, where the collection stores them.
    """

    dense: F32
    sparse: SparseVector
    late: F16 | None = None


@dataclass(frozen=True, slots=True)
class Hit:
    """A passage that search found, with its score."""

    passage: Passage
    score: float


class Collection(Protocol):
    """
    Passages and their vectors. All calls raise CollectionGone once it was deleted.

    What `flush` and `delete` acknowledged survives kill -9 and a power cut; what only `replace` did may not.
    """

    @property
    def name(self) -> str:
        """Return its name."""
        ...

    @property
    def profile(self) -> Profile:
        """Return how it is searched."""
        ...

    @property
    def documents(self) -> int:
        """Return the number of documents, as of the last `flush`, `delete` or `refresh`."""
        ...

    async def replace(self, passages: Sequence[Passage], vectors: Sequence[Vectors]) -> None:
        """Write all passages of some documents, in place of all that these documents had before."""
        ...

    async def add(self, passages: Sequence[Passage], vectors: Sequence[Vectors]) -> None:
        """Write passages, each in place of itself, and leave the others of their documents as they are."""
        ...

    async def page(self, after: uuid.UUID | None, limit: int) -> list[tuple[uuid.UUID, Passage, Vectors]]:
        """Return the first passages whose keys come after one, in the order of their keys; empty at the end."""
        ...

    async def search(
        self,
        dense: F32 | None,
        sparse: SparseVector | None,
        k: int,
        where: Condition | None,
        min_score: float | None = None,
    ) -> list[Hit]:
        """
        Return the k best passages, best first.

        By cosine to a (dimensions,) unit vector, by the product with a sparse vector, or, where both are given, by
        reciprocal ranks: the sum of 1 / (RRF_K + rank) over both rankings. Equal ones come in the same order always.
        """
        ...

    async def scores(
        self, passages: Sequence[Passage], dense: F32 | None, sparse: SparseVector | None, late: F16 | None
    ) -> dict[str, F32]:
        """
        Return how well each of n passages answers, float32 (n,), by the name of each vector that is given.

        `dense` and `sparse` as in `search`, nothing in common being 0; `late` is the mean over its q rows of the
        greatest cosine to a token of the passage, which only a collection that stores those can tell.
        """
        ...

    async def document(self, document_id: str) -> list[Passage]:
        """Return the passages of a document in order; empty when there is none."""
        ...

    async def delete(self, document_id: str) -> bool:
        """Forget a document, durably; say whether there was one."""
        ...

    async def known(self, texts: Sequence[str]) -> Mapping[str, Vectors]:
        """Return the vectors of those texts that are passages already."""
        ...

    async def flush(self) -> None:
        """Return once everything written is on disk."""
        ...


class VectorStore(Protocol):
    """
    Collections by name; the one named "default" is always there.

    What it knows of them is as of the last `refresh`, or of its own last change.
    """

    async def refresh(self, *, counts: bool = False) -> None:
        """Learn what other processes have changed since, with `counts` how many documents there are as well."""
        ...

    def collections(self) -> Sequence[Collection]:
        """Return all collections, ordered by name."""
        ...

    def collection(self, name: str) -> Collection:
        """Return a collection; NotFound lists those there are."""
        ...

    async def ensure(self, name: str, profile: Profile) -> Collection:
        """Return a collection, made with this profile when there was none."""
        ...

    async def put(self, name: str, profile: Profile) -> bool:
        """
        Make a collection, or give one another profile, durably; say whether it is new.

        Raises Conflict where the documents in it have vectors of other models.
        """
        ...

    async def delete(self, name: str) -> bool:
        """Forget a collection and all in it, durably; say whether there was one."""
        ...

    def count(self) -> int:
        """Return the number of documents in all collections."""
        ...

    async def rest(self) -> None:
        """Keep no more in memory than searches need; called when there is nothing left to ingest."""
        ...

    async def close(self) -> None:
        """Write everything, and let go of files or connections."""
        ...


def unknown(name: str, known: Iterable[str]) -> NotFound:
    """Return the error about a collection that is not there."""
    return NotFound(
        f"there is no collection {name!r}; there are: {', '.join(known)}. Ingest into it, or PUT it, to create it.",
        param="collection",
        code="unknown_collection",
    )
