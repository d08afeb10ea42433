"""datapackage.json: each column of the CSV files has a type that its values have, and a definition."""

from __future__ import annotations

import csv
import shutil
from pathlib import Path
from typing import Any

import jsonschema
import orjson
import pytest

from bench import paths
from bench.analysis import summary
from bench.records.refusal_codes import CODES
from bench.records.row import Row
from bench.report import datapackage
from tests.support import every_scenario

# What a reader relies on, by Frictionless Data Package 2.0 and its Table Schema.
PROFILE = {
    "type": "object",
    "required": ["$schema", "name", "resources"],
    "properties": {
        "name": {"type": "string", "pattern": "^[-a-z0-9._/]+$"},
        "resources": {
            "type": "array",
            "minItems": 4,
            "items": {
                "type": "object",
                "required": ["name", "type", "path", "schema"],
                "properties": {
                    "type": {"const": "table"},
                    "path": {"type": "string", "pattern": "^[a-z]+[.]csv$"},
                    "schema": {
                        "type": "object",
                        "required": ["fields", "missingValues"],
                        "properties": {
                            "fields": {
                                "type": "array",
                                "items": {
                                    "type": "object",
                                    "required": ["name", "type", "description"],
                                    "properties": {
                                        "name": {"type": "string", "minLength": 1},
                                        "type": {"enum": ["integer", "number", "boolean", "string"]},
                                        "description": {"type": "string", "minLength": 8},
                                        "unit": {"type": "string", "minLength": 1},
                                    },
                                    "additionalProperties": False,
                                },
                            }
                        },
                    },
                },
            },
        },
    },
}


def described(folder: Path) -> dict[str, Any]:
    """Return the description that the report writes for a campaign."""
    campaign = summary.load(folder)
    campaign.summary.to_csv(folder / "summary.csv", index=False, float_format="%.6g", lineterminator="\n")
    datapackage.write(campaign)
    package: dict[str, Any] = orjson.loads((folder / "datapackage.json").read_bytes())
    return package


def parses(text: str, kind: str) -> bool:
    """Return whether a cell has the type of its column."""
    if kind == "boolean":
        return text in ("true", "false", "True", "False")
    if kind == "string":
        return True
    (int if kind == "integer" else float)(text)
    return True


@pytest.fixture(params=["every scenario", "published"])
def folder(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """A new campaign with rows of every scenario, and a committed one with the columns of its time."""
    if request.param == "every scenario":
        return every_scenario.write(tmp_path / "Every-Scenario", blocks=3)
    published = paths.CAMPAIGNS / "amd-epyc-avx512vnni-2c" / "2026-11-22T2249-full"
    for name in ("manifest.json", "runs.csv"):
        shutil.copy(published / name, tmp_path / name)
    return tmp_path


def test_every_column_of_every_file_is_described_as_it_is(folder: Path) -> None:
    """The fields are the header in its order, and every cell parses as the type of its column."""
    package = described(folder)

    jsonschema.validate(package, PROFILE)
    for resource in package["resources"]:
        with (folder / resource["path"]).open(newline="") as stream:
            rows = list(csv.reader(stream))
        columns = resource["schema"]["fields"]
        assert [column["name"] for column in columns] == rows[0]
        assert all(
            parses(text, column["type"])
            for row in rows[1:]
            for text, column in zip(row, columns, strict=True)
            if text
        )


def test_a_refusal_decided_later_is_beside_the_rows(tmp_path: Path) -> None:
    """verdicts.csv has a line for each row of runs.csv, with the codes that the whole campaign gives it."""
    published = paths.CAMPAIGNS / "amd-epyc-avx512vnni-2c" / "2026-11-22T2249-full"
    for name in ("manifest.json", "runs.csv"):
        shutil.copy(published / name, tmp_path / name)
    described(tmp_path)

    with (tmp_path / "runs.csv").open(newline="") as runs, (tmp_path / "verdicts.csv").open(newline="") as verdicts:
        pairs = list(zip(csv.DictReader(runs), csv.DictReader(verdicts), strict=True))

    later = [verdict for row, verdict in pairs if row["codes"] != verdict["codes"]]
    assert all(row["target"] == verdict["target"] and row["block"] == verdict["block"] for row, verdict in pairs)
    assert {"E_DRIFT" in verdict["codes"] for verdict in later} == {True, False}
    assert sum(verdict["refused"] == "true" for _, verdict in pairs) == summary.load(tmp_path).runs.refused.sum()


def test_every_code_has_its_meaning_in_a_table(tmp_path: Path) -> None:
    """codes.csv has each code, and whether the row is void and who is to blame."""
    described(every_scenario.write(tmp_path / "campaign", blocks=1))

    with (tmp_path / "campaign" / "codes.csv").open(newline="") as stream:
        codes = {line["code"]: line for line in csv.DictReader(stream)}

    assert list(codes) == list(CODES)
    assert (codes["E_ENV"]["machine"], codes["E_WRONG"]["machine"], codes["E_CV"]["refuses"]) == (
        "true",
        "false",
        "false",
    )


def test_a_column_without_a_definition_does_not_pass() -> None:
    """Every field of Row says what it is; those that end with a unit say which."""
    for name, column in datapackage.ROW.items():
        assert len(column["description"]) >= 8, name
        if name.endswith(("_ms", "_mib", "_s", "_rps", "_percent", "_mb")):
            assert column.get("unit"), name
    assert set(datapackage.ROW) == set(Row.__dataclass_fields__)
