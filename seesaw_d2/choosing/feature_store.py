"""The features of a trained model's training and test images on disk, and what they depend on."""

import hashlib
import json
from pathlib import Path
from typing import Any

from detectron2.config import CfgNode
from detectron2.data import MetadataCatalog
from torch import nn
from tqdm import tqdm

from seesaw_d2.choosing.classification_data import record_classification
from seesaw_d2.choosing.detection_data import record_detection
from seesaw_d2.choosing.recording import digest_of_model
from seesaw_d2.data.records.registration import register_datasets
from seesaw_d2.errors import ConfigError
from seesaw_d2.train.tasks import DETECTION, task_of
from seesaw_d2.utils.atomic_files import write_text
from seesaw_d2.utils.json_reading import fingerprint


def store_features(cfg: CfgNode, model: nn.Module, folder: Path) -> None:
    """Store the features of training and test images, unless the folder has them.

    Raises:
        ConfigError: the folder has features of other weights, data or settings.
    """
    made_from = {"config": data_digest(cfg), "annotations": annotations_of(cfg), "model": digest_of_model(model)}
    path, text = folder / "complete.json", json.dumps(made_from, indent=1)
    if path.is_file():
        if path.read_text() != text:
            raise ConfigError(
                f"{path}: expected features that this config, these weights and these annotations gave, found "
                "features of other settings; name another --output"
            )
        return
    (record_detection if task_of(cfg) is DETECTION else record_classification)(cfg, model, folder, made_from, _shown)
    write_text(path, text)


def _shown(iterable, total: int, text: str):
    return tqdm(iterable, total=total, desc=text, unit="batch", disable=None)


def data_digest(cfg: CfgNode) -> str:
    """Return a hash of the config keys that change the features."""
    own = cfg.clone()
    own.defrost()
    own.MODEL.WEIGHTS = ""
    text = "".join(own[node].dump() for node in ("MODEL", "INPUT", "DATASETS", "DATALOADER"))
    return hashlib.sha256(f"{text}{cfg.SEED} {cfg.SOLVER.IMS_PER_BATCH}".encode()).hexdigest()


def annotations_of(cfg: CfgNode) -> dict[str, Any]:
    """Return the fingerprint of each annotation file of DATASETS, by data set."""
    register_datasets(cfg)
    names = (*cfg.DATASETS.TRAIN, *cfg.DATASETS.TEST)
    files = {name: vars(MetadataCatalog.get(name)).get("json_file") for name in names}
    return {name: fingerprint(file) for name, file in files.items() if file}
