"""Two processes with a gloo group, as a training job has them."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
import torch.multiprocessing as mp


def run_two_processes(function: Callable[..., Any], folder: Path, *arguments: Any) -> list[Any]:
    """What ``function(process, *arguments)`` returns in processes 0 and 1. It and the arguments are pickled."""
    mp.spawn(_process, (function, str(folder), arguments), nprocs=2)
    return [torch.load(folder / f"{process}.pt") for process in range(2)]


def _process(process: int, function: Callable[..., Any], folder: str, arguments: tuple) -> None:
    torch.set_num_threads(1)
    dist.init_process_group("gloo", init_method=f"file://{folder}/store", rank=process, world_size=2)
    try:
        torch.save(function(process, *arguments), f"{folder}/{process}.pt")
    finally:
        dist.destroy_process_group()
