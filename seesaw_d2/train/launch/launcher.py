"""Run a function in the processes of a job: in this process, in spawned processes, or in those of torchrun or srun."""

import datetime
import faulthandler
import math
import multiprocessing
import os
import signal
import sys
import threading
import traceback
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from multiprocessing import connection, parent_process
from typing import Any

import torch
import torch.distributed as dist
from torch.distributed.elastic.multiprocessing.errors import record

from seesaw_d2 import compat
from seesaw_d2.errors import SeesawError
from seesaw_d2.train.launch.process_agreement import agree, part_of
from seesaw_d2.train.launch.process_layout import ProcessLayout
from seesaw_d2.train.launch.rendezvous import open_store
from seesaw_d2.train.launch.signals import STOP, Stopped
from seesaw_d2.train.launch.supervision import Failure, supervise

_STARTER_INTERVAL = 1.0  # a process checks at this interval in seconds whether torchrun still runs


class Elsewhere(SystemExit):
    """Raised to end this process with exit status 2, because another process has found a mistake in the input."""

    def __init__(self):
        super().__init__(2)


@dataclass(frozen=True)
class Group:
    """Settings with which the processes of a job create their process group.

    Args:
        device: MODEL.DEVICE. "cpu" selects the backend gloo, "cuda" and "cuda:<index>" select NCCL.
        timeout: timeout of collective operations in minutes.
        folder: OUTPUT_DIR, to which NCCL writes its last collectives after a timeout.
        given: command-line options and config keys with their values, which must be equal on all machines.
        port: port on this machine where spawned processes find the store of torch.distributed. None if the process
            layout contains the address of the store.
    """

    device: str
    timeout: float
    folder: str
    given: Mapping[str, str] = field(default_factory=dict)
    port: int | None = None


def launch(function: Callable[..., None], world: ProcessLayout, group: Group, args: tuple[Any, ...]) -> None:
    """Run ``function(*args)`` in each process of the job on this machine.

    This function replaces Detectron2's ``launch``. In v0.6, Detectron2's function needs GPUs, does not handle signals,
    and does not report which process failed.

    Args:
        function: function to run.
        world: number and ranks of the job's processes, and who starts them.
        group: settings with which the processes communicate.
        args: arguments of the function.

    Raises:
        SeesawError: a process raised this error.
        Stopped: a signal stopped the job.
        RankFailed: a spawned process failed, and the other processes were terminated.
    """
    if not world.spawns:
        _started_by_others(function, world, group, args)
    elif world.size == 1:
        with STOP.installed():
            _in_group(function, world, group, args)
    else:
        _spawn(function, world, group, args)


def _spawn(function, world: ProcessLayout, group: Group, args) -> None:
    store = None
    if not world.address:
        # Create the store of torch.distributed in this process at a free port. Two jobs on one machine then use
        # different ports.
        store = dist.TCPStore("127.0.0.1", 0, world.size, is_master=True, wait_for_workers=False)
        group = replace(group, port=store.port)
    jobs = [(function, world.local(number), group, args) for number in range(world.local_size)]
    supervise(_spawned, jobs, first_rank=world.rank, size=world.size)
    del store


def _spawned(reports: connection.Connection, function, world: ProcessLayout, group: Group, args) -> None:
    """Run ``function(*args)`` in a spawned process, and exit if the parent process exits.

    Args:
        reports: connection to the parent process. The process sends "ready" when it handles signals, and a Failure or a
            Stopped when the function raises an error.
        function: function to run.
        world: layout of the job with the rank of this process.
        group: settings with which the processes communicate.
        args: arguments of the function.
    """
    threading.Thread(target=_end_with_parent, daemon=True).start()
    if "fork" in multiprocessing.get_all_start_methods():
        # Let data loaders fork their workers. In a spawned process, the default is to spawn workers. Each spawned
        # worker imports all modules, which takes minutes for many workers, and copies the dataset dicts.
        multiprocessing.set_start_method("fork", force=True)
    status = 1
    try:
        with STOP.installed():
            reports.send("ready")
            if group.device == "cpu" and "OMP_NUM_THREADS" not in os.environ:
                torch.set_num_threads(max((os.cpu_count() or 1) // world.local_size, 1))
            _in_group(function, world, group, args)
        status = 0
    except Stopped as stop:
        reports.send(stop)
        status = stop.code
    except Elsewhere:
        reports.send(Failure(world.rank, "", mistake=True, when=math.inf))
        status = 2
    except SeesawError as error:
        reports.send(Failure(world.rank, str(error), mistake=True))
        status = 2
    except BaseException as error:
        text = traceback.format_exc()
        reports.send(Failure(world.rank, text + waited_for(error, world, group), timeout=_is_timeout(error)))
    sys.stdout.flush()
    sys.stderr.flush()
    if status:
        os._exit(status)  # a normal exit may wait forever for terminated processes of the process group


def _end_with_parent() -> None:
    connection.wait([parent_process().sentinel])
    os._exit(1)


def _stop_with_starter(starter: int, ended: threading.Event) -> None:
    """Send SIGTERM to this process when torchrun exits before the job has ended. A killed torchrun sends no signal.

    Args:
        starter: process id of torchrun.
        ended: event that the main thread sets when the job has ended.
    """
    while os.getppid() == starter:
        if ended.wait(_STARTER_INTERVAL):
            return
    os.kill(os.getpid(), signal.SIGTERM)


@record  # tells torchrun the error, so that it prints the first failed process
def _started_by_others(function, world: ProcessLayout, group: Group, args) -> None:
    ended = threading.Event()
    with STOP.installed():
        if world.starter == "torchrun":
            threading.Thread(target=_stop_with_starter, args=(os.getppid(), ended), daemon=True).start()
        try:
            _in_group(function, world, group, args)
        except SeesawError:
            raise
        except Exception as error:
            reason = waited_for(error, world, group) or f"{type(error).__name__}: {error}"
            print(f"rank {world.rank} of {world.size} failed: {reason}", file=sys.stderr)
            raise
        finally:
            ended.set()


def _in_group(function, world: ProcessLayout, group: Group, args) -> None:
    if world.size == 1:
        if group.device.startswith("cuda:"):  # prefetching and random number generators use PyTorch's current GPU
            torch.cuda.set_device(torch.device(group.device))
        function(*args)
        return
    faulthandler.register(signal.SIGUSR1)
    backend = _nccl(world, group) if group.device.startswith("cuda") else "gloo"
    store = open_store(world, group.port, group.timeout)
    if group.port is None and (world.local_rank == 0 or not world.spawns):
        try:
            agree(store, part_of(world), group.given, group.timeout, said=world.local_rank == 0)
        except SeesawError as error:
            if world.local_rank:  # only the first process of each machine prints the error
                raise Elsewhere from error
            raise
    timeout = datetime.timedelta(minutes=group.timeout)
    dist.init_process_group(backend, store=store, rank=world.rank, world_size=world.size, timeout=timeout)
    compat.create_local_process_group(world.local_size)
    compat.set_object_group(timeout)
    function(*args)
    dist.destroy_process_group()


def _nccl(world: ProcessLayout, group: Group) -> str:
    # With srun --gpus-per-task, each process sees a single GPU, number 0. The remainder is then 0 for every rank.
    torch.cuda.set_device(world.local_rank % torch.cuda.device_count())
    # After a timeout, each process writes its last collectives to a file, and its error message names the last one.
    for name, value in (
        ("TORCH_FR_BUFFER_SIZE", "2000"),
        ("TORCH_NCCL_TRACE_BUFFER_SIZE", "2000"),  # former name of TORCH_FR_BUFFER_SIZE, before PyTorch 2.7
        ("TORCH_NCCL_DUMP_ON_TIMEOUT", "1"),
        ("TORCH_NCCL_DEBUG_INFO_TEMP_FILE", os.path.join(os.path.abspath(group.folder), "nccl_trace_rank_")),
    ):
        os.environ.setdefault(name, value)
    return "nccl"


def _is_timeout(error: BaseException) -> bool:
    return isinstance(error, RuntimeError) and "timed out" in str(error).lower()


def waited_for(error: BaseException, world: ProcessLayout, group: Group) -> str:
    """Return a line that names the collective operation that timed out and its source line, or "" for other errors.

    Args:
        error: exception that ended this process.
        world: layout of the job with the rank of this process.
        group: settings with which the processes communicate, such as the timeout.
    """
    if not _is_timeout(error):
        return ""
    frames = traceback.extract_tb(error.__traceback__)
    inner = next((i for i, frame in enumerate(frames) if "torch/distributed" in frame.filename), len(frames))
    call = frames[inner - 1]
    named = [frame.name for frame in frames[inner:] if frame.name != "wrapper"]
    name = named[0] if named else call.name
    return (
        f"rank {world.rank} of {world.size} timed out in {name}, called at {call.filename}:{call.lineno}, while it "
        f"waited for other processes (SOLVER.COLLECTIVE_TIMEOUT: {group.timeout:g} minutes)\n"
    )
