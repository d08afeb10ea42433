"""Stateful fuzzing: scenarios in which a request reads, changes or deletes what an earlier request created."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

import requests
import schemathesis
from hypothesis import HealthCheck, Phase, Verbosity, seed, settings
from hypothesis.errors import Flaky
from schemathesis.core.transport import Response
from schemathesis.specs.openapi.checks import use_after_free

from tests.fuzz.cases import CHECKS, TIMEOUT_S, Fuzz, Request

STEPS, SCENARIOS_A_ROUND = 12, 25
# The document id of these links is in the request; no response has it.
DOCUMENT, DOCUMENT_ID = "/v1/documents/{document_id}", "$request.body#/documents/0/id"


def run_in_turns(fuzz: Fuzz, cases: int) -> None:
    """
    Send `cases` requests in scenarios of up to STEPS requests.

    schemathesis reads the links between operations in the description. In addition to `CHECKS`, a deleted resource
    must not be served.
    """
    with requests.Session() as session:
        session.trust_env = False
        schema = schemathesis.openapi.from_dict(_with_links(session.get(f"{fuzz.url}/openapi.json").json()))
        schema.config.update(base_url=fuzz.url)
        machine = schema.as_state_machine()

        class Turns(machine):  # type: ignore[misc, valid-type]
            def get_call_kwargs(self, case: Request) -> dict[str, Any]:
                return {"session": session, "timeout": TIMEOUT_S}

            def validate_response(self, response: Response, case: Request, **kwargs: Any) -> None:
                # DELETE cancels a job, which can still be looked up.
                checks = CHECKS if "/jobs" in case.operation.path else [*CHECKS, use_after_free]

                def validate() -> None:
                    case.validate_response(
                        response, checks=checks, transport_kwargs=kwargs["transport"], recorder=self.recorder
                    )

                kwargs = {"transport": {"session": session}}
                fuzz.note(case, response.status_code, validate)

        number = 0
        while fuzz.cases < cases:
            scenarios = settings(
                max_examples=SCENARIOS_A_ROUND,
                stateful_step_count=STEPS,
                phases=[Phase.generate],
                database=None,
                deadline=None,
                suppress_health_check=list(HealthCheck),
                verbosity=Verbosity.quiet,
            )
            seed(number)(Turns)
            # The gateway keeps the data of earlier scenarios, so a repeated scenario may end differently.
            with suppress(Flaky):
                Turns.run(settings=scenarios)
            number += 1


def _with_links(description: dict[str, Any]) -> dict[str, Any]:
    """Return the description with links from an ingest to the routes of its document."""
    accepted = description["paths"]["/v1/ingest"]["post"]["responses"]["202"]
    path = DOCUMENT.replace("/", "~1")
    accepted["links"] = {
        method: {"operationRef": f"#/paths/{path}/{method}", "parameters": {"path.document_id": DOCUMENT_ID}}
        for method in ("get", "delete")
    }
    return description
