"""The command line of a campaign: its options, the environment that sets them, and the command that does it again."""

from __future__ import annotations

import argparse
import os
import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import Any

COMMAND = "python -m bench run"
OPTIONS: dict[str, dict[str, Any]] = {
    "--profile": {"choices": ("quick", "full"), "default": "quick"},
    "--gateways": {"help": "targets, by comma; default: all of ours, or none beside --target"},
    "--peers": {"action": "store_true", "default": False},
    "--target": {"help": "the URL of a server that others started: http://host:port"},
    "--dialect": {"default": "openai", "help": "of --target: openai (default), tei, cohere or gateway"},
    "--name": {"help": "of --target, in rows and plots; default: its host and port"},
    "--model": {"help": "the name --target is asked for"},
    "--other-model": {"help": "another that it serves: the two must not be mixed up"},
    "--precision": {"default": "fp32", "help": "of --target: fp32 (default), fp16, bf16, int8 or pseudo"},
    "--api-key": {"help": "sent to --target as a bearer token; never written down"},
    "--concurrency": {"help": "by comma; default: the profile's"},
    "--device": {
        "default": "auto",
        "help": "auto (default), cpu, cuda, cuda:N or mps; by comma, targets enter on each",
    },
    "--corpus": {"default": "squad", "help": "squad (default), a BEIR folder, or a file of JSON lines"},
    "--scenarios": {"help": "by comma; default: all of the profile"},
    "--slo-ms": {"help": "p99 that `server` holds targets to: 150, or by route: search=150,embeddings=50"},
    "--blocks": {"type": int, "help": "instead of the profile's"},
    "--twin": {"action": "store_true", "default": False, "help": "enter one target twice: the A/A noise band"},
    "--client": {"choices": ("raw", "httpx"), "default": "raw"},
    "--locust-workers": {"type": int, "default": 0, "help": "Locust instead of wrk gives the second opinion"},
    "--locust-seconds": {"type": int, "default": 20, "help": "how long its users ask"},
    "--server-cores": {"help": "such as 1-3; default: all but the driver's"},
    "--seed": {"type": int, "default": 1},
    "--campaign": {"help": "its name; one that exists is resumed"},
    "--resume": {"action": "store_true", "help": "the newest unfinished campaign of this machine and profile"},
    "--results": {"type": Path, "help": "instead of results/"},
}
ENVIRONMENT = {
    "--profile": "PROFILE",
    "--gateways": "GATEWAYS",
    "--peers": "PEERS",
    "--concurrency": "CONCURRENCY",
    "--device": "DEVICE",
    "--api-key": "API_KEY",
}
# Where a campaign lies is not what it measures; a key is named by its variable.
UNSAID = ("--profile", "--api-key", "--campaign", "--resume", "--results")


def add_options(parser: argparse.ArgumentParser, environ: dict[str, str] | None = None) -> None:
    """Add every option; defaults come from the environment where it sets them, and an empty variable is none."""
    environ = dict(os.environ) if environ is None else environ
    for flag, option in OPTIONS.items():
        said = environ.get(ENVIRONMENT.get(flag, ""), "")
        default = said != "0" if option.get("action") and said else said or option.get("default")
        parser.add_argument(flag, **{**option, "default": default})


def command_of(arguments: argparse.Namespace) -> str:
    """The command as typed in the repository root, with what came from the environment and without defaults."""
    words = [COMMAND, f"--profile {arguments.profile}"]
    for flag, option in OPTIONS.items():
        value = _value(arguments, flag)
        if flag not in UNSAID and value != option.get("default"):
            words.append(flag if value is True else f"{flag} {shlex.quote(str(value))}")
    if arguments.api_key:
        words.append('--api-key "$API_KEY"')
    return " ".join(words)


def read_back(command: str) -> argparse.Namespace:
    """The arguments of a command that `command_of` wrote; only its key comes from the environment."""
    words: Sequence[str] = shlex.split(command.removeprefix(COMMAND))
    parser = argparse.ArgumentParser(prog=COMMAND)
    add_options(parser, {})
    return parser.parse_args([os.path.expandvars(word) for word in words])


def _value(arguments: argparse.Namespace, flag: str) -> Any:
    return getattr(arguments, flag[2:].replace("-", "_"))
