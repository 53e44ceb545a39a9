"""Convert the settings of an MMDetection config that affect detections to config keys of this project."""

import math
from collections.abc import Mapping
from typing import Any

from seesaw_d2.weights.converters import mmdet_parts as parts
from seesaw_d2.weights.converters.mmdet_parts import Part

BOX, MASK, RPN = "MODEL.ROI_BOX_HEAD", "MODEL.ROI_MASK_HEAD", "MODEL.RPN"
STRIDES = (4, 8, 16, 32, 64)


class Settings:
    """Settings that are read from an MMDetection config and translated to config keys of this project.

    Attributes:
        keys: dict from config key of this project to the value that reproduces MMDetection's detections.
        normed_mask: whether the last layer of the mask head is normalized, or None if unknown.
        problems: one line for each unsupported setting. It begins with the path of the setting in MMDetection's config.
        unsaid: paths of settings that MMDetection's config does not contain.
    """

    def __init__(self) -> None:
        self.keys: dict[str, Any] = {}
        self.normed_mask: bool | None = None
        self.problems: list[str] = []
        self.unsaid: list[str] = []

    def part(self, value: Any, known: Part, place: str, default: Any = None) -> Any:
        """Check a dict in MMDetection's config, and append a line to ``problems`` for each unsupported key or value.

        Args:
            value: the dict, or None if the config does not contain it.
            known: supported keys and values of the dict.
            place: path of the dict in the config, such as "model.backbone".
            default: result for a missing dict. If None, the result is {}, and ``unsaid`` lists the missing dict.

        Returns:
            ``value`` or, if ``value`` is not a dict, ``default``.
        """
        if isinstance(value, dict):
            self.problems += known.problems(value, place)
            return value
        if value is not None:
            self.reject(place, "a dict", value)
        elif default is None:
            self.unsaid.append(place)
        return default or {}

    def number(self, owner: Mapping[str, Any], name: str, where: str, key: str, *, kind: Any = (int, float)) -> None:
        """Store the number ``owner[name]`` of MMDetection's config as the value of this project's config key ``key``.

        ``owner`` is a dict in MMDetection's config, at the path ``where``. If the number is missing, append its path to
        ``unsaid``. If it is not finite or not of type ``kind``, append a line to ``problems``.
        """
        if name not in owner:
            self.unsaid.append(f"{where}.{name}")
        elif is_numbers([owner[name]], 1, kind):
            self.set(key, owner[name], f"{where}.{name}")
        else:
            self.reject(f"{where}.{name}", "an integer" if kind is int else "a finite number", owner[name])

    def set(self, key: str, value: Any, where: str) -> None:
        """Store the value of this project's config key ``key``, which is at the path ``where`` in MMDetection's config.

        Append a line to ``problems`` if another stage of a cascade has a different value.
        """
        if self.keys.setdefault(key, value) != value:
            self.problems.append(
                f"{where}: expected one value of {key} for all stages, found {self.keys[key]!r} and {value!r}"
            )

    def reject(self, where: str, expected: str, found: Any) -> None:
        """Append a line about an unsupported setting to ``problems``: "<where>: expected <expected>, found <found>"."""
        self.problems.append(f"{where}: expected {expected}, found {found!r}")


def is_numbers(values: Any, count: int, kind: Any = (int, float)) -> bool:
    """Return True if ``values`` is a list of ``count`` finite numbers of type ``kind``."""
    return (
        isinstance(values, list)
        and len(values) == count
        and all(isinstance(value, kind) and not isinstance(value, bool) and math.isfinite(value) for value in values)
    )


def read_model(config: Mapping[str, Any], found: Settings) -> None:
    """Store the settings of backbone, RPN, ROI heads and testing in MMDetection's ``config`` in ``found``."""
    model = found.part(config.get("model"), parts.MODEL, "model")
    if not model:
        return
    if backbone := found.part(model.get("backbone"), parts.BACKBONE, "model.backbone"):
        _read_backbone(backbone, found)
    found.part(model.get("neck"), parts.NECK, "model.neck")
    if rpn_head := found.part(model.get("rpn_head"), parts.RPN_HEAD, "model.rpn_head"):
        _read_rpn(rpn_head, "model.rpn_head", found)
    if roi_head := found.part(model.get("roi_head"), parts.ROI_HEAD, "model.roi_head"):
        _read_roi_head(roi_head, found)
    test = model.get("test_cfg") or config.get("test_cfg")
    test = test if isinstance(test, dict) else {}
    if rpn := found.part(test.get("rpn"), parts.TEST_RPN, "model.test_cfg.rpn"):
        _read_test_rpn(rpn, "model.test_cfg.rpn", found)
    if rcnn := found.part(test.get("rcnn"), parts.TEST_RCNN, "model.test_cfg.rcnn"):
        _read_test_rcnn(rcnn, "model.test_cfg.rcnn", found)


def _read_backbone(backbone: Mapping[str, Any], found: Settings) -> None:
    style = backbone.get("style", "pytorch")
    if style in ("pytorch", "caffe"):
        found.set("MODEL.RESNETS.STRIDE_IN_1X1", style == "caffe", "model.backbone.style")
    else:
        found.reject("model.backbone.style", "'pytorch' or 'caffe'", style)
    found.part(backbone.get("norm_cfg"), parts.NORM, "model.backbone.norm_cfg", {"type": "BN"})


def _read_rpn(head: Mapping[str, Any], where: str, found: Settings) -> None:
    if anchors := found.part(head.get("anchor_generator"), parts.ANCHORS, f"{where}.anchor_generator"):
        scales, ratios = anchors.get("scales"), anchors.get("ratios")
        if is_numbers(scales, 1):
            found.set("MODEL.ANCHOR_GENERATOR.SIZES", [[scales[0] * stride] for stride in STRIDES], where)
        else:  # Detectron2 orders the anchors of several scales differently, so the RPN weights would not fit
            found.reject(f"{where}.anchor_generator.scales", "a list of one number", scales)
        if isinstance(ratios, list) and is_numbers(ratios, len(ratios)):
            found.set("MODEL.ANCHOR_GENERATOR.ASPECT_RATIOS", [ratios], where)
        else:
            found.reject(f"{where}.anchor_generator.ratios", "a list of numbers", ratios)
    if weights := _box_weights(found, head, where):
        found.set(f"{RPN}.BBOX_REG_WEIGHTS", weights, where)


def _read_roi_head(head: Mapping[str, Any], found: Settings) -> None:
    where = "model.roi_head"
    boxes, masks = head.get("bbox_head"), head.get("mask_head")
    cascade = isinstance(boxes, list)
    weights = []
    for index, stage in enumerate(_listed(boxes)):
        place = f"{where}.bbox_head[{index}]" if cascade else f"{where}.bbox_head"
        if checked := found.part(stage, parts.BOX_HEAD, place):
            weights.append(_box_weights(found, checked, place))
            _read_classifier(found, checked, place)
    if weights and all(weights):
        key = "MODEL.ROI_BOX_CASCADE_HEAD.BBOX_REG_WEIGHTS" if cascade else f"{BOX}.BBOX_REG_WEIGHTS"
        found.set(key, weights if cascade else weights[0], where)
    extractors = [("bbox_roi_extractor", BOX, 7)]
    extractors += [("mask_roi_extractor", MASK, 14)] if masks is not None else []
    for name, key, default in extractors:
        for each in _listed(head.get(name)):
            if extractor := found.part(each, parts.EXTRACTOR, f"{where}.{name}"):
                _read_extractor(found, extractor, f"{where}.{name}.roi_layer", key, default)
    for each in _listed(masks) if masks is not None else []:
        if mask_head := found.part(each, parts.MASK_HEAD, f"{where}.mask_head"):
            _read_mask_head(found, mask_head, f"{where}.mask_head.predictor_cfg")


def _listed(value: Any) -> list[Any]:
    """Return ``value`` if it is a list with one dict for each cascade stage. For a single dict, return [``value``]."""
    return value if isinstance(value, list) else [value]


def _box_weights(found: Settings, head: Mapping[str, Any], where: str) -> list[float]:
    """Return Detectron2's BBOX_REG_WEIGHTS, 1 / target_stds of MMDetection's box coder, or [] without valid stds."""
    coder = found.part(head.get("bbox_coder"), parts.CODER, f"{where}.bbox_coder")
    deviations = coder.get("target_stds")
    if is_numbers(deviations, 4) and all(value > 0 for value in deviations):
        return [1 / value for value in deviations]
    if coder:
        found.reject(f"{where}.bbox_coder.target_stds", "a list of 4 numbers > 0", deviations)
    return []


def _read_classifier(found: Settings, head: Mapping[str, Any], where: str) -> None:
    loss = head.get("loss_cls")
    if isinstance(loss, dict) and loss.get("type") == "SeesawLoss":
        found.problems += parts.SEESAW.problems(loss, f"{where}.loss_cls")
    place = f"{where}.cls_predictor_cfg"
    normed, checked = _predictor(
        found, head.get("cls_predictor_cfg") or {"type": "Linear"}, parts.NORMED_LINEAR, parts.LINEAR, place
    )
    found.set(f"{BOX}.CLS_PREDICTOR.NAME", "NormedLinear" if normed else "Linear", place)
    if normed:
        found.number(checked, "tempearture", place, f"{BOX}.CLS_PREDICTOR.TEMPERATURE")


def _read_mask_head(found: Settings, head: Mapping[str, Any], place: str) -> None:
    normed, checked = _predictor(
        found, head.get("predictor_cfg") or {"type": "Conv"}, parts.NORMED_CONV, parts.CONV, place
    )
    if found.normed_mask not in (None, normed):
        found.problems.append(
            f"{place}: expected the same type of mask predictor in all stages, found normalized and plain predictors"
        )
    found.normed_mask = normed
    if normed:
        found.number(checked, "tempearture", place, f"{MASK}.TEMPERATURE")


def _predictor(found: Settings, predictor: Any, normed: Part, plain: Part, place: str) -> tuple[bool, dict[str, Any]]:
    """Return whether the last layer of a head is normalized, and its settings. MMDetection misspells "tempearture".

    Args:
        predictor: dict of the last layer in MMDetection's config, at the path ``place``.
        normed, plain: supported keys of this dict for a normalized and for a plain layer.
    """
    is_normed = isinstance(predictor, dict) and predictor.get("type") in normed.fixed["type"]
    return is_normed, {"tempearture": 20, **found.part(predictor, normed if is_normed else plain, place)}


def _read_extractor(found: Settings, extractor: Mapping[str, Any], where: str, key: str, size: int) -> None:
    layer = found.part(extractor.get("roi_layer"), parts.ROI_LAYER, where)
    if not layer:
        return
    aligned = layer.get("aligned", True)
    found.set(f"{key}.POOLER_TYPE", "ROIAlignV2" if aligned is True else "ROIAlign", f"{where}.aligned")
    values = {"output_size": layer.get("out_size", size), "sampling_ratio": layer.get("sample_num", 0), **layer}
    found.number(values, "output_size", where, f"{key}.POOLER_RESOLUTION", kind=int)
    found.number(values, "sampling_ratio", where, f"{key}.POOLER_SAMPLING_RATIO", kind=int)
    if aligned not in (True, False):
        found.reject(f"{where}.aligned", "True or False", aligned)


def _read_test_rpn(test: Mapping[str, Any], where: str, found: Settings) -> None:
    values = {"max_per_img": test["max_num"], **test} if "max_num" in test else test
    found.number(values, "nms_pre", where, f"{RPN}.PRE_NMS_TOPK_TEST", kind=int)
    found.number(values, "max_per_img", where, f"{RPN}.POST_NMS_TOPK_TEST", kind=int)
    found.number({"min_bbox_size": 0, **values}, "min_bbox_size", where, "MODEL.PROPOSAL_GENERATOR.MIN_SIZE")
    limit, kept = values.get("nms_post"), values.get("max_per_img")
    if limit is not None and not (is_numbers([limit, kept], 2) and limit >= kept):
        found.problems.append(
            f"{where}.nms_post: expected at least {kept!r}, the value of max_per_img, found {limit!r}"
        )
    if "nms" not in values and "nms_thr" in values:
        found.number(values, "nms_thr", where, f"{RPN}.NMS_THRESH")
    else:
        _read_nms(values, f"{where}.nms", f"{RPN}.NMS_THRESH", found)


def _read_test_rcnn(test: Mapping[str, Any], where: str, found: Settings) -> None:
    found.number(test, "score_thr", where, "MODEL.ROI_HEADS.SCORE_THRESH_TEST")
    found.number(test, "max_per_img", where, "TEST.DETECTIONS_PER_IMAGE", kind=int)
    if found.keys.get("TEST.DETECTIONS_PER_IMAGE", 1) < 1:
        found.reject(f"{where}.max_per_img", "an integer >= 1", test["max_per_img"])
    _read_nms(test, f"{where}.nms", "MODEL.ROI_HEADS.NMS_THRESH_TEST", found)


def _read_nms(test: Mapping[str, Any], where: str, key: str, found: Settings) -> None:
    if nms := found.part(test.get("nms"), parts.NMS, where):
        name = "iou_thr" if "iou_thr" in nms and "iou_threshold" not in nms else "iou_threshold"
        found.number(nms, name, where, key)
