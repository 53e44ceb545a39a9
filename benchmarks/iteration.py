#!/usr/bin/env python
"""Measure a training iteration and inference, compared with Detectron2's Mask R-CNN and trainer.

    python benchmarks/iteration.py
    python benchmarks/iteration.py --model quickstart --options
    python benchmarks/iteration.py --device cuda --images 16 --size 800 --proposals 512 --options

--model selects a model:
    lvis           R-50-FPN with 1203 categories and class-specific masks
    quickstart     the glyph model with 108 categories, class-agnostic masks and class-agnostic boxes

Rows of the table:
    Detectron2's   StandardROIHeads, FastRCNNOutputLayers, MaskRCNNConvUpsampleHead, Detectron2's optimizer and
                   SimpleTrainer. On a GPU also AMPTrainer.
    ours           the same backbone and RPN with Seesaw Loss, SelectiveMaskHead and this project's trainer, as in the
                   config. The quickstart config sets three keys of docs/speed.md. --options measures each key alone.

Batches are generated and stay in memory. Weights are random, and equal in all backbones and RPNs. A random RPN finds
fewer objects than a trained RPN. Therefore, the number of objects in an image equals the number of foreground proposals
to sample. Repetitions of the models are interleaved. Times are medians: of CPU seconds of one thread on a CPU, and of
wall-clock seconds on a GPU. Ratios are medians, followed by the quartiles. Memory is the peak memory of tensors in one
iteration. The processes keep freed memory (see measuring.py), which also makes Detectron2's model faster.
"""

import argparse
import itertools
import logging
import statistics

import torch
from detectron2.engine import AMPTrainer, SimpleTrainer
from detectron2.modeling import build_model
from detectron2.solver import build_optimizer
from detectron2.structures import Boxes, Instances, PolygonMasks
from detectron2.utils.events import EventStorage
from measuring import header, interleaved, peak_memory, ratio, row

from seesaw_d2.train import Trainer, load_config
from seesaw_d2.train.acceleration import amp_dtype
from seesaw_d2.train.step import Step

MODELS = {
    "lvis": ("configs/seesaw/mask_rcnn_R_50_FPN_rfs_seesaw_2x.yaml", {"images": 1, "size": 256, "proposals": 128}),
    "quickstart": (
        "configs/quickstart/mask_rcnn_glyphs_seesaw.yaml",
        {"images": 8, "size": 128, "proposals": 64},
    ),
}
THEIRS = [
    *("MODEL.ROI_HEADS.NAME", "StandardROIHeads", "MODEL.ROI_MASK_HEAD.NAME", "MaskRCNNConvUpsampleHead"),
    *("MODEL.PROPOSAL_GENERATOR.NAME", "RPN"),
]
BFLOAT16 = ["SOLVER.AMP.ENABLED", "True", "SOLVER.AMP.DTYPE", "bfloat16"]
FUSED = ["SOLVER.OPTIMIZER_IMPLEMENTATION", "fused"]
NONE = [
    *("MODEL.CHANNELS_LAST", "False", "MODEL.ROI_ALIGN_GRADIENT", "torchvision"),
    *("SOLVER.OPTIMIZER_IMPLEMENTATION", "auto"),
]
OPTIONS = {
    "no option": [],
    "foreach": ["SOLVER.OPTIMIZER_IMPLEMENTATION", "foreach"],
    "fused": FUSED,
    "fused, metrics late": [*FUSED, "SOLVER.METRICS_PERIOD", "20"],
    "channels last": ["MODEL.CHANNELS_LAST", "True"],
    "bfloat16": BFLOAT16,
    "RoIAlign by products": ["MODEL.ROI_ALIGN_GRADIENT", "products"],
    "compiled backbone": ["MODEL.COMPILE", "['backbone']"],
}
EVERYTHING = [*BFLOAT16, "MODEL.CHANNELS_LAST", "True", "SOLVER.METRICS_PERIOD", "20", *FUSED]
CUDA_OPTIONS = {
    "float16": ["SOLVER.AMP.ENABLED", "True", "SOLVER.AMP.DTYPE", "float16"],
    "TF32": ["SOLVER.TF32", "all"],
    "bfloat16, channels last, fused, metrics late": EVERYTHING,
    "bfloat16, channels last, fused, metrics late, compiled": [*EVERYTHING, "MODEL.COMPILE", "['backbone']"],
}


def batch(images: int, size: int, num_classes: int, objects: int, seed: int = 0):
    generator = torch.Generator().manual_seed(seed)
    result = []
    for _ in range(images):
        corner = torch.rand(objects, 2, generator=generator) * size * 0.6
        boxes = torch.cat([corner, corner + size * (0.1 + 0.25 * torch.rand(objects, 2, generator=generator))], dim=1)
        instances = Instances((size, size))
        instances.gt_boxes = Boxes(boxes)
        instances.gt_classes = torch.randint(0, num_classes, (objects,), generator=generator)
        instances.gt_masks = PolygonMasks(
            [[[x0, y0, x1, y0, x1, y1, (x0 + x1) / 2, y1]] for x0, y0, x1, y1 in boxes.tolist()]
        )
        image = torch.randint(0, 256, (3, size, size), generator=generator, dtype=torch.uint8)
        result.append({"image": image, "instances": instances, "height": size, "width": size})
    return result


def config(args, overrides=()):
    path, _ = MODELS[args.model]
    common = ["MODEL.DEVICE", args.device, "MODEL.WEIGHTS", "", "OUTPUT_DIR", "output/benchmark"]
    common += ["DATASETS.REGISTER", "[]", "DATASETS.TRAIN", "()", "DATASETS.TEST", "()", "SOLVER.BASE_LR", "1e-4"]
    common += ["MODEL.ROI_HEADS.BATCH_SIZE_PER_IMAGE", args.proposals, "TEST.DETECTIONS_PER_IMAGE", args.detections]
    common += ["MODEL.ROI_HEADS.SCORE_THRESH_TEST", "0.01", "SOLVER.AMP.ENABLED", "False"]
    if args.model == "lvis":
        common += ["MODEL.ROI_MASK_HEAD.NAME", "SelectiveMaskHead"]
    return load_config(path, [*common, *overrides])


def detectron2s(args, trainer=SimpleTrainer):
    cfg = config(args, THEIRS)
    torch.manual_seed(0)
    model = build_model(cfg)
    return trainer(model, itertools.repeat(args.batch), build_optimizer(cfg, model))


def ours(args, overrides=()):
    cfg = config(args, overrides)
    torch.manual_seed(0)
    model = Trainer.build_model(cfg)
    return Step(
        model,
        itertools.repeat(args.batch),
        Trainer.build_optimizer(cfg, model),
        folder=cfg.OUTPUT_DIR,
        amp=amp_dtype(cfg),
        metrics_period=cfg.SOLVER.METRICS_PERIOD,
    )


def training(trainer):
    """Return a function that runs one training iteration of a trainer."""
    trainer.iter, storage = 0, EventStorage(0)

    def step():
        with storage:
            trainer.run_step()
        trainer.iter = storage.iter = storage.iter + 1

    return step


def inference(trainer, image):
    """Return a function that runs the model on one image, and returns the number of detections.

    A random classifier gives similar scores to all categories. Therefore, ``inference`` sets the same random biases in
    all models, so that scores differ between categories. The bias of background is low.
    """
    model = trainer.model
    predictor = model.roi_heads.box_predictor
    with torch.no_grad():
        bias = predictor.cls_score.bias
        bias.fill_(-5)  # background
        bias[predictor.num_classes : -1] = 5  # the objectness branch's logit of foreground, if it exists
        categories = bias[: predictor.num_classes]
        categories.copy_(torch.randn(len(categories), generator=torch.Generator().manual_seed(0)) * 3)

    def detect():
        model.eval()
        with torch.no_grad():
            return len(model([image])[0]["instances"])

    return detect


def report(kind, functions, images, args):
    times = interleaved(functions, args.repetitions, args.device, warm_up=2)
    first, *_ = functions
    memory = {} if args.no_memory else {name: peak_memory(each, args.device) for name, each in functions.items()}
    for name, own in times.items():
        cells = [f"{memory[name]:.0f}", f"{memory[name] / memory[first]:.2f}"] if memory else ["-", "-"]
        seconds = statistics.median(own)
        speed = [f"{seconds * 1e3:.0f}", f"{images / seconds:.2f}"]
        row(args.model, kind, name, *speed, ratio(own, times[first]), *cells)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", choices=list(MODELS), default="lvis")
    parser.add_argument("--images", type=int, help="images per batch (default: 1 for lvis, 8 for quickstart)")
    parser.add_argument("--size", type=int, help="height and width of the images (default: 256 and 128)")
    parser.add_argument("--proposals", type=int, help="sampled proposals per image (default: 128 and 64)")
    parser.add_argument("--detections", type=int, default=100)
    parser.add_argument("--options", action="store_true", help="also measure each option of docs/speed.md alone")
    parser.add_argument("--only", nargs="+", help="with --options: measure only these options")
    parser.add_argument("--no-memory", action="store_true")
    parser.add_argument("--repetitions", type=int, default=7)
    parser.add_argument("--device", default="cpu")
    args = parser.parse_args()
    for key, value in MODELS[args.model][1].items():
        setattr(args, key, getattr(args, key) or value)
    logging.disable(logging.INFO)
    torch.set_num_threads(1)
    num_classes = config(args).MODEL.ROI_HEADS.NUM_CLASSES
    args.batch = batch(args.images, args.size, num_classes, args.proposals // 4)
    trainers = {"Detectron2's": detectron2s(args), "ours": ours(args)}
    options = {**OPTIONS, **(CUDA_OPTIONS if args.device.startswith("cuda") else {})} if args.options else {}
    if args.device.startswith("cuda"):
        trainers["Detectron2's, AMP"] = detectron2s(args, AMPTrainer)
        options.pop("RoIAlign by products", None)
    for name, overrides in options.items():
        if not args.only or name in args.only:
            trainers[f"ours, {name}"] = ours(args, [*NONE, *overrides])
    header("model", "pass", "which", "ms", "images / s", "time / Detectron2's", "peak MB", "memory / Detectron2's")
    if not args.options:
        detectors = {name: inference(each, args.batch[0]) for name, each in trainers.items()}
        counts = ", ".join(f"{name} {detect()}" for name, detect in detectors.items())
        report(f"inference, 1 image of {args.size} ({counts} objects)", detectors, 1, args)
    for trainer in trainers.values():
        trainer.model.train()
    steps = {name: training(trainer) for name, trainer in trainers.items()}
    report(f"train, {args.images} images of {args.size}", steps, args.images, args)


if __name__ == "__main__":
    main()
