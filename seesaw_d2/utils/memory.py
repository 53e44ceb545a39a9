"""Measure the memory that is available to this process, and the peak memory that this process has used."""

import contextlib
import sys
from pathlib import Path

# Where Linux stores the memory of a cgroup, for versions 2 and 1 of cgroups: the file with the limit, the file with the
# usage, and the key in the file memory.stat for page cache that the kernel can reclaim.
_CGROUP_V2 = ("memory.max", "memory.current", "inactive_file")
_CGROUP_V1 = ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file")


def available_memory(root: Path = Path("/")) -> int | None:
    """Return the memory in bytes that this process can still use without swapping. Return None if unknown.

    Containers and job schedulers limit the memory of a process with cgroups. The result is the minimum of Linux's
    MemAvailable and of the unused memory in each cgroup of the process that has a limit.

    Args:
        root: folder that contains the folders ``proc`` and ``sys``. Tests pass a folder with simulated files.
    """
    try:
        fields = _fields((root / "proc/meminfo").read_text())
        groups = (root / "proc/self/cgroup").read_text().splitlines()
    except OSError:  # only Linux has these files
        return None
    found = [fields["MemAvailable:"] * 1024] if "MemAvailable:" in fields else []
    for line in groups:
        _, controllers, group = line.split(":", 2)
        memory = "memory" if "memory" in controllers.split(",") else ""
        if memory or not controllers:
            top = root / "sys/fs/cgroup" / memory
            below = top / group.lstrip("/")
            for folder in (below, *below.parents):
                if folder == top or top in folder.parents:
                    found += _rest(folder, *(_CGROUP_V1 if memory else _CGROUP_V2))
    return min(found, default=None)


def _rest(folder: Path, limit: str, usage: str, reclaimable: str) -> list[int]:
    try:
        bound, used = ((folder / name).read_text().strip() for name in (limit, usage))
        cache = _fields((folder / "memory.stat").read_text()).get(reclaimable, 0)
    except OSError:  # no such file: a hidden parent cgroup, or the top cgroup, which has no limit
        return []
    return [] if bound == "max" else [max(int(bound) - int(used) + cache, 0)]


def _fields(text: str) -> dict[str, int]:
    return {words[0]: int(words[1]) for line in text.splitlines() if len(words := line.split()) > 1}


def reset_peak_memory() -> None:
    """Reset the peak memory of this process (see ``peak_memory``) to the memory in use. Do nothing outside of Linux."""
    with contextlib.suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5")


def peak_memory() -> int | None:
    """Return the peak memory of this process in bytes, or None if unknown (on Windows)."""
    try:
        import resource
    except ImportError:  # Windows does not have this module
        return None
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)
