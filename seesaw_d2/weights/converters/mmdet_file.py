"""Convert a checkpoint file of MMDetection, and the settings in the config text that the checkpoint contains."""

import functools
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from detectron2.config import CfgNode

from seesaw_d2.config.loading import load_config
from seesaw_d2.config_files import find_config_file
from seesaw_d2.errors import ConfigError, WeightsError
from seesaw_d2.utils.category_names import ENTRY
from seesaw_d2.utils.messages import first_few
from seesaw_d2.weights.checkpoint_io import check_output, write_checkpoint
from seesaw_d2.weights.converters.fit_check import build_without_memory, check_finite, check_fit, model_shapes
from seesaw_d2.weights.converters.foreign_checkpoints import naming, read_foreign_checkpoint
from seesaw_d2.weights.converters.mmdet import (
    MmdetModel,
    config_text,
    convert_mmdet,
    describe_mmdet,
    evaluation_keys,
    published_name,
)
from seesaw_d2.weights.converters.mmdet_config_text import parse_config_text
from seesaw_d2.weights.converters.mmdet_images import read_images
from seesaw_d2.weights.converters.mmdet_settings import MASK, Settings, read_model
from seesaw_d2.weights.safe_reading import SCORE_SETTINGS
from seesaw_d2.weights.score_settings import score_settings

_PREDICTOR = "MODEL.ROI_BOX_HEAD.CLS_PREDICTOR"
_LISTED = 10
_DETECTRON2_HEADS = ("StandardROIHeads", "CascadeROIHeads")


@dataclass(frozen=True)
class Converted:
    """Information about a converted checkpoint of MMDetection.

    Attributes:
        model: properties of the detected model, or None if the caller passed a config.
        config: path of this project's config of the model.
        overrides: config overrides [KEY, VALUE, ...] with which ``config`` reproduces MMDetection's detections.
        carried: those of the ``overrides`` that come from the config text in the checkpoint.
        notes: sentences about settings of the checkpoint that could not be compared with ``config``.
        device: MODEL.DEVICE of the config.
        written: number of tensors in the converted file.
        unrecognized: names in the checkpoint that the converter does not know and did not convert.
    """

    model: MmdetModel | None
    config: str
    overrides: list[str]
    carried: list[str]
    notes: list[str]
    device: str
    written: int
    unrecognized: list[str]


def convert_mmdet_file(
    source: str,
    target: str,
    *,
    config_file: str | None = None,
    overrides: Sequence[str] = (),
    normed_mask: bool | None = None,
    overwrite: bool = False,
) -> Converted:
    """Convert a checkpoint of MMDetection to a .pth file with which this project can evaluate or start a training.

    Args:
        source: path of a .pth file of MMDetection 2 or 3.
        target: path of the .pth file to write.
        config_file: this project's config of the model. If None, the function selects a config for the checkpoint.
        overrides: config overrides [KEY, VALUE, ...].
        normed_mask: whether the last layer of the mask head is normalized. If None, the function determines the value
            from the config text in the checkpoint or from the file name.
        overwrite: whether to replace an existing ``target``. If False, an existing ``target`` is an error.

    Raises:
        ConfigError: the config cannot be detected, the checkpoint has a setting that the models of this project do not
            support, or ``target`` is invalid.
        WeightsError: ``source`` is unreadable, contains NaN or infinity, or does not fit the model of the config.
    """
    check_output(source, target, overwrite=overwrite)
    state, meta = read_foreign_checkpoint(source)
    with naming(source):
        converted, unrecognized = convert_mmdet(state)
    check_finite(converted, source)
    settings, notes = read_settings(meta, source, must_read=config_file is None)
    model = None
    if config_file is None:
        model = _model_of(state, meta, source, settings, normed_mask)
        config_file, words = find_config_file(model.config), model.overrides
    else:
        words = _evaluation_keys(load_config(config_file, overrides), settings)
    words = [*words, *(carried := carried_keys(settings, load_config(config_file, words)))]
    cfg: CfgNode = load_config(config_file, [*words, *overrides])
    built = build_without_memory(cfg)
    try:
        check_fit(converted, model_shapes(built), source, config_file)
    except WeightsError as error:
        unknown = f". Unknown names in the checkpoint: {first_few(unrecognized)}" if unrecognized else ""
        raise WeightsError(f"{error}{unknown}") from error
    # Without a text or a published name, the temperature and the type of the classifier are unknown.
    known = f"{_PREDICTOR}.NAME" in settings.keys or (model is not None and published_name(source) is not None)
    record = {SCORE_SETTINGS: score_settings(built)} if known else {}
    write_checkpoint(target, {"model": converted, **record, **_categories(meta, cfg.MODEL.ROI_HEADS.NUM_CLASSES)})
    done = [*words, *overrides]
    return Converted(model, config_file, done, carried, notes, cfg.MODEL.DEVICE, len(converted), unrecognized)


def read_settings(meta: Mapping[str, Any], source: str, *, must_read: bool) -> tuple[Settings, list[str]]:
    """Read the settings that affect detections from the config text in a checkpoint of MMDetection.

    Args:
        meta: metadata of the checkpoint, which contains the config text.
        source: file name of the checkpoint, for error messages.
        must_read: whether to raise ConfigError if the text cannot be parsed. If False, the function returns a note.

    Returns:
        a pair: the settings, and notes, which are sentences about settings that could not be read.

    Raises:
        ConfigError: the models of this project do not support a setting, or the text cannot be parsed.
    """
    settings, text = Settings(), config_text(meta)
    if not text.strip():
        missing = "temperature, channels, sizes, thresholds and NMS"
        return settings, [f"The checkpoint has no config text. Therefore {missing} were not compared with the config."]
    try:
        config = parse_config_text(text)
    except WeightsError as error:
        if must_read:
            raise ConfigError(f"{source}: {error}. Set --config-file to convert without this config text.") from error
        return settings, [f"The config text of the checkpoint was not compared with the config: {error}"]
    read_model(config, settings)
    read_images(config, settings)
    if settings.problems:
        more = [f"and {len(settings.problems) - _LISTED} more settings"] if len(settings.problems) > _LISTED else []
        listed = "; ".join([*settings.problems[:_LISTED], *more])
        raise ConfigError(
            f"{source}: the config stored in this checkpoint has settings that this project does not support: {listed}"
        )
    if not settings.unsaid:
        return settings, []
    base = ". The text of its _base_ configs is also missing." if "_base_" in config else ""
    return settings, [
        "The config text of the checkpoint lacks some settings. For these settings, this project's config applies: "
        f"{first_few(settings.unsaid, 10)}{base}"
    ]


def _model_of(state, meta, source: str, settings: Settings, normed_mask: bool | None) -> MmdetModel:
    said = settings.normed_mask
    if said is not None and normed_mask not in (None, said):
        expected, found = ("normed", "plain") if said else ("plain", "normed")
        raise ConfigError(f"--mask: expected {expected}, as in the config text of {source}, found {found}")
    model = describe_mmdet(state, meta, source, normed_mask=normed_mask if said is None else said)
    if model.normed_mask is None:
        raise ConfigError(
            f"--mask: expected normed or plain, found no value. Neither the config text nor the file name of {source} "
            "says whether mask prediction is normalized."
        )
    return model


def _evaluation_keys(cfg: CfgNode, settings: Settings) -> list[str]:
    averages = "Cascade" in cfg.MODEL.ROI_HEADS.NAME and cfg.MODEL.ROI_HEADS.NAME not in _DETECTRON2_HEADS
    return evaluation_keys(averages, settings.keys.get("INPUT.RESIZE", "opencv"))


def carried_keys(settings: Settings, cfg: CfgNode) -> list[str]:
    """Return config overrides [KEY, VALUE, ...] for the settings of a checkpoint that differ from a config.

    Args:
        settings: settings from the config text in a checkpoint of MMDetection.
        cfg: this project's config of the model.

    Raises:
        ConfigError: the heads of ``cfg`` do not support a setting.
    """
    wanted = dict(settings.keys)
    if settings.normed_mask is not None and settings.normed_mask != (cfg.MODEL.ROI_MASK_HEAD.NAME == "NormedMaskHead"):
        wanted[f"{MASK}.NAME"] = "NormedMaskHead" if settings.normed_mask else "SelectiveMaskHead"
    if cfg.MODEL.ROI_HEADS.NAME in _DETECTRON2_HEADS:
        if wanted.pop(f"{_PREDICTOR}.NAME", "Linear") != "Linear":
            raise ConfigError(
                "MODEL.ROI_HEADS.NAME: expected ROI heads of this project, such as SeesawROIHeads, found "
                f"{cfg.MODEL.ROI_HEADS.NAME}. Detectron2's ROI heads do not support the normalized classifier of the "
                "checkpoint."
            )
        wanted.pop(f"{_PREDICTOR}.TEMPERATURE", None)
    words = []
    for key, value in wanted.items():
        found = functools.reduce(getattr, key.split("."), cfg)
        if not _same(found, value):
            words += [key, str(float(value) if isinstance(found, float) else value)]
    return words


def _same(found: Any, value: Any) -> bool:
    if isinstance(found, (list, tuple)) and isinstance(value, list):
        return len(found) == len(value) and all(map(_same, found, value))
    if isinstance(found, (int, float)) and isinstance(value, (int, float)):
        return math.isclose(found, value, rel_tol=1e-6)
    return found == value


def _categories(meta: Mapping[str, Any], num_classes: int) -> dict[str, list[str]]:
    """Return {ENTRY: class names}, the part of a checkpoint of this project that contains the class names.

    Args:
        meta: metadata of a checkpoint of MMDetection.
        num_classes: number of classes of the model. If the metadata has no list of this length, the result is {}.
    """
    data = meta.get("dataset_meta")
    data = data if isinstance(data, dict) else {}
    for names in (meta.get("CLASSES"), data.get("classes"), data.get("CLASSES")):
        if isinstance(names, list) and len(names) == num_classes and all(isinstance(name, str) for name in names):
            return {ENTRY: names}
    return {}
