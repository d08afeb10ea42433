"""The commands that reproduce a campaign or one of its cells."""

from __future__ import annotations

import re

from bench.analysis.summary import Campaign
from bench.machine.device_names import SEPARATOR

AGAIN = "again: $RUN …"
NARROWED = re.compile(r" --(?:gateways|scenarios|concurrency) \S+| --peers| --twin")
NEEDS_CLOSED = (
    "slo",
    "server",
    "mixed",
    "overload",
    "burst",
    "crowd",
)  # their rates are shares of the closed loop's maximum


def whole(campaign: Campaign) -> str:
    """Return shell commands: the checkout, the campaign, and `RUN`, to which the options of one cell are appended."""
    command = str(campaign.manifest["command"])
    return "\n".join(
        [
            f"git checkout {campaign.manifest['git']['sha'] or 'main'}",
            command,
            f'RUN="{NARROWED.sub("", command)}"  # one cell: $RUN and the options in the last column of its table',
        ]
    )


def cell(scenario: str, target: str, concurrency: float | None = None) -> str:
    """Return the options for `$RUN` that measure one target's cells of a scenario, on the device of its name."""
    name, _, device = target.partition(SEPARATOR)
    scenarios = f"closed,{scenario}" if scenario in NEEDS_CLOSED else scenario
    level = f" --concurrency {concurrency:g}" if concurrency is not None else ""
    on = f" --device {device}" if device else ""
    return f"--scenarios {scenarios} --gateways {name}{on}{level}"
