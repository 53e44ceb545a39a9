"""Test that the available memory is the minimum of the machine's memory and the limits of cgroups."""

import mmap

import pytest

from seesaw_d2.utils.memory import available_memory, peak_memory, reset_peak_memory

V2 = ("memory.max", "memory.current", "inactive_file")
V1 = ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file")


def machine(root, groups, limits):
    (root / "proc/self").mkdir(parents=True)
    (root / "proc/meminfo").write_text("MemTotal: 900 kB\nMemAvailable:     700 kB\n")
    (root / "proc/self/cgroup").write_text(groups)
    for folder, names, *values in limits:
        (root / "sys/fs/cgroup" / folder).mkdir(parents=True)
        (root / "sys/fs/cgroup" / folder / "memory.stat").write_text(f"anon 5\n{names[2]} {values[2]}\n")
        for name, value in zip(names, values, strict=False):
            (root / "sys/fs/cgroup" / folder / name).write_text(f"{value}\n")
    return root


@pytest.mark.parametrize(
    ("groups", "limits", "expected"),
    [
        ("0::/\n", [], 700 * 1024),
        ("0::/a/b\n", [("a/b", V2, "max", 10, 0)], 700 * 1024),
        ("0::/a/b\n", [("a/b", V2, 50_000, 20_000, 3_000)], 33_000),
        ("0::/a/b\n", [("a", V2, 40_000, 50_000, 3_000)], 0),
        ("5:cpu:/c\n4:memory,foo:/c\n0::/\n", [("memory/c", V1, 60_000, 20_000, 0)], 40_000),
        ("4:memory:/elsewhere\n", [("memory", V1, 60_000, 10_000, 0)], 50_000),
    ],
)
def test_the_smallest_of_all_limits(tmp_path, groups, limits, expected):
    assert available_memory(machine(tmp_path, groups, limits)) == expected


def test_other_systems(tmp_path):
    assert available_memory(tmp_path) is None


def test_the_peak_is_reset():
    size = 2**28
    reset_peak_memory()
    before = peak_memory()
    with mmap.mmap(-1, size) as memory:  # unlike malloc, a mapping does not reuse memory that an earlier test freed
        for page in range(0, size, mmap.PAGESIZE):
            memory[page] = 1
    assert peak_memory() - before > 0.9 * size
    reset_peak_memory()
    assert peak_memory() - before < 0.5 * size
