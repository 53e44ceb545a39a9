"""Provide a LazyConfig that trains for two iterations, and a function that runs it."""

from seesaw_d2.train.lazyconfig.job import main

CONFIG = """
from seesaw_d2 import model_zoo
from seesaw_d2.data import DatasetEntry, register_dataset

base = model_zoo.get_cfg("lazy/mask_rcnn_R_50_FPN_rfs_seesaw_2x.py")
for split in ("train", "val"):
    folder = "GLYPHS"
    register_dataset(DatasetEntry("lazy_" + split, f"{folder}/annotations/glyphs_{split}.json", folder + "/images"))
register_dataset(DatasetEntry("lazy_gone", "nowhere.json", "nowhere"))
model, dataloader, optimizer = base.model, base.dataloader, base.optimizer
lr_multiplier, train = base.lr_multiplier, base.train
model.backbone.bottom_up.stages.pop("stride_in_1x1")
model.backbone.bottom_up.stages.depth = 18
model.roi_heads.num_classes = 6
model.roi_heads.batch_size_per_image = 16
model.roi_heads.box_predictor.test_topk_per_image = 5
model.proposal_generator.post_nms_topk = (50, 20)
dataloader.train.update(names=["lazy_train"], repeat_threshold=0.5, total_batch_size=2, num_workers=0)
dataloader.test.dataset.name = "lazy_val"
dataloader.test.num_workers = 0
for part in (dataloader.train, dataloader.test):
    part.mapper.augmentations[0].update(short_edge_length=(64,), sample_style="choice", max_size=96)
train.update(device="cpu", init_checkpoint="", output_dir="RUN", max_iter=2, log_period=1)
"""


def run(config, *words):
    return main(["--config-file", str(config), *words])
