"""
The long form of the fault tests: minutes of load at 70 % of a gateway's capacity, with a fault every minute.

    python -m scripts.soak --gateway split --minutes 20 --out results/soak/<machine>/<date>

Requests are of all kinds and random sizes. Each second becomes a row of the CSV file: answers by status, latencies,
memory, open files. At the end every accepted document must be there. Without faults (`--faults 0`) the soak is a test
for memory leaks.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
import tempfile
from collections import Counter
from datetime import UTC, datetime
from pathlib import Path

import pandas as pd

from bench import paths
from bench.machine import facts
from scripts.soak.plot import draw
from scripts.soak.record import Record, find_failures
from scripts.soak.run import soak
from tests.support.gateways import describe


def main() -> None:
    """Read the command line, run the soak, write the CSV and the plot. Exits with the broken promises, if any."""
    options = parse_arguments()
    record = Record()
    with tempfile.TemporaryDirectory() as folder:
        gateway = describe(options.gateway, Path(folder), READ_TIMEOUT_S="10")
        try:
            gateway.start()
            rate_rps = asyncio.run(
                soak(gateway, record, minutes=options.minutes, faults=bool(options.faults), seed=options.seed)
            )
        finally:
            gateway.kill()
    frame = pd.DataFrame(record.rows).round(2)
    options.out.mkdir(parents=True, exist_ok=True)
    name = f"{options.gateway}-{'faults' if options.faults else 'calm'}"
    frame.to_csv(options.out / f"{name}.csv", index=False)
    draw(frame, record.faults, f"{options.gateway}: {rate_rps:.0f} requests a second", options.out / f"{name}.png")
    statuses = [str(column) for column in frame if str(column).startswith("status_")]
    answers = {column: int(frame[column].sum()) for column in statuses}
    faults = Counter(name for _, name in record.faults)
    print(f"{answers}; {len(record.jobs)} jobs, all documents looked up; faults: {faults}")
    if failures := find_failures(record, frame):
        sys.exit("the soak failed:\n" + "\n".join(failures))


def parse_arguments() -> argparse.Namespace:
    """Return the options of the command line."""
    default = paths.SOAKS / facts.folder() / f"{datetime.now(UTC):%Y-%m-%d}"
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--gateway", default="split", help="python, onnx_py, split or pseudo; default: split")
    parser.add_argument("--minutes", type=float, default=20.0, help="minutes of load; default: 20")
    parser.add_argument("--faults", type=int, choices=(0, 1), default=1, help="0: no faults; default: 1")
    parser.add_argument("--seed", type=int, default=1, help="seed of requests and arrival times; default: 1")
    parser.add_argument(
        "--out",
        type=Path,
        default=default,
        help="folder of the CSV and the plot; default: results/soak/<machine>/<date>",
    )
    return parser.parse_args()


if __name__ == "__main__":
    main()
