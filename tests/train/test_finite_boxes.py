"""Test that two processes act like one process if one of them has boxes that are not finite."""

import pickle

import pytest
import torch
from detectron2.modeling import build_model
from detectron2.utils import comm
from detectron2.utils.events import EventStorage

from seesaw_d2.errors import NonFiniteError
from seesaw_d2.modeling import freeze
from seesaw_d2.train.step import Step
from seesaw_d2.utils.distributed import distributed
from tests.modeling.tiny import CASCADE, tiny_batch, tiny_config
from tests.processes import run_two_processes

# Use all proposals and anchors, and batch normalization with fixed statistics, so that a process computes nothing
# separately.
ALL = [
    *("MODEL.ROI_HEADS.BATCH_SIZE_PER_IMAGE", "4000", "MODEL.RPN.BATCH_SIZE_PER_IMAGE", "20000"),
    *("SEED", "1"),
]
SEESAW = [*ALL, "MODEL.RPN.POST_NMS_TOPK_TRAIN", "60"]
CASCADED = [*ALL, *CASCADE, "MODEL.RPN.POST_NMS_TOPK_TRAIN", "60"]
ITERATIVE = [*SEESAW, "MODEL.ROI_HEADS.NAME", "IterativeROIHeads"]
# Config, part whose output contains nan ("image": the input), and numbers of objects in the images of each batch.
CASES = {
    "images": (SEESAW, "image", (2, 1, 1, 2)),
    "deltas": (SEESAW, "proposal_generator.rpn_head.anchor_deltas", (2, 1, 1, 2)),
    "scores": (CASCADED, "proposal_generator.rpn_head.objectness_logits", (2, 1, 1, 2)),
    "features of a cascade": (CASCADED, "backbone.fpn_output3", (2, 1, 1, 2)),
    "a stage of a cascade": (CASCADED, "roi_heads.box_predictor.0.bbox_pred", (2, 1, 1, 2)),
    "no objects": (ITERATIVE, "image", (1, 2, 0, 0)),
}
SPOILT = 1


def spoil(model, part, batch):
    """Replace a prediction for the last image by nan."""
    if part == "image":
        batch[-1]["image"] = batch[-1]["image"].float()
        batch[-1]["image"][0, 0, 0] = float("nan")
        return None

    def with_nan(module, inputs, output):
        changed = output.clone()
        changed[-1].view(-1)[0] = float("nan")
        return changed

    return model.get_submodule(part).register_forward_hook(with_nan)


def train(process, folder, name, max_skipped, processes=2):
    """Run four steps, the second with nan in the last process. Return the state, and the error message, if any."""
    overrides, part, objects = CASES[name]
    torch.manual_seed(0)
    model = freeze(build_model(tiny_config(*overrides)), ["backbone.bottom_up"], [])
    optimizer = torch.optim.SGD([p for p in model.parameters() if p.requires_grad], lr=0.02, momentum=0.9)
    size = len(objects) // processes
    share = slice(process * size, (process + 1) * size)
    data = [tiny_batch(objects, seed=step)[share] for step in range(4)]
    trainer = Step(distributed(model), data, optimizer, folder=str(folder), max_skipped=max_skipped)
    message = ""
    try:
        with EventStorage(0) as storage:
            for trainer.iter in range(len(data)):
                storage.iter = trainer.iter
                spoilt = trainer.iter == SPOILT and process == processes - 1
                hook = spoil(model, part, data[trainer.iter]) if spoilt else None
                trainer.run_step()
                if hook:
                    hook.remove()
    except NonFiniteError as error:
        message = str(error)
    return dict(model.state_dict()), trainer.skipped, message


def train_all(process, folder):
    found = {}
    for name in CASES:
        for max_skipped in (0, 1):
            path = f"{folder}/{name}{max_skipped}"
            found[name, max_skipped] = train(process, path, name, max_skipped)
            comm.synchronize()
    return found


@pytest.fixture(scope="module")
def two_processes(tmp_path_factory):
    folder = tmp_path_factory.mktemp("two")
    for name in CASES:
        for max_skipped in (0, 1):
            (folder / f"{name}{max_skipped}").mkdir()
    return run_two_processes(train_all, folder, str(folder)), folder


@pytest.mark.parametrize("max_skipped", [0, 1])
@pytest.mark.parametrize("name", CASES)
def test_two_processes_are_one(name, max_skipped, two_processes, tmp_path):
    expected, skipped, message = train(0, tmp_path, name, max_skipped, processes=1)
    assert skipped == 1
    assert bool(message) == (max_skipped == 0)
    both, folder = two_processes
    for state, also_skipped, said in (each[name, max_skipped] for each in both):
        assert also_skipped == skipped
        assert ("rank 1: " in said) == (max_skipped == 0)
        assert all(value.isfinite().all() for value in state.values())
        for key, value in expected.items():
            torch.testing.assert_close(state[key], value, rtol=1e-4, atol=5e-6)
    saved = list((folder / f"{name}{max_skipped}").glob("nonfinite_iter*.pth"))
    assert [path.name for path in saved] == ([] if max_skipped else [f"nonfinite_iter{SPOILT}.pth"])
    for path in saved:
        state = torch.load(path, weights_only=True)
        assert len(state["ranks"]) == 2
        assert state["ranks"][1]["errors"]
        for key, value in both[0][name, 0][0].items():
            torch.testing.assert_close(state["model"][key], value, rtol=0, atol=0)


def test_the_model_stays_as_it_is(tmp_path):
    model = build_model(tiny_config(*CASCADED))
    before = [set(vars(module)) for module in model.modules()]
    step = Step(model, [tiny_batch()], torch.optim.SGD(model.parameters(), lr=0.01), folder=str(tmp_path))
    step.iter = 0
    with EventStorage(0):
        step.run_step()
    assert [set(vars(module)) for module in model.modules()] == before
    assert not any(module._forward_hooks for module in model.modules())
    pickle.dumps(model)
