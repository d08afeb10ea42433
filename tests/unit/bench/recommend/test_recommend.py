"""Recommendations: capacity from the open loop, in replicas, memory and money, without extrapolation."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import orjson
import pytest
import yaml

from bench import paths
from bench.__main__ import main
from bench.analysis.summary import Campaign, load
from bench.recommend import count_evidence, find_best
from bench.recommend.choice import answer as recommend_answer
from bench.recommend.compose_override import override, services
from bench.recommend.needs import Needs
from bench.recommend.plans import plan
from bench.recommend.text import sentences
from bench.report.tables import savings, scaling
from tests.support.campaign_builder import (
    FLOOR,
    LIMITS,
    MONOLITH,
    PEER,
    SPLIT,
    OpenLoopTarget,
    SearchedTarget,
    open_loop,
    recommended,
)

FULL = ("2026-11-22T0913-full", "2026-11-22T2249-full")


@pytest.mark.parametrize("rps", [1, 139, 140, 141, 500, 12_345])
def test_replicas_hold_the_rate_with_headroom_and_one_less_would_not(tmp_path: Path, rps: float) -> None:
    """200 per second at 70 % headroom is 140 per replica; memory is the number of replicas times one replica's."""
    best = recommended(tmp_path, [MONOLITH], Needs(rps, LIMITS)).best

    assert best is not None
    assert best.replicas * 140 >= rps > (best.replicas - 1) * 140
    assert best.pss_mib == 250 * best.replicas
    assert best.core_hours_million == pytest.approx(best.replicas * 1e6 / rps / 3600)


def test_a_rate_that_was_searched_for_is_recommended_by(tmp_path: Path) -> None:
    """Windows of `slo` say what those of fixed levels say, also of a front without a model."""
    fixed = recommended(tmp_path / "server", [MONOLITH, SPLIT, FLOOR], Needs(500, LIMITS))
    targets = [
        SearchedTarget(made.name, made.rps, made.roles_mib, made.cpu_ms, **made.description)
        for made in (MONOLITH, SPLIT, FLOOR)
    ]
    searched = recommended(tmp_path / "slo", targets, Needs(500, LIMITS))

    assert searched == fixed
    assert searched.best is not None
    assert (searched.best.shape.rps, searched.best.shape.unbounded) == (200, False)


def test_peers_and_the_floor_are_shown_and_never_recommended(tmp_path: Path) -> None:
    """Peers and pseudo hold more in less memory, are not recommended, and say why."""
    answer = recommended(tmp_path, [PEER, FLOOR, MONOLITH], Needs(500, LIMITS))

    assert answer.best is not None
    assert answer.best.shape.target == "onnx_py"
    reasons = {shape.target: shape.why for shape in answer.shapes}
    assert "peer" in reasons["infinity"]
    assert "no model" in reasons["pseudo"]


def test_a_split_counts_embed_services_and_thin_gateways_apart(tmp_path: Path) -> None:
    """The front costs 1 ms and holds half of pseudo's 3,000 per second, so 2,000 need two fronts."""
    answer = recommended(tmp_path, [MONOLITH, SPLIT, FLOOR], Needs(2000, LIMITS))
    split = next(shape for shape in answer.shapes if shape.target == "split")
    made = plan(split, answer.needs, 2000)

    assert split.thin_rps == pytest.approx(1500)
    assert made is not None
    assert made.roles == {"embed": 15, "gateway": 2}
    assert made.pss_mib == pytest.approx(15 * 200 + 2 * 90)


def test_without_the_floor_every_embed_service_keeps_the_gateway_it_was_measured_with(tmp_path: Path) -> None:
    """Without pseudo, the capacity of one thin gateway is unknown and not guessed."""
    answer = recommended(tmp_path, [MONOLITH, SPLIT], Needs(500, LIMITS))
    made = plan(answer.shapes[1], answer.needs, 500)

    assert made is not None
    assert made.roles == {"embed": 4, "gateway": 4}


def test_split_wins_above_the_rate_where_its_shared_gateway_is_paid_for(tmp_path: Path) -> None:
    """Split wins above 140 per second, at 490 against 500 MiB. Beyond 1.25 times the data nothing is said."""
    answer = recommended(tmp_path, [MONOLITH, SPLIT, FLOOR], Needs(500, LIMITS))

    assert [span.targets for span in answer.spans] == [("onnx_py",), ("split",)]
    assert [span.low for span in answer.spans] == pytest.approx([1, 140])
    assert answer.spans[-1].high == pytest.approx(1.25 * 4 * 200)
    assert any("split wins above 140; beyond 1,000 requests a second is not measured" in s for s in sentences(answer))


def test_shapes_that_hold_alike_do_not_take_turns(tmp_path: Path) -> None:
    """A shape that holds 1 % more wins for 1 % of the rates only, which is noise and no flip."""
    twin = OpenLoopTarget("python", 202, {"gateway": 251})

    assert [span.targets for span in recommended(tmp_path, [MONOLITH, twin], Needs(500, LIMITS)).spans] == [
        ("onnx_py",)
    ]


def test_shapes_that_noise_would_tell_apart_are_chosen_by_memory(tmp_path: Path) -> None:
    """Shapes of 200 and 196 per second differ by less than equal servers: the one with less memory is named."""
    rival = OpenLoopTarget("python", 196, {"gateway": 240})
    answer = recommended(tmp_path, [MONOLITH, rival], Needs(2000, LIMITS))

    assert answer.ties == ["onnx_py", "python"]
    assert [span.targets for span in answer.spans] == [("python",)]
    assert answer.best is not None
    assert answer.best.shape.low == pytest.approx(196)
    assert any("cannot be told apart by rate: choose by memory and topology" in s for s in sentences(answer))


def test_shapes_that_differ_are_told_apart(tmp_path: Path) -> None:
    """A shape of 150 per second is no tie of one of 200."""
    rival = OpenLoopTarget("python", 150, {"gateway": 240})

    assert recommended(tmp_path, [MONOLITH, rival], Needs(500, LIMITS)).ties == []


def test_the_fp32_advice_of_committed_campaigns_is_the_same() -> None:
    """Their fp32 winners changed with the noise: onnx_py now wins, or cannot be told apart from the winner."""
    folders = [paths.CAMPAIGNS / "amd-epyc-avx512vnni-2c" / name for name in FULL]

    answers = [recommend_answer(load(folder), Needs(500, {"p99_ms": 150.0})) for folder in folders]

    assert all(answer.best is not None and answer.best.shape.target == "onnx_py-int8" for answer in answers)
    fp32 = [answer.ties_fp32 or [answer.best_fp32.shape.target] for answer in answers if answer.best_fp32]
    assert len(fp32) == len(FULL)
    assert all("onnx_py" in targets for targets in fp32)


def test_the_campaign_with_the_most_evidence_is_preferred(tmp_path: Path) -> None:
    """Levels times blocks count before the date; of equal campaigns the newest is taken."""
    older = open_loop(tmp_path / "machine" / "full", [MONOLITH])
    newer = open_loop(tmp_path / "machine" / "quick", [MONOLITH])
    lines = (newer / "runs.csv").read_text().splitlines(keepends=True)
    (newer / "runs.csv").write_text("".join([lines[0], *lines[1:4]]))
    manifest = orjson.loads((newer / "manifest.json").read_bytes()) | {"started_utc": "2026-11-29T02:00:00+00:00"}
    (newer / "manifest.json").write_bytes(orjson.dumps(manifest))

    assert (count_evidence(older), count_evidence(newer)) == (15, 3)
    assert find_best([tmp_path / "machine"], "*/manifest.json") == older
    (newer / "runs.csv").write_text("".join(lines))
    assert find_best([tmp_path / "machine"], "*/manifest.json") == newer


def test_machines_and_money(tmp_path: Path) -> None:
    """Ten replicas on machines with four cores need three machines."""
    needs = Needs(1400, LIMITS, vcpu=4, ram_gib=16, price_hour=0.2)
    best = recommended(tmp_path, [MONOLITH], needs).best

    assert best is not None
    assert (best.replicas, best.machines) == (10, 3)
    assert best.cost_million == pytest.approx(3 * 0.2 * 1e6 / (1400 * 3600))


def test_a_machine_too_small_for_one_replica_fits_nothing(tmp_path: Path) -> None:
    """A replica of 250 MiB does not fit a machine of 102 MiB."""
    assert recommended(tmp_path, [MONOLITH], Needs(10, LIMITS, ram_gib=0.1)).best is None


def test_fewer_cores_than_were_measured_is_not_extrapolated(tmp_path: Path) -> None:
    """A machine with half a core was not measured, and the answer says so."""
    answer = recommended(tmp_path, [MONOLITH], Needs(10, LIMITS, vcpu=0.5))

    assert answer.best is None
    assert "not measured on fewer than 1 core" in answer.shapes[0].why


@pytest.mark.parametrize(
    "made", [MONOLITH, SPLIT, OpenLoopTarget("onnx_py-int8", 200, {"gateway": 170}, precision="int8")]
)
def test_the_override_names_services_that_there_are(tmp_path: Path, made: OpenLoopTarget) -> None:
    """Services are those of docker-compose.yml or extend one. Replicas are the plan's, and limits exceed the peak."""
    best = recommended(tmp_path, [made], Needs(500, LIMITS)).best
    assert best is not None
    whole = yaml.safe_load(override(best).replace("!override", ""))
    written = whole["services"]
    known = yaml.safe_load((paths.ROOT / "docker-compose.yml").read_text())["services"]
    front = next(name for name in written if "ports" in known[name])

    copies = {name: service for name, service in written.items() if "extends" in service}
    assert all(service["extends"]["service"] == front for service in copies.values())
    assert written.keys() - copies.keys() <= known.keys()
    assert 1 + len(copies) == list(best.roles.values())[-1]
    assert [service["ports"] for service in copies.values()] == [
        [f"127.0.0.1:{8000 + number}:8000"] for number in range(1, 1 + len(copies))
    ]
    others = {name: service for name, service in written.items() if name not in {front, *copies}}
    assert [service["deploy"]["replicas"] for service in others.values()] == [*best.roles.values()][:-1]
    peaks = {name: best.shape.peak_mib[role] for role, name in services(best).items()}
    for name, service in written.items():
        peak = peaks[service.get("extends", {}).get("service", name)]
        assert int(service["deploy"]["resources"]["limits"]["memory"].removesuffix("m")) >= 1.25 * peak
    models = [service for service in written.values() if "environment" in service]
    assert {service["environment"]["PRECISION"] for service in models} == {best.shape.precision}


def test_every_front_of_an_override_keeps_its_data(tmp_path: Path) -> None:
    """Each copy has a named volume, which `docker compose down` leaves; the first one has that of before."""
    best = recommended(tmp_path, [MONOLITH], Needs(500, LIMITS)).best
    assert best is not None
    whole = yaml.safe_load(override(best).replace("!override", ""))

    mounts = [mount for service in whole["services"].values() for mount in service.get("volumes", ())]
    data = [mount.partition(":") for mount in mounts if isinstance(mount, str)]
    assert [(name, path) for name, _, path in data] == [(name, "/data") for name in whole["volumes"]]
    assert len(whole["volumes"]) == 3
    assert "volumes" not in whole["services"]["onnx_py"]


def test_nothing_that_fits_is_an_answer(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A limit below all data exits with 3, and the message names the nearest shape."""
    folder = open_loop(tmp_path / "campaign", [MONOLITH])

    assert main(["recommend", "--rps", "10", "--p95-ms", "5", str(folder)]) == 3
    printed = " ".join(capsys.readouterr().out.split())
    assert "Nothing measured fits 10 searches a second with p95 ≤ 5 ms" in printed
    assert "p95 is 40 ms" in printed


def test_the_answer_as_json(tmp_path: Path, capfdbinary: pytest.CaptureFixture[bytes]) -> None:
    """JSON has the plan, every shape, the flips and the override."""
    folder = open_loop(tmp_path / "campaign", [MONOLITH, SPLIT, FLOOR])

    assert main(["recommend", "--rps", "500", "--p95-ms", "150", "--json", str(folder)]) == 0
    answer = orjson.loads(capfdbinary.readouterr().out)
    assert answer["recommended"]["target"] == "split"
    assert answer["recommended"]["roles"] == {"embed": 4, "gateway": 1}
    assert {shape["target"] for shape in answer["shapes"]} == {"onnx_py", "split", "pseudo"}
    assert answer["compose_override"].startswith("# docker compose")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--rps", "0"], "--rps 0"),
        (["--rps", "5", "--headroom", "2"], "--headroom 2"),
        (["--rps", "5", "--price-hour", "1"], "--vcpu"),
        (["--rps", "5", "--gpu-price-hour", "-1"], "--gpu-price-hour -1"),
        (["--rps", "5", "--route", "rerank"], "--route is one of search"),
    ],
)
def test_what_cannot_be_asked_is_said(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], options: list[str], message: str
) -> None:
    """Each wrong value is named, and the command exits with 1."""
    folder = open_loop(tmp_path / "campaign", [MONOLITH])

    assert main(["recommend", *options, str(folder)]) == 1
    assert message in capsys.readouterr().err


def test_a_campaign_without_an_open_loop_says_what_to_run(capsys: pytest.CaptureFixture[str]) -> None:
    """Without open-loop rows, the answer is the command that measures them."""
    campaigns = sorted(paths.CAMPAIGNS.glob("*/*-quick"))
    quick = next(folder for folder in campaigns if ",server," not in (folder / "runs.csv").read_text())

    assert main(["recommend", "--rps", "500", str(quick)]) == 1
    assert capsys.readouterr().err.endswith("is known from nothing else: make bench\n")


@pytest.mark.parametrize(
    ("page", "name", "render"),
    [("choosing-a-shape.md", "savings", savings.render), ("scaling.md", "scaling", scaling.render)],
)
def test_pages_quote_their_campaigns(page: str, name: str, render: Callable[[Campaign], str]) -> None:
    """The tables in the docs equal those of the campaigns that they link to."""
    text = (paths.ROOT / "docs" / page).read_text()
    shown = text.partition(f"<!-- {name}:begin -->")[2].partition(f"<!-- {name}:end -->")[0].strip()
    [report] = re.findall(r"\]\(\.\./(results/.*?)/report\.html\)", shown)

    assert shown == render(load(paths.ROOT / report)).strip()
