"""The name and the features of the processor, from what a kernel shows."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from bench.machine import facts

GRAVITON2 = """\
processor\t: 0
BogoMIPS\t: 243.75
Features\t: fp asimd evtstrm aes pmull sha1 sha2 crc32 atomics fphp asimdhp cpuid asimdrdm lrcpc dcpop asimddp ssbs
CPU implementer\t: 0x41
CPU architecture: 8
CPU variant\t: 0x3
CPU part\t: 0xd0c
CPU revision\t: 1
"""
EPYC = """\
processor\t: 0
model name\t: AMD EPYC 7B13
flags\t\t: fpu sse2 avx avx2 hypervisor
"""


@pytest.fixture
def arm(tmp_path: Path) -> Path:
    """Return a folder with proc and sys of an ARM machine, as its kernel shows them."""
    return write_system(tmp_path, GRAVITON2)


def write_system(folder: Path, cpuinfo: str) -> Path:
    """Write the files that lscpu reads."""
    (folder / "proc").mkdir()
    (folder / "proc" / "cpuinfo").write_text(cpuinfo)
    cpus = folder / "sys" / "devices" / "system" / "cpu"
    (cpus / "cpu0").mkdir(parents=True)
    for name in ("possible", "present", "online"):
        (cpus / name).write_text("0\n")
    return folder


def test_an_arm_processor_has_its_name_without_lscpu(arm: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """/proc/cpuinfo has numbers only; the table has the names of common server cores."""
    monkeypatch.setenv("PATH", str(arm))

    assert facts.cpu_name(arm) == "Neoverse-N1"


def test_a_graviton_is_told_from_another_processor_with_the_same_core(arm: Path) -> None:
    """Graviton2 and Altra have the same core, so that their campaigns would share a folder."""
    vendor = arm / "sys" / "devices" / "virtual" / "dmi" / "id" / "sys_vendor"
    vendor.parent.mkdir(parents=True)
    vendor.write_text("Amazon EC2\n")

    assert facts.cpu_name(arm) == "AWS Graviton2 Neoverse-N1"
    assert facts.slug(facts.cpu_name(arm), facts.cpu_flags(arm), 4) == "aws-graviton2-neoverse-n1-dotprod-4c"


@pytest.mark.skipif(not shutil.which("lscpu"), reason="no lscpu here: apt-get install util-linux")
def test_lscpu_names_a_core_that_the_table_lacks(tmp_path: Path) -> None:
    """A phone's core is in no table of servers."""
    assert facts.cpu_name(write_system(tmp_path, GRAVITON2.replace("0xd0c", "0xd05"))) == "Cortex-A55"


def test_an_unknown_core_is_named_by_its_numbers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The name is never empty, and never that of the architecture alone."""
    system = write_system(tmp_path, GRAVITON2.replace("0xd0c", "0xfff"))
    monkeypatch.setenv("PATH", str(tmp_path))

    assert facts.cpu_name(system) == "ARM 0x41 part 0xfff"


def test_the_features_of_an_arm_processor_name_its_folder(arm: Path) -> None:
    """The line is called Features there; the unit for int8 ends the name of the folder."""
    assert "asimddp" in facts.cpu_flags(arm)
    assert facts.slug("Neoverse-N1", facts.cpu_flags(arm), 4) == "neoverse-n1-dotprod-4c"
    assert facts.slug("Neoverse-V2", ["asimddp", "i8mm"], 4) == "neoverse-v2-i8mm-4c"


def test_an_x86_processor_keeps_its_name(tmp_path: Path) -> None:
    """The kernel's own name comes first, so that folders of campaigns keep theirs."""
    system = write_system(tmp_path, EPYC)

    assert facts.cpu_name(system) == "AMD EPYC 7B13"
    assert facts.cpu_flags(system)[-2:] == ["avx2", "hypervisor"]
