"""Whether every machine, or every process that others started, was given the same job."""

import json
import time
from collections.abc import Mapping
from dataclasses import dataclass, replace

import torch.distributed as dist

from seesaw_d2.errors import ConfigError
from seesaw_d2.train.launch.process_layout import World
from seesaw_d2.train.launch.rendezvous import INTERVAL, Deadline, first_line
from seesaw_d2.utils.messages import first_few

# Seconds: for the other parts to read that there is no job, and to end.
_READ, _END = 10.0, 2.0
_DIFFERENCES = 3


@dataclass(frozen=True)
class Part:
    """One of those who were given the job: a machine whose parent process starts its processes, or else a process.

    Args:
        number: in [0, count).
        name: "machine" or "process".
        number_key, count_key: the options or environment variables that say ``number`` and ``count``.
    """

    number: int
    count: int
    name: str
    number_key: str
    count_key: str


def part_of(world: World) -> Part:
    """Return the part of a job that this process belongs to."""
    if world.spawns:
        machine, machines = world.rank // world.local_size, world.size // world.local_size
        return Part(machine, machines, "machine", "--machine-rank", "--num-machines")
    if world.starter == "srun":
        return Part(world.rank, world.size, "process", "SLURM_PROCID", "SLURM_STEP_NUM_TASKS")
    return Part(world.rank, world.size, "process", "RANK", "WORLD_SIZE")


def agree(store: dist.Store, part: Part, given: Mapping[str, str], timeout: float, *, said: bool = True) -> None:
    """Compare what the parts of a job were given; one process of each part calls it.

    Part 0 waits for the others and decides, and every part learns what it has decided.

    Args:
        given: argument or config key -> value.
        timeout: minutes.
        said: whether the process prints what it waits for.

    Raises:
        ConfigError: two parts have the same number, were given something else, or one does not come.
    """
    store = dist.PrefixStore("given", store)
    # People number machines. Launchers number processes, and torchrun's store may be that of processes before these.
    if part.name == "machine" and store.add(f"claims of {part.number}", 1) > 1:
        raise ConfigError(f"{part.number_key}: expected another number on each machine, found {part.number} on two")
    store.set(f"{part.number}", json.dumps(dict(given)))
    if part.number == 0:
        _decide(store, part, given, timeout)
        return
    # Part 0 may have begun to wait later.
    deadline = Deadline(timeout, f"{part.name} 0 and the others", said=said, grace=_READ)
    try:
        deadline.wait_until(lambda: store.check(["decision"]), part.count_key)
        decision = store.get("decision").decode()
    except dist.DistError as error:
        raise ConfigError(
            f"{part.count_key}: {part.name} 0 has ended, and its output says why: {first_line(error)}"
        ) from error
    # A part that part 0 does not know of has not been compared.
    decision = decision or differences(json.loads(store.get("0")), given, part)
    store.set(f"read by {part.number}", "")
    if decision:
        raise ConfigError(decision)


def _decide(store: dist.Store, part: Part, given: Mapping[str, str], timeout: float) -> None:
    missing, found, come = list(range(1, part.count)), "", []
    deadline = Deadline(timeout, "")

    def complete() -> bool:
        nonlocal found
        for number in [each for each in missing if store.check([f"{each}"])]:
            missing.remove(number)
            come.append(number)
            found = found or differences(given, json.loads(store.get(f"{number}")), replace(part, number=number))
        deadline.what = f"{part.name} {first_few(missing)} of {part.count} ({part.number_key}), counted from 0,"
        return bool(found) or not missing

    try:
        deadline.wait_until(complete, part.count_key)
    except ConfigError as error:
        found = str(error)
    store.set("decision", found)
    if not found:
        return
    end = time.monotonic() + _READ  # the store ends with this process
    while not all(store.check([f"read by {each}"]) for each in come) and time.monotonic() < end:
        time.sleep(INTERVAL)
    time.sleep(_END if come else 0)
    raise ConfigError(found)


def differences(first: Mapping[str, str], other: Mapping[str, str], part: Part) -> str:
    """Return a line that says what part 0 and another part were given differently; "" if nothing."""
    keys = sorted(key for key in first.keys() | other.keys() if first.get(key) != other.get(key))
    if not keys:
        return ""
    pairs = [f"{key}: {first.get(key, 'none')} and {other.get(key, 'none')}" for key in keys[:_DIFFERENCES]]
    more = f"; and {len(keys) - _DIFFERENCES} more" if len(keys) > _DIFFERENCES else ""
    return (
        f"{', '.join(keys[:_DIFFERENCES])}: expected the same in each {part.name}, found in {part.name} 0 and "
        f"{part.number}: {'; '.join(pairs)}{more}"
    )
