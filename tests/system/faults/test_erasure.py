"""What was deleted is in no journal any more: by `compact`, and in a snapshot."""

from __future__ import annotations

import tarfile
from pathlib import Path

import pytest

from tests.support.ingest_client import client_of
from tests.system.faults.conftest import Start
from tests.system.faults.test_data_dir import folder_of, run

TEXT = "a text that its owner wants to be forgotten"


@pytest.mark.gateway("pseudo")
@pytest.mark.parametrize("verb", ["compact", "snapshot"])
def test_a_deleted_document_is_erased_from_the_journal(start: Start, tmp_path: Path, verb: str) -> None:
    """The gateway must be stopped, since it has the journal to itself. The other document is still served then."""
    gateway = start("pseudo")
    with client_of(gateway) as client:
        client.completed(client.submit({"forgotten": TEXT, "kept": "a text to keep"}))
        assert client.http.delete("/v1/documents/forgotten").status_code == 200
    snapshot = tmp_path / "monday.tar.gz"
    arguments = ["save", str(snapshot)] if verb == "snapshot" else []
    busy = run(verb, gateway, *arguments)
    gateway.front.kill()
    journals = [*folder_of(gateway).glob("jobs.sqlite*")]
    assert any(TEXT.encode() in file.read_bytes() for file in journals)

    done = run(verb, gateway, *arguments)

    assert (busy.returncode, "is served by process" in busy.stderr) == (1, True)
    assert done.returncode == 0, done.stderr
    if verb == "snapshot":
        with tarfile.open(snapshot) as archive:
            saved = archive.extractfile("data/jobs.sqlite")
            assert saved is not None
            assert TEXT.encode() not in saved.read()
    else:
        assert done.stdout.startswith("documents erased: 1; journal: ")
        assert not any(TEXT.encode() in file.read_bytes() for file in folder_of(gateway).glob("jobs.sqlite*"))
    gateway.front.start()
    with client_of(gateway) as client:
        assert client.http.get("/v1/documents/kept").json()["text"] == "a text to keep"
        assert client.http.get("/v1/documents/forgotten").status_code == 404
