"""Run functions in several processes with a process group of gloo or NCCL, as in a training."""

import multiprocessing
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
import torch.multiprocessing as mp


def run_two_processes(function: Callable[..., Any], folder: Path, *arguments: Any) -> list[Any]:
    """Return the results of ``function(process, *arguments)`` in processes 0 and 1. All arguments are pickled."""
    return run_processes(2, "gloo", function, folder, *arguments)


def run_processes(count: int, backend: str, function: Callable[..., Any], folder: Path, *arguments: Any) -> list[Any]:
    """Return the results of ``function(process, *arguments)`` in ``count`` processes. With NCCL, each has a GPU."""
    start(_process, (count, backend, function, str(folder), arguments), count, fork=backend != "nccl")
    return [torch.load(folder / f"{process}.pt", map_location="cpu") for process in range(count)]


def start(function: Callable[..., None], arguments: tuple, count: int, fork: bool = True) -> None:
    """Run ``function(process, *arguments)`` in new processes.

    Args:
        function: function to run.
        arguments: arguments of the function. They are pickled.
        count: number of processes.
        fork: fork a server process that has imported PyTorch and this package once. Its environment is that of the
            first call. If False, each process imports both, as CUDA requires.
    """
    if fork:
        multiprocessing.get_context("forkserver").set_forkserver_preload(["seesaw_d2.train.trainer"])
    mp.start_processes(function, arguments, nprocs=count, start_method="forkserver" if fork else "spawn")


def _process(
    process: int, count: int, backend: str, function: Callable[..., Any], folder: str, arguments: tuple
) -> None:
    torch.set_num_threads(1)
    if backend == "nccl":
        torch.cuda.set_device(process)
    dist.init_process_group(backend, init_method=f"file://{folder}/store", rank=process, world_size=count)
    try:
        torch.save(function(process, *arguments), f"{folder}/{process}.pt")
        dist.barrier()  # gloo may abort if the other process closes its connections first
    finally:
        dist.destroy_process_group()
