"""Valid and invalid requests generated from an OpenAPI description, reproducible, with checks of the responses."""

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

# No 5xx, and every response, errors included, conforms to the description.
CHECKS = [not_a_server_error, status_code_conformance, content_type_conformance, response_schema_conformance]
# Generated values of these fields do not exist in the gateway, which would refuse such a request for that alone.
NAME_FIELDS = ("model", "model_id", "prompt_name", "collection")
SHOWN_CHARACTERS = 1_500
TIMEOUT_S = 120


@dataclass
class Fuzz:
    """
    A run against one gateway: responses by operation and by status, and one failure of each kind.

    `path_values` has an existing value for each path parameter, for instance a job id.
    """

    url: str
    path_values: Mapping[str, str]
    answered: dict[str, int] = field(default_factory=dict)
    statuses: dict[int, int] = field(default_factory=dict)
    failures: dict[tuple[str, str], str] = field(default_factory=dict)

    @property
    def cases(self) -> int:
        """Return the number of requests that were answered."""
        return sum(self.answered.values())

    def run(self, cases: int) -> None:
        """
        Send `cases` requests, in rounds over all operations.

        An operation without parameters has one request only; its share of the requests goes to the others.
        """
        description = schemathesis.openapi.from_url(f"{self.url}/openapi.json")
        operations = [_unwrap_operation(result) for result in description.get_all_operations()]
        number = 0
        with requests.Session() as session:
            session.trust_env = False
            while self.cases < cases and operations:
                share = -(-(cases - self.cases) // len(operations))
                operations = [
                    operation
                    for operation in operations
                    if self._run_round(operation, share, number, session) >= share // 6
                ]
                number += 1

    def _run_round(self, operation: Operation, share: int, number: int, session: requests.Session) -> int:
        """Send up to `share` requests of an operation: existing names, valid, invalid. Returns the number sent."""
        before = self.cases
        valid = operation.as_strategy(generation_mode=GenerationMode.POSITIVE)
        path_values = {name: self.path_values[name] for name in _path_names(operation) if name in self.path_values}
        existing = operation.as_strategy(generation_mode=GenerationMode.POSITIVE, path_parameters=path_values)
        invalid = operation.as_strategy(generation_mode=GenerationMode.NEGATIVE)
        for strategy in (existing.map(_drop_names), valid, invalid):

            @seed(number)
            @settings(
                max_examples=max(share // 3, 1),
                phases=[Phase.generate],
                database=None,
                deadline=None,
                suppress_health_check=list(HealthCheck),
                verbosity=Verbosity.quiet,
            )
            @given(case=strategy)
            def send(case: Request) -> None:
                self._send(case, session)

            # A request without parameters has no invalid form.
            with suppress(Unsatisfiable):
                send()
        return self.cases - before

    def _send(self, case: Request, session: requests.Session) -> None:
        """Send one request and check the response. A failure is recorded and does not end the run."""
        response = case.call(session=session, timeout=TIMEOUT_S)
        self.note(case, response.status_code, lambda: case.validate_response(response, checks=CHECKS))

    def note(self, case: Request, status: int, validate: Callable[[], None]) -> None:
        """Count a response, and record the failures that `validate` raises."""
        label = case.operation.label
        self.answered[label] = self.answered.get(label, 0) + 1
        self.statuses[status] = self.statuses.get(status, 0) + 1
        try:
            validate()
        except FailureGroup as group:
            for failure in group.exceptions:
                self.failures.setdefault((label, failure.title), f"{label}: {failure}\n{case.as_curl_command()}")

    def describe_failures(self) -> Sequence[str]:
        """Return each kind of failure with a request that reproduces it."""
        return [text[:SHOWN_CHARACTERS] for text in self.failures.values()]


def _unwrap_operation(result: Result[Operation, InvalidSchema]) -> Operation:
    if isinstance(result, Err):
        raise result.err()
    return result.ok()


def _path_names(operation: Operation) -> list[str]:
    return [parameter.name for parameter in operation.path_parameters]


def _drop_names(case: Request) -> Request:
    """Remove generated names, so that the gateway uses its defaults."""
    if isinstance(case.body, dict):
        case.body = {name: value for name, value in case.body.items() if name not in NAME_FIELDS}
    return case
