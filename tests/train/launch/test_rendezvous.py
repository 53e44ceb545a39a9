"""Test that machines connect and compare their jobs, or name the missing machine or the difference."""

import os
import signal
import socket
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
import torch.distributed as dist

from seesaw_d2.config.loading import config_values, load_config
from seesaw_d2.errors import ConfigError
from seesaw_d2.train.command_line import argument_parser, prepare
from seesaw_d2.train.launch import launcher, process_agreement, rendezvous
from seesaw_d2.train.launch.process_agreement import agree, differences, part_of
from seesaw_d2.train.launch.process_layout import ProcessLayout, find_layout
from seesaw_d2.train.launch.rendezvous import open_store
from seesaw_d2.train.lazyconfig.loading import lazy_values, load_lazy_config
from tests.train.launch.test_launching import free_port

SOON = 1 / 60  # in minutes


@pytest.fixture(autouse=True)
def fast(monkeypatch):
    for name, seconds in {"_PATIENCE": 0.2, "INTERVAL": 0.01, "_ANSWER": 0.5}.items():
        monkeypatch.setattr(rendezvous, name, seconds)
    for name, seconds in {"_READ": 0.5, "_END": 0.0}.items():
        monkeypatch.setattr(process_agreement, name, seconds)


def meet(machines, timeout=SOON, starter="--num-gpus"):
    """Return "" or the error of each machine, given as (number, count, job)."""
    store = dist.HashStore()

    def one(machine):
        number, size, given = machine
        try:
            agree(store, part_of(ProcessLayout(size=size, rank=number, starter=starter)), given, timeout)
        except ConfigError as error:
            return str(error)
        return ""

    with ThreadPoolExecutor() as pool:
        return list(pool.map(one, machines))


def test_machines_that_were_given_the_same(capfd):
    given = {"--eval-only": "False", "SEED": "1"}
    assert meet([(number, 3, given) for number in range(3)]) == ["", "", ""]
    assert not capfd.readouterr().err


@pytest.mark.parametrize("size", [2, 3])
def test_what_differs_is_named_on_every_machine(size):
    """Test that differences are reported on every machine, without waiting for missing machines."""
    first, second = {"--eval-only": "False", "SEED": "1"}, {"--eval-only": "True", "SEED": "1"}
    start = time.monotonic()
    messages = meet([(0, size, first), (1, size, second)], timeout=1)
    assert time.monotonic() - start < 30
    assert messages[0] == messages[1]
    assert messages[0].startswith("--eval-only: ")
    assert "False" in messages[0]
    assert "True" in messages[0]
    assert "SEED" not in messages[0]


def test_another_number_of_machines():
    """Test different numbers of machines: machine 0 expects two machines, the others expect three."""
    machines = [
        (number, 2 if number == 0 else 3, {"--num-machines": "2" if number == 0 else "3"}) for number in range(3)
    ]
    messages = meet(machines)
    assert all(message.startswith("--num-machines: ") for message in messages)


def test_a_machine_that_machine_0_does_not_know_of():
    messages = meet([(0, 1, {"--num-machines": "1"}), (1, 2, {"--num-machines": "2"})])
    assert messages[0] == ""
    assert messages[1].startswith("--num-machines: ")


def test_two_machines_of_one_number():
    messages = meet([(0, 3, {}), (1, 3, {}), (1, 3, {})])
    assert any(message.startswith("--machine-rank: ") and "value 1 " in message for message in messages)


def test_who_does_not_come_is_said(capfd):
    messages = meet([(0, 4, {}), (2, 4, {})])
    said = capfd.readouterr().err
    assert "waiting for machine 1, 3 of 4" in said
    assert "SOLVER.COLLECTIVE_TIMEOUT" in said
    assert messages[0] == messages[1]
    assert "machine 1, 3 of 4" in messages[0]


def test_machine_0_ends_while_another_waits():
    port = free_port()
    servers = [two(0, port)]
    store = two(1, port)
    with ThreadPoolExecutor() as pool:
        waiting = pool.submit(lambda: agree(store, part_of(ProcessLayout(size=2, rank=1)), {}, 1))
        time.sleep(0.1)
        servers.clear()
        with pytest.raises(ConfigError, match=r"--num-machines: .*machine 0"):
            waiting.result()


@pytest.mark.parametrize(
    ("starter", "variable"),
    [("srun", "SLURM_STEP_NUM_TASKS"), ("torchrun", "WORLD_SIZE"), ("--num-gpus", "--num-machines")],
)
def test_processes_that_others_started_are_compared_one_by_one(starter, variable):
    """Test externally started processes. Ended processes count as missing. Spawned processes are compared once."""
    world = ProcessLayout(size=4, local_size=2, rank=3, local_rank=1, starter=starter)
    assert (part_of(world).number, part_of(world).count) == ((1, 2) if starter == "--num-gpus" else (3, 4))
    messages = meet([(0, 3, {}), (1, 3, {})], starter=starter)
    assert messages[0] == messages[1]
    assert messages[0].startswith(f"{variable}: ")
    assert " 2 of 3" in messages[0]


def test_many_differences_are_cut():
    first, other = ({f"KEY{index}": value for index in range(9)} for value in "ab")
    part = part_of(ProcessLayout(size=2, rank=1))
    text = differences(first, other, part)
    assert "KEY2: a and b" in text
    assert "KEY3" not in text
    assert "6 more" in text
    assert "no value" in differences({}, {"KEY": "1"}, part)


def two(rank, port, timeout=SOON):
    return open_store(ProcessLayout(2, 1, rank=rank, address=f"tcp://127.0.0.1:{port}"), None, timeout)


def test_a_store_and_its_clients():
    port = free_port()
    with ThreadPoolExecutor() as pool:
        late = pool.submit(lambda: two(1, port, timeout=1))
        time.sleep(0.1)
        store = two(0, port)
        store.set("key", "value")
        assert late.result().get("key") == b"value"


@pytest.mark.parametrize("rank", [0, 1])
def test_a_port_that_is_another_programs(rank):
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        start = time.monotonic()
        with pytest.raises(ConfigError, match=rf"--dist-url: .*{port}"):
            two(rank, port)
        assert time.monotonic() - start < 10


def test_machine_0_does_not_come(capfd):
    with socket.socket() as taken:  # the port is bound, but no process listens
        taken.bind(("127.0.0.1", 0))
        port = taken.getsockname()[1]
        with pytest.raises(ConfigError, match=rf"machine 0 at 127\.0\.0\.1:{port}"):
            two(1, port)
    assert f"waiting for machine 0 at 127.0.0.1:{port}" in capfd.readouterr().err


@pytest.mark.parametrize("address", ["nonsense://first:1", "env://"])
def test_addresses_that_pytorch_does_not_know(address, monkeypatch):
    monkeypatch.delenv("MASTER_ADDR", raising=False)
    with pytest.raises(ConfigError, match=f"--dist-url: .*{address}"):
        open_store(ProcessLayout(2, 1, address=address), None, SOON)


@pytest.mark.parametrize(
    ("options", "key"),
    [
        (["--eval-only"], "--eval-only"),
        (["--resume"], "--resume"),
        (["--num-processes", "2"], "--num-processes"),
        (["SOLVER.BASE_LR", "0.5"], "SOLVER.BASE_LR"),
        (["DATASETS.TEST", "()"], "DATASETS.TEST"),
    ],
)
def test_what_the_command_line_gives(config_file, options, key):
    def given(*options):
        words = ["--num-machines", "2", "--dist-url", "tcp://first:1", "--config-file", str(config_file), *options]
        args = argument_parser().parse_args(words)
        _, group, _ = prepare(args, find_layout(args, {}))
        return group.given

    plain = given("--num-processes", "1")
    part = part_of(ProcessLayout(size=2, rank=1))
    assert differences(plain, given("--machine-rank", "1", "--num-processes", "1"), part) == ""
    processes = [] if key == "--num-processes" else ["--num-processes", "1"]
    text = differences(plain, given(*processes, *options), part)
    assert key in text.partition(": expected")[0]


def test_values_of_configs():
    assert config_values(load_config("", ["SEED", 3]))["SEED"] == "3"
    name = "lazy/mask_rcnn_R_50_FPN_rfs_seesaw_2x.py"
    first, other = (lazy_values(load_lazy_config(name, [f"train.max_iter={number}"])) for number in (5, 6))
    assert {key for key in first if first[key] != other[key]} == {"train.max_iter"}
    assert not any(" at 0x" in value for value in first.values())


@pytest.mark.parametrize("job_has_ended", [False, True])
def test_a_process_whose_torchrun_is_gone_is_told_to_end(monkeypatch, job_has_ended):
    parents, sent, ended = iter([7, 7, 1]), [], threading.Event()
    if job_has_ended:
        ended.set()
    monkeypatch.setattr(launcher, "_STARTER_INTERVAL", 0.0)
    monkeypatch.setattr(os, "getppid", lambda: next(parents))
    monkeypatch.setattr(os, "kill", lambda process, signum: sent.append((process, signum)))
    launcher._stop_with_starter(7, ended)
    assert sent == ([] if job_has_ended else [(os.getpid(), signal.SIGTERM)])


def test_no_thread_watches_torchrun_after_the_job(monkeypatch):
    monkeypatch.setattr(launcher, "_in_group", lambda *args: None)
    before = set(threading.enumerate())
    world = ProcessLayout(starter="torchrun", address="env://")
    launcher.launch(lambda: None, world, launcher.Group("cpu", 1.0, ""), ())
    for thread in set(threading.enumerate()) - before:
        thread.join(10)
        assert not thread.is_alive()
