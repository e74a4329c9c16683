"""What is left of memory, read from files that the test writes."""

from pathlib import Path

import pytest

from linear_diffusion import memory
from linear_diffusion.memory import available_memory, readable


def test_memory_is_the_least_of_what_system_and_container_leave(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "meminfo").write_text("MemTotal: 9 kB\nMemAvailable:     5 kB\n")
    monkeypatch.setattr(memory, "_MEMINFO", tmp_path / "meminfo")
    monkeypatch.setattr(memory, "_CGROUP", tmp_path)
    assert available_memory() == 5 * 1024
    (tmp_path / "memory.current").write_text("1000\n")
    (tmp_path / "memory.max").write_text("max\n")
    assert available_memory() == 5 * 1024
    (tmp_path / "memory.max").write_text("4000\n")
    assert available_memory() == 3000
    (tmp_path / "memory.max").write_text("400\n")
    assert available_memory() == 0


def test_memory_is_at_most_what_the_machine_has_where_the_kernel_does_not_say(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(memory, "_MEMINFO", tmp_path / "missing")
    monkeypatch.setattr(memory, "_CGROUP", tmp_path)
    assert (available_memory() or 0) > 10**8


def test_bytes_are_readable() -> None:
    assert [readable(n) for n in (12, 34_500, 5.67e7, 1.5e12)] == ["12 bytes", "34.5 kB", "56.7 MB", "1,500.0 GB"]
