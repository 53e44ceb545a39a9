"""Test that SOLVER.MAX_ITER and STEPS of the LVIS configs equal the values that follow from SOLVER.EPOCHS."""

from pathlib import Path

import pytest

from seesaw_d2.data.sampling.repeat_factors import REPEATED, image_repeat_factors
from seesaw_d2.data.sampling.simulated_counts import deal_images, read_category_counts
from seesaw_d2.train import load_config
from seesaw_d2.train.preflight.schedule import resolve_schedule
from tests.shared import shared_path

ROOT = Path(__file__).parents[2]
# Number of training images with objects. Images without objects are not used.
NUM_IMAGES = {"lvis_v1_train": 99388, "lvis_v0.5_train": 56740}
# Estimated images in an epoch with repeat factors that are rounded up (docs/sampling.md). Unknown for v0.5.
REPEATED_IMAGES = {"lvis_v1_train": 124281}
# Estimated images in an epoch with DATALOADER.REPEAT_FREQUENCY "instances".
INSTANCE_AWARE_IMAGES = {"lvis_v1_train": 152058}


def lvis_configs():
    for path in sorted(ROOT.glob("configs/**/*.yaml")):
        cfg = load_config(str(path))
        if cfg.DATASETS.TRAIN and cfg.DATASETS.TRAIN[0] in NUM_IMAGES and not path.stem.startswith("Base-"):
            yield pytest.param(cfg, id=str(path.relative_to(ROOT / "configs")))


@pytest.mark.parametrize("cfg", lvis_configs())
def test_epochs_and_iterations_are_the_same(cfg):
    (name,) = cfg.DATASETS.TRAIN
    images = NUM_IMAGES[name]
    if cfg.DATALOADER.SAMPLER_TRAIN == REPEATED:
        known = INSTANCE_AWARE_IMAGES if cfg.DATALOADER.REPEAT_FREQUENCY == "instances" else REPEATED_IMAGES
        images = known.get(name, images)
    schedule = resolve_schedule(cfg.SOLVER, NUM_IMAGES[name], images)
    assert cfg.SOLVER.EPOCHS > 0
    assert (cfg.SOLVER.MAX_ITER, tuple(cfg.SOLVER.STEPS)) == (schedule.max_iter, schedule.steps)
    for node in (cfg.MODEL.ROI_BOX_HEAD.CLS_LOSS.PCB, cfg.MODEL.ROI_BOX_HEAD.CLS_LOSS.LDAM):
        assert node.START_EPOCH * schedule.iterations_per_epoch == node.START_ITER


def test_the_repeated_images_are_those_of_lvis_counts():
    _, images, instances = read_category_counts(str(shared_path("data/lvis_v1_train_category_counts.json")))
    records = deal_images(images, instances, NUM_IMAGES["lvis_v1_train"], NUM_IMAGES["lvis_v1_train"])
    for frequency, known in (("images", REPEATED_IMAGES), ("instances", INSTANCE_AWARE_IMAGES)):
        factors = image_repeat_factors(records, 0.001, "ceil", frequency=frequency)
        assert float(factors.double().sum()) == pytest.approx(known["lvis_v1_train"], rel=1e-3)
