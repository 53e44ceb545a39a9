"""Test that two processes with half of each batch train like one process with the whole batch."""

import pytest
import torch
from detectron2.modeling import build_model
from detectron2.utils.events import EventStorage
from torch.nn.parallel import DistributedDataParallel

from seesaw_d2.modeling import freeze
from tests.modeling.tiny import CASCADE, tiny_batch, tiny_config
from tests.processes import run_two_processes

# Use all proposals and anchors, so that no sampling is needed, and batch normalization with fixed statistics, because
# otherwise each process would have the statistics of its own images.
ALL = [
    *("MODEL.ROI_HEADS.BATCH_SIZE_PER_IMAGE", "4000", "MODEL.RPN.BATCH_SIZE_PER_IMAGE", "20000"),
    *("MODEL.RPN.POST_NMS_TOPK_TRAIN", "60", "SEED", "1"),
]
HEADS = {
    "seesaw": ["MODEL.ROI_MASK_HEAD.NAME", "NormedMaskHead"],
    "focal": [
        *("MODEL.ROI_BOX_HEAD.CLS_LOSS.NAME", "FocalLoss", "MODEL.ROI_BOX_HEAD.CLS_PREDICTOR.NAME", "Linear"),
        *("MODEL.ROI_BOX_HEAD.BBOX_REG_LOSS_TYPE", "giou"),
    ],
    "cascade": [*CASCADE, "MODEL.ROI_MASK_HEAD.PER_STAGE", "True", "MODEL.RPN.POST_NMS_TOPK_TRAIN", "60"],
    "iterative": ["MODEL.ROI_HEADS.NAME", "IterativeROIHeads"],
}
# Numbers of objects in the images of each step's batch: similar, very different, and none in the first process's half.
OBJECTS = [(2, 1, 1, 2), (1, 1, 7, 9), (0, 0, 3, 1), (4, 0, 0, 0)]


def train(process: int, overrides, processes: int = 2, device: str = "cpu") -> tuple[dict, list[dict]]:
    """Return the state of the model after the steps, and the losses of each step for this process's part."""
    torch.manual_seed(0)
    config = tiny_config(*ALL, *overrides, "MODEL.DEVICE", device)
    model = freeze(build_model(config), ["backbone.bottom_up"], [])
    trained = DistributedDataParallel(model, broadcast_buffers=False) if processes > 1 else model
    optimizer = torch.optim.SGD([p for p in model.parameters() if p.requires_grad], lr=0.02, momentum=0.9)
    logged = []
    with EventStorage():
        for step, objects in enumerate(OBJECTS):
            size = len(objects) // processes
            batch = tiny_batch(objects, seed=step)[process * size : (process + 1) * size]
            losses = trained(batch)
            optimizer.zero_grad()
            sum(losses.values()).backward()
            optimizer.step()
            logged.append({name: loss.item() for name, loss in losses.items()})
    return {name: value.cpu().clone() for name, value in model.state_dict().items()}, logged


def train_all(process: int, processes: int = 2, device: str = "cpu") -> dict:
    return {name: train(process, overrides, processes, device) for name, overrides in HEADS.items()}


@pytest.fixture(scope="module")
def two_processes(tmp_path_factory):
    return run_two_processes(train_all, tmp_path_factory.mktemp("two"))


@pytest.mark.parametrize("name", HEADS)
def test_two_processes_are_one(name, two_processes):
    assert_equal_one_process(name, two_processes)


def assert_equal_one_process(name, processes, rtol=1e-4, atol=5e-6):
    """Compare the results of ``train_all`` in two processes with the results of one process on the CPU."""
    whole, losses = train(0, HEADS[name], processes=1)
    results = [each[name] for each in processes]
    for state, _ in results:
        assert state.keys() == whole.keys()
        for key in whole:
            torch.testing.assert_close(state[key], whole[key], rtol=rtol, atol=atol)
    for step, expected in enumerate(losses):
        for key, value in expected.items():
            mean = sum(logged[step][key] for _, logged in results) / 2
            assert mean == pytest.approx(value, rel=rtol, abs=1e-6), (step, key)
