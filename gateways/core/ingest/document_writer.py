"""The writer of documents: a batch that fails is divided until the one document at fault is skipped."""

from __future__ import annotations

from collections.abc import Sequence

from gateways.core.errors import GatewayError, ModelCrashed, ModelHung
from gateways.core.ingest.flush import GroupCommit, JobProgress
from gateways.core.ingest.indexer import SERVICE_ERRORS, Indexer
from gateways.core.ingest.job_collections import JobCollections
from gateways.core.ingest.retry import TRANSIENT
from gateways.core.jobs.base import Document
from gateways.core.stores.base import CollectionGone

COSTLY_ERRORS = (ModelHung, ModelCrashed)


class DocumentWriter:
    """Cuts, embeds and writes the documents of a job, which are acknowledged after the next flush."""

    def __init__(self, collections: JobCollections, indexer: Indexer, commit: GroupCommit) -> None:
        self._collections = collections
        self._indexer = indexer
        self._commit = commit

    async def write(self, progress: JobProgress, batch: Sequence[Document], *, first_attempt: bool = True) -> None:
        """
        Write a batch; if it fails, divide it until the one document that the model rejects is skipped.

        It is halved, but after a hang or a crash each document goes alone: every further failure costs the thread of
        a model, or a service.
        """
        try:
            await self._write_batch(progress, batch)
        except (*TRANSIENT, CollectionGone):
            raise
        except GatewayError as error:
            if progress.collection is None:
                raise
            if len(batch) == 1:
                await self._indexer.check_service(progress.job, progress.collection.profile)
                if first_attempt and isinstance(error, SERVICE_ERRORS):
                    await self.write(progress, batch, first_attempt=False)
                    return
                await self._commit.skip(progress, batch[0], error.message)
                if isinstance(error, COSTLY_ERRORS):
                    await self._commit.flush()  # a restart must not meet it again
                return
            if isinstance(error, COSTLY_ERRORS):
                await self._commit.isolate(progress, len(batch))
            size = 1 if isinstance(error, COSTLY_ERRORS) else (len(batch) + 1) // 2
            for start in range(0, len(batch), size):
                await self.write(progress, batch[start : start + size])

    async def _write_batch(self, progress: JobProgress, batch: Sequence[Document]) -> None:
        progress.collection = collection = await self._collections.open(progress.job)
        passages = await self._indexer.cut_documents(progress.job, collection.profile, batch)
        vectors = await self._indexer.embed_texts(collection, [passage.text for passage in passages])
        await self._commit.write(progress, collection, passages, vectors, len(batch))
