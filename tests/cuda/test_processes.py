"""Test NCCL: its collectives in one process, and trainings with two processes against one process on the CPU."""

import pytest
import torch
import torch.distributed as dist

from seesaw_d2.train import main
from seesaw_d2.utils.distributed import all_reduce_sum, distributed
from tests.cuda.devices import on_gpu, several_gpus
from tests.modeling.test_two_processes import HEADS, assert_equal_one_process, train_all
from tests.processes import run_processes

BACKENDS = {"cpu": "gloo", "cuda": "nccl"}
# Data types in which class counts, metrics, gradients and flags are reduced.
TYPES = [torch.int64, torch.float64, torch.float32, torch.int32]


def collectives(process: int, device: str):
    """Return the sums of all data types, and the gradient of a layer in DistributedDataParallel."""
    sums = [all_reduce_sum(torch.arange(4, device=device, dtype=dtype)) for dtype in TYPES]
    for each in sums:
        dist.all_reduce(each)
    torch.manual_seed(0)
    layer = torch.nn.Linear(3, 2).to(device)
    wrapped = torch.nn.parallel.DistributedDataParallel(layer)
    wrapped(torch.ones(1, 3, device=device)).sum().backward()
    assert isinstance(distributed(layer), torch.nn.Linear)  # a single process does not wrap the layer
    return sums, layer.weight.grad


@pytest.mark.parametrize("device", [pytest.param("cpu", marks=pytest.mark.slow), pytest.param("cuda", marks=on_gpu)])
def test_one_process(device, tmp_path):
    [(sums, gradient)] = run_processes(1, BACKENDS[device], collectives, tmp_path, device)
    assert [each.dtype for each in sums] == TYPES
    assert all(each.tolist() == [0, 1, 2, 3] for each in sums)
    assert torch.equal(gradient, torch.ones(2, 3))


def train_on_gpu(process: int):
    return train_all(process, 2, "cuda")  # the current device of the process


@pytest.fixture(scope="module")
def two_gpus(tmp_path_factory):
    return run_processes(2, "nccl", train_on_gpu, tmp_path_factory.mktemp("gpus"))


@pytest.mark.parametrize("name", [pytest.param(name, marks=several_gpus) for name in HEADS])
def test_two_processes(name, two_gpus):
    assert_equal_one_process(name, two_gpus, rtol=1e-3, atol=5e-5)


@pytest.mark.parametrize(
    "count", [pytest.param(1, marks=on_gpu), pytest.param(2, marks=several_gpus)], ids=["one", "two"]
)
def test_a_training(count, config_file):
    """Test train_net.py with its launcher, including the evaluation."""
    command = ["--config-file", str(config_file), "--num-gpus", str(count), "MODEL.DEVICE", "cuda"]
    assert main(command) == 0
    assert (config_file.parent / "run/model_final.pth").exists()
    assert list((config_file.parent / "run").glob("inference/*/results.json"))
