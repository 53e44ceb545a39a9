"""Define the options of ``tools/calibrate.py``, and check that its output folder has no results of other settings."""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from detectron2.config import CfgNode
from torch import nn

from seesaw_d2.choosing.candidates import check_names
from seesaw_d2.choosing.image_sets import ImageSet, annotations_of
from seesaw_d2.choosing.recording import digest_of_model
from seesaw_d2.choosing.sweep import METRICS
from seesaw_d2.errors import ConfigError
from seesaw_d2.utils.atomic_files import write_text
from seesaw_d2.utils.json_reading import load_json_object
from seesaw_d2.utils.own_files import claim_folder
from seesaw_d2.utils.worker_processes import count_workers

SETTINGS, MARK = "settings.json", "calibration.txt"
# For AP_fixed, at most this number of detections per image is evaluated. AP_fixed is defined without a limit per image,
# but a limit saves memory. For AP, the limit is TEST.DETECTIONS_PER_IMAGE. If you change this number, also change the
# text in report/templates/calibration.html.
FIXED_DETECTIONS_PER_IMAGE = 2000


@dataclass(frozen=True)
class Options:
    """Options for choosing a calibration, a rescaling of the class scores of a trained detector.

    Attributes:
        output: output folder. Default: OUTPUT_DIR/calibration.
        calibrations: names of the calibrations to try, such as "NorCal". Default: all that the model supports.
        values: values of the calibration parameter to try. Default: the values that each calibration class defines.
        choose_on: name of the dataset on which the calibration is chosen. Default: DATASETS.TRAIN.
        images: maximum number of images, drawn at random, on which the calibration is chosen. Default: 1000. With
            ``fold_count``, which uses all test images, it must be None.
        fold_count: number of folds (>= 2) for cross-validation on the test set. Each fold is evaluated with the
            parameter that is best on the other folds. If 0, the calibration is chosen on ``choose_on``.
        metric: the metric to maximize, such as "AP" or "APr_fixed" (``METRICS`` lists all).
        workers: number of processes that evaluate. Default: one process per core.
        masks: whether to also evaluate masks. This requires another pass of the model over the test set.
    """

    output: str | None = None
    calibrations: Sequence[str] | None = None
    values: Sequence[float] | None = None
    choose_on: str | None = None
    images: int | None = None
    fold_count: int = 0
    metric: str = "AP"
    workers: int | None = None
    masks: bool = False


def numbers(text: str, name: str) -> list[float]:
    """Parse numbers separated by commas, such as "0.5,1". ``name`` is the argument's name, for the error message."""
    try:
        return [float(each) for each in text.split(",")]
    except ValueError:
        raise ConfigError(f"{name}: expected numbers separated by commas (example: 0.5,1), found {text!r}") from None


def check_options(options: Options) -> None:
    """Raise ConfigError if the value of an option is invalid, or if ``fold_count`` makes another option useless."""
    check_names("--calibrations", options.calibrations or ())
    count_workers(options.workers)
    if options.metric not in METRICS:
        raise ConfigError(f"--metric: expected one of {', '.join(METRICS)}, found {options.metric!r}")
    if options.images is not None and options.images < 1:
        raise ConfigError(f"--images: expected an integer >= 1, found {options.images}")
    if options.fold_count and options.images is not None:
        raise ConfigError(f"--images: expected no value with --folds, which uses all images, found {options.images}")
    if options.fold_count and options.choose_on:
        raise ConfigError(
            "--folds: this option chooses the calibration on the test set, but --choose-on names the dataset "
            f"{options.choose_on!r}. Remove one of the two options"
        )
    if options.values is not None and (not options.values or len(set(options.values)) < len(options.values)):
        raise ConfigError(f"--values: expected one or more different numbers, found {list(options.values)}")


def settings_of(cfg: CfgNode, model: nn.Module, chosen: ImageSet, tested: ImageSet) -> dict[str, Any]:
    """Return the settings on which the results depend, as a dict of hashes and other JSON values.

    ``take_folder`` stores and compares these settings, so that a call only resumes with the same settings.

    Args:
        cfg, model: config and model of the detector. MODEL.WEIGHTS and the name of the calibration are not included.
        chosen, tested: images on which the calibration is chosen, and images of the test set.
    """
    own = cfg.clone()
    own.defrost()
    own.MODEL.WEIGHTS, own.MODEL.ROI_HEADS.CALIBRATION.NAME = "", ""
    text = "".join(own[node].dump() for node in ("MODEL", "INPUT", "TEST", "DATASETS"))
    return {
        "config": hashlib.sha256(text.encode()).hexdigest(),
        "model": digest_of_model(model),
        "annotations": hashlib.sha256(str(annotations_of(cfg, chosen.dataset)).encode()).hexdigest(),
        "detections of an image": FIXED_DETECTIONS_PER_IMAGE,
        "images of the choice": digest_of(chosen),
        "images of the test": digest_of(tested),
    }


def digest_of(images: ImageSet) -> str:
    """Return text that identifies a set of images: dataset, number of images, and hash of the image ids."""
    text = f"{images.dataset} {images.image_ids}"
    return f"{images.dataset}, {len(images.image_ids)} images, {hashlib.sha256(text.encode()).hexdigest()[:12]}"


def take_folder(output: Path, settings: dict[str, Any]) -> None:
    """Create the output folder with a file of the settings. A later call can then resume, but not mix settings.

    Args:
        output: path of the folder.
        settings: the settings on which the results depend (see ``settings_of``).

    Raises:
        ConfigError: the folder contains results of other settings, or files of another program.
    """
    claim_folder(output, MARK)
    path = output / SETTINGS
    found = load_json_object(str(path), "expected the settings of a calibration") if path.exists() else {}
    for key, value in settings.items():
        if found.get(key, value) != value:
            raise ConfigError(
                f"--output: {output} contains a calibration with other settings. For {key!r}, expected {value}, found "
                f"{found[key]}. Choose another folder"
            )
    write_text(path, json.dumps(settings, indent=1))
