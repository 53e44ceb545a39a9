"""Check that all machines, or all processes that torchrun or srun started, have the same options and config."""

import json
import time
from collections.abc import Mapping
from dataclasses import dataclass, replace

import torch.distributed as dist

from seesaw_d2.errors import ConfigError
from seesaw_d2.train.launch.process_layout import ProcessLayout
from seesaw_d2.train.launch.rendezvous import INTERVAL, Deadline, first_line
from seesaw_d2.utils.messages import first_few

# If options or config keys differ, machine 0 (or process 0) must not exit at once, because its exit closes the store.
# It waits at most _READ seconds until the others have read the error, and then another _END seconds.
_READ, _END = 10.0, 2.0
_DIFFERENCES = 3  # an error message lists at most this number of differing keys


@dataclass(frozen=True)
class Part:
    """Part of a job that has its own command line: a machine or a process.

    If this program spawns the processes, each machine is a part. If torchrun or srun starts the processes, each process
    is a part.

    Args:
        number, count: index of the part in [0, count), and number of parts in the job.
        name: "machine" or "process", for messages.
        number_key, count_key: names of the options or environment variables that define ``number`` and ``count``, such
            as "--machine-rank" and "--num-machines".
    """

    number: int
    count: int
    name: str
    number_key: str
    count_key: str


def part_of(world: ProcessLayout) -> Part:
    """Return the part of the job with one command line to which this process belongs.

    The part is a machine if this program spawns the processes. If torchrun or srun starts them, it is a process.
    """
    if world.spawns:
        machine, machines = world.rank // world.local_size, world.size // world.local_size
        return Part(machine, machines, "machine", "--machine-rank", "--num-machines")
    if world.starter == "srun":
        return Part(world.rank, world.size, "process", "SLURM_PROCID", "SLURM_STEP_NUM_TASKS")
    return Part(world.rank, world.size, "process", "RANK", "WORLD_SIZE")


def agree(store: dist.Store, part: Part, given: Mapping[str, str], timeout: float, *, said: bool = True) -> None:
    """Check that all parts of a job, its machines or processes, have the same options and config.

    One process of each part must call this function. Part 0 waits for the other parts, compares their values with its
    own values, and writes the result to the store. The other parts read the result.

    Args:
        store: store of torch.distributed, to which all processes of the job are connected.
        part: the part to which this process belongs.
        given: the values to compare, a dict from option or config key to value.
        timeout: time in minutes to wait for the other parts.
        said: whether to print a message if this process waits for more than 10 seconds.

    Raises:
        ConfigError: two parts have the same number or different values, or a part did not connect before the timeout.
    """
    store = dist.PrefixStore("given", store)
    # Check that the number is unique, because users may pass the same --machine-rank on two machines. Do not check this
    # for torchrun and srun. Their ranks are unique, and after a restart, torchrun's store may still contain old ranks.
    if part.name == "machine" and store.add(f"claims of {part.number}", 1) > 1:
        raise ConfigError(
            f"{part.number_key}: expected a different value on each machine, found the value {part.number} on two "
            "machines."
        )
    store.set(f"{part.number}", json.dumps(dict(given)))
    if part.number == 0:
        _decide(store, part, given, timeout)
        return
    # Machine (or process) 0 may have started later. Wait _READ seconds longer than it does, to receive its decision.
    deadline = Deadline(timeout, f"{part.name} 0 or another {part.name}", said=said, grace=_READ)
    try:
        deadline.wait_until(lambda: store.check(["decision"]), part.count_key)
        decision = store.get("decision").decode()
    except dist.DistError as error:
        raise ConfigError(
            f"{part.count_key}: {part.name} 0 terminated before it had compared the settings of all processes "
            f"({first_line(error)}). See the output of {part.name} 0 for the reason."
        ) from error
    # Compare here, too. If machine 0 was started with a smaller --num-machines, it does not know this machine, and has
    # not compared its values. The same holds for process 0.
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
        deadline.what = f"{part.name} {first_few(missing)} of {part.count} ({part.number_key}, counted from 0)"
        return bool(found) or not missing

    try:
        deadline.wait_until(complete, part.count_key)
    except ConfigError as error:
        found = str(error)
    store.set("decision", found)
    if not found:
        return
    end = time.monotonic() + _READ  # do not exit yet, because the exit closes the store
    while not all(store.check([f"read by {each}"]) for each in come) and time.monotonic() < end:
        time.sleep(INTERVAL)
    time.sleep(_END if come else 0)
    raise ConfigError(found)


def differences(first: Mapping[str, str], other: Mapping[str, str], part: Part) -> str:
    """Return a message about options and config keys with different values, or "" if all values are equal.

    Args:
        first: values of machine or process 0, a dict from option or config key to value.
        other: values of another machine or process.
        part: the other machine or process, for the message.
    """
    keys = sorted(key for key in first.keys() | other.keys() if first.get(key) != other.get(key))
    if not keys:
        return ""
    pairs = [f"{key}: {first.get(key, 'no value')} and {other.get(key, 'no value')}" for key in keys[:_DIFFERENCES]]
    more = f"; and {len(keys) - _DIFFERENCES} more" if len(keys) > _DIFFERENCES else ""
    return (
        f"{', '.join(keys[:_DIFFERENCES])}: expected the same value for each {part.name}, found different values in "
        f"{part.name} 0 and {part.name} {part.number} ({'; '.join(pairs)}{more})"
    )
