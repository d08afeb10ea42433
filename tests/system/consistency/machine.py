"""Random operations and faults against a deployment, each answer compared with the model in memory."""

from __future__ import annotations

import itertools
import time
import uuid
from collections.abc import Callable

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, rule

from tests.system.consistency.deployments import PATIENCE_S, PAUSE_S, RETRY_S, Deployment
from tests.system.consistency.expected import Expected, ExpectedCollection, ExpectedJob, Json

# A flush is due every 0.1 s. A busy machine may take longer.
COUNTED_S = 10.0
NAMES = st.sampled_from([f"d{number}" for number in range(4)])
NAME_LISTS = st.lists(NAMES, min_size=1, max_size=4, unique=True)
COLLECTIONS = st.integers(0, 1)
NUMBERS = st.integers(0, 999)
# How often each operation is done. A fault takes as long as many steps, so these are few.
WEIGHTS = {
    "ingest": 30,
    "ingest_and_delete": 20,
    "ingest_and_cancel": 10,
    "ingest_and_break": 4,
    "delete_document": 26,
    "cancel": 6,
    "put_collection": 14,
    "delete_collection": 6,
    "read": 34,
    "search": 26,
    "fault": 4,
    "upstream_fault": 4,
    "check_all": 14,
}
OPERATIONS = st.sampled_from([name for name, weight in WEIGHTS.items() for _ in range(weight)])
# One ingest of six is large. The simplest example, all of whose numbers are 0, has none.
LARGE_EVERY = 6
PAGE = 1_000
_numbers = itertools.count()


class ConsistencyMachine(RuleBasedStateMachine):
    """Two collections with names of their own, so that many examples share one deployment."""

    deployment: Deployment

    def __init__(self) -> None:
        super().__init__()
        self.expected = Expected()
        prefix = uuid.uuid4().hex[:12]
        self.names = [f"{prefix}-{number}" for number in range(2)]

    @rule(operation=OPERATIONS, collection=COLLECTIONS, names=NAME_LISTS, number=NUMBERS)
    def operate(self, operation: str, collection: int, names: list[str], number: int) -> None:
        """Do one operation. Those that begin with ingest do something else at once, while the job waits."""
        if operation == "upstream_fault" and not self.deployment.upstream_faults:
            operation = "search"
        self.deployment.counts[operation] += 1
        operations: dict[str, Callable[[], None]] = {
            "cancel": lambda: self.cancel(number),
            "put_collection": lambda: self.put_collection(collection, 1 + number % 50),
            "delete_collection": lambda: self.delete_collection(collection),
            "fault": lambda: self.deployment.inject(number),
            "upstream_fault": lambda: self.upstream_fault(number, collection, names),
            "check_all": self.check_all,
            "delete_document": lambda: self.delete_document(collection, names[-1]),
            "read": lambda: self.read(collection, names[-1]),
            "search": lambda: self.search(collection, names[-1]),
            "ingest": lambda: None,
            "ingest_and_delete": lambda: self.delete_document(collection, names[-1]),
            "ingest_and_cancel": lambda: self.cancel(-1),
            "ingest_and_break": lambda: self.deployment.inject(number),
        }
        if operation.startswith("ingest"):
            self._submit(collection, names, self.deployment.large_job if number % LARGE_EVERY == 1 else 0)
        operations[operation]()

    def _submit(self, collection: int, names: list[str], filler: int) -> None:
        # An Idempotency-Key makes the request safe to repeat.
        documents = [(f"filler-{number}", f"filler number {number}") for number in range(filler)]
        documents += [(name, f"text {next(_numbers)} of {name}") for name in names]
        body = {
            "collection": self.names[collection],
            "documents": [{"id": name, "text": text} for name, text in documents],
        }
        headers = {"Idempotency-Key": uuid.uuid4().hex}
        response = self.deployment.request("POST", "/v1/ingest", json=body, headers=headers)
        assert response.status_code == 202, response.text
        self.expected.accept(ExpectedJob(response.json()["job_id"], self.names[collection], documents))

    def delete_document(self, collection: int, name: str) -> None:
        """Delete a document: 200 if it may exist, 404 if it may be absent."""
        self._observe_jobs()
        possible = self.expected.texts(self.names[collection], name)
        path = f"/v1/documents/{name}"
        response = self.deployment.request("DELETE", path, params={"collection": self.names[collection]})
        # A deletion that was sent again after a fault may find that the first one worked.
        assert response.status_code in {200, 404}, response.text
        if response.status_code == 200:
            assert possible != {None}, f"{name} was deleted, and is not there"
        self.expected.delete_document(self.names[collection], name)
        self._check_document(collection, name)

    def cancel(self, number: int) -> None:
        """Cancel a job that may be at work."""
        jobs = self.expected.unfinished()
        if not jobs:
            return
        job = jobs[number % len(jobs)]
        # Before the request: a repeated one finds the job cancelled, and answers 409.
        job.cancelled = True
        response = self.deployment.request("DELETE", f"/v1/jobs/{job.id}")
        assert response.status_code in {200, 409}, response.text

    def put_collection(self, collection: int, top_k: int) -> None:
        """Change the profile of a collection, or create it."""
        name = self.names[collection]
        response = self.deployment.request("PUT", f"/v1/collections/{name}", json={"top_k": top_k})
        assert response.status_code in {200, 201}, response.text
        self.expected.collections.setdefault(name, ExpectedCollection()).top_k = top_k
        assert self.deployment.request("GET", f"/v1/collections/{name}").json()["top_k"] == top_k

    def delete_collection(self, collection: int) -> None:
        """Delete a collection with its documents and its unfinished jobs."""
        self._observe_jobs()
        name = self.names[collection]
        if self.deployment.request("DELETE", f"/v1/collections/{name}").status_code == 200:
            self.expected.delete_collection(name)
            return
        # It has no collection yet: the jobs that will make it go on. A repeated request may find it deleted.
        self._wait_for_jobs()
        if self.deployment.request("DELETE", f"/v1/collections/{name}").status_code in {200, 404}:
            self.expected.delete_collection(name)

    def read(self, collection: int, name: str) -> None:
        """Read a document, which may be older only while its job is at work."""
        self._observe_jobs()
        self._check_document(collection, name)

    def search(self, collection: int, name: str) -> None:
        """Search. No hit is a document that was deleted, or a text that was replaced."""
        self._observe_jobs()
        possible = {key: self.expected.texts(self.names[collection], key) for key in self._all_names(collection)}
        hits = self._search(collection, f"text of {name}")
        for hit in hits:
            assert hit["text"] in possible[hit["id"]], f"{hit['id']} has {hit['text']!r}, of {possible[hit['id']]}"

    def upstream_fault(self, number: int, collection: int, names: list[str]) -> None:
        """Ingest and read while the embed service is slow, hangs, breaks off, or sends interim responses."""
        with self.deployment.spoiled_upstream(number):
            self._submit(collection, names, 0)
            self.read(collection, names[0])
            time.sleep(PAUSE_S)

    def check_all(self) -> None:
        """Wait for all jobs. Every document, every count and a search then agree with the model exactly."""
        self._wait_for_jobs()
        cancelled = self.expected.unfinished()
        deadline_s = time.monotonic() + COUNTED_S
        while True:
            for job in cancelled:
                self.expected.finish(self.deployment.request("GET", f"/v1/jobs/{job.id}").json())
            try:
                self._compare_all()
            except AssertionError:
                # Another gateway counts what it wrote before a cancellation at its next flush.
                if not cancelled or time.monotonic() > deadline_s:
                    raise
                time.sleep(RETRY_S)
            else:
                return

    def _compare_all(self) -> None:
        for number, name in enumerate(self.names):
            texts = {key: self.expected.texts(name, key) for key in self._all_names(number)}
            assert all(len(possible) == 1 for possible in texts.values())
            present = {key: text for key, (text,) in texts.items() if text is not None}
            assert self._list(number) == set(present)
            for key in texts:
                if not key.startswith("filler"):
                    self._check_document(number, key)
            if name in self.expected.collections:
                self._check_counts(number, len(present))
            if present:
                key, text = sorted(present.items())[0]
                hits = self._search(number, text)
                assert hits[0]["text"] == text, f"the vectors of {key} are not those of its text: {hits[0]}"

    def teardown(self) -> None:
        """End each example with a full comparison. Its collections are deleted, so that starts stay fast."""
        self.check_all()
        for number in range(2):
            self.delete_collection(number)

    def _check_document(self, collection: int, name: str) -> None:
        possible = self.expected.texts(self.names[collection], name)
        response = self.deployment.request(
            "GET", f"/v1/documents/{name}", params={"collection": self.names[collection]}
        )
        text = response.json()["text"] if response.status_code == 200 else None
        assert response.status_code in {200, 404}, response.text
        assert text in possible, f"{name} has {text!r}, and may have {possible}"

    def _check_counts(self, collection: int, documents: int) -> None:
        answer = self.deployment.request("GET", f"/v1/collections/{self.names[collection]}")
        if answer.status_code == 404:
            assert documents == 0, answer.text
        else:
            assert answer.json()["document_count"] == documents, answer.text

    def _list(self, collection: int) -> set[str]:
        """Return the ids of all documents of a collection."""
        answer = self.deployment.request(
            "GET", "/v1/documents", params={"collection": self.names[collection], "limit": PAGE}
        )
        assert answer.status_code in {200, 404}, answer.text
        return {document["id"] for document in answer.json()["data"]} if answer.status_code == 200 else set()

    def _search(self, collection: int, query: str) -> list[Json]:
        body = {"collection": self.names[collection], "query": query, "top_k": 50}
        response = self.deployment.request("POST", "/v1/search", json=body)
        assert response.status_code in {200, 404}, response.text
        return list(response.json()["results"]) if response.status_code == 200 else []

    def _all_names(self, collection: int) -> list[str]:
        return self.expected.names(self.names[collection])

    def _observe_jobs(self) -> None:
        """Learn which jobs have ended."""
        for job in self.expected.unfinished():
            answer: Json = self.deployment.request("GET", f"/v1/jobs/{job.id}").json()
            # What a cancelled job wrote is counted after the next flush: `check_all` looks then.
            if answer["status"] != "cancelled" and answer["finished_at"]:
                self.expected.finish(answer)

    def _wait_for_jobs(self) -> None:
        """Wait until every job has ended."""
        deadline_s = time.monotonic() + PATIENCE_S
        jobs = self.expected.unfinished()
        while not all(self._has_ended(job) for job in jobs):
            assert time.monotonic() < deadline_s, f"a job does not end: {[job.id for job in jobs]}"
            time.sleep(RETRY_S)
        self._observe_jobs()

    def _has_ended(self, job: ExpectedJob) -> bool:
        return bool(self.deployment.request("GET", f"/v1/jobs/{job.id}").json()["finished_at"])
