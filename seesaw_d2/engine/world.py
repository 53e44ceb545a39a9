"""Which processes a job consists of, and who starts them: this program, torchrun, or Slurm's srun."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace

from seesaw_d2.errors import ConfigError

_TORCHRUN = ("RANK", "WORLD_SIZE", "LOCAL_RANK", "LOCAL_WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT")


@dataclass(frozen=True)
class World:
    """The processes of a job, ``local_size`` on each machine, machine by machine.

    Args:
        size, local_size: processes altogether, and on each machine.
        rank, local_rank: this process's numbers; before the processes are spawned, those of this machine's first one.
        address: where they meet, as ``init_process_group`` takes it; "" if they are all on this machine.
        starter: what says how many there are: "--num-gpus", "--num-processes", "torchrun" or "srun".
        restarts: how often the starter has started the job anew.
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
        """Whether this program is to start the processes."""
        return self.starter.startswith("--")

    def local(self, local_rank: int) -> "World":
        """The world as seen by one of the processes that this machine spawns."""
        return replace(self, rank=self.rank + local_rank, local_rank=local_rank)


def find_world(args, environ: Mapping[str, str]) -> World:
    """What the command line says, or the environment that torchrun and srun set.

    Args:
        args: num_gpus, num_processes (None: not given), num_machines, machine_rank, dist_url ("": not given).
        environ: srun counts only if its step has more than one task, and the command line names no number.

    Raises:
        ConfigError: the arguments contradict each other or the environment.
    """
    if args.num_gpus is not None and args.num_processes is not None:
        raise ConfigError("--num-gpus and --num-processes: expected one of them, found both")
    flag = "--num-gpus" if args.num_processes is None else "--num-processes"
    asked = args.num_gpus if args.num_processes is None else args.num_processes
    if all(name in environ for name in _TORCHRUN):
        world = _torchrun(environ)
        if asked is not None and asked != world.local_size:
            raise ConfigError(
                f"{flag}: torchrun has started {world.local_size} processes on this machine; expected that or no "
                f"{flag}, found {asked}"
            )
        return world
    if asked is None and args.num_machines == 1 and int(environ.get("SLURM_STEP_NUM_TASKS", 1)) > 1:
        return _srun(environ)
    return _spawned(args, flag, 1 if asked is None else asked)


def _spawned(args, flag: str, local_size: int) -> World:
    if local_size < 0 or (local_size == 0 and args.num_processes is not None):
        raise ConfigError(f"{flag}: expected at least 1, found {local_size}")
    local_size = max(local_size, 1)  # --num-gpus 0 is a way of saying CPU
    machines, machine = args.num_machines, args.machine_rank
    if machines < 1 or not 0 <= machine < machines:
        raise ConfigError(
            f"--machine-rank: expected a number in [0, {machines}) with --num-machines {machines}, found {machine}"
        )
    address = args.dist_url
    if machines > 1 and (not address or address == "auto"):
        raise ConfigError(
            f"--dist-url: expected tcp://HOST:PORT, the same on all {machines} machines, HOST being that of "
            f"--machine-rank 0; found {address or 'none'}"
        )
    return World(
        size=machines * local_size,
        local_size=local_size,
        rank=machine * local_size,
        address="" if address == "auto" else address,
        starter=flag,
    )


def _torchrun(environ: Mapping[str, str]) -> World:
    return World(
        size=int(environ["WORLD_SIZE"]),
        local_size=int(environ["LOCAL_WORLD_SIZE"]),
        rank=int(environ["RANK"]),
        local_rank=int(environ["LOCAL_RANK"]),
        address="env://",
        starter="torchrun",
        restarts=int(environ.get("TORCHELASTIC_RESTART_COUNT", 0)),
    )


def _srun(environ: Mapping[str, str]) -> World:
    """Slurm's variables; the processes meet at the first node, at MASTER_PORT or one that the job's number gives."""
    size, rank = int(environ["SLURM_STEP_NUM_TASKS"]), int(environ["SLURM_PROCID"])
    local_rank = int(environ["SLURM_LOCALID"])
    layout = environ.get("SLURM_STEP_TASKS_PER_NODE") or environ.get("SLURM_TASKS_PER_NODE") or str(size)
    counts = {int(count) for count in re.findall(r"(?:^|,)(\d+)", layout)}
    if len(counts) != 1:
        raise ConfigError(f"SLURM_STEP_TASKS_PER_NODE: expected as many tasks on each node, found {layout}")
    (local_size,) = counts
    if rank % local_size != local_rank:
        raise ConfigError(
            f"SLURM_LOCALID: expected the tasks of a node to follow each other (srun --distribution=block), found "
            f"task {rank} as number {local_rank} of {local_size} on its node"
        )
    host = environ.get("MASTER_ADDR") or first_host(
        environ.get("SLURM_STEP_NODELIST") or environ.get("SLURM_NODELIST") or "127.0.0.1"
    )
    number = int(environ.get("SLURM_JOB_ID", 0)) * 31 + int(environ.get("SLURM_STEP_ID", 0))
    port = environ.get("MASTER_PORT") or 20000 + number % 12000  # below the ports that Linux gives to others
    return World(
        size=size,
        local_size=local_size,
        rank=rank,
        local_rank=local_rank,
        address=f"tcp://{host}:{port}",
        starter="srun",
        restarts=int(environ.get("SLURM_RESTART_COUNT", 0)),
    )


def first_host(nodes: str) -> str:
    """The first of a list of hosts as Slurm writes it: "gpu[03-05,9],other" gives "gpu03"."""
    match = re.match(r"([^,\[]+)(?:\[([^\]]+)\]([^,]*))?", nodes)
    prefix, numbers, suffix = match.groups()
    return prefix if numbers is None else prefix + re.split("[-,]", numbers)[0] + suffix
