"""The collections that jobs write to: opened for a job, deleted with their jobs, one at a time."""

from __future__ import annotations

import asyncio
import dataclasses

from gateways.core.jobs.base import Change, Job, JobQueue
from gateways.core.profiles import Profile
from gateways.core.stores.base import Collection, VectorStore, require_room


class JobCollections:
    """Opens and deletes collections under one lock, so that a cancelled job never creates its collection again."""

    def __init__(self, store: VectorStore, jobs: JobQueue, default: Profile, max_collections: int | None) -> None:
        """`default` is the profile of a collection that is created by a job."""
        self._max_collections = max_collections
        self._store = store
        self._jobs = jobs
        self._default = default
        self._lock = asyncio.Lock()

    async def open(self, job: Job) -> Collection:
        """Return the collection of a job, created if missing. Raises JobCancelled, JobLost, Conflict."""
        async with self._lock, self._jobs.write_lease(job, ()):
            require_room(self._store, job.collection, self._max_collections)
            return await self._store.ensure(job.collection, self._default)

    async def put(self, name: str, profile: Profile) -> bool:
        """Create a collection, or change its profile, durably. Returns True if it was created. Raises Conflict."""
        async with self._lock:
            await self._store.refresh()
            require_room(self._store, name, self._max_collections)
            created = await self._store.put(name, profile)
            await self._jobs.record(Change("put_collection", name, profile=dataclasses.asdict(profile)))
            return created

    def exclusive(self) -> asyncio.Lock:
        """Return the lock that keeps collections as they are while it is held."""
        return self._lock

    async def delete_document(self, name: str, document_id: str) -> bool:
        """Delete a document of a collection, durably. Returns False if it is not stored."""
        # Recorded first: from here on, no job that was accepted before writes the document.
        await self._jobs.record(Change("delete_document", name, document_id))
        await self._store.refresh()
        collections = {collection.name: collection for collection in self._store.collections()}
        return name in collections and await collections[name].delete(document_id)

    async def delete(self, name: str) -> bool:
        """Cancel the jobs of a collection and delete it, durably. Returns False if there is none of this name."""
        async with self._lock:
            await self._store.refresh()
            if name not in {collection.name for collection in self._store.collections()}:
                return False
            await self._jobs.cancel_all(name)
            await self._jobs.record(Change("delete_collection", name))
            return await self._store.delete(name)
