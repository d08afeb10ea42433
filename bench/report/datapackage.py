"""datapackage.json: type, unit and definition of the columns of a campaign (Frictionless Table Schema)."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Mapping
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any

import orjson
import pandas as pd

from bench.analysis.cells import LOADS
from bench.analysis.summary import Campaign
from bench.records.refusal_codes import CODES, MACHINE
from bench.records.row import Row

Field = dict[str, Any]
TYPES = {"int": "integer", "float": "number", "bool": "boolean", "str": "string"}
ROW: dict[str, Field] = {
    column.name: {
        "name": column.name,
        "type": TYPES[str(column.type).partition(" ")[0]],
        "description": column.metadata["definition"],
        **({"unit": column.metadata["unit"]} if column.metadata["unit"] else {}),
    }
    for column in fields(Row)
}
OLD = "of files from before 2026-12: "
PERCENT = "load_percent, repeat_percent in `cache`, mixed_percent in `mixed`; `concurrency` is `cores` in `threads`"
VERDICTS = {
    "row": ("integer", "row of runs.csv, from 1, without the header"),
    "codes": ("string", "codes when the whole campaign is known, joined by spaces; see codes.csv"),
    "refused": ("boolean", "whether a code voids the row, so that no number uses it"),
    "speed_state": ("string", "`usual`, or the machine was over 3 % `slow` or `fast`; empty if it was not looked at"),
}
CODE_COLUMNS = {
    "code": ("string", "code in `codes`"),
    "meaning": ("string", "what it says of a row"),
    "refuses": ("boolean", "whether it voids the row; else it is a remark"),
    "machine": ("boolean", "whether the machine or the client is to blame, and not the target"),
}
SUMMARY = {
    "rows": ("integer", "rows of the cell in runs.csv"),
    "refused_rows": ("integer", "rows of the cell that are refused"),
    "slow_rows": ("integer", "windows in which the machine was slow, kept or refused for that alone"),
    "codes": ("string", "codes of any row of the cell"),
    "baseline": ("string", "target to which `ratio` compares"),
    "figure": ("string", "column that `ratio` compares"),
    "ratio": ("number", "geometric mean over blocks of the figure over the baseline's"),
    "ratio_low": ("number", "low end of the 95 % interval of `ratio`, with the A/A band; empty below three blocks"),
    "ratio_high": ("number", "high end of that interval"),
    "verdict": ("string", "faster, slower, equivalent (within ±5 %) or inconclusive"),
}
ENDS = {
    "_low": "low end of the 95 % interval of `{}` over blocks",
    "_high": "high end of the 95 % interval of `{}` over blocks",
    "_slow": "median of `{}` over the windows in which the machine was slow",
}


def write(campaign: Campaign) -> None:
    """Write verdicts.csv, codes.csv and datapackage.json beside runs.csv and summary.csv."""
    folder = campaign.folder
    _list_verdicts(campaign).to_csv(folder / "verdicts.csv", index=False, lineterminator="\n")
    _list_codes().to_csv(folder / "codes.csv", index=False, lineterminator="\n")
    files = {name: _describe_file(folder, name) for name in ("runs", "summary", "verdicts", "codes")}
    package = {
        "$schema": "https://datapackage.org/profiles/2.0/datapackage.json",
        "name": folder.resolve().name.lower(),
        "title": f"Campaign {folder.resolve().name}",
        "resources": [_describe_resource(name, columns) for name, columns in files.items()],
    }
    (folder / "datapackage.json").write_bytes(orjson.dumps(package, option=orjson.OPT_INDENT_2) + b"\n")


def _list_verdicts(campaign: Campaign) -> pd.DataFrame:
    runs = campaign.runs
    verdicts = runs[["block", "replicate", "target", "scenario", "route", "codes", "refused", "speed_state"]].copy()
    verdicts["refused"] = [str(bool(refused)).lower() for refused in verdicts.refused]
    verdicts.insert(0, "row", range(1, len(verdicts) + 1))
    return verdicts


def _list_codes() -> pd.DataFrame:
    rows = [{"code": name, **asdict(code), "machine": name in MACHINE} for name, code in CODES.items()]
    codes = pd.DataFrame(rows)[list(CODE_COLUMNS)]
    return codes.assign(**{name: codes[name].map({True: "true", False: "false"}) for name in ("refuses", "machine")})


def _describe_file(folder: Path, name: str) -> list[Field]:
    with (folder / f"{name}.csv").open(newline="") as stream:
        header = next(csv.reader(stream))
    described: Mapping[str, Any] = {"verdicts": VERDICTS, "codes": CODE_COLUMNS, "summary": SUMMARY}.get(name, {})
    return [_describe_column(column, described, of_summary=name == "summary") for column in header]


def _describe_column(name: str, described: Mapping[str, Any], *, of_summary: bool) -> Field:
    if name in described:
        kind, definition = described[name]
        return {"name": name, "type": kind, "description": definition}
    if name == "percent":
        return {"name": name, "type": "integer", "description": f"{OLD}{PERCENT}", "unit": "%"}
    if name in ROW:
        return _summarise(ROW[name]) if of_summary else ROW[name]
    end = next(end for end in ENDS if name.endswith(end))
    column = ROW[name.removesuffix(end)]
    return {**column, "name": name, "type": "number", "description": ENDS[end].format(column["name"])}


def _summarise(column: Field) -> Field:
    """Return the field of a summary line: the median of a figure, the largest of a peak, or the cell's own value."""
    if column["type"] not in ("integer", "number"):
        return column
    peak = column["name"] in ("rss_peak_mib", "gpu_mem_mib")
    statistic = "" if column["name"] in LOADS else "largest, of any sound row: " if peak else "median of sound rows: "
    return {**column, "type": "number", "description": f"{statistic}{column['description']}"}


def _describe_resource(name: str, columns: Iterable[Field]) -> dict[str, Any]:
    return {
        "name": name,
        "type": "table",
        "path": f"{name}.csv",
        "format": "csv",
        "mediatype": "text/csv",
        "encoding": "utf-8",
        "schema": {"fields": list(columns), "missingValues": [""]},
    }
