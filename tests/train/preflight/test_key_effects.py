"""Test that a key has an effect exactly if it counts as read, for all heads, losses, classifiers and samplers."""

import itertools
import random
from inspect import isroutine

import pytest
import torch
from detectron2.config import CfgNode
from detectron2.layers import ShapeSpec
from detectron2.modeling import build_model, build_roi_heads
from detectron2.solver import build_lr_scheduler

from seesaw_d2.config.loading import default_config, leaf_keys, load_config, read_value
from seesaw_d2.data.sampling.repeat_factors import MAIN_SAMPLERS, SAMPLERS, WITH_EPOCHS, build_sampler
from seesaw_d2.errors import ConfigError
from seesaw_d2.losses import LOSS_REGISTRY
from seesaw_d2.train.preflight.keys import check_written, needs_of
from seesaw_d2.train.preflight.keys.written import COMMAND_LINE, Layer
from seesaw_d2.train.preflight.schedule import resolve_schedule
from tests.modeling.tiny import CASCADE, tiny_config

LOSS, PREDICTOR = "MODEL.ROI_BOX_HEAD.CLS_LOSS", "MODEL.ROI_BOX_HEAD.CLS_PREDICTOR"
CALIBRATION = "MODEL.ROI_HEADS.CALIBRATION"
HEADS = {
    "StandardROIHeads": (),
    "SeesawROIHeads": (),
    "IterativeROIHeads": (),
    "CascadeROIHeads": CASCADE[2:],
    "SeesawCascadeROIHeads": CASCADE[2:],
}
LOSSES = sorted(name for name, each in LOSS_REGISTRY if set(each.backgrounds) - {"none"})
WRAPPED = [("PairwiseClassBalance", name) for name in ("SeesawLoss", "CrossEntropyLoss", "EqualizationLossV2")]
# Another value of each key for which ``another`` cannot find a value.
VALUES = {
    f"{LOSS}.NAME": "FocalLoss",
    f"{LOSS}.BACKGROUND": "class",
    f"{LOSS}.GOL.WEIGHTING": "eql",
    f"{LOSS}.GOL.ACTIVATION": "sigmoid",
    f"{LOSS}.IIF.LINK": "smooth",
    f"{LOSS}.IIF.COUNTS": "instances",
    f"{LOSS}.PCB.MAX_MATRIX_MB": 1e-6,
    f"{LOSS}.PCB.UNSEEN": "ignore",
    f"{PREDICTOR}.NAME": "Linear",
    f"{CALIBRATION}.NORCAL.FACTOR": "effective_number",
    f"{CALIBRATION}.NORCAL.SCALED": "logits",
    f"{CALIBRATION}.FRACAL.FREQUENCY": "instances",
    f"{CALIBRATION}.FRACAL.LINK": "raw",
    "MODEL.ROI_BOX_CASCADE_HEAD.AVERAGE": "logits",
    "MODEL.ROI_BOX_CASCADE_HEAD.IOUS": (0.5, 0.7, 0.8),
    "MODEL.ROI_BOX_CASCADE_HEAD.BBOX_REG_WEIGHTS": tuple((float(n),) * 4 for n in (1, 2, 3)),
    "DATALOADER.REPEAT_ROUNDING": "ceil",
    "DATALOADER.REPEAT_FREQUENCY": "instances",
    "DATALOADER.REPEAT_THRESHOLD": 0.9,
    "MODEL.ROI_MASK_HEAD.NAME": "NormedMaskHead",
}
NODES = (
    "MODEL.ROI_HEADS.CALIBRATION.",
    "MODEL.ROI_BOX_HEAD.CLS_",
    "MODEL.ROI_BOX_CASCADE_HEAD.",
    "MODEL.ROI_ITERATIVE_HEAD.",
    "MODEL.SMALL_RESNET.",
)
MASK_KEYS = [f"MODEL.ROI_MASK_HEAD.{name}" for name in ("NAME", "PER_STAGE", "TEMPERATURE")]
KEYS = [key for key in leaf_keys(default_config()) if key.startswith(NODES) or key in MASK_KEYS]
# Keys that do not affect the model, but the source of counts or the schedule.
OUTSIDE = (
    f"{LOSS}.SEESAW.CLASS_COUNTS",
    f"{LOSS}.PCB.START_EPOCH",
    f"{LOSS}.LDAM.START_EPOCH",
    "MODEL.ROI_BOX_HEAD.CLS_AGNOSTIC_BBOX_REG",
    "MODEL.ROI_HEADS.CALIBRATION.NAME",  # an empty text is never refused
    "MODEL.ROI_HEADS.CALIBRATION.COUNTS",
)
INTERNAL = frozenset(vars(torch.nn.Module())) - {"training"}  # parameters, buffers, submodules and hooks


def another(key, value):
    """Return another valid value of a key."""
    if key in VALUES:
        return VALUES[key]
    if key == f"{LOSS}.PCB.LOSS":
        return "SeesawLoss" if value == "CrossEntropyLoss" else "CrossEntropyLoss"
    if isinstance(value, bool):
        return not value
    if isinstance(value, (list, tuple)):
        return type(value)(another("", each) for each in value)
    return value * 0.9 if isinstance(value, float) else value + 1


def changed(cfg: CfgNode, key: str) -> CfgNode:
    result = cfg.clone()
    choose(result, key, another(key, read_value(cfg, key)))
    return result


def refused(cfg: CfgNode, key: str) -> bool:
    """Return whether ``train_net.py`` refuses the key on the command line."""
    try:
        check_written(cfg, [Layer(COMMAND_LINE, {key: read_value(cfg, key)}, None, is_base=False)])
    except ConfigError as error:
        return key in str(error)
    return False


def heads_alone(cfg: CfgNode) -> torch.nn.Module:
    """Build the heads without the backbone and RPN, on which keys of heads have no effect. Takes half the time."""
    names, channels = cfg.MODEL.ROI_HEADS.IN_FEATURES, cfg.MODEL.FPN.OUT_CHANNELS
    return build_roi_heads(cfg, {name: ShapeSpec(channels, stride=2 ** int(name[1:])) for name in names})


def fingerprint(cfg: CfgNode, build=build_model):
    """Return the modules of a model with plain attributes and initial values, or the error of building the model."""
    torch.manual_seed(0)
    try:
        model = build(cfg)
    except ConfigError as error:
        return str(error)
    modules = model.named_modules()
    attributes = [(name, type(module).__name__, described(vars(module), INTERNAL)) for name, module in modules]
    state = {name: (tuple(value.shape), value.double().sum().item()) for name, value in model.state_dict().items()}
    return repr((attributes, state))


def described(value, leave_out=()):
    """Return plain values and the contents of objects. For modules, tensors and functions, return only the types."""
    if isinstance(value, dict):
        return {str(name): described(each) for name, each in value.items() if name not in leave_out}
    if isinstance(value, (list, tuple)):
        return [described(each) for each in value]
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    if isinstance(value, (torch.nn.Module, torch.Tensor)) or not hasattr(value, "__dict__") or isroutine(value):
        return type(value).__name__
    return type(value).__name__, described(vars(value))


def disagreements(cfg: CfgNode, keys, build=build_model):
    """Return the keys that affect the model but are refused, and the keys that have no effect but are accepted."""
    plain = fingerprint(cfg, build)
    return [key for key in keys if (fingerprint(changed(cfg, key), build) != plain) == refused(cfg, key)]


@pytest.mark.parametrize("head", HEADS)
def test_every_key_with_each_head(head):
    cfg = tiny_config("MODEL.ROI_HEADS.NAME", head, *HEADS[head])
    backbone = [key for key in KEYS if key.startswith("MODEL.SMALL_RESNET.")]
    assert disagreements(cfg, backbone) == []
    assert disagreements(cfg, [key for key in KEYS if key not in (*OUTSIDE, *backbone)], heads_alone) == []


@pytest.mark.parametrize("loss", [*LOSSES, *WRAPPED], ids=str)
def test_every_key_with_each_loss(loss):
    name, wrapped = loss if isinstance(loss, tuple) else (loss, "SeesawLoss")
    cfg = tiny_config(f"{LOSS}.NAME", name, f"{LOSS}.PCB.LOSS", wrapped)
    keys = [key for key in KEYS if key.startswith(f"{LOSS}.") and key.count(".") == 4 and key not in OUTSIDE]
    assert disagreements(cfg, keys, heads_alone) == []


@pytest.mark.parametrize(
    "overrides",
    [
        (f"{PREDICTOR}.NAME", "Linear"),
        (f"{PREDICTOR}.NAME", "LWSLinear"),
        ("MODEL.MASK_ON", False, "MODEL.ROI_HEADS.NAME", "SeesawCascadeROIHeads", *CASCADE[2:]),
        ("MODEL.ROI_MASK_HEAD.NAME", "NormedMaskHead"),
        ("MODEL.META_ARCHITECTURE", "ProposalNetwork"),
    ],
    ids=str,
)
def test_every_key_with_other_choices(overrides):
    cfg = tiny_config(*overrides)
    own = [key for key in overrides if key in KEYS]
    assert disagreements(cfg, [key for key in KEYS if key not in (*OUTSIDE, *own)]) == []


def test_every_key_with_an_image_classifier():
    cfg = load_config("configs/digits/seesaw.yaml", ["MODEL.DEVICE", "cpu"])
    keys = [key for key in KEYS if key not in OUTSIDE]
    assert disagreements(cfg, [*keys, "MODEL.CLASSIFIER.NUM_CLASSES", "MODEL.ROI_HEADS.NUM_CLASSES"]) == []


RECORDS = [{"annotations": [{"category_id": int(i % 7 == 0)}] * (1 if i % 7 == 0 else 5)} for i in range(20)]


@pytest.mark.parametrize("sampler", WITH_EPOCHS)
def test_every_key_with_each_sampler(sampler):
    cfg = load_config("", ["DATALOADER.SAMPLER_TRAIN", sampler, "DATALOADER.REPEAT_THRESHOLD", 0.4])

    def order(cfg):
        return list(itertools.islice(build_sampler(cfg, RECORDS, seed=1), 60))

    for name in ("REPEAT_THRESHOLD", "REPEAT_ROUNDING", "REPEAT_FREQUENCY"):
        key = f"DATALOADER.{name}"
        assert (order(changed(cfg, key)) != order(cfg)) != refused(cfg, key), key


@pytest.mark.parametrize("name", ["WarmupMultiStepLR", "WarmupCosineLR"])
@pytest.mark.parametrize("epochs", [0.0, 10.0])
def test_every_key_with_each_schedule(name, epochs):
    cfg = load_config("", ["SOLVER.LR_SCHEDULER_NAME", name, "SOLVER.EPOCHS", epochs, "SOLVER.STEP_EPOCHS", "[3, 6]"])
    cfg.SOLVER.WARMUP_ITERS = 0
    cfg.SOLVER.MAX_ITER, cfg.SOLVER.STEPS, cfg.SOLVER.IMS_PER_BATCH = 8, (2, 5), 4

    def rates(cfg):
        cfg, rates = cfg.clone(), []
        schedule = resolve_schedule(cfg.SOLVER, 8, 8)
        cfg.SOLVER.MAX_ITER, cfg.SOLVER.STEPS = schedule.max_iter, schedule.steps
        optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=1.0)
        scheduler = build_lr_scheduler(cfg, optimizer)
        for _ in range(schedule.max_iter):
            rates.append(optimizer.param_groups[0]["lr"])
            optimizer.step()
            scheduler.step()
        return rates

    for key in ("MAX_ITER", "STEPS", "STEP_EPOCHS", "GAMMA"):
        assert (rates(changed(cfg, f"SOLVER.{key}")) != rates(cfg)) != refused(cfg, f"SOLVER.{key}"), key


def test_choices_together():
    """Test that a key is read if each choice in the config allows the key, in 300 of the 1,920 combinations."""
    plain = tiny_config()
    axes = {
        "MODEL.ROI_HEADS.NAME": list(HEADS),
        f"{LOSS}.NAME": LOSSES,
        f"{PREDICTOR}.NAME": ["NormedLinear", "Linear", "LWSLinear"],
        "DATALOADER.SAMPLER_TRAIN": [*SAMPLERS, *MAIN_SAMPLERS],
    }
    needs = {key: needs_of(key, ours=True) for key in [*KEYS, *VALUES]}

    def lacking(cfg):
        return {key for key, each in needs.items() if any(need.key in axes and not need.met(cfg) for need in each)}

    def alone(choice, value):
        choose(cfg := plain.clone(), choice, value)
        return {key for key, each in needs.items() if any(n.key == choice and not n.met(cfg) for n in each)}

    by_itself = {(choice, value): alone(choice, value) for choice, values in axes.items() for value in values}
    cfg = plain.clone()
    for values in random.Random(0).sample(list(itertools.product(*axes.values())), 300):
        for choice, value in zip(axes, values, strict=True):
            choose(cfg, choice, value)
        assert lacking(cfg) == set().union(*(by_itself[pair] for pair in zip(axes, values, strict=True))), values


def choose(cfg: CfgNode, key: str, value) -> None:
    *nodes, name = key.split(".")
    read_value(cfg, ".".join(nodes))[name] = value
