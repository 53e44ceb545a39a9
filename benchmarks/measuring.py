"""Measure time and memory for the benchmarks: interleaved repetitions, ratios with quartiles, peak memory.

The benchmarks keep freed memory in the process, like training and inference of this project on a CPU. Otherwise, the
time to get memory from the kernel would depend on the functions that ran before. To use the default of glibc, write
GLIBC_TUNABLES= before the command.
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
    """Measure the time of functions in interleaved repetitions. Each repetition runs all functions once.

    Args:
        functions: dict from name to function.
        repetitions: number of measured repetitions.
        device: device on which the functions run.
        warm_up: number of repetitions before the measured repetitions.

    Returns:
        dict from name to the seconds of each repetition. On a CPU, these are CPU seconds of this process, because other
        programs affect CPU seconds only little. On a GPU, these are wall-clock seconds.
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
    """Return the median and the quartiles of the ratios ``times`` / ``reference`` of the repetitions as text.

    Example: "1.20 (1.15-1.31)". A ratio depends little on the load of the machine, because the load affects both times.
    """
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
    """Return the peak memory in MB of the tensors that ``function`` allocates."""
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
