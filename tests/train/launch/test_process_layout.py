"""Test the number of processes from the command line, torchrun and srun, and contradictions between them."""

import argparse

import pytest

from seesaw_d2.errors import ConfigError
from seesaw_d2.train.launch.process_layout import ProcessLayout, find_layout, first_host

TORCHRUN = {"RANK": "5", "WORLD_SIZE": "8", "LOCAL_RANK": "1", "LOCAL_WORLD_SIZE": "4"}


TORCHRUN |= {"MASTER_ADDR": "here", "MASTER_PORT": "1"}


SLURM = {
    "SLURM_STEP_NUM_TASKS": "8",
    "SLURM_PROCID": "5",
    "SLURM_LOCALID": "1",
    "SLURM_STEP_TASKS_PER_NODE": "4(x2)",
    "SLURM_STEP_NODELIST": "gpu[07-08]",
    "SLURM_JOB_ID": "12345",
    "SLURM_STEP_ID": "0",
}


def arguments(**given):
    plain = {"num_gpus": None, "num_processes": None, "num_machines": 1, "machine_rank": 0, "dist_url": ""}
    return argparse.Namespace(**{**plain, **given})


def test_one_process_is_the_default():
    assert find_layout(arguments(), {}) == ProcessLayout()
    assert find_layout(arguments(num_gpus=0), {}) == ProcessLayout()  # 0 GPUs select the CPU


def test_detectron2s_arguments():
    given = arguments(num_gpus=4, num_machines=2, machine_rank=1, dist_url="tcp://first:1")
    world = find_layout(given, {})
    assert world == ProcessLayout(size=8, local_size=4, rank=4, address="tcp://first:1", starter="--num-gpus")
    assert world.local(3) == ProcessLayout(size=8, local_size=4, rank=7, local_rank=3, address="tcp://first:1")


def test_torchrun():
    world = find_layout(arguments(), {**TORCHRUN, "TORCHELASTIC_RESTART_COUNT": "2"})
    assert world == ProcessLayout(8, 4, rank=5, local_rank=1, address="env://", starter="torchrun", restarts=2)
    assert find_layout(arguments(num_gpus=4), TORCHRUN).starter == "torchrun"
    assert find_layout(arguments(num_gpus=4, num_machines=2, machine_rank=1), TORCHRUN) == find_layout(
        arguments(), TORCHRUN
    )


def without(environ, *names):
    return {name: value for name, value in environ.items() if name not in names}


@pytest.mark.parametrize(
    "environ",
    [
        {"MASTER_ADDR": "first", "MASTER_PORT": "29500"},  # scripts set these variables for other programs
        {"WORLD_SIZE": "1", "RANK": "0", "MASTER_ADDR": "first"},  # a job with one pod
        {"OMPI_COMM_WORLD_SIZE": "1", "PMI_SIZE": "1"},
        dict.fromkeys(TORCHRUN, ""),
    ],
)
def test_an_environment_of_one_process(environ):
    assert find_layout(arguments(), environ) == ProcessLayout()


@pytest.mark.parametrize(
    ("environ", "names"),
    [
        *((without(TORCHRUN, name), [name]) for name in TORCHRUN),
        ({**TORCHRUN, "LOCAL_RANK": " "}, ["LOCAL_RANK"]),
        ({"RANK": "1", "WORLD_SIZE": "2"}, ["LOCAL_RANK", "RANK=1", "WORLD_SIZE=2"]),
        ({"RANK": "1"}, ["WORLD_SIZE", "RANK=1"]),
        ({"LOCAL_RANK": "0"}, ["WORLD_SIZE", "LOCAL_RANK=0"]),
        ({"WORLD_SIZE": "two"}, ["WORLD_SIZE", "two"]),
        ({"OMPI_COMM_WORLD_SIZE": "2", "OMPI_COMM_WORLD_RANK": "0"}, ["OMPI_COMM_WORLD_SIZE", "2"]),
        ({"PMI_SIZE": "4", "PMI_RANK": "3"}, ["PMI_SIZE", "4"]),
    ],
)
def test_one_of_several_processes_never_trains_alone(environ, names):
    with pytest.raises(ConfigError) as error:
        find_layout(arguments(), environ)
    assert all(name in str(error.value) for name in names)
    assert find_layout(arguments(num_processes=4), environ).size == 4  # the command line has precedence


@pytest.mark.parametrize(
    ("environ", "name", "found"),
    [
        (TORCHRUN | {"RANK": "8"}, "RANK", "8"),
        (TORCHRUN | {"RANK": "5", "WORLD_SIZE": "2", "LOCAL_WORLD_SIZE": "2"}, "RANK", "5"),
        (TORCHRUN | {"RANK": "-1"}, "RANK", "-1"),
        (TORCHRUN | {"RANK": "1.0"}, "RANK", "1.0"),
        (TORCHRUN | {"LOCAL_RANK": "4"}, "LOCAL_RANK", "4"),
        (TORCHRUN | {"LOCAL_RANK": "2"}, "LOCAL_RANK", "found 2"),
        (TORCHRUN | {"LOCAL_WORLD_SIZE": "3"}, "LOCAL_WORLD_SIZE", "found 3"),
        (TORCHRUN | {"LOCAL_WORLD_SIZE": "16"}, "LOCAL_WORLD_SIZE", "16"),
        (TORCHRUN | {"WORLD_SIZE": "0"}, "WORLD_SIZE", "0"),
        (TORCHRUN | {"MASTER_PORT": "70000"}, "MASTER_PORT", "70000"),
        (TORCHRUN | {"TORCHELASTIC_RESTART_COUNT": "x"}, "TORCHELASTIC_RESTART_COUNT", "x"),
        (without(SLURM, "SLURM_LOCALID"), "SLURM_LOCALID", "no such variable"),
        (without(SLURM, "SLURM_PROCID"), "SLURM_PROCID", "no such variable"),
        (SLURM | {"SLURM_LOCALID": ""}, "SLURM_LOCALID", "no such variable"),
        (SLURM | {"SLURM_PROCID": "8"}, "SLURM_PROCID", "8"),
        (SLURM | {"SLURM_STEP_NUM_TASKS": "many"}, "SLURM_STEP_NUM_TASKS", "many"),
        (SLURM | {"SLURM_STEP_TASKS_PER_NODE": "4"}, "SLURM_STEP_TASKS_PER_NODE", "4"),
        (SLURM | {"SLURM_STEP_TASKS_PER_NODE": "x"}, "SLURM_STEP_TASKS_PER_NODE", "x"),
        (SLURM | {"SLURM_STEP_NODELIST": ",b"}, "SLURM_STEP_NODELIST", ",b"),
        (SLURM | {"SLURM_JOB_ID": "1_2"}, "SLURM_JOB_ID", "1_2"),
        (SLURM | {"MASTER_PORT": "0"}, "MASTER_PORT", "0"),
    ],
)
def test_wrong_variables_are_named(environ, name, found):
    with pytest.raises(ConfigError) as error:
        find_layout(arguments(), environ)
    assert name in str(error.value)
    assert found in str(error.value)


def test_srun():
    world = find_layout(arguments(), SLURM)
    expected = ProcessLayout(8, 4, rank=5, local_rank=1, address=world.address, starter="srun")
    assert world == expected
    assert world.address.startswith("tcp://gpu07:")
    other = find_layout(arguments(), {**SLURM, "SLURM_STEP_ID": "1"})
    assert other.address != world.address
    assert find_layout(arguments(), {**SLURM, "MASTER_ADDR": "a", "MASTER_PORT": "9"}).address == "tcp://a:9"
    assert find_layout(arguments(), {**SLURM, "SLURM_RESTART_COUNT": "1"}).restarts == 1


@pytest.mark.parametrize("given", [{"num_gpus": 1}, {"num_processes": 1}])
def test_srun_does_not_count_where_the_command_line_says_how_many(given):
    assert find_layout(arguments(**given), SLURM).size == 1


def test_srun_with_one_task_is_one_process():
    assert find_layout(arguments(), {**SLURM, "SLURM_STEP_NUM_TASKS": "1"}) == ProcessLayout()


@pytest.mark.parametrize(
    ("nodes", "first"),
    [
        ("gpu1", "gpu1"),
        ("gpu[07-08,11]", "gpu07"),
        ("a-[3,5].site,b", "a-3.site"),
        ("a,b", "a"),
    ],
)
def test_the_first_of_slurms_nodes(nodes, first):
    assert first_host(nodes) == first


@pytest.mark.parametrize(
    ("given", "environ", "message"),
    [
        ({"num_gpus": 2, "num_processes": 2}, {}, "--num-gpus, --num-processes: "),
        ({"num_gpus": 2}, TORCHRUN, "--num-gpus: expected 4"),
        ({"num_machines": 3, "machine_rank": 1}, TORCHRUN, "--num-machines"),
        ({"num_machines": 2, "machine_rank": 0}, TORCHRUN, "--machine-rank"),
        ({"num_gpus": 1, "num_machines": 2, "dist_url": "tcp://first"}, {}, "--dist-url: .*tcp://first"),
        ({"num_gpus": 1, "num_machines": 2, "dist_url": "tcp://:29500"}, {}, "--dist-url"),
        ({"num_gpus": 1, "num_machines": 2, "dist_url": "tcp://first:99999"}, {}, "--dist-url: .*99999"),
        ({"num_gpus": -1}, {}, "--num-gpus: expected at least 1"),
        ({"num_processes": 0}, {}, "--num-processes: expected at least 1"),
        ({"num_gpus": 1, "num_machines": 2}, {}, "--dist-url: expected tcp://HOST:PORT"),
        ({"num_gpus": 1, "machine_rank": 1}, {}, r"--machine-rank: .*--num-machines 1, found 1"),
        ({"num_gpus": 1, "num_machines": 0}, {}, r"--num-machines: .*found 0"),
        ({}, {**SLURM, "SLURM_STEP_TASKS_PER_NODE": "4,3"}, "SLURM_STEP_TASKS_PER_NODE"),
        ({}, {**SLURM, "SLURM_LOCALID": "2"}, "SLURM_LOCALID"),
    ],
)
def test_contradictions_are_named(given, environ, message):
    with pytest.raises(ConfigError, match=message):
        find_layout(arguments(**given), environ)
