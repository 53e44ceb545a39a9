"""Test that the LazyConfigs in configs/lazy build the same models as the corresponding YAML configs."""

import builtins
from importlib.util import find_spec
from pathlib import Path

import pytest
import torch
from detectron2 import modeling
from detectron2.config import LazyConfig, instantiate
from detectron2.solver import build_lr_scheduler, build_optimizer
from detectron2.structures import Boxes, Instances, PolygonMasks
from detectron2.utils.events import EventStorage
from torch.overrides import TorchFunctionMode

from seesaw_d2 import model_zoo
from seesaw_d2.errors import ConfigError

ROOT = Path(__file__).parents[2]
RECIPES = [
    "mask_rcnn_R_50_FPN_rfs_seesaw_2x",
    pytest.param("cascade_mask_rcnn_R_101_FPN_rfs_seesaw_2x", marks=pytest.mark.slow),
]
VITDET = "lazy/mask_rcnn_vitdet_b_rfs_seesaw_100ep.py"
CLASSES = 7
HEIGHT, WIDTH = 96, 128


class EveryDrawSeeded(TorchFunctionMode):
    """Set the same seed before each initialization, so that random values depend only on distribution and shape.

    Otherwise, values would depend on the order of the modules, which differs between the two models of a cascade.
    """

    def __torch_function__(self, function, types, args=(), kwargs=None):
        if getattr(function, "__name__", "") in ("normal_", "uniform_", "trunc_normal_"):
            torch.manual_seed(0)
        return function(*args, **(kwargs or {}))


def both(name):
    """Return the YAML config and its model, and the LazyConfig and its model, with few categories."""
    cfg = model_zoo.get_cfg(f"seesaw/{name}.yaml")
    cfg.merge_from_list(["MODEL.DEVICE", "cpu", "MODEL.ROI_HEADS.NUM_CLASSES", CLASSES, "DATASETS.TRAIN", ()])
    lazy = model_zoo.get_cfg(f"lazy/{name}.py")
    lazy.model.roi_heads.num_classes = CLASSES
    with EveryDrawSeeded():
        return cfg, modeling.build_model(cfg), lazy, instantiate(lazy.model)


def batch():
    instances = Instances((HEIGHT, WIDTH))
    instances.gt_boxes = Boxes(torch.tensor([[8.0, 8.0, 60.0, 70.0], [40.0, 20.0, 120.0, 90.0]]))
    instances.gt_classes = torch.tensor([1, 5])
    instances.gt_masks = PolygonMasks([[[8.0, 8.0, 60.0, 8.0, 60.0, 70.0]], [[40.0, 20.0, 120.0, 20.0, 60.0, 90.0]]])
    image = torch.randint(0, 256, (3, HEIGHT, WIDTH), generator=torch.Generator().manual_seed(0), dtype=torch.uint8)
    return [{"image": image, "instances": instances, "height": HEIGHT, "width": WIDTH}]


@pytest.mark.parametrize("name", RECIPES)
def test_the_same_model_and_recipe(name):
    """Compare parameters, trained parameters, losses, detections, optimizer and schedule of both models."""
    cfg, ours, lazy, theirs = both(name)
    expected, found = ours.state_dict(), theirs.state_dict()
    assert set(expected) == set(found)
    for key, value in expected.items():
        torch.testing.assert_close(found[key], value, rtol=0, atol=0, msg=lambda text, key=key: f"{key}: {text}")
    trained = [{key for key, value in model.named_parameters() if value.requires_grad} for model in (ours, theirs)]
    assert trained[0] == trained[1]
    optimizers = same_optimizers(cfg, ours, lazy, theirs)
    same_schedules(cfg, lazy, *optimizers)
    for model in (ours, theirs):
        assert limit_detections(model) == cfg.TEST.DETECTIONS_PER_IMAGE
        keep_features_small(model)
    losses = []
    for model in (ours.train(), theirs.train()):
        torch.manual_seed(3)
        with EventStorage():
            losses.append(model(batch()))
    torch.testing.assert_close(losses[1], losses[0], rtol=0, atol=0)
    with torch.no_grad():
        fields = [model.eval()(batch())[0]["instances"].get_fields() for model in (ours, theirs)]
    assert len(fields[0]["scores"]) > 5
    for key in ("scores", "pred_classes", "pred_masks"):
        assert torch.equal(fields[0][key], fields[1][key])
    assert torch.equal(fields[0]["pred_boxes"].tensor, fields[1]["pred_boxes"].tensor)


def keep_features_small(model):
    """Scale the weights down, because features of random weights explode, and no boxes would be left to compare."""
    for key, module in model.named_modules():
        if key.endswith("conv3.norm"):
            torch.nn.init.constant_(module.weight, 0.1)


def limit_detections(model):
    """Limit the number of detections, because 300 masks take ten seconds. Return the former number."""
    predictors = model.roi_heads.box_predictor
    last = predictors[-1] if isinstance(predictors, torch.nn.ModuleList) else predictors
    before, last.test_topk_per_image = last.test_topk_per_image, 20
    return before


def same_optimizers(cfg, ours, lazy, theirs):
    lazy.optimizer.params.model = theirs
    optimizers = build_optimizer(cfg, ours), instantiate(lazy.optimizer)
    settings = []
    for model, optimizer in zip((ours, theirs), optimizers, strict=True):
        names = {id(value): key for key, value in model.named_parameters()}
        groups = [(value, group) for group in optimizer.param_groups for value in group["params"]]
        keys = ("lr", "momentum", "weight_decay", "nesterov")
        settings.append({names[id(value)]: [group[key] for key in keys] for value, group in groups})
    assert settings[0] == settings[1]
    return optimizers


def same_schedules(cfg, lazy, ours, theirs):
    per_epoch = lazy.train.max_iter // 24
    cfg.SOLVER.MAX_ITER, cfg.SOLVER.STEPS = lazy.train.max_iter, [int(e * per_epoch) for e in cfg.SOLVER.STEP_EPOCHS]
    expected, multiplier = build_lr_scheduler(cfg, ours), instantiate(lazy.lr_multiplier)
    for step in (0, 250, 499, 501, 124287, 124288, 170896, 186431):
        expected.last_epoch = step
        (rate, *_) = expected.get_lr()
        assert 0.02 * multiplier(step / cfg.SOLVER.MAX_ITER) == pytest.approx(rate)


def test_vitdet():
    """Test ViTDet's model with the Seesaw predictor on Detectron2's main branch, and the error with v0.6."""
    if not hasattr(modeling, "ViT"):
        original = builtins.__import__
        with pytest.raises(ConfigError, match=r"main branch.* detectron2\.modeling\.ViT"):
            model_zoo.get_cfg(VITDET)
        assert builtins.__import__ is original  # Detectron2 may not restore the function after an error
        return
    if find_spec("timm") is None:
        with pytest.raises(ConfigError, match="package timm"):
            model_zoo.get_cfg(VITDET)
        return
    cfg = model_zoo.get_cfg(VITDET)
    cfg.model.roi_heads.num_classes = CLASSES
    cfg.model.backbone.net.update(img_size=64, embed_dim=32, depth=2, num_heads=2, window_block_indexes=[0])
    cfg.model.backbone.square_pad = 64
    model = instantiate(cfg.model).train()
    assert model.roi_heads.box_predictor.cls_score.out_features == CLASSES + 2
    cfg.optimizer.params.model = model
    assert instantiate(cfg.optimizer).param_groups
    with EventStorage():
        losses = model([{**batch()[0]}])
    assert {"loss_cls_classes", "loss_cls_objectness", "loss_mask", "loss_rpn_cls"} <= set(losses)
    assert all(torch.isfinite(value) for value in losses.values())


def test_every_lazy_config_has_all_parts():
    """Test the parts of all LazyConfigs. ViTDet's config needs Detectron2's main branch (see ``test_vitdet``)."""
    vit = hasattr(modeling, "ViT") and find_spec("timm") is not None
    for path in sorted((ROOT / "configs/lazy").glob("*.py")):
        if "vitdet" not in path.name or vit:
            cfg = LazyConfig.load(str(path))
            assert {"model", "dataloader", "optimizer", "lr_multiplier", "train"} <= set(cfg)
