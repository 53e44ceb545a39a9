"""Where the processes of a job find each other.

Nothing here waits in silence: after a few seconds a line says for which machine, and until when.
"""

import socket
import sys
import threading
import time
from collections.abc import Callable
from datetime import timedelta
from urllib.parse import urlsplit

import torch.distributed as dist
from torch.distributed import rendezvous as torch_rendezvous

from seesaw_d2.errors import ConfigError
from seesaw_d2.train.launch.process_layout import World

# Seconds: until a line says what is waited for; between two looks; for an answer of what listens at the address.
_PATIENCE, INTERVAL, _ANSWER = 10.0, 0.2, 20.0


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
            raise ConfigError(
                f"--dist-url: expected tcp://HOST:PORT, found {world.address}: {first_line(error)}"
            ) from error
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
            raise ConfigError(
                f"{key}: port {port} of this machine cannot be listened at: {first_line(error)}"
            ) from error
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
        reason = first_line(found[0]) if found else "no answer"
        raise ConfigError(f"{key}: {host}:{port} is another program's, and not machine 0 of this job: {reason}")
    return found[0]


def first_line(error: object) -> str:
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
            time.sleep(INTERVAL)
