"""The card of a target: which one it is, what its counters come to, and what is said where there is none."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pynvml
import pytest

from bench import gpu, machine
from bench.gpu_watch import Sample, Use, columns, use
from bench.records import Row, Runs
from bench.report.summary import read_runs

HAS_CARD = bool(gpu.cards())
without_card = pytest.mark.skipif(HAS_CARD, reason="this machine has a card")
UUIDS = ("GPU-aaaa1111", "GPU-bbbb2222", "GPU-bbbb3333")
OWN, OTHER = 100, 999
SAMPLES = [
    Sample(at_s, used_mib, {OWN: 800.0 + at_s}, busy_percent, power_w, 0)
    for at_s, used_mib, busy_percent, power_w in (
        (0.0, 2000.0, 50.0, 100.0),
        (1.0, 2100.0, 70.0, 200.0),
        (3.0, 2050.0, None, 300.0),
    )
]


@without_card
def test_a_machine_without_a_card_has_none_and_that_is_no_error() -> None:
    """No driver, no card of any word, no name in the folder; the manifest's list is empty."""
    assert gpu.cards() == ()
    assert [gpu.card_of(device) for device in ("auto", "cpu", "cuda", "cuda:1", "mps", "")] == [None] * 6
    assert machine.describe()["gpus"] == []
    assert machine.folder(["cpu", "cuda"]) == machine.folder()
    assert machine.folders() == [machine.folder()]


@pytest.mark.skipif(not HAS_CARD, reason="this machine has no card")
def test_a_card_that_is_there_is_described_and_answers() -> None:
    """Its name and memory are told; what it uses is within what it has."""
    card = gpu.cards()[0]
    told = card.described()

    assert told["name"] == card.name
    assert 0 < (card.used_mib() or 0) <= told["memory_mib"]
    assert card.uuid.startswith(("GPU-", "MIG-"))
    assert 0 <= (card.busy_percent() or 0) <= 100
    assert all(mib >= 0 for mib in card.by_pid().values())


@pytest.mark.parametrize(
    ("said", "seen"),
    [
        (None, [0, 1, 2]),
        ("2,0", [2, 0]),
        ("GPU-bbbb3,1", [2, 1]),
        ("GPU-aaaa1111", [0]),
        ("0,7,1", [0]),  # the first that is no card ends the list
        ("GPU-bbbb", []),  # two cards begin so
        ("", []),
        ("-1", []),
        ("MIG-1,0", []),
    ],
)
def test_cards_are_counted_as_cuda_shows_them(said: str | None, seen: list[int]) -> None:
    """Numbers and beginnings of UUIDs, in the order said."""
    assert gpu.visible(UUIDS, said) == seen


@pytest.mark.parametrize(
    ("bits", "said"),
    [
        (0, ()),
        (pynvml.nvmlClocksEventReasonGpuIdle, ()),
        (0x4, ("sw_power_cap",)),
        (0x1 | 0x8 | 0x40, ("hw_slowdown", "hw_thermal")),
        (0x2 | 0x10 | 0x20 | 0x80 | 0x100,
         ("application_clocks", "sync_boost", "sw_thermal", "hw_power_brake", "display_clocks")),
        (0x200 | 0x400, ("board_limit", "reliability")),
        (0x20 | 0x10000, ("sw_thermal", "0x10000")),
    ],
)  # fmt: skip
def test_reasons_are_words(bits: int, said: tuple[str, ...]) -> None:
    """NVML's documented bits in their order; idle is no reason, and one that is new keeps its number."""
    assert gpu.words(bits) == said


def test_cuda_is_told_by_its_version() -> None:
    """The driver's number is a thousand times the major and ten times the minor one."""
    assert [gpu.cuda_version(number) for number in (12040, 13000, 11080)] == ["12.4", "13.0", "11.8"]


def test_a_folder_is_named_after_the_card_that_a_campaign_runs_on() -> None:
    """The maker is left out, and without a card nothing is added."""
    cpu = ("AMD EPYC 7B13 64-Core Processor", ["avx2"], 16)

    assert machine.slug(*cpu) == "amd-epyc-7b13-avx2-16c"
    assert machine.slug(*cpu, "NVIDIA H100 80GB HBM3") == "amd-epyc-7b13-avx2-16c-h100-80gb-hbm3"
    assert machine.slug(*cpu, "Tesla T4") == "amd-epyc-7b13-avx2-16c-tesla-t4"


def test_counters_become_a_use() -> None:
    """The most memory of its own processes, means over the samples, and the counter's joules."""
    assert use(SAMPLES, {OWN}, before_mib=500.0, spent_j=600.0) == Use(803.0, 60.0, 200.0, 600.0, (), ())


def test_without_a_counter_watts_are_added_up_over_time() -> None:
    """150 W for a second and 250 W for two."""
    used = use(SAMPLES, {OWN}, before_mib=500.0, spent_j=None)

    assert used is not None
    assert used.energy_j == pytest.approx(150 + 500)


def test_where_no_process_is_known_memory_is_what_the_card_holds_more_than_before() -> None:
    """In a container: numbers of the host, or its own with a memory of nothing. Others cannot be told from it."""
    of_host = [replace(sample, by_pid={OTHER: 800.0}) for sample in SAMPLES]
    of_nothing = [replace(sample, by_pid={OWN: 0.0}) for sample in SAMPLES]

    for samples in (of_host, of_nothing):
        used = use(samples, {OWN}, before_mib=500.0, spent_j=600.0)
        assert used is not None
        assert (used.mem_mib, used.foreign) == (1600.0, ())


def test_another_process_beside_the_targets_own_is_foreign() -> None:
    """Seen in one sample is seen."""
    beside = replace(SAMPLES[1], by_pid={OWN: 800.0, OTHER: 20.0})
    used = use([SAMPLES[0], beside, SAMPLES[2]], {OWN}, before_mib=500.0, spent_j=600.0)

    assert used is not None
    assert used.foreign == (OTHER,)
    assert used.mem_mib == 803.0


def test_every_reason_of_a_window_is_kept() -> None:
    """Of one sample this, of another that."""
    slow = [replace(sample, reasons=bits) for sample, bits in zip(SAMPLES, (0x1, 0x4, 0x20), strict=True)]
    used = use(slow, {OWN}, before_mib=500.0, spent_j=600.0)

    assert used is not None
    assert used.throttled == ("sw_power_cap", "sw_thermal")


def test_on_auto_a_target_that_is_not_on_the_card_has_no_use_of_it() -> None:
    """What tells are its processes, or the card's memory; someone else's few MiB do not."""
    idle = [replace(sample, used_mib=510.0, by_pid={OTHER: 400.0}) for sample in SAMPLES]
    filled = [replace(sample, by_pid={}) for sample in SAMPLES]

    assert use(idle, {OWN}, before_mib=500.0, spent_j=600.0, sure=False) is None
    assert use(idle, {OWN}, before_mib=500.0, spent_j=600.0) is not None
    assert use(filled, {OWN}, before_mib=500.0, spent_j=600.0, sure=False) is not None
    assert use(SAMPLES, {OWN}, before_mib=None, spent_j=600.0, sure=False) is not None


def test_a_card_that_tells_nothing_gives_nothing_and_no_zero() -> None:
    """Every question unanswered: every figure empty."""
    mute = [Sample(at_s, None, {}, None, None, 0) for at_s in (0.0, 1.0)]
    used = use(mute, {OWN}, before_mib=None, spent_j=None)

    assert used == Use(None, None, None, None, (), ())
    assert columns(used, 100) == {
        "gpu_mem_mib": None,
        "gpu_util": None,
        "gpu_power_w": None,
        "gpu_j_per_1k_texts": None,
        "gpu_throttled": "",
    }


@pytest.mark.parametrize(("texts", "joules"), [(2000, 300.0), (0, None), (None, None)])
def test_energy_is_for_a_thousand_texts(texts: int | None, joules: float | None) -> None:
    """600 J for 2,000 are 300 for 1,000; for none, or so many as nobody knows, there is no figure."""
    filled = columns(Use(803.0, 60.0, 200.0, 600.0, ("sw_power_cap", "sw_thermal"), ()), texts)

    assert filled["gpu_j_per_1k_texts"] == joules
    assert filled["gpu_throttled"] == "sw_power_cap sw_thermal"


def test_rows_keep_the_device_and_the_cards_figures(tmp_path: Path) -> None:
    """Written and read back; the row of a CPU has them empty, and so have campaigns that have no such columns."""
    runs = Runs(tmp_path / "runs.csv")
    rows = [Row(1, 1, 2, name, False, True, "fp32", "closed", "search", 16, device=on) for name, on in
            (("python", "cpu"), ("python@cuda", "cuda"))]  # fmt: skip
    for name, value in columns(Use(803.0, 60.0, 200.0, 600.0, ("sw_power_cap",), ()), 2000).items():
        setattr(rows[1], name, value)
    runs.add(rows)

    cpu, card = read_runs(tmp_path / "runs.csv").to_dict("records")
    kept = ("device", "gpu_mem_mib", "gpu_util", "gpu_power_w", "gpu_j_per_1k_texts", "gpu_throttled")
    assert [card[name] for name in kept] == ["cuda", 803.0, 60.0, 200.0, 300.0, "sw_power_cap"]
    assert (cpu["device"], cpu["gpu_throttled"], str(cpu["gpu_mem_mib"])) == ("cpu", "", "nan")
    lines = (tmp_path / "runs.csv").read_text().splitlines()
    before = [at for at, name in enumerate(lines[0].split(",")) if name not in kept]
    old = tmp_path / "old.csv"
    old.write_text("\n".join(",".join(line.split(",")[at] for at in before) for line in lines) + "\n")

    for row in read_runs(old).to_dict("records"):
        assert [str(row[name]) for name in kept] == ["", "nan", "nan", "nan", "nan", ""]
        assert row["target"] in ("python", "python@cuda")
