"""What the benchmarks have in common: interleaved repetitions, ratios with their spread, peak memory.

They run with freed memory kept in the process, as training and inference on a CPU do here: what a contestant gets from
the kernel and how long that takes would depend on who ran before. With GLIBC_TUNABLES= before the command it is as
glibc does by itself.
"""

import statistics
import time
from collections.abc import Callable, Mapping

import torch

from seesaw_d2.utils.malloc import keep_freed_memory

keep_freed_memory()


def synchronize(device: str) -> None:
    if device.startswith("cuda"):
        torch.cuda.synchronize()


def interleaved(functions: Mapping[str, Callable[[], object]], repetitions: int, device: str = "cpu", warm_up: int = 1):
    """Name -> seconds of each repetition; in each, all functions run one after the other.

    On a CPU they are this process's CPU seconds, which other programs change least; on a GPU the clock's.
    """
    clock = time.perf_counter if device.startswith("cuda") else time.process_time
    times: dict[str, list[float]] = {name: [] for name in functions}
    for repetition in range(warm_up + repetitions):
        for name, function in functions.items():
            synchronize(device)
            start = clock()
            function()
            synchronize(device)
            if repetition >= warm_up:
                times[name].append(clock() - start)
    return times


def ratio(times: list[float], reference: list[float]) -> str:
    """Median of the repetitions' ratios, and the middle half of them: what slows the machine down slows both down."""
    ratios = sorted(a / b for a, b in zip(times, reference, strict=True))
    if len(ratios) < 2:
        return f"{ratios[0]:.2f}"
    low, _, high = statistics.quantiles(ratios, n=4)
    return f"{statistics.median(ratios):.2f} ({low:.2f}-{high:.2f})"


def row(*cells: object) -> None:
    print("| " + " | ".join(map(str, cells)) + " |", flush=True)


def header(*names: str) -> None:
    row(*names)
    print("|---" * len(names) + "|")


def peak_memory(function: Callable[[], object], device: str) -> float:
    """MB at the highest point, over the start."""
    if device.startswith("cuda"):
        torch.cuda.synchronize()
        torch.cuda.reset_peak_memory_stats()
        before = torch.cuda.memory_allocated()
        function()
        return (torch.cuda.max_memory_allocated() - before) / 1e6
    with torch.profiler.profile(profile_memory=True, activities=[torch.profiler.ProfilerActivity.CPU]) as profile:
        function()
    events = [e for e in profile.profiler.kineto_results.events() if e.name() == "[memory]"]
    total = highest = 0
    for event in sorted(events, key=lambda event: event.start_ns()):
        total += event.nbytes()
        highest = max(highest, total)
    return highest / 1e6
