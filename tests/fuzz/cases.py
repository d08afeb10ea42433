"""Requests from a description: right and wrong ones, the same in every run, and what is wrong with their answers."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, TypeAlias

import requests
import schemathesis
from hypothesis import HealthCheck, Phase, Verbosity, given, seed, settings
from hypothesis.errors import Unsatisfiable
from schemathesis import APIOperation, Case, GenerationMode
from schemathesis.checks import not_a_server_error
from schemathesis.core.errors import InvalidSchema
from schemathesis.core.failures import FailureGroup
from schemathesis.core.result import Err, Result
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)

Operation: TypeAlias = APIOperation[Any, Any, Any, Any]
Request: TypeAlias = Case[Any]

# No 5xx, and every answer, errors included, is one that the description promises.
CHECKS = [not_a_server_error, status_code_conformance, content_type_conformance, response_schema_conformance]
# Names that are invented exist nowhere: a request is refused for them before anything else is looked at.
INVENTED = ("model", "model_id", "prompt_name", "collection")
SHOWN_CHARACTERS = 1_500
TIMEOUT_S = 120


@dataclass
class Fuzz:
    """
    A run against one gateway: the number of requests answered, by operation, and one failure of each kind.

    `known` has a value for each name that paths have and that only the gateway can give.
    """

    url: str
    known: Mapping[str, str]
    answered: dict[str, int] = field(default_factory=dict)
    statuses: dict[int, int] = field(default_factory=dict)
    failures: dict[tuple[str, str], str] = field(default_factory=dict)

    @property
    def cases(self) -> int:
        """Requests that were answered."""
        return sum(self.answered.values())

    def run(self, cases: int) -> None:
        """
        Send this many requests, in turns over all operations.

        An operation that takes nothing has one request only; the others share what it leaves over.
        """
        description = schemathesis.openapi.from_url(f"{self.url}/openapi.json")
        open_ended = [_operation(found) for found in description.get_all_operations()]
        turn = 0
        with requests.Session() as session:
            session.trust_env = False
            while self.cases < cases and open_ended:
                share = -(-(cases - self.cases) // len(open_ended))
                open_ended = [
                    operation for operation in open_ended if self._turn(operation, share, turn, session) >= share // 6
                ]
                turn += 1

    def _turn(self, operation: Operation, share: int, turn: int, session: requests.Session) -> int:
        """Send up to `share` requests of one operation, a third of each kind; return how many there were."""
        before = self.cases
        right = operation.as_strategy(generation_mode=GenerationMode.POSITIVE)
        known = {name: self.known[name] for name in _path_names(operation) if name in self.known}
        meant = operation.as_strategy(generation_mode=GenerationMode.POSITIVE, path_parameters=known).map(_by_default)
        wrong = operation.as_strategy(generation_mode=GenerationMode.NEGATIVE)
        for requests_of_a_kind in (meant, right, wrong):

            @seed(turn)
            @settings(
                max_examples=max(share // 3, 1),
                phases=[Phase.generate],
                database=None,
                deadline=None,
                suppress_health_check=list(HealthCheck),
                verbosity=Verbosity.quiet,
            )
            @given(case=requests_of_a_kind)
            def send(case: Request) -> None:
                self._send(case, session)

            # Nothing can be wrong about a request that takes nothing.
            with suppress(Unsatisfiable):
                send()
        return self.cases - before

    def _send(self, case: Request, session: requests.Session) -> None:
        """Send one request, and keep what is wrong with the answer: the run goes on."""
        response = case.call(session=session, timeout=TIMEOUT_S)
        self.note(case, response.status_code, lambda: case.validate_response(response, checks=CHECKS))

    def note(self, case: Request, status: int, validate: Callable[[], None]) -> None:
        """Count an answer, and keep what `validate` finds wrong with it."""
        label = case.operation.label
        self.answered[label] = self.answered.get(label, 0) + 1
        self.statuses[status] = self.statuses.get(status, 0) + 1
        try:
            validate()
        except FailureGroup as group:
            for failure in group.exceptions:
                self.failures.setdefault((label, failure.title), f"{label}: {failure}\n{case.as_curl_command()}")

    def told(self) -> Sequence[str]:
        """Return each kind of failure with the request that shows it."""
        return [text[:SHOWN_CHARACTERS] for text in self.failures.values()]


def _operation(found: Result[Operation, InvalidSchema]) -> Operation:
    if isinstance(found, Err):
        raise found.err()
    return found.ok()


def _path_names(operation: Operation) -> list[str]:
    return [parameter.name for parameter in operation.path_parameters]


def _by_default(case: Request) -> Request:
    """Leave out what was invented."""
    if isinstance(case.body, dict):
        case.body = {name: value for name, value in case.body.items() if name not in INVENTED}
    return case
