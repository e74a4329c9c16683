"""What is left of memory, read from files that the test writes."""

import subprocess
import sys
from pathlib import Path

import pytest

from linear_diffusion.utils import memory
from linear_diffusion.utils.memory import available_memory, readable

LEFT = 10**9
"""More than any limit that a test sets."""


@pytest.fixture
def system(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """A system with a million kB, and no control group yet."""
    (tmp_path / "meminfo").write_text(f"MemTotal: 9 kB\nMemAvailable:     {LEFT // 1000} kB\n")
    monkeypatch.setattr(memory, "_MEMINFO", tmp_path / "meminfo")
    monkeypatch.setattr(memory, "_GROUPS", tmp_path / "self")
    monkeypatch.setattr(memory, "_CGROUP", tmp_path / "cgroup")
    return tmp_path


def write_group(folder: Path, limit: str, used: int, cache: int = 0, *, version: int = 2) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    names = ("max", "current") if version == 2 else ("limit_in_bytes", "usage_in_bytes")
    for name, value in zip(names, (limit, used), strict=True):
        (folder / f"memory.{name}").write_text(f"{value}\n")
    kind = "inactive_file" if version == 2 else "total_inactive_file"
    (folder / "memory.stat").write_text(f"anon 7\n{kind} {cache}\n")


def test_memory_is_the_least_of_what_system_and_container_leave(system: Path) -> None:
    assert available_memory() == LEFT // 1000 * 1024
    write_group(system / "cgroup", "max", 1000)
    assert available_memory() == LEFT // 1000 * 1024
    write_group(system / "cgroup", "4000", 1000)
    assert available_memory() == 3000
    write_group(system / "cgroup", "400", 1000)
    assert available_memory() == 0


def test_files_in_a_containers_cache_give_way(system: Path) -> None:
    write_group(system / "cgroup", "4000", 3500, 3000)
    assert available_memory() == 3500


@pytest.mark.parametrize(("tightest", "left"), [("", 50), ("a", 60), ("a/b", 70)])
def test_each_group_around_the_process_may_limit_it(system: Path, tightest: str, left: int) -> None:
    (system / "self").write_text("1:name=systemd:/else\n0::/a/b\n")
    for folder in ("", "a", "a/b"):
        write_group(system / "cgroup" / folder, str(left + 10) if folder == tightest else "max", 10)
    write_group(system / "cgroup/else", "20", 10)
    assert available_memory() == left


def test_groups_of_version_1_limit_too(system: Path) -> None:
    (system / "self").write_text("5:cpu,cpuacct:/x\n4:memory:/docker/1\n0::/\n")
    write_group(system / "cgroup/memory", str(2**63 - 4096), 10, version=1)  # what no limit looks like
    assert available_memory() == LEFT // 1000 * 1024
    write_group(system / "cgroup/memory/docker/1", "900", 500, 100, version=1)
    assert available_memory() == 500


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="only Linux tells the size of a process")
def test_a_limit_on_the_process_itself_counts() -> None:
    program = """
import resource
from linear_diffusion.utils.memory import available_memory
size = int(open("/proc/self/statm").read().split()[0]) * resource.getpagesize()
resource.setrlimit(resource.RLIMIT_AS, (size + 10**7, resource.RLIM_INFINITY))
print(available_memory())
"""
    left = int(subprocess.run([sys.executable, "-c", program], check=True, capture_output=True).stdout)
    assert 8 * 10**6 < left <= 10**7


def test_memory_is_at_most_what_the_machine_has_where_the_kernel_does_not_say(system: Path) -> None:
    (system / "meminfo").unlink()
    assert (available_memory() or 0) > 10**8


def test_bytes_are_readable() -> None:
    assert [readable(n) for n in (12, 34_500, 5.67e7, 1.5e12)] == ["12 bytes", "34.5 kB", "56.7 MB", "1,500.0 GB"]


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="only Linux tells the peak of a process")
@pytest.mark.parametrize("styles", [1, 5])
def test_what_sampling_is_said_to_take_is_what_it_takes(styles: int) -> None:
    program = f"""
import numpy as np
from linear_diffusion import LinearDiffusion
images, y = np.random.default_rng(0).integers(0, 256, (200, 28, 28)).astype(np.uint8), np.arange(200) % 4
model = LinearDiffusion(styles={styles}, latent_dim=100, random_state=0).fit(images, y)
model.sample(5)
def held(kind):
    return next(int(line.split()[1]) for line in open("/proc/self/status") if line.startswith(kind)) * 1024
open("/proc/self/clear_refs", "w").write("5")
before = held("VmRSS")
model.sample(60_000)
print(held("VmHWM") - before)
from linear_diffusion.draw import bytes_to_draw
print(bytes_to_draw(60_000, 1, model.decoder_, *model.prior_.size))
"""
    found = subprocess.run([sys.executable, "-c", program], check=True, capture_output=True, text=True).stdout
    measured, said = map(int, found.split())
    assert 1 / 1.5 < said / measured < 1.5
