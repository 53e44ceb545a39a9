"""Read the available memory and the peak memory of this process."""

import contextlib
import sys
from pathlib import Path

# Files of the limit and of the usage, and the key of the page cache in memory.stat that the kernel can reclaim.
_CGROUP_V2 = ("memory.max", "memory.current", "inactive_file")
_CGROUP_V1 = ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file")


def available_memory(root: Path = Path("/")) -> int | None:
    """Return the memory in bytes that this process can still use without swapping. Return None if unknown.

    The result is MemAvailable of Linux or, if smaller, the rest of a memory limit of the process's cgroup or of a
    parent cgroup. Containers and job schedulers set such limits.

    Args:
        root: folder that contains ``proc`` and ``sys``.
    """
    try:
        fields = _fields((root / "proc/meminfo").read_text())
        groups = (root / "proc/self/cgroup").read_text().splitlines()
    except OSError:  # not Linux
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
    except OSError:  # the folder of a parent is not visible, or the top folder has no limit
        return []
    return [] if bound == "max" else [max(int(bound) - int(used) + cache, 0)]


def _fields(text: str) -> dict[str, int]:
    return {words[0]: int(words[1]) for line in text.splitlines() if len(words := line.split()) > 1}


def reset_peak_memory() -> None:
    """Reset the recorded peak memory of this process to the memory in use. Only Linux supports this."""
    with contextlib.suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5")


def peak_memory() -> int | None:
    """Return the peak memory of this process in bytes. Return None if unknown."""
    try:
        import resource
    except ImportError:  # Windows
        return None
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)
