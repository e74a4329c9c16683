"""How much memory there is, so that what would not fit is refused before it starts."""

import os
from collections.abc import Iterator
from pathlib import Path

_MEMINFO = Path("/proc/meminfo")
_GROUPS = Path("/proc/self/cgroup")
_CGROUP = Path("/sys/fs/cgroup")
_VERSIONS = (
    ("", "memory.max", "memory.current", "inactive_file"),
    ("memory", "memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file"),
)
"""Of control groups, version 2 and 1: their folder, the files of limit and use, and how much of that is spare cache."""


def available_memory() -> int | None:
    """Bytes that a process may still take, or None where the system does not tell."""
    return min([*_system_bytes(), *_group_bytes(), *_address_bytes()], default=None)


def readable(n_bytes: float) -> str:
    """A number of bytes for people, such as '1.5 GB'."""
    for unit in ("bytes", "kB", "MB"):
        if n_bytes < 1000:
            return f"{n_bytes:.3g} {unit}"
        n_bytes /= 1000
    return f"{n_bytes:,.1f} GB"


def _system_bytes() -> Iterator[int]:
    if _MEMINFO.exists():
        for line in _MEMINFO.read_text().splitlines():
            if line.startswith("MemAvailable:"):
                yield int(line.split()[1]) * 1024
                return
    try:
        # macOS tells the whole, not what is free.
        yield os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, ValueError, OSError):
        return


def _group_bytes() -> Iterator[int]:
    """What the limits of a container leave: of the process's control group, and of each group around it."""
    lines = _GROUPS.read_text().splitlines() if _GROUPS.exists() else []
    for kinds, path in (line.split(":", 2)[1:] for line in lines or ["0::/"]):
        for kind, *names in _VERSIONS:
            if kind in kinds.split(","):
                inside = [name for name in path.split("/") if name not in ("", "..")]
                for depth in range(len(inside) + 1):
                    yield from _left_in(Path(_CGROUP, kind, *inside[:depth]), *names)


def _left_in(group: Path, limit: str, used: str, cache: str) -> Iterator[int]:
    try:
        most, taken = (int((group / name).read_text()) for name in (limit, used))
        stat = dict(line.split() for line in (group / "memory.stat").read_text().splitlines())
    except (OSError, ValueError):  # there is no such group, or no limit ("max")
        return
    yield max(most - taken + int(stat.get(cache, 0)), 0)


def _address_bytes() -> Iterator[int]:
    """What a limit of the process itself leaves (``ulimit -v``)."""
    try:
        import resource  # Windows has none

        most, size = resource.getrlimit(resource.RLIMIT_AS)[0], int(Path("/proc/self/statm").read_text().split()[0])
    except (ImportError, OSError, ValueError):
        return
    if most != resource.RLIM_INFINITY:
        yield max(most - size * resource.getpagesize(), 0)
