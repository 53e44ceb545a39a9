"""Build tiny models of both programs, with an eighth of the width and few classes.

``python -m tests.weights.converters.tiny`` writes golden/*.json with MMDetection's detections.
tests/weights/converters/mmdet_on_cpu.py describes how to install MMDetection.
"""

import dataclasses
import json
import sys
import tempfile
from pathlib import Path

import numpy as np
import torch
from pycocotools import mask as run_lengths

from seesaw_d2.train import load_config
from tests.weights.converters.detections import Detections, theirs, write_picture
from tests.weights.converters.mmdet_on_cpu import build_mmdet, lacking, mmdet_config, require_mmdet
from tests.weights.converters.random_weights import Calibration, calibrate, random_state

FOLDER = Path(__file__).parent / "golden"
NAMES = {
    f"{family}{mask}": f"{family}-rcnn_r{depth}_fpn_seesaw-loss{mask}_random-ms-2x_lvis-v1"
    for family, depth in (("mask", 50), ("cascade-mask", 101))
    for mask in ("", "-normed-mask")
}
CLASSES, COUNT, HEIGHT, WIDTH = 11, 20, 96, 160


def tiny_mmdet(name: str):
    """Return MMDetection's config of ``NAMES[name]`` made tiny, without resizing."""
    cfg = mmdet_config(f"seesaw_loss/{NAMES[name]}")
    model = cfg.model
    model.backbone.update(depth=50, base_channels=8, stem_channels=8)
    model.neck.update(in_channels=[32, 64, 128, 256], out_channels=16)
    model.rpn_head.update(in_channels=16, feat_channels=16)
    boxes = model.roi_head.bbox_head
    for head in boxes if isinstance(boxes, list) else [boxes]:
        head.update(in_channels=16, fc_out_channels=32, num_classes=CLASSES)
        head.loss_cls.num_classes = CLASSES
    model.roi_head.bbox_roi_extractor.out_channels = model.roi_head.mask_roi_extractor.out_channels = 16
    model.roi_head.mask_head.update(in_channels=16, conv_out_channels=16, num_classes=CLASSES)
    model.test_cfg.rcnn.max_per_img = COUNT
    cfg.test_pipeline[1]["scale"] = (WIDTH, HEIGHT)
    return cfg


def tiny_config(name: str):
    """Return this project's config of the same model."""
    family = "cascade_mask_rcnn_R_101" if name.startswith("cascade") else "mask_rcnn_R_50"
    mask = "_normmask" if name.endswith("normed-mask") else ""
    overrides = {
        "MODEL.DEVICE": "cpu",
        "MODEL.WEIGHTS": "",
        "MODEL.RESNETS.DEPTH": 50,
        "MODEL.RESNETS.STEM_OUT_CHANNELS": 8,
        "MODEL.RESNETS.RES2_OUT_CHANNELS": 32,
        "MODEL.RESNETS.WIDTH_PER_GROUP": 8,
        "MODEL.FPN.OUT_CHANNELS": 16,
        "MODEL.ROI_HEADS.NUM_CLASSES": CLASSES,
        "MODEL.ROI_BOX_HEAD.FC_DIM": 32,
        "MODEL.ROI_MASK_HEAD.CONV_DIM": 16,
        "TEST.DETECTIONS_PER_IMAGE": COUNT,
        "INPUT.MIN_SIZE_TEST": HEIGHT,
        "INPUT.MAX_SIZE_TEST": WIDTH,
        "INPUT.RESIZE": "opencv",
        "MODEL.ROI_BOX_CASCADE_HEAD.AVERAGE": "logits",
    }
    config = f"configs/seesaw/{family}_FPN_random_seesaw{mask}_2x.yaml"
    return load_config(config, [word for pair in overrides.items() for word in pair])


def picture(folder: Path) -> str:
    return write_picture(folder / "picture.png", HEIGHT, WIDTH)


def read_golden(name: str) -> tuple[dict[str, torch.Tensor], Detections]:
    """Return MMDetection's state, generated from its names, shapes and gains, and its detections."""
    golden = json.loads((FOLDER / f"{name}.json").read_text())
    masks = run_lengths.decode([{"size": [HEIGHT, WIDTH], "counts": counts} for counts in golden["masks"]])
    detections = Detections(
        torch.tensor(golden["boxes"]),
        torch.tensor(golden["scores"]),
        torch.tensor(golden["labels"]),
        torch.from_numpy(masks.transpose(2, 0, 1).astype(bool)),
    )
    return random_state(golden["shapes"], Calibration(golden["gains"], golden["offsets"])), detections


def write_golden(name: str) -> None:
    cfg = tiny_mmdet(name)
    model = build_mmdet(cfg)
    shapes = {key: list(value.shape) for key, value in model.state_dict().items()}
    model.load_state_dict(random_state(shapes))
    with tempfile.TemporaryDirectory() as folder:
        path = picture(Path(folder))
        calibration = calibrate(model, lambda: theirs(model, cfg, path))
        # Load the generated state, because rounding in the calibrated model differs.
        model.load_state_dict(random_state(shapes, calibration))
        found = theirs(model, cfg, path)
    masks = run_lengths.encode(np.asfortranarray(found.masks.numpy().astype(np.uint8).transpose(1, 2, 0)))
    content = {
        "shapes": shapes,
        **dataclasses.asdict(calibration),
        "boxes": found.boxes.tolist(),
        "scores": found.scores.tolist(),
        "labels": found.labels.tolist(),
        "masks": [mask["counts"].decode() for mask in masks],
    }
    FOLDER.mkdir(exist_ok=True)
    lines = [f"{json.dumps(key)}: {json.dumps(value, separators=(',', ':'))}" for key, value in content.items()]
    (FOLDER / f"{name}.json").write_text("{" + ",\n".join(lines) + "}\n")
    print(f"{name}: {len(found.labels)} detections of {len(found.labels.unique())} classes, {found.scores.tolist()}")


if __name__ == "__main__":
    if reason := lacking():
        sys.exit(f"error: {reason} (docs/published-models.md)")
    require_mmdet()
    for each in NAMES:
        write_golden(each)
