from pathlib import Path

import pytest

from linear_diffusion import memory
from linear_diffusion.memory import available_memory, readable


@pytest.fixture
def system(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A machine with 5,000 kB available, in no container."""
    (tmp_path / "meminfo").write_text("MemTotal: 9000 kB\nMemFree: 100 kB\nMemAvailable:    5000 kB\n")
    monkeypatch.setattr(memory, "_MEMINFO", tmp_path / "meminfo")
    monkeypatch.setattr(memory, "_CGROUP", tmp_path)
    return tmp_path


def test_available_is_what_the_system_says(system: Path) -> None:
    assert available_memory() == 5000 * 1024


@pytest.mark.parametrize(("limit", "used", "left"), [(3000, 1000, 2000), (1000, 3000, 0), (10**9, 0, 5000 * 1024)])
def test_a_container_may_leave_less(system: Path, limit: int, used: int, left: int) -> None:
    (system / "memory.max").write_text(f"{limit}\n")
    (system / "memory.current").write_text(f"{used}\n")
    assert available_memory() == left


def test_a_container_without_a_limit_leaves_what_the_system_has(system: Path) -> None:
    (system / "memory.max").write_text("max\n")
    (system / "memory.current").write_text("1000\n")
    assert available_memory() == 5000 * 1024


def test_where_nothing_tells_there_is_no_number(system: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (system / "meminfo").unlink()
    monkeypatch.setattr(memory.os, "sysconf", lambda _: 1000)
    assert available_memory() == 1000**2

    def unknown(_: str) -> int:
        raise ValueError

    monkeypatch.setattr(memory.os, "sysconf", unknown)
    assert available_memory() is None


def test_sizes_are_readable() -> None:
    sizes = [12, 1010, 1.5e6, 2.34e9, 5e13]
    assert [readable(n) for n in sizes] == ["12 bytes", "1.01 kB", "1.5 MB", "2.3 GB", "50,000.0 GB"]
