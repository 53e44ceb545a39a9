"""Create run folders like those of trainings."""

import json
from pathlib import Path

import torch
import yaml

from seesaw_d2.train import load_config


def make_run(folder: Path, config_file: Path, records, num_classes: int, plain: bool = False, confuse: bool = False):
    """Create a run folder whose detections equal the ground truth.

    If ``confuse``, detections have the next category. If ``plain``, the files are those of a Detectron2 training.
    """
    cfg = load_config(str(config_file))
    name = cfg.DATASETS.TEST[0]
    inference = folder / "inference" if plain else folder / "inference" / name
    inference.mkdir(parents=True)
    results = []
    for record in records:
        for item in record["annotations"]:
            category = (item["category_id"] + confuse) % num_classes
            # The category ids of the glyph dataset are index + 1.
            result = {"image_id": record["image_id"], "category_id": category + 1, "bbox": list(item["bbox"])}
            results.append({**result, "score": 0.75})
    (inference / "lvis_instances_results.json").write_text(json.dumps(results))
    (folder / "config.yaml").write_text(cfg.dump() if not plain else _plain(cfg))
    lines = [
        {"iteration": i, "total_loss": 3 / (i + 1), "lr": 0.1, "fast_rcnn/class_accuracy_rare": 0.1} for i in range(9)
    ]
    (folder / "metrics.json").write_text("\n".join(map(json.dumps, lines)) + '\n{"torn')
    model = {"roi_heads.box_predictor.cls_score.weight": torch.rand(num_classes + 2, 8)}
    if not plain:
        model["roi_heads.box_predictor.cls_loss.class_counts"] = torch.arange(num_classes + 1)
    torch.save({"model": model}, folder / "model_final.pth")
    return folder


def _plain(cfg) -> str:
    """Return a config with an unknown key, as in another version of Detectron2."""
    datasets = {"TRAIN": list(cfg.DATASETS.TRAIN), "TEST": list(cfg.DATASETS.TEST), "UNKNOWN": 1}
    return yaml.safe_dump({"DATASETS": datasets, "MODEL": {"ROI_HEADS": {"NAME": "StandardROIHeads"}}})
