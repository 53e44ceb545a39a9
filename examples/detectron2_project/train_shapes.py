#!/usr/bin/env python
"""Train the model of a Detectron2 project with its own meta-architecture, and with heads and evaluator of seesaw_d2.

python train_shapes.py --output output/shapes --iterations 60
"""

import argparse
from pathlib import Path

from detectron2.config import CfgNode
from detectron2.engine import DefaultTrainer, default_setup
from detectron2.modeling import META_ARCH_REGISTRY, GeneralizedRCNN
from shapes import CATEGORIES, register_shapes

from seesaw_d2 import model_zoo  # registers SeesawROIHeads and other heads
from seesaw_d2.evaluation import LongTailEvaluator
from seesaw_d2.utils.own_files import claim_folder


@META_ARCH_REGISTRY.register()
class BrightnessFreeRCNN(GeneralizedRCNN):
    """Subtract the mean color from each image. This class is an example of a custom meta-architecture."""

    def preprocess_image(self, batched_inputs):
        images = super().preprocess_image(batched_inputs)
        images.tensor -= images.tensor.mean(dim=(2, 3), keepdim=True)
        return images


class Trainer(DefaultTrainer):
    """Train like Detectron2's DefaultTrainer, and evaluate AP of rare, common and frequent categories, as in LVIS."""

    @classmethod
    def build_evaluator(cls, cfg, dataset_name, output_folder=None):
        # Set the frequency group of each category. By default, the annotation file defines the groups.
        groups = {number + 1: letter for number, letter in enumerate("fcr")}
        folder = output_folder or f"{cfg.OUTPUT_DIR}/inference"
        return LongTailEvaluator(dataset_name, output_dir=folder, frequency=groups)


def build_config(output: str, iterations: int) -> CfgNode:
    """Return a config, derived from the smallest config of this package.

    You can also derive it from a config of Detectron2, after you have called ``add_seesaw_config(cfg)``.
    """
    cfg = model_zoo.get_cfg("quickstart/Base-glyphs.yaml")
    cfg.MODEL.META_ARCHITECTURE = "BrightnessFreeRCNN"
    cfg.MODEL.ROI_HEADS.NAME = "SeesawROIHeads"
    cfg.MODEL.ROI_HEADS.NUM_CLASSES = len(CATEGORIES)
    cfg.MODEL.WEIGHTS = ""
    cfg.DATASETS.REGISTER = []  # shapes.py registers the data
    cfg.DATASETS.TRAIN, cfg.DATASETS.TEST = ("shapes_train",), ("shapes_val",)
    cfg.SOLVER.MAX_ITER, cfg.SOLVER.STEPS, cfg.SOLVER.WARMUP_ITERS = iterations, (), iterations // 10
    cfg.OUTPUT_DIR = output
    return cfg


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--output", default="output/shapes", help="output folder (default: output/shapes)")
    parser.add_argument("--iterations", type=int, default=300, help="number of training iterations (default: 300)")
    args = parser.parse_args()
    claim_folder(args.output, "shapes.txt")  # raises an error if the folder has other files
    register_shapes(Path(args.output) / "data", {"train": 80, "val": 12})
    cfg = build_config(args.output, args.iterations)
    default_setup(cfg, args)
    trainer = Trainer(cfg)
    trainer.resume_or_load(resume=False)
    trainer.train()
    found = trainer.storage.latest()
    print(", ".join(f"{name} {found[name][0]:.1f}" for name in ("bbox/AP", "bbox/APr", "bbox/APc", "bbox/APf")))


if __name__ == "__main__":
    main()
