"""
The rule for the subject of a commit, for the hook and for CI.

    python3 scripts/checks/commits.py MESSAGE_FILE       the message that git is about to commit
    python3 scripts/checks/commits.py --range A..B       each commit that is in B and not in A

Exits with 1 and says what is wrong. Standard library only: a hook runs before anything is installed.
"""

from __future__ import annotations

import argparse
import re
import subprocess
import sys
from pathlib import Path

LONGEST = 72
# git writes these subjects itself, or takes them away again in a rebase.
WRITTEN_BY_GIT = re.compile(r"(Merge|Revert|Reapply) |(fixup|squash|amend)! ")
NO_VERB = re.compile(
    "An?|The|This|That|These|Those|Its?|I|We|You|They|He|She|My|Our|Your|Their|His|Her|Some|Any|All|No|Not|And|Or|But"
    "|If|When|For|In|On|At|To|Of|With|From|By|As|There|Here|What|Who|Which"
)
# Imperatives that end like another form.
IMPERATIVE = re.compile(
    "Bring|Ping|String|Swing|Spring|Ring|Cling|Embed|Feed|Need|Seed|Speed|Shed|Shred|Exceed|Proceed|Succeed|Breed|Weed"
    "|Focus|Bias|Alias"
)


def refusal(subject: str) -> str | None:
    """Return what is wrong with a subject, None where nothing is."""
    if WRITTEN_BY_GIT.match(subject):
        return None
    if len(subject) > LONGEST:
        return f"{len(subject)} characters; at most {LONGEST}, the rest belongs into the body"
    first = (re.split(r"[\s:,]", subject, maxsplit=1) or [""])[0]
    if not re.fullmatch(r"[A-Z][a-z]+(-[a-z]+)*", first) or NO_VERB.fullmatch(first):
        return f"begins with {first!r}; the first word is a verb in the imperative, such as Add, Fix or Move"
    if not IMPERATIVE.fullmatch(first) and re.search(r"(ing|ed|[^s]s)$", first):
        return f"begins with {first!r}; the imperative is the verb's plain form: Add, not Added, Adding or Adds"
    return None


def subjects(commits: str) -> list[str]:
    """Return the subjects of a range of commits, oldest first."""
    command = ["git", "log", "--reverse", "--format=%s", "--no-merges", commits]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.splitlines()  # noqa: S603


def of_message(text: str) -> str:
    """Return the subject of a message file: its first line that is neither empty nor a comment."""
    return next((line.strip() for line in text.splitlines() if line.strip() and not line.startswith("#")), "")


def main(arguments: list[str]) -> int:
    """Check one message or a range; 0 where every subject passes."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    choice = parser.add_mutually_exclusive_group(required=True)
    choice.add_argument("message", type=Path, nargs="?", help="file of the message that git is about to commit")
    choice.add_argument("--range", help="A..B: each commit that is in B and not in A")
    options = parser.parse_args(arguments)
    found = subjects(options.range) if options.range else [of_message(options.message.read_text(encoding="utf-8"))]
    wrong = [(subject, why) for subject in found if subject and (why := refusal(subject))]
    for subject, why in wrong:
        print(f"commit subject: {subject}\n  {why}", file=sys.stderr)
    return 1 if wrong else 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
