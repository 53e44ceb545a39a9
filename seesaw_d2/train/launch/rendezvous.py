"""Where the processes of a job find each other, and whether every machine was given the same job.

Nothing here waits in silence: after a few seconds a line says for which machine, and until when.
"""

import json
import socket
import sys
import threading
import time
from collections.abc import Callable, Mapping
from datetime import timedelta
from urllib.parse import urlsplit

import torch.distributed as dist
from torch.distributed import rendezvous as torch_rendezvous

from seesaw_d2.data.records.json_files import first_few
from seesaw_d2.errors import ConfigError
from seesaw_d2.train.launch.process_layout import World

# Seconds: until a line says what is waited for; between two looks; for an answer of what listens at the address; for
# the other machines to read that there is no job, and to end.
_PATIENCE, _INTERVAL, _ANSWER, _READ, _END = 10.0, 0.2, 20.0, 10.0, 2.0
_DIFFERENCES = 3


def open_store(world: World, port: int | None, timeout: float) -> dist.Store:
    """Return the store of the job, as ``init_process_group`` takes it.

    Args:
        port: of the store that this machine's parent process keeps; None if the world has an address.
        timeout: minutes.

    Raises:
        ConfigError: the address belongs to another program, or machine 0 does not come.
    """
    limit = timedelta(minutes=timeout)
    if port is not None:
        return dist.TCPStore("127.0.0.1", port, world.size, is_master=False, timeout=limit)
    if world.address.startswith("tcp://"):
        parts = urlsplit(world.address)
        return _tcp_store(world, str(parts.hostname), int(parts.port or 0), timeout)
    if world.starter != "torchrun":
        try:
            return next(torch_rendezvous(world.address, world.rank, world.size, timeout=limit))[0]
        except (
            RuntimeError,
            ValueError,
        ) as error:  # PyTorch knows no such scheme, or the variables of env:// are missing
            raise ConfigError(f"--dist-url: expected tcp://HOST:PORT, found {world.address}: {_line(error)}") from error
    # torchrun's store (PyTorch 2.14) is that of the processes before the restart too, whose addresses are in it.
    store, _, _ = next(torch_rendezvous(world.address, timeout=limit))
    return dist.PrefixStore(f"restart {world.restarts}, {world.size} processes", store)


def _tcp_store(world: World, host: str, port: int, timeout: float) -> dist.TCPStore:
    limit = timedelta(minutes=timeout)
    key = "environment variable MASTER_PORT" if world.starter == "srun" else "--dist-url"
    if world.rank == 0:
        try:  # it listens at every address of this machine
            return dist.TCPStore("127.0.0.1", port, world.size, is_master=True, timeout=limit, wait_for_workers=False)
        except dist.DistNetworkError as error:
            raise ConfigError(f"{key}: port {port} of this machine cannot be listened at: {_line(error)}") from error
    said = world.local_rank == 0
    deadline = Deadline(timeout, f"machine 0 at {host}:{port}", said=said)
    deadline.wait_until(lambda: _listens(host, port), key)
    found: list[dist.TCPStore | Exception] = []

    def connect():
        try:
            made = dist.TCPStore(host, port, world.size, is_master=False, timeout=limit, wait_for_workers=False)
            found.append(made)
        except Exception as error:  # of another program's answer
            found.append(error)

    # In a thread: where another program listens and says nothing, PyTorch waits for ever.
    thread = threading.Thread(target=connect, daemon=True)
    thread.start()
    thread.join(min(_ANSWER, timeout * 60))
    if not found or isinstance(found[0], Exception):
        reason = _line(found[0]) if found else "no answer"
        raise ConfigError(f"{key}: {host}:{port} is another program's, and not machine 0 of this job: {reason}")
    return found[0]


def _line(error: object) -> str:
    return str(error).splitlines()[0]


def _listens(host: str, port: int) -> bool:
    try:
        with socket.create_connection((host, port), timeout=5):
            return True
    except OSError:
        return False


class Deadline:
    """Waits for something until a time-out, and says so after a few seconds.

    Args:
        minutes: the time-out.
        what: is waited for, for the messages.
        said: whether the process prints what it waits for.
        grace: seconds after the time-out.
    """

    def __init__(self, minutes: float, what: str, *, said: bool = True, grace: float = 0.0):
        self.what, self._grace = what, grace
        self._minutes, self._start, self._said = minutes, time.monotonic(), not said

    def wait_until(self, condition: Callable[[], bool], key: str) -> None:
        """
        Raises:
            ConfigError: the condition is still false at the end; ``key`` says what may be wrong.
        """
        while not condition():
            waited = time.monotonic() - self._start
            if waited > self._minutes * 60 + self._grace:
                raise ConfigError(
                    f"{key}: {self.what} did not come within SOLVER.COLLECTIVE_TIMEOUT, {self._minutes:g} minutes"
                )
            if waited > _PATIENCE and not self._said:
                self._said = True
                end = time.strftime("%X", time.localtime(time.time() + self._minutes * 60 - waited))
                print(
                    f"waiting for {self.what} until {end} (SOLVER.COLLECTIVE_TIMEOUT: {self._minutes:g} minutes)",
                    file=sys.stderr,
                    flush=True,
                )
            time.sleep(_INTERVAL)


def agree(store: dist.Store, world: World, given: Mapping[str, str], timeout: float) -> None:
    """Compare what the machines of a job were given; the first process of each machine calls it.

    Machine 0 waits for the others and decides, and every machine learns what it has decided.

    Args:
        given: argument or config key -> value.
        timeout: minutes.

    Raises:
        ConfigError: two machines have the same number, were given something else, or one does not come.
    """
    store = dist.PrefixStore("given", store)
    machine, machines = world.rank // world.local_size, world.size // world.local_size
    if store.add(f"claims of {machine}", 1) > 1:
        raise ConfigError(f"--machine-rank: expected another number on each machine, found {machine} on two")
    store.set(f"{machine}", json.dumps(dict(given)))
    if machine == 0:
        _decide(store, given, machines, timeout)
        return
    deadline = Deadline(timeout, "the other machines", grace=_READ)  # machine 0 may have begun to wait later
    try:
        deadline.wait_until(lambda: store.check(["decision"]), "--num-machines")
        decision = store.get("decision").decode()
    except dist.DistError as error:
        raise ConfigError(f"--num-machines: machine 0 has ended, and its output says why: {_line(error)}") from error
    # A machine that machine 0 does not know of has not been compared.
    decision = decision or differences(json.loads(store.get("0")), given, machine)
    store.set(f"read by {machine}", "")
    if decision:
        raise ConfigError(decision)


def _decide(store: dist.Store, given: Mapping[str, str], machines: int, timeout: float) -> None:
    missing, found, come = list(range(1, machines)), "", []
    deadline = Deadline(timeout, "")

    def complete() -> bool:
        nonlocal found
        for machine in [each for each in missing if store.check([f"{each}"])]:
            missing.remove(machine)
            come.append(machine)
            found = found or differences(given, json.loads(store.get(f"{machine}")), machine)
        deadline.what = f"machine {first_few(missing)} of {machines} (--machine-rank), counted from 0,"
        return bool(found) or not missing

    try:
        deadline.wait_until(complete, "--num-machines")
    except ConfigError as error:
        found = str(error)
    store.set("decision", found)
    if not found:
        return
    end = time.monotonic() + _READ  # the store ends with this process
    while not all(store.check([f"read by {each}"]) for each in come) and time.monotonic() < end:
        time.sleep(_INTERVAL)
    time.sleep(_END if come else 0)
    raise ConfigError(found)


def differences(first: Mapping[str, str], other: Mapping[str, str], machine: int) -> str:
    """Return a line that says what machine 0 and another one were given differently; "" if nothing."""
    keys = sorted(key for key in first.keys() | other.keys() if first.get(key) != other.get(key))
    if not keys:
        return ""
    pairs = [f"{key}: {first.get(key, 'none')} and {other.get(key, 'none')}" for key in keys[:_DIFFERENCES]]
    more = f"; and {len(keys) - _DIFFERENCES} more" if len(keys) > _DIFFERENCES else ""
    return (
        f"{', '.join(keys[:_DIFFERENCES])}: expected the same on each machine, found on machines 0 and {machine}: "
        f"{'; '.join(pairs)}{more}"
    )
