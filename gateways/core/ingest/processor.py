"""The processing of jobs: their documents are embedded and written in batches, and acknowledged after a flush."""

from __future__ import annotations

import logging
import time
from collections import Counter
from collections.abc import Callable, Sequence
from itertools import accumulate

from gateways.core.errors import GatewayError
from gateways.core.ingest.document_writer import DocumentWriter
from gateways.core.ingest.flush import GroupCommit
from gateways.core.ingest.retry import SYSTEM_ERRORS, TRANSIENT, retry_transient
from gateways.core.ingest.turns import Turns
from gateways.core.jobs.base import Document, Job, JobCancelled, JobLost, JobQueue
from gateways.core.observability import metrics
from gateways.core.stores.base import CollectionGone

log = logging.getLogger(__name__)

# Documents read from the journal in one call.
PREFETCH_DOCUMENTS = 64
# Characters embedded and written together. They fill forward passes, and their token vectors are a few megabytes;
# a larger batch would fragment the heap, and the process would keep that memory.
BATCH_CHARACTERS = 16_000
# A job fails after this many errors in a row that are neither transient nor the system's: about a minute.
MAX_ERRORS = 10


class JobProcessor:
    """
    Processes jobs from one flush to the next.

    The jobs of a collection run in order. Collections take turns: neither a large job nor one that cannot go on holds
    up the jobs of others.
    """

    def __init__(
        self,
        jobs: JobQueue,
        writer: DocumentWriter,
        commit: GroupCommit,
        check_space: Callable[[], None],
        max_errors: int,
    ) -> None:
        """`check_space` raises NoSpace while documents must wait. `max_errors` in a row fail a job."""
        self._jobs = jobs
        self._writer = writer
        self._commit = commit
        self._check_space = check_space
        self._max_errors = max_errors
        # The errors of a job's own since its last success, by its id.
        self._own_errors: Counter[str] = Counter()
        self.turns = Turns()

    async def process_jobs(self, flush_every_s: float) -> bool:
        """Process jobs until the next flush is due, then flush. Returns False if there was nothing to do."""
        deadline_s = time.monotonic() + flush_every_s
        # True if an earlier flush failed because the store or the journal was away.
        active = bool(self._commit.pending_jobs)
        served: dict[str, Job] = {}
        while job := await self._jobs.claim(self._commit.written_jobs, self.turns.paused, self.turns.served):
            active = True
            self.turns.serve(job.collection)
            if await self._process_job(job, deadline_s):
                served[job.collection] = job
            if time.monotonic() >= deadline_s:
                break
        await self._commit.flush()
        for job, error in self._commit.take_failures():
            served.pop(job.collection, None)
            await self._handle_error(job, error)
        for collection, job in served.items():
            self._own_errors.pop(job.id, None)
            if self.turns.resume(collection):
                await self._jobs.report(job.id, None)
        return active

    async def _process_job(self, job: Job, deadline_s: float) -> bool:
        """Process a job, up to its end or until the flush is due. Returns False after an error."""
        try:
            await self._process_documents(job, deadline_s)
        except JobCancelled:
            log.info("ingest job %s was cancelled", job.id)
            metrics.jobs_finished.labels("cancelled").inc()
        except JobLost:
            log.warning("ingest job %s was taken over by another gateway", job.id)
            self._commit.drop(job)
        except Exception as error:
            await self._handle_error(job, error)
            return False
        return True

    async def _handle_error(self, job: Job, error: Exception) -> None:
        """
        Let a job wait after an error, and fail it if the error is its own.

        A client's error fails the job at once. A transient error, or one of the system such as too many open files,
        never does: the documents were accepted. Any other error fails it after `max_errors` in a row.
        """
        reason = error.message if isinstance(error, GatewayError) else f"{type(error).__name__}: {error}"
        is_passing = isinstance(error, TRANSIENT + SYSTEM_ERRORS)
        self._own_errors[job.id] += not is_passing
        if is_passing or (self._own_errors[job.id] < self._max_errors and not isinstance(error, GatewayError)):
            errors = self.turns.pause(job.collection)
            log.warning("ingest job %s waits after error %d: %s", job.id, errors, reason, exc_info=not is_passing)
            await self._jobs.report(job.id, reason)
            return
        log.error("ingest job %s failed: %s", job.id, reason, exc_info=error)
        await self._commit.flush()
        await self._jobs.fail(job.id, reason)
        self.turns.resume(job.collection)
        self._own_errors.pop(job.id, None)
        metrics.jobs_finished.labels("failed").inc()

    async def _process_documents(self, job: Job, deadline_s: float) -> None:
        """Write the documents of a job in batches, up to the last one or until the flush is due."""
        progress = await self._commit.resume(job)
        queue: Sequence[Document] = ()
        while queue := queue or await self._jobs.documents(job.id, progress.processed, PREFETCH_DOCUMENTS):
            alone = progress.processed < progress.isolated
            batch = queue[:1] if alone else _first_batch(queue, BATCH_CHARACTERS)
            await retry_transient(self._require_space, self._commit.flush)
            try:
                await self._writer.write(progress, batch)
            except CollectionGone:
                # It was created anew for other models, or deleted with its jobs: opening it again tells which.
                queue = ()
                continue
            queue = queue[len(batch) :]
            if time.monotonic() >= deadline_s and progress.processed < job.total_documents:
                return
        await self._commit.complete(progress)

    async def _require_space(self) -> None:
        self._check_space()


def _first_batch(documents: Sequence[Document], characters: int) -> Sequence[Document]:
    """Return the first documents that together have at most `characters` characters, and at least one document."""
    sizes = accumulate(len(document.text) for document in documents)
    fitting = sum(size <= characters for size in sizes)
    return documents[: max(fitting, 1)]
