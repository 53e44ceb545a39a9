"""Store the inputs of a trained model's classifier (features) for the training and test images."""

import hashlib
import json
from pathlib import Path

from detectron2.config import CfgNode
from torch import nn
from tqdm import tqdm

from seesaw_d2.choosing.classification_data import record_classification
from seesaw_d2.choosing.detection_data import record_detection
from seesaw_d2.choosing.image_sets import annotations_of
from seesaw_d2.choosing.recording import digest_of_model
from seesaw_d2.errors import ConfigError
from seesaw_d2.train.tasks import DETECTION, task_of
from seesaw_d2.utils.atomic_files import write_text


def store_features(cfg: CfgNode, model: nn.Module, folder: Path) -> None:
    """Store the inputs of the classifier (features) for the training and test images, unless they are already stored.

    Args:
        cfg, model: config and model of a trained detector or image classifier.
        folder: output folder. Its file complete.json identifies the weights, data and settings of the features.

    Raises:
        ConfigError: the folder contains features that were computed with other weights, data or settings.
    """
    made_from = {"config": data_digest(cfg), "annotations": annotations_of(cfg), "model": digest_of_model(model)}
    path, text = folder / "complete.json", json.dumps(made_from, indent=1)
    if path.is_file():
        if path.read_text() != text:
            raise ConfigError(
                f"{path}: the stored features belong to another config, other weights or other annotations. Choose "
                "another folder with --output"
            )
        return
    (record_detection if task_of(cfg) is DETECTION else record_classification)(cfg, model, folder, made_from, _shown)
    write_text(path, text)


def _shown(iterable, total: int, text: str):
    return tqdm(iterable, total=total, desc=text, unit="batch", disable=None)


def data_digest(cfg: CfgNode) -> str:
    """Return a hash of the config keys on which the stored features depend.

    MODEL.WEIGHTS is not one of them, because ``digest_of_model`` identifies the weights independently of their path.
    """
    own = cfg.clone()
    own.defrost()
    own.MODEL.WEIGHTS = ""
    text = "".join(own[node].dump() for node in ("MODEL", "INPUT", "DATASETS", "DATALOADER"))
    return hashlib.sha256(f"{text}{cfg.SEED} {cfg.SOLVER.IMS_PER_BATCH}".encode()).hexdigest()
