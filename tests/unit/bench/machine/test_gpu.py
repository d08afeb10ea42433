"""The GPU of a target: its selection, its usage from samples, and machines without one."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pynvml
import pytest

from bench.analysis.summary import read_runs
from bench.machine import facts, gpu
from bench.measurement.gpu_sampler import GpuUsage, Sample, row_columns, summarise_samples
from bench.records.runs_csv import Row, Runs

HAS_CARD = bool(gpu.cards())
without_card = pytest.mark.skipif(HAS_CARD, reason="this machine has a card")
UUIDS = ("GPU-aaaa1111", "GPU-bbbb2222", "GPU-bbbb3333")
OWN, OTHER = 100, 999
SAMPLES = [
    Sample(at_s, used_mib, {OWN: 800.0 + at_s}, utilization_percent, power_w, 0)
    for at_s, used_mib, utilization_percent, power_w in (
        (0.0, 2000.0, 50.0, 100.0),
        (1.0, 2100.0, 70.0, 200.0),
        (3.0, 2050.0, None, 300.0),
    )
]


@without_card
def test_a_machine_without_a_card_has_none_and_that_is_no_error() -> None:
    """Without a driver no device has a card, folder names have none, and the manifest's list is empty."""
    assert gpu.cards() == ()
    assert [gpu.card_of(device) for device in ("auto", "cpu", "cuda", "cuda:1", "mps", "")] == [None] * 6
    assert facts.describe()["gpus"] == []
    assert facts.folder(["cpu", "cuda"]) == facts.folder()
    assert facts.folders() == [facts.folder()]


@pytest.mark.skipif(not HAS_CARD, reason="this machine has no card")
def test_a_card_that_is_there_is_described_and_answers() -> None:
    """Name and memory are reported, and the used memory is within the total."""
    card = gpu.cards()[0]
    facts_of_card = card.describe()

    assert facts_of_card["name"] == card.name
    assert 0 < (card.used_mib() or 0) <= facts_of_card["memory_mib"]
    assert card.uuid.startswith(("GPU-", "MIG-"))
    assert 0 <= (card.utilization_percent() or 0) <= 100
    assert all(mib >= 0 for mib in card.mib_by_pid().values())


@pytest.mark.parametrize(
    ("visible_devices", "seen"),
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
def test_cards_are_counted_as_cuda_shows_them(visible_devices: str | None, seen: list[int]) -> None:
    """CUDA_VISIBLE_DEVICES selects by index and by UUID prefix, in its order."""
    assert gpu.visible_cards(UUIDS, visible_devices) == seen


@pytest.mark.parametrize(
    ("bits", "reasons"),
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
def test_reasons_are_words(bits: int, reasons: tuple[str, ...]) -> None:
    """NVML's bits become names, lowest bit first; idle is no reason, and an unknown bit is its number."""
    assert gpu.throttle_reasons(bits) == reasons


def test_cuda_is_told_by_its_version() -> None:
    """The driver's number is 1000 times the major version plus 10 times the minor version."""
    assert [gpu.cuda_version(number) for number in (12040, 13000, 11080)] == ["12.4", "13.0", "11.8"]


def test_a_folder_is_named_after_the_card_that_a_campaign_runs_on() -> None:
    """The GPU's model is appended without its maker; without a GPU nothing is."""
    cpu = ("AMD EPYC 7B13 64-Core Processor", ["avx2"], 16)

    assert facts.slug(*cpu) == "amd-epyc-7b13-avx2-16c"
    assert facts.slug(*cpu, "NVIDIA H100 80GB HBM3") == "amd-epyc-7b13-avx2-16c-h100-80gb-hbm3"
    assert facts.slug(*cpu, "Tesla T4") == "amd-epyc-7b13-avx2-16c-tesla-t4"


def test_counters_become_a_use() -> None:
    """Memory is the maximum of the own processes, utilization and power are means, energy is the counter's."""
    assert summarise_samples(SAMPLES, {OWN}, before_mib=500.0, energy_j=600.0) == GpuUsage(
        803.0, 60.0, 200.0, 600.0, (), ()
    )


def test_without_a_counter_watts_are_added_up_over_time() -> None:
    """Energy is integrated: 150 W for one second and 250 W for two."""
    usage = summarise_samples(SAMPLES, {OWN}, before_mib=500.0, energy_j=None)

    assert usage is not None
    assert usage.energy_j == pytest.approx(150 + 500)


def test_where_no_process_is_known_memory_is_what_the_card_holds_more_than_before() -> None:
    """In a container, process ids are the host's or sizes are 0; the growth of the card's memory counts."""
    of_host = [replace(sample, mib_by_pid={OTHER: 800.0}) for sample in SAMPLES]
    of_nothing = [replace(sample, mib_by_pid={OWN: 0.0}) for sample in SAMPLES]

    for samples in (of_host, of_nothing):
        usage = summarise_samples(samples, {OWN}, before_mib=500.0, energy_j=600.0)
        assert usage is not None
        assert (usage.mem_mib, usage.foreign) == (1600.0, ())


def test_another_process_beside_the_targets_own_is_foreign() -> None:
    """A process in a single sample is enough."""
    beside = replace(SAMPLES[1], mib_by_pid={OWN: 800.0, OTHER: 20.0})
    usage = summarise_samples([SAMPLES[0], beside, SAMPLES[2]], {OWN}, before_mib=500.0, energy_j=600.0)

    assert usage is not None
    assert usage.foreign == (OTHER,)
    assert usage.mem_mib == 803.0


def test_every_reason_of_a_window_is_kept() -> None:
    """The reasons of all samples are combined."""
    slow = [replace(sample, reasons=bits) for sample, bits in zip(SAMPLES, (0x1, 0x4, 0x20), strict=True)]
    usage = summarise_samples(slow, {OWN}, before_mib=500.0, energy_j=600.0)

    assert usage is not None
    assert usage.throttled == ("sw_power_cap", "sw_thermal")


def test_on_auto_a_target_that_is_not_on_the_card_has_no_use_of_it() -> None:
    """The target's processes or the card's memory must show it; a few MiB of others do not."""
    idle = [replace(sample, used_mib=510.0, mib_by_pid={OTHER: 400.0}) for sample in SAMPLES]
    filled = [replace(sample, mib_by_pid={}) for sample in SAMPLES]

    assert summarise_samples(idle, {OWN}, before_mib=500.0, energy_j=600.0, on_card=False) is None
    assert summarise_samples(idle, {OWN}, before_mib=500.0, energy_j=600.0) is not None
    assert summarise_samples(filled, {OWN}, before_mib=500.0, energy_j=600.0, on_card=False) is not None
    assert summarise_samples(SAMPLES, {OWN}, before_mib=None, energy_j=600.0, on_card=False) is not None


def test_a_card_that_tells_nothing_gives_nothing_and_no_zero() -> None:
    """A card that reports nothing gives empty columns."""
    mute = [Sample(at_s, None, {}, None, None, 0) for at_s in (0.0, 1.0)]
    usage = summarise_samples(mute, {OWN}, before_mib=None, energy_j=None)

    assert usage == GpuUsage(None, None, None, None, (), ())
    assert row_columns(usage, 100) == {
        "gpu_mem_mib": None,
        "gpu_util": None,
        "gpu_power_w": None,
        "gpu_j_per_1k_texts": None,
        "gpu_throttled": "",
    }


@pytest.mark.parametrize(("texts", "joules"), [(2000, 300.0), (0, None), (None, None)])
def test_energy_is_for_a_thousand_texts(texts: int | None, joules: float | None) -> None:
    """600 J for 2,000 texts are 300 J per 1,000; without a number of texts the column is empty."""
    filled = row_columns(GpuUsage(803.0, 60.0, 200.0, 600.0, ("sw_power_cap", "sw_thermal"), ()), texts)

    assert filled["gpu_j_per_1k_texts"] == joules
    assert filled["gpu_throttled"] == "sw_power_cap sw_thermal"


def test_rows_keep_the_device_and_the_cards_figures(tmp_path: Path) -> None:
    """The columns are read back as written. They are empty for a CPU and in campaigns from before them."""
    runs = Runs(tmp_path / "runs.csv")
    rows = [Row(1, 1, 2, name, False, True, "fp32", "closed", "search", 16, device=on) for name, on in
            (("python", "cpu"), ("python@cuda", "cuda"))]  # fmt: skip
    for name, value in row_columns(GpuUsage(803.0, 60.0, 200.0, 600.0, ("sw_power_cap",), ()), 2000).items():
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
