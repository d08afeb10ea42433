"""The command line of a campaign: its options, their environment variables, and the command that reproduces it."""

from __future__ import annotations

import argparse
import os
import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import Any

COMMAND = "python -m bench run"
OPTIONS: dict[str, dict[str, Any]] = {
    "--profile": {
        "choices": ("quick", "full"),
        "default": "quick",
        "help": "durations and scenarios; default: quick",
    },
    "--gateways": {"help": "comma-separated targets; default: all of ours, or none with --target"},
    "--peers": {"action": "store_true", "default": False, "help": "also measure the peers of bench/peers"},
    "--target": {"help": "URL of an external server: http://host:port"},
    "--dialect": {"default": "openai", "help": "dialect of --target: openai (default), tei, cohere or gateway"},
    "--name": {"help": "name of --target in rows and plots; default: its host and port"},
    "--model": {"help": "model to request from --target"},
    "--other-model": {"help": "second model of --target; verification checks that the two are not confused"},
    "--precision": {"default": "fp32", "help": "precision of --target: fp32 (default), fp16, bf16, int8 or pseudo"},
    "--api-key": {"help": "bearer token for --target; never written to a file"},
    "--concurrency": {"help": "comma-separated levels; default: the profile's"},
    "--device": {
        "default": "auto",
        "help": "auto (default), cpu, cuda, cuda:N or mps; comma-separated to measure targets on each",
    },
    "--corpus": {"default": "squad", "help": "squad (default), a BEIR folder or a JSON Lines file"},
    "--scenarios": {"help": "comma-separated; default: the profile's"},
    "--slo-ms": {
        "help": "p99 limit of the open loop in ms (default: 150, of a mix that of its file), or by route: "
        "search=150,embeddings=50,mix-rag=1000"
    },
    "--trace": {"type": Path, "help": "your own log as a mix: JSON Lines with time, route, and text or tokens"},
    "--blocks": {"type": int, "help": "number of blocks; default: the profile's"},
    "--twin": {"action": "store_true", "default": False, "help": "measure one target twice, for the A/A noise band"},
    "--client": {"choices": ("raw", "httpx"), "default": "raw", "help": "HTTP client of the driver; default: raw"},
    "--locust-workers": {
        "type": int,
        "default": 0,
        "help": "use Locust with N workers for the second opinion, not wrk",
    },
    "--locust-seconds": {"type": int, "default": 20, "help": "duration of the Locust run; default: 20"},
    "--server-cores": {"help": "cores of the server, such as 1-3; default: all but the driver's"},
    "--seed": {"type": int, "default": 1, "help": "seed of texts, arrivals and target order; default: 1"},
    "--campaign": {"help": "campaign name; an existing campaign is resumed"},
    "--resume": {"action": "store_true", "help": "resume the newest unfinished campaign of this machine and profile"},
    "--results": {"type": Path, "help": "folder of <machine>/<campaign>; default: results/campaigns"},
}
ENVIRONMENT = {
    "--profile": "PROFILE",
    "--gateways": "GATEWAYS",
    "--peers": "PEERS",
    "--concurrency": "CONCURRENCY",
    "--device": "DEVICE",
    "--api-key": "API_KEY",
}
# The reproducing command omits the output location, and names the key's variable instead of the key.
OMITTED = ("--profile", "--api-key", "--campaign", "--resume", "--results")


def add_options(parser: argparse.ArgumentParser, environ: dict[str, str] | None = None) -> None:
    """Add every option. A non-empty environment variable sets the default."""
    environ = dict(os.environ) if environ is None else environ
    for flag, option in OPTIONS.items():
        value = environ.get(ENVIRONMENT.get(flag, ""), "")
        default = value != "0" if option.get("action") and value else value or option.get("default")
        parser.add_argument(flag, **{**option, "default": default})


def command_of(arguments: argparse.Namespace) -> str:
    """Return the command that reproduces the arguments, with values from the environment and without defaults."""
    words = [COMMAND, f"--profile {arguments.profile}"]
    for flag, option in OPTIONS.items():
        value = _get_value(arguments, flag)
        if flag not in OMITTED and value != option.get("default"):
            words.append(flag if value is True else f"{flag} {shlex.quote(str(value))}")
    if arguments.api_key:
        words.append('--api-key "$API_KEY"')
    return " ".join(words)


def read_back(command: str) -> argparse.Namespace:
    """Return the arguments of a command that `command_of` wrote; the API key comes from the environment."""
    words: Sequence[str] = shlex.split(command.removeprefix(COMMAND))
    parser = argparse.ArgumentParser(prog=COMMAND)
    add_options(parser, {})
    return parser.parse_args([os.path.expandvars(word) for word in words])


def _get_value(arguments: argparse.Namespace, flag: str) -> Any:
    return getattr(arguments, flag[2:].replace("-", "_"))
