"""The commands that measure a campaign, or one cell of it, again."""

from __future__ import annotations

import re

from bench.devices import SEPARATOR
from bench.report.summary import Campaign

AGAIN = "again: $RUN …"
NARROWED = re.compile(r" --(?:gateways|scenarios|concurrency) \S+| --peers| --twin")
NEEDS_CLOSED = ("server", "mixed", "overload", "burst")  # their rates are shares of the closed loop's maximum


def whole(campaign: Campaign) -> str:
    """Commands for the shell: the code, the campaign, and `RUN`, which the cells' own words are added to."""
    command = str(campaign.manifest["command"])
    return "\n".join(
        [
            f"git checkout {campaign.manifest['git']['sha'] or 'main'}",
            command,
            f'RUN="{NARROWED.sub("", command)}"  # one cell: $RUN and the words in the last column of its table',
        ]
    )


def cell(scenario: str, target: str, concurrency: float | None = None) -> str:
    """What `$RUN` is given to measure one target's cells of a scenario again, on the device that its name ends in."""
    name, _, device = target.partition(SEPARATOR)
    scenarios = f"closed,{scenario}" if scenario in NEEDS_CLOSED else scenario
    level = f" --concurrency {concurrency:g}" if concurrency is not None else ""
    on = f" --device {device}" if device else ""
    return f"--scenarios {scenarios} --gateways {name}{on}{level}"
