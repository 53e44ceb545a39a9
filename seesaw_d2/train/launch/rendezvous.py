"""Connect the processes of a job. If a machine does not answer, print its name and the time at which the wait ends."""

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
from seesaw_d2.train.launch.process_layout import ProcessLayout

# After _PATIENCE seconds, a waiting process prints for whom it waits. Every INTERVAL seconds, it checks whether the
# other processes have connected. If machine 0 accepts a connection, but does not answer within _ANSWER seconds, another
# program uses its port.
_PATIENCE, INTERVAL, _ANSWER = 10.0, 0.2, 20.0


def open_store(world: ProcessLayout, port: int | None, timeout: float) -> dist.Store:
    """Create the store of torch.distributed in rank 0, or connect to it in the other processes.

    ``init_process_group`` exchanges the addresses of the processes through this store.

    Args:
        world: layout of the job with the rank of this process.
        port: port on this machine at which the parent process has created the store. None if ``world.address`` is the
            address of the store.
        timeout: time in minutes to wait for the store.

    Raises:
        ConfigError: the address is invalid, another program uses the port, or machine 0 does not answer before the
            timeout.
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
        except (RuntimeError, ValueError) as error:  # the scheme is unknown, or the variables of env:// are missing
            raise ConfigError(
                f"--dist-url: expected tcp://HOST:PORT, found {world.address}. PyTorch reports: {first_line(error)}"
            ) from error
    # After a restart, torchrun's store (PyTorch 2.14) still has the old processes' addresses. A new prefix hides them.
    store, _, _ = next(torch_rendezvous(world.address, timeout=limit))
    return dist.PrefixStore(f"restart {world.restarts}, {world.size} processes", store)


def _tcp_store(world: ProcessLayout, host: str, port: int, timeout: float) -> dist.TCPStore:
    limit = timedelta(minutes=timeout)
    key = "environment variable MASTER_PORT" if world.starter == "srun" else "--dist-url"
    if world.rank == 0:
        try:
            # The server listens on all addresses of this machine. Use 127.0.0.1 here, because it needs no name lookup.
            return dist.TCPStore("127.0.0.1", port, world.size, is_master=True, timeout=limit, wait_for_workers=False)
        except dist.DistNetworkError as error:
            raise ConfigError(
                f"{key}: cannot listen on port {port} of this machine ({first_line(error)}). Choose a free port."
            ) from error
    said = world.local_rank == 0
    deadline = Deadline(timeout, f"machine 0 at {host}:{port}", said=said)
    deadline.wait_until(lambda: _listens(host, port), key)
    found: list[dist.TCPStore | Exception] = []

    def connect():
        try:
            made = dist.TCPStore(host, port, world.size, is_master=False, timeout=limit, wait_for_workers=False)
            found.append(made)
        except Exception as error:  # a program answered that is not a store of PyTorch
            found.append(error)

    # Connect in a thread, because PyTorch waits forever if another program accepts the connection without answering.
    thread = threading.Thread(target=connect, daemon=True)
    thread.start()
    thread.join(min(_ANSWER, timeout * 60))
    if not found or isinstance(found[0], Exception):
        reason = first_line(found[0]) if found else "no answer"
        raise ConfigError(
            f"{key}: expected machine 0 of this job at {host}:{port}, found another program ({reason}). Choose a free "
            "port."
        )
    return found[0]


def first_line(error: object) -> str:
    """Return the first line of an error message."""
    return str(error).splitlines()[0]


def _listens(host: str, port: int) -> bool:
    try:
        with socket.create_connection((host, port), timeout=5):
            return True
    except OSError:
        return False


class Deadline:
    """Time limit for waiting for other processes. After 10 seconds of waiting, a message is printed once.

    Args:
        minutes: time limit in minutes, counted from the creation of this object.
        what: machines or processes for which this process waits, for the messages.
        said: whether to print the message.
        grace: seconds to add to the time limit.
    """

    def __init__(self, minutes: float, what: str, *, said: bool = True, grace: float = 0.0):
        self.what, self._grace = what, grace
        self._minutes, self._start, self._said = minutes, time.monotonic(), not said

    def wait_until(self, condition: Callable[[], bool], key: str) -> None:
        """Wait until ``condition()`` is true.

        Args:
            condition: function without arguments, which this method calls repeatedly.
            key: option or environment variable that may be wrong, for the error message.

        Raises:
            ConfigError: the condition is still false at the time limit.
        """
        while not condition():
            waited = time.monotonic() - self._start
            if waited > self._minutes * 60 + self._grace:
                raise ConfigError(
                    f"{key}: {self.what} did not connect within {self._minutes:g} minutes "
                    "(SOLVER.COLLECTIVE_TIMEOUT). Check the value, and that all processes of the job have started"
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
