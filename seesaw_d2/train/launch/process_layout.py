"""Determine the number and the ranks of a job's processes, and whether this program, torchrun or srun starts them."""

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from urllib.parse import urlsplit

from seesaw_d2.errors import ConfigError

_NUMBERS = ("RANK", "WORLD_SIZE", "LOCAL_RANK", "LOCAL_WORLD_SIZE")
_TORCHRUN = (*_NUMBERS, "MASTER_ADDR", "MASTER_PORT")
_SLURM = ("SLURM_PROCID", "SLURM_LOCALID")
# If one of these variables is set, mpirun has started the job, which is not supported. Open MPI sets the first
# variable, MPICH and Intel MPI set the second, and MVAPICH2 sets the third.
_MPI = ("OMPI_COMM_WORLD_SIZE", "PMI_SIZE", "MV2_COMM_WORLD_SIZE")


@dataclass(frozen=True)
class ProcessLayout:
    """Number and ranks of the processes of a job. The processes of one machine have consecutive ranks.

    Args:
        size, local_size: number of processes in the job, and number of processes on each machine.
        rank, local_rank: rank of this process in the job, and on its machine. In a parent process, these are the ranks
            of the first process that it spawns.
        address: ``init_method`` of ``init_process_group``, or "" if all processes are on this machine.
        starter: option or launcher that defines the number of processes: "--num-gpus", "--num-processes", "torchrun"
            or "srun".
        restarts: number of times that torchrun or Slurm has restarted the job.
    """

    size: int = 1
    local_size: int = 1
    rank: int = 0
    local_rank: int = 0
    address: str = ""
    starter: str = "--num-gpus"
    restarts: int = 0

    @property
    def spawns(self) -> bool:
        """Return whether this program spawns the processes. If False, torchrun or srun has started them."""
        return self.starter.startswith("--")

    def local(self, local_rank: int) -> "ProcessLayout":
        """Return a copy of the layout for the spawned process with this local rank, in [0, ``local_size``)."""
        return replace(self, rank=self.rank + local_rank, local_rank=local_rank)


def find_layout(args, environ: Mapping[str, str]) -> ProcessLayout:
    """Return the layout that the command line, or the environment of torchrun or srun, describes.

    Args:
        args: parsed arguments: num_gpus and num_processes (None if not passed), num_machines, machine_rank, and
            dist_url ("" if not passed).
        environ: environment variables. Empty variables are ignored. The variables of srun are used only if the job step
            has more than one task and the command line does not set the number of processes.

    Raises:
        ConfigError: arguments contradict each other or the environment, a variable is missing or has an invalid value,
            or an unknown launcher has started several processes.
    """
    environ = {name: value for name, value in environ.items() if value.strip()}
    if args.num_gpus is not None and args.num_processes is not None:
        raise ConfigError("--num-gpus, --num-processes: expected only one of these options, found both.")
    flag = "--num-gpus" if args.num_processes is None else "--num-processes"
    asked = args.num_gpus if args.num_processes is None else args.num_processes
    if all(name in environ for name in _TORCHRUN):
        return _checked_torchrun(_torchrun(environ), args, flag, asked)
    if asked is None and args.num_machines == 1:
        if _number(environ, "SLURM_STEP_NUM_TASKS", 1, default=1) > 1:
            return _srun(environ)
        _refuse_unknown_launcher(environ)
    return _spawned(args, flag, 1 if asked is None else asked)


def _number(
    environ: Mapping[str, str], name: str, low: int, high: int | None = None, default: int | None = None
) -> int:
    """Return the integer in an environment variable, or ``default`` if the variable is missing.

    Raises:
        ConfigError: the value is not an integer >= ``low`` and < ``high``, or is missing and ``default`` is None.
    """
    value = environ.get(name)
    if value is None and default is not None:
        return default
    if value is None or not re.fullmatch(r"\s*\d{1,18}\s*", value) or not low <= int(value) < (high or math.inf):
        expected = f"an integer >= {low}" if high is None else f"an integer from {low} to {high - 1}"
        found = "no such variable" if value is None else value
        raise ConfigError(f"environment variable {name}: expected {expected}, found {found}")
    return int(value)


def _refuse_unknown_launcher(environ: Mapping[str, str]) -> None:
    """Raise ConfigError if an unknown launcher has started several processes, which would train independently."""
    hint = "Start the job with torchrun or srun, or set the number of processes with --num-gpus or --num-processes"
    found = [name for name in _NUMBERS if name in environ]
    if found and _number(environ, "WORLD_SIZE", 1, default=0) != 1:
        missing = ", ".join(name for name in _TORCHRUN if name not in environ)
        values = ", ".join(f"{name}={environ[name]}" for name in found)
        raise ConfigError(
            f"environment variables {missing} are not set, but {values} indicates a launcher with several processes. "
            f"{hint}"
        )
    for name in _MPI:
        if _number(environ, name, 1, default=1) > 1:
            raise ConfigError(
                f"environment variable {name}: expected 1, found {environ[name]}. mpirun is not supported. {hint}"
            )


def _spawned(args, flag: str, local_size: int) -> ProcessLayout:
    if local_size < 0 or (local_size == 0 and args.num_processes is not None):
        raise ConfigError(f"{flag}: expected at least 1, found {local_size}")
    local_size = max(local_size, 1)  # --num-gpus 0 means one process on the CPU
    machines, machine = args.num_machines, args.machine_rank
    if machines < 1:
        raise ConfigError(f"--num-machines: expected an integer >= 1, found {machines}")
    if not 0 <= machine < machines:
        expected = "0" if machines == 1 else f"an integer from 0 to {machines - 1}"
        raise ConfigError(f"--machine-rank: expected {expected} with --num-machines {machines}, found {machine}")
    address = args.dist_url
    if machines > 1 and (not address or address == "auto"):
        raise ConfigError(
            f"--dist-url: expected tcp://HOST:PORT with --num-machines {machines}, found {address or 'no value'}. Pass "
            "the same value on all machines. HOST is the machine with --machine-rank 0."
        )
    if address.startswith("tcp://"):
        _check_address(address)
    return ProcessLayout(
        size=machines * local_size,
        local_size=local_size,
        rank=machine * local_size,
        address="" if address == "auto" else address,
        starter=flag,
    )


def _check_address(address: str) -> None:
    try:
        parts = urlsplit(address)
        right = bool(parts.hostname and parts.port)
    except ValueError:
        right = False
    if not right:
        raise ConfigError(f"--dist-url: expected tcp://HOST:PORT with a port from 1 to 65535, found {address}")


def _torchrun(environ: Mapping[str, str]) -> ProcessLayout:
    size = _number(environ, "WORLD_SIZE", 1)
    local_size = _number(environ, "LOCAL_WORLD_SIZE", 1, size + 1)
    rank = _number(environ, "RANK", 0, size)
    local_rank = _number(environ, "LOCAL_RANK", 0, local_size)
    _number(environ, "MASTER_PORT", 1, 2**16)
    if size % local_size:
        raise ConfigError(
            f"environment variable LOCAL_WORLD_SIZE: expected a divisor of WORLD_SIZE {size}, found {local_size}. "
            "Start the same number of processes on each machine."
        )
    if rank % local_size != local_rank:
        raise ConfigError(
            f"environment variable LOCAL_RANK: expected {rank % local_size} for RANK {rank} with LOCAL_WORLD_SIZE "
            f"{local_size}, found {local_rank}. Number the processes of each machine consecutively."
        )
    return ProcessLayout(
        size=size,
        local_size=local_size,
        rank=rank,
        local_rank=local_rank,
        address="env://",
        starter="torchrun",
        restarts=_number(environ, "TORCHELASTIC_RESTART_COUNT", 0, default=0),
    )


def _checked_torchrun(world: ProcessLayout, args, flag: str, asked: int | None) -> ProcessLayout:
    """Return ``world``, the layout of torchrun's processes. Raise ConfigError if the command line contradicts it.

    ``flag`` is "--num-gpus" or "--num-processes", and ``asked`` is its value, or None if it was not passed.
    """
    if asked is not None and asked != world.local_size:
        raise ConfigError(
            f"{flag}: expected {world.local_size}, the number of processes of torchrun on this machine, found {asked}. "
            f"Remove {flag}, or change torchrun's --nproc-per-node."
        )
    machines = (world.size // world.local_size, world.rank // world.local_size)
    if args.num_machines != 1 and machines != (args.num_machines, args.machine_rank):
        raise ConfigError(
            f"--num-machines, --machine-rank: expected torchrun's values {machines[0]} and {machines[1]}, found "
            f"{args.num_machines} and {args.machine_rank}. Remove both options."
        )
    return world


def _srun(environ: Mapping[str, str]) -> ProcessLayout:
    """Return the layout of processes that srun started.

    The address of rank 0 is MASTER_ADDR or, if this variable is missing, the first node. The port is MASTER_PORT or, if
    this variable is missing, a port computed from the ids of the Slurm job and step.
    """
    size = _number(environ, "SLURM_STEP_NUM_TASKS", 1)
    rank, local_rank = (_number(environ, name, 0, size) for name in _SLURM)
    layout = environ.get("SLURM_STEP_TASKS_PER_NODE") or environ.get("SLURM_TASKS_PER_NODE") or str(size)
    nodes = [(int(tasks), int(times or 1)) for tasks, times in re.findall(r"(?:^|,)(\d+)(?:\(x(\d+)\))?", layout)]
    local_size = nodes[0][0] if nodes else 0
    if any(tasks != local_size for tasks, _ in nodes) or sum(tasks * times for tasks, times in nodes) != size:
        raise ConfigError(
            "environment variable SLURM_STEP_TASKS_PER_NODE: expected the same number of tasks on each node, and "
            f"{size} tasks in total (SLURM_STEP_NUM_TASKS), found {layout}. Start the job with srun --ntasks-per-node."
        )
    if rank % local_size != local_rank:
        raise ConfigError(
            f"environment variable SLURM_LOCALID: expected {rank % local_size} for rank {rank} with {local_size} tasks "
            f"per node, found {local_rank}. Ranks must be consecutive on each node. Start the job with srun "
            "--distribution=block."
        )
    host = environ.get("MASTER_ADDR") or first_host(
        environ.get("SLURM_STEP_NODELIST") or environ.get("SLURM_NODELIST") or "127.0.0.1"
    )
    number = _number(environ, "SLURM_JOB_ID", 0, default=0) * 31 + _number(environ, "SLURM_STEP_ID", 0, default=0)
    # The default port, 20000 to 31999, is probably free. Linux gives client sockets only ports from 32768 on.
    port = _number(environ, "MASTER_PORT", 1, 2**16, default=20000 + number % 12000)
    return ProcessLayout(
        size=size,
        local_size=local_size,
        rank=rank,
        local_rank=local_rank,
        address=f"tcp://{host}:{port}",
        starter="srun",
        restarts=_number(environ, "SLURM_RESTART_COUNT", 0, default=0),
    )


def first_host(nodes: str) -> str:
    """Return the first host name in a node list of Slurm, such as "gpu03" for "gpu[03-05,9],other".

    Raises:
        ConfigError: the text is not a node list.
    """
    match = re.match(r"([^,\[]+)(?:\[([^\]]+)\]([^,]*))?", nodes)
    if match is None:
        raise ConfigError(
            "environment variable SLURM_STEP_NODELIST: expected a list of host names such as gpu[03-05], found "
            f"{nodes!r}"
        )
    prefix, numbers, suffix = match.groups()
    return prefix if numbers is None else prefix + re.split("[-,]", numbers)[0] + suffix
