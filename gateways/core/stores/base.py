"""The interface of vector stores: collections of passages with their vectors."""

from __future__ import annotations

import re
import uuid
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple, Protocol

from gateways.core import tenants
from gateways.core.backend import F16, F32, SparseVector
from gateways.core.errors import BackendUnavailable, Conflict, NotFound
from gateways.core.profiles import Profile
from gateways.core.stores.filters import Condition

DEFAULT = "default"
# Minimum length of each ranking that is fused.
FUSION_DEPTH = 50
UNKNOWN_COLLECTION = "unknown_collection"
Metadata = dict[str, Any]
_NUMBERED = re.compile(r".*#\d+", re.DOTALL)


class CollectionGone(NotFound):
    """The collection was deleted, or created anew, since it was looked up."""

    default_code = "unknown_collection"


class CollectionDamaged(BackendUnavailable):
    """The files of a collection cannot be opened, or lack documents. They are kept, and not served."""

    default_code = "collection_damaged"

    def __init__(self, name: str, reason: str) -> None:
        super().__init__(
            f"collection {name!r} is damaged and not served: {reason}. Its files are kept. Stop the gateway and run "
            "`python -m gateways.admin reindex`, which builds the vector store again from the job journal.",
            param="collection",
        )


@dataclass(frozen=True, slots=True)
class Passage:
    """
    Characters `start` to `end` of a document; `number` counts the passages of a document from 0.

    `before` is the text between the previous passage and this one, `after` the text after the last passage. With
    both, the passages of a document are the whole document.
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


def name_passage(document_id: str, number: int, *, whole: bool) -> str:
    """
    Return the id of a passage, which no passage of another document has.

    A passage that is the `whole` document has the id of the document, and others `<document>#<number>`. So has the
    whole of a document whose own id ends like that.
    """
    return document_id if whole and not _NUMBERED.fullmatch(document_id) else f"{document_id}#{number}"


def read_passage_id(stored_id: str, document_id: str, number: int) -> str:
    """Return the id of a stored passage. Versions before 2026-12 gave some ids twice."""
    if "#" not in document_id or stored_id != document_id:
        return stored_id
    return name_passage(document_id, number, whole=True)


class Vectors(NamedTuple):
    """
    The vectors of a passage: `dense` is float32 (dimensions,) of unit length.

    `late` are the vectors of its n tokens, float16 (n, dimensions) of unit length, or None if not stored.
    """

    dense: F32
    sparse: SparseVector
    late: F16 | None = None


@dataclass(frozen=True, slots=True)
class StoredDocument:
    """A document of a list: its id, its metadata, and the number of its passages."""

    id: str
    metadata: Metadata
    passages: int


@dataclass(frozen=True, slots=True)
class Hit:
    """A search result: a passage and its score."""

    passage: Passage
    score: float


class Collection(Protocol):
    """
    Passages and their vectors. Every call raises CollectionGone once the collection is deleted.

    Writes survive kill -9 and a power cut once `flush` or `delete` returns; `replace` alone does not promise that.
    """

    @property
    def name(self) -> str:
        """Return the name of the collection."""
        ...

    @property
    def profile(self) -> Profile:
        """Return the retrieval profile of the collection."""
        ...

    @property
    def documents(self) -> int:
        """Return the number of documents at the last `flush`, `delete` or `refresh`."""
        ...

    async def replace(self, passages: Sequence[Passage], vectors: Sequence[Vectors]) -> None:
        """Replace documents: write all their passages, and delete their older ones."""
        ...

    async def add(self, passages: Sequence[Passage], vectors: Sequence[Vectors]) -> None:
        """Write passages, and leave the other passages of their documents as they are."""
        ...

    async def page(self, after: uuid.UUID | None, limit: int) -> list[tuple[uuid.UUID, Passage, Vectors]]:
        """Return the first passages whose keys are greater than `after`, by key: at most `limit`, none at the end."""
        ...

    async def search(
        self,
        dense: F32 | None,
        sparse: SparseVector | None,
        k: int,
        condition: Condition | None,
        min_score: float | None = None,
    ) -> list[Hit]:
        """
        Return the k best passages, best first.

        `dense`, float32 (dimensions,) of unit length, scores by cosine, and `sparse` by inner product. Both together
        score by reciprocal rank fusion: the sum of 1 / (RRF_K + rank) over both rankings. Passages with equal scores
        always come in the same order.
        """
        ...

    async def scores(
        self, passages: Sequence[Passage], dense: F32 | None, sparse: SparseVector | None, late: F16 | None
    ) -> dict[str, F32]:
        """
        Return the scores of n passages, float32 (n,), by the name of each query vector that is not None.

        `dense` and `sparse` score as in `search`, and 0 without a common term. `late` is float16 (q, dimensions): the
        mean over its rows of the greatest cosine to a token of the passage. It needs a collection that stores tokens.
        """
        ...

    async def has_field(self, name: str) -> bool:
        """Return whether any passage has the field of a filter, with a value that is not null or an empty list."""
        ...

    async def document(self, document_id: str) -> list[Passage]:
        """Return the passages of a document in order; empty if there is no such document."""
        ...

    async def list_documents(self, after: str | None, limit: int) -> list[StoredDocument]:
        """
        Return the first `limit` documents, or those after the document `after`, which may have been deleted.

        The order is that of the keys of their first passages. It never changes, and means nothing.
        """
        ...

    async def delete(self, document_id: str) -> bool:
        """Delete a document, durably. Returns False if there is no such document."""
        ...

    async def stored_vectors(self, texts: Sequence[str]) -> Mapping[str, Vectors]:
        """Return the vectors of the texts that are passages already, by text."""
        ...

    async def flush(self) -> None:
        """Return once every write is on disk."""
        ...


class VectorStore(Protocol):
    """
    Collections by name. The collection "default" always exists.

    The list of collections is the one of the last `refresh`, or of the last change by this process.
    """

    @property
    def damaged(self) -> Mapping[str, CollectionDamaged]:
        """Return the errors about collections that are not served, by name."""
        ...

    async def refresh(self, *, counts: bool = False, name: str | None = None) -> None:
        """
        Read the changes of other processes; with `counts`, the numbers of documents as well.

        With `name` at least those of that collection are read, which may cost less.
        """
        ...

    def collections(self) -> Sequence[Collection]:
        """Return all collections, ordered by name."""
        ...

    def collection(self, name: str) -> Collection:
        """Return a collection. Raises NotFound, which lists the collections."""
        ...

    async def ensure(self, name: str, profile: Profile) -> Collection:
        """Return a collection, created with this profile if missing."""
        ...

    async def put(self, name: str, profile: Profile) -> bool:
        """
        Create a collection, or change its profile, durably. Returns True if it was created.

        Stored vectors keep their source, and an empty collection takes that of `profile`. Raises Conflict if its
        documents have vectors of other models.
        """
        ...

    async def delete(self, name: str) -> bool:
        """Delete a collection with its documents, durably. Returns False if there is none of this name."""
        ...

    def count(self) -> int:
        """Return the number of documents in all collections."""
        ...

    async def release_memory(self) -> None:
        """Release memory that only writes need. Called when ingest is idle."""
        ...

    async def close(self) -> None:
        """Flush every write, and close files or connections."""
        ...


def require_room(store: VectorStore, name: str, max_collections: int | None) -> None:
    """Raise Conflict if a collection would be one too many; None for no limit."""
    names = [collection.name for collection in store.collections()]
    if max_collections is not None and name not in names and len(names) >= max_collections:
        raise Conflict(
            f"there are {len(names)} collections and MAX_COLLECTIONS is {max_collections}: {name!r} is not created. "
            "Delete a collection, or put the documents into one collection and filter by a field of their metadata.",
            param="collection",
            code="too_many_collections",
        )


def unknown_collection(name: str, names: Iterable[str]) -> NotFound:
    """Return the error about a missing collection; `names` are the collections that exist."""
    known = ", ".join(tenants.visible(names)) or "none"
    return NotFound(
        f"there is no collection {name!r}; there are: {known}. Ingest into it, or PUT it, to create it.",
        param="collection",
        code=UNKNOWN_COLLECTION,
    )
