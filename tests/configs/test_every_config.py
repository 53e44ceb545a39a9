"""Test that every config runs a training step and inference, on data with the config's number of categories."""

from pathlib import Path

import pytest
import torch
from detectron2.modeling import build_model
from detectron2.solver import build_lr_scheduler, build_optimizer
from detectron2.utils.events import EventStorage

from seesaw_d2.train import SeesawCheckpointer, Trainer, load_config
from seesaw_d2.train.preflight.job_checks import Preflight
from tests.configs.lvis_like import NUM_IMAGES, OBJECTS_PER_IMAGE, make_lvis_like
from tests.resnets import random_resnet

ROOT = Path(__file__).parents[2]
# One config of each kind. All other configs are slow tests.
FAST = (
    "seesaw/mask_rcnn_R_50_FPN_rfs_seesaw_normmask_2x",
    "lvis_v0.5/mask_rcnn_R_50_FPN_random_ce_2x",
    "quickstart/mask_rcnn_glyphs_seesaw",
    "quickstart/decoupled_glyphs_lws",
)
SIZES = {
    "SEED": 2,  # with another seed, a stage may have no foreground and train nothing
    "INPUT.MIN_SIZE_TRAIN": (64,),
    "INPUT.MAX_SIZE_TRAIN": 96,
    "INPUT.MIN_SIZE_TEST": 64,
    "INPUT.MAX_SIZE_TEST": 96,
    "SOLVER.IMS_PER_BATCH": 2,
    "MODEL.RPN.PRE_NMS_TOPK_TRAIN": 50,
    "MODEL.RPN.PRE_NMS_TOPK_TEST": 50,
    "MODEL.RPN.POST_NMS_TOPK_TRAIN": 50,
    "MODEL.RPN.POST_NMS_TOPK_TEST": 20,
    "MODEL.ROI_HEADS.BATCH_SIZE_PER_IMAGE": 16,
    "TEST.DETECTIONS_PER_IMAGE": 5,
    "DATALOADER.NUM_WORKERS": 0,
    "MODEL.DEVICE": "cpu",
    "SOLVER.AMP.ENABLED": False,  # mixed precision needs a GPU
}
CROSS_ENTROPY = {
    "MODEL.ROI_BOX_HEAD.CLS_LOSS.NAME": "CrossEntropyLoss",
    "MODEL.ROI_BOX_HEAD.CLS_LOSS.BACKGROUND": "class",
    "MODEL.ROI_BOX_HEAD.CLS_PREDICTOR.NAME": "Linear",
}


# These configs are tested in test_segmentation.py, test_one_stage.py and test_classification.py.
OTHER_TESTS = (
    "semantic_",
    "Base-glyphs-semantic",
    "retinanet_",
    "fcos_",
    "Base-glyphs-one-stage",
    "crops_",
    "Base-crops",
)
CLASSIFICATION = ("cifar_lt", "digits", "imagenet_lt", "inaturalist18")


def parameters():
    for path in sorted(ROOT.glob("configs/**/*.yaml")):
        if path.parent.name in CLASSIFICATION or path.stem.startswith(OTHER_TESTS):
            continue
        name = str(path.relative_to(ROOT / "configs").with_suffix(""))
        yield pytest.param(path, id=name, marks=() if name in FAST else pytest.mark.slow)


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    """Return a dict from depth to a file of torchvision weights, so small that features of 33 blocks stay finite."""
    folder = tmp_path_factory.mktemp("weights")

    def make(depth):
        path = folder / f"resnet{depth}.pth"
        if not path.exists():
            torch.save(random_resnet(depth).state_dict(), path)
        return str(path)

    return make


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """Return a dict from the number of categories to DATASETS.REGISTER of the dataset lvis_like_<number>."""

    def make(num_classes):
        root = tmp_path_factory.getbasetemp() / f"lvis_like_{num_classes}"
        if not root.exists():
            make_lvis_like(root, num_classes)
        return [{"NAME": root.name, "JSON": str(root / "lvis.json"), "IMAGES": str(root / "images")}]

    return make


@pytest.fixture
def config(data, weights, tmp_path):
    def load(path):
        cfg = load_config(str(path))
        overrides = SIZES | {"OUTPUT_DIR": str(tmp_path / "run")}
        register = data(cfg.MODEL.ROI_HEADS.NUM_CLASSES)
        names = (register[0]["NAME"],)
        overrides |= {"DATASETS.REGISTER": register, "DATASETS.TRAIN": names, "DATASETS.TEST": names}
        if cfg.MODEL.FREEZE.NAMES:  # the base config of decoupled trainings has no weights
            overrides["MODEL.WEIGHTS"] = str(tmp_path / "pretrained.pth")
            pretrain(load_config(str(path), words(overrides | CROSS_ENTROPY)), weights)
        elif cfg.MODEL.WEIGHTS:
            overrides["MODEL.WEIGHTS"] = weights(cfg.MODEL.RESNETS.DEPTH)
        return load_config(str(path), words(overrides))

    return load


def words(overrides):
    return [word for pair in overrides.items() for word in pair]


def pretrain(cfg, weights):
    """Write an untrained checkpoint in place of the first stage of a decoupled training."""
    torch.manual_seed(1)
    model = build_model(cfg)
    if "small_resnet" not in cfg.MODEL.BACKBONE.NAME:
        SeesawCheckpointer(model).load(weights(cfg.MODEL.RESNETS.DEPTH), checkpointables=[])
    torch.save({"model": model.state_dict()}, cfg.MODEL.WEIGHTS)


@pytest.mark.parametrize("path", parameters())
def test_step_and_inference(config, path):
    cfg = config(path)
    torch.manual_seed(0)  # set the seed here, because the fixture draws random numbers when it creates weights
    Preflight(cfg).job()
    model = Trainer.build_model(cfg)
    if cfg.MODEL.WEIGHTS:
        SeesawCheckpointer(model).load(cfg.MODEL.WEIGHTS, checkpointables=[])
    optimizer = build_optimizer(cfg, model)
    build_lr_scheduler(cfg, optimizer)
    batch = next(iter(Trainer.build_train_loader(cfg)))
    with EventStorage():
        losses = model(batch)
    sum(losses.values()).backward()
    heads = {name: p for name, p in model.named_parameters() if "cls_score" in name or "mask" in name}
    # Compare gradients, because the first step, 2e-5, may be smaller than the resolution of a bias.
    assert not untrained(heads)
    assert all(p.grad is None for p in heads.values() if not p.requires_grad)
    optimizer.step()
    assert all(loss.isfinite() for loss in losses.values()), losses
    assert any(name.startswith("loss_cls") for name in losses)
    assert any(name.startswith("loss_mask") for name in losses)
    assert all(p.isfinite().all() for p in heads.values())
    _check_counts(model, cfg)

    model.eval()
    image = next(iter(Trainer.build_test_loader(cfg, cfg.DATASETS.TEST[0])))
    with torch.no_grad():
        (output,) = model(image)
    found = output["instances"]
    assert 0 < len(found) <= 5
    assert found.pred_masks.shape[1:] == (image[0]["height"], image[0]["width"])
    assert found.scores.isfinite().all()
    assert found.pred_classes.max() < cfg.MODEL.ROI_HEADS.NUM_CLASSES


def untrained(parameters):
    return [name for name, p in parameters.items() if p.requires_grad and (p.grad is None or not p.grad.any())]


def _check_counts(model, cfg):
    """Check the shape of the class counts, and that each stage's Seesaw Loss counted the stage's proposals."""
    if cfg.MODEL.ROI_BOX_HEAD.CLS_LOSS.NAME != "SeesawLoss":
        return
    predictors = model.roi_heads.box_predictor
    predictors = predictors if isinstance(predictors, torch.nn.ModuleList) else [predictors]
    for predictor in predictors:
        counts = predictor.cls_loss.class_counts
        assert counts.shape == (cfg.MODEL.ROI_HEADS.NUM_CLASSES + 1,)
        assert 0 < counts.sum() <= 2 * 16


def test_the_generated_data_is_lvis_like(config):
    from seesaw_d2.data import load_dataset, register_datasets

    cfg = config(ROOT / "configs/seesaw/mask_rcnn_R_50_FPN_rfs_seesaw_normmask_2x.yaml")
    register_datasets(cfg)
    records = load_dataset("lvis_like_1203")
    assert len(records) == NUM_IMAGES
    objects = [item["category_id"] for record in records for item in record["annotations"]]
    assert len(objects) == NUM_IMAGES * OBJECTS_PER_IMAGE
    assert objects.count(0) == NUM_IMAGES
    assert max(objects) > 255
