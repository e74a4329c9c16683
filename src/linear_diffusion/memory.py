"""How much memory there is, so that what would not fit is refused before it starts."""

import os
from pathlib import Path

_MEMINFO = Path("/proc/meminfo")
_CGROUP = Path("/sys/fs/cgroup")


def available_memory() -> int | None:
    """Bytes that a process may still take, or None where the system does not tell."""
    limits = [n for n in (_system_bytes(), _container_bytes()) if n is not None]
    return min(limits) if limits else None


def readable(n_bytes: float) -> str:
    """A number of bytes for people, such as '1.5 GB'."""
    for unit in ("bytes", "kB", "MB"):
        if n_bytes < 1000:
            return f"{n_bytes:.3g} {unit}"
        n_bytes /= 1000
    return f"{n_bytes:,.1f} GB"


def _system_bytes() -> int | None:
    if _MEMINFO.exists():
        for line in _MEMINFO.read_text().splitlines():
            if line.startswith("MemAvailable:"):
                return int(line.split()[1]) * 1024
    try:
        # macOS tells the whole, not what is free.
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, ValueError, OSError):
        return None


def _container_bytes() -> int | None:
    """What a container's limit (cgroup v2) leaves; None outside one."""
    try:
        limit, used = (int((_CGROUP / f"memory.{name}").read_text()) for name in ("max", "current"))
    except (OSError, ValueError):
        return None
    return max(limit - used, 0)
