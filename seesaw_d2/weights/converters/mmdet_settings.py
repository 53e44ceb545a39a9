"""What a config of MMDetection says that changes detections, as this project's config keys."""

import math
from collections.abc import Mapping
from typing import Any

from seesaw_d2.weights.converters import mmdet_parts as parts
from seesaw_d2.weights.converters.mmdet_parts import Part

BOX, MASK, RPN = "MODEL.ROI_BOX_HEAD", "MODEL.ROI_MASK_HEAD", "MODEL.RPN"
STRIDES = (4, 8, 16, 32, 64)


class Settings:
    """What is found while a config is read.

    Attributes:
        keys: config key -> the value with which this project's model finds what MMDetection's finds.
        normed_mask: whether mask prediction is normalized; None where it is not said.
        problems: what cannot be represented, a line each, by its place in MMDetection's config.
        unsaid: what the text does not say.
    """

    def __init__(self) -> None:
        self.keys: dict[str, Any] = {}
        self.normed_mask: bool | None = None
        self.problems: list[str] = []
        self.unsaid: list[str] = []

    def part(self, owner: Mapping[str, Any], key: str, known: Part, where: str = "", default: Any = None) -> Any:
        """Return the dict ``owner[key]``, checked against ``known``; ``default`` where it is absent or no dict."""
        place = f"{where}.{key}" if where else key
        found = owner.get(key)
        if found is None:
            if default is None:
                self.unsaid.append(place)
            return default or {}
        if not isinstance(found, dict):
            self.problems.append(f"{place}: expected a dict, found {found!r}")
            return default or {}
        self.problems += known.problems(found, place)
        return found

    def number(self, owner: Mapping[str, Any], name: str, where: str, key: str, *, kind: Any = (int, float)) -> None:
        """Carry the number ``owner[name]`` to a config key."""
        if name not in owner:
            self.unsaid.append(f"{where}.{name}")
        elif is_numbers([owner[name]], 1, kind):
            self.set(key, owner[name], f"{where}.{name}")
        else:
            self.problems.append(f"{where}.{name}: expected a number, found {owner[name]!r}")

    def set(self, key: str, value: Any, where: str) -> None:
        """Note a config key; several parts that share it (the stages of a cascade) must agree."""
        if self.keys.setdefault(key, value) != value:
            self.problems.append(f"{where}: expected one value for {key}, found {self.keys[key]!r} and {value!r}")


def is_numbers(values: Any, count: int, kind: Any = (int, float)) -> bool:
    """Return whether these are as many finite numbers."""
    return (
        isinstance(values, list)
        and len(values) == count
        and all(isinstance(value, kind) and not isinstance(value, bool) and math.isfinite(value) for value in values)
    )


def read_model(config: Mapping[str, Any], found: Settings) -> None:
    """Read everything but the images: architecture, heads and what detections are kept."""
    model = found.part(config, "model", parts.MODEL)
    if not model:
        return
    backbone = found.part(model, "backbone", parts.BACKBONE, "model")
    _read_backbone(backbone, found)
    found.part(model, "neck", parts.NECK, "model")
    _read_rpn(found.part(model, "rpn_head", parts.RPN_HEAD, "model"), found)
    roi_head = found.part(model, "roi_head", parts.ROI_HEAD, "model")
    if roi_head:
        _read_roi_head(roi_head, found)
    test = model.get("test_cfg") or config.get("test_cfg")
    test, where = (test, "model.test_cfg") if isinstance(test, dict) else ({}, "model.test_cfg")
    _read_test_rpn(found.part(test, "rpn", parts.TEST_RPN, where), found)
    _read_test_rcnn(found.part(test, "rcnn", parts.TEST_RCNN, where), found)


def _read_backbone(backbone: Mapping[str, Any], found: Settings) -> None:
    if not backbone:
        return
    style = backbone.get("style", "pytorch")
    if style in ("pytorch", "caffe"):
        found.set("MODEL.RESNETS.STRIDE_IN_1X1", style == "caffe", "model.backbone.style")
    else:
        found.problems.append(f"model.backbone.style: expected 'pytorch' or 'caffe', found {style!r}")
    found.part(backbone, "norm_cfg", parts.NORM, "model.backbone", {"type": "BN"})


def _read_rpn(head: Mapping[str, Any], found: Settings) -> None:
    if not head:
        return
    where = "model.rpn_head"
    anchors = found.part(head, "anchor_generator", parts.ANCHORS, where)
    scales, ratios = anchors.get("scales"), anchors.get("ratios")
    if anchors and is_numbers(scales, 1):
        found.set("MODEL.ANCHOR_GENERATOR.SIZES", [[scales[0] * stride] for stride in STRIDES], where)
    elif anchors:  # with several their order is another one here
        found.problems.append(f"{where}.anchor_generator.scales: expected one number, found {scales!r}")
    if anchors and isinstance(ratios, list) and is_numbers(ratios, len(ratios)):
        found.set("MODEL.ANCHOR_GENERATOR.ASPECT_RATIOS", [ratios], where)
    elif anchors:
        found.problems.append(f"{where}.anchor_generator.ratios: expected numbers, found {ratios!r}")
    weights = _box_weights(found, head, where)
    if weights:
        found.set(f"{RPN}.BBOX_REG_WEIGHTS", weights, where)


def _read_roi_head(head: Mapping[str, Any], found: Settings) -> None:
    where = "model.roi_head"
    boxes = head.get("bbox_head")
    stages = boxes if isinstance(boxes, list) else [boxes]
    weights = []
    for index, stage in enumerate(stages):
        place = f"{where}.bbox_head[{index}]" if isinstance(boxes, list) else f"{where}.bbox_head"
        checked = found.part({place: stage}, place, parts.BOX_HEAD)
        if checked:
            weights.append(_box_weights(found, checked, place))
            _read_classifier(found, checked, place)
    if weights and all(weights):
        cascade = isinstance(boxes, list)
        key = "MODEL.ROI_BOX_CASCADE_HEAD.BBOX_REG_WEIGHTS" if cascade else f"{BOX}.BBOX_REG_WEIGHTS"
        found.set(key, weights if cascade else weights[0], where)
    masks = head.get("mask_head")
    for name, key, default in (("bbox_roi_extractor", BOX, 7), ("mask_roi_extractor", MASK, 14)):
        if name == "mask_roi_extractor" and masks is None:  # boxes alone
            continue
        extractors = head.get(name)
        for each in extractors if isinstance(extractors, list) else [extractors]:
            _read_extractor(
                found, found.part({name: each}, name, parts.EXTRACTOR, where), f"{where}.{name}", key, default
            )
    for each in masks if isinstance(masks, list) else [masks] if masks is not None else []:
        _read_mask_head(
            found, found.part({"mask_head": each}, "mask_head", parts.MASK_HEAD, where), f"{where}.mask_head"
        )


def _box_weights(found: Settings, head: Mapping[str, Any], where: str) -> list[float]:
    """The inverse of the coder's standard deviations; [] where they are not said."""
    coder = found.part(head, "bbox_coder", parts.CODER, where)
    deviations = coder.get("target_stds")
    if not coder or not is_numbers(deviations, 4) or not all(value > 0 for value in deviations):
        if coder:
            found.problems.append(f"{where}.bbox_coder.target_stds: expected 4 numbers > 0, found {deviations!r}")
        return []
    return [1 / value for value in deviations]


def _read_classifier(found: Settings, head: Mapping[str, Any], where: str) -> None:
    loss = head.get("loss_cls")
    if isinstance(loss, dict) and loss.get("type") == "SeesawLoss":
        found.problems += parts.SEESAW.problems(loss, f"{where}.loss_cls")
    predictor = head.get("cls_predictor_cfg") or {"type": "Linear"}
    normed = isinstance(predictor, dict) and predictor.get("type") == "NormedLinear"
    checked = found.part(
        {"cls_predictor_cfg": predictor}, "cls_predictor_cfg", parts.NORMED_LINEAR if normed else parts.LINEAR, where
    )
    found.set(f"{BOX}.CLS_PREDICTOR.NAME", "NormedLinear" if normed else "Linear", f"{where}.cls_predictor_cfg")
    if normed:
        found.number(
            {"tempearture": 20, **checked},
            "tempearture",
            f"{where}.cls_predictor_cfg",
            f"{BOX}.CLS_PREDICTOR.TEMPERATURE",
        )


def _read_mask_head(found: Settings, head: Mapping[str, Any], where: str) -> None:
    if not head:
        return
    predictor = head.get("predictor_cfg") or {"type": "Conv"}
    normed = isinstance(predictor, dict) and predictor.get("type") == "NormedConv2d"
    checked = found.part(
        {"predictor_cfg": predictor}, "predictor_cfg", parts.NORMED_CONV if normed else parts.CONV, where
    )
    if found.normed_mask not in (None, normed):
        found.problems.append(f"{where}.predictor_cfg: expected one kind in all stages, found two")
    found.normed_mask = normed
    if normed:
        found.number({"tempearture": 20, **checked}, "tempearture", f"{where}.predictor_cfg", f"{MASK}.TEMPERATURE")


def _read_extractor(found: Settings, extractor: Mapping[str, Any], where: str, key: str, size: int) -> None:
    layer = found.part(extractor, "roi_layer", parts.ROI_LAYER, where) if extractor else {}
    if not layer:
        return
    aligned = layer.get("aligned", True)
    found.set(f"{key}.POOLER_TYPE", "ROIAlignV2" if aligned is True else "ROIAlign", f"{where}.roi_layer.aligned")
    values = {"output_size": layer.get("out_size", size), "sampling_ratio": layer.get("sample_num", 0), **layer}
    found.number(values, "output_size", f"{where}.roi_layer", f"{key}.POOLER_RESOLUTION", kind=int)
    found.number(values, "sampling_ratio", f"{where}.roi_layer", f"{key}.POOLER_SAMPLING_RATIO", kind=int)
    if aligned not in (True, False):
        found.problems.append(f"{where}.roi_layer.aligned: expected True or False, found {aligned!r}")


def _read_test_rpn(test: Mapping[str, Any], found: Settings) -> None:
    if not test:
        return
    where = "model.test_cfg.rpn"
    values = {"max_per_img": test["max_num"], **test} if "max_num" in test else test
    found.number(values, "nms_pre", where, f"{RPN}.PRE_NMS_TOPK_TEST", kind=int)
    found.number(values, "max_per_img", where, f"{RPN}.POST_NMS_TOPK_TEST", kind=int)
    found.number({"min_bbox_size": 0, **values}, "min_bbox_size", where, "MODEL.PROPOSAL_GENERATOR.MIN_SIZE")
    limit, kept = values.get("nms_post"), values.get("max_per_img")
    if limit is not None and not (is_numbers([limit, kept], 2) and limit >= kept):
        found.problems.append(f"{where}.nms_post: expected at least max_per_img, found {limit!r} and {kept!r}")
    if "nms" not in values and "nms_thr" in values:
        found.number(values, "nms_thr", where, f"{RPN}.NMS_THRESH")
    else:
        _read_nms(values, where, f"{RPN}.NMS_THRESH", found)


def _read_test_rcnn(test: Mapping[str, Any], found: Settings) -> None:
    if not test:
        return
    where = "model.test_cfg.rcnn"
    found.number(test, "score_thr", where, "MODEL.ROI_HEADS.SCORE_THRESH_TEST")
    found.number(test, "max_per_img", where, "TEST.DETECTIONS_PER_IMAGE", kind=int)
    if found.keys.get("TEST.DETECTIONS_PER_IMAGE", 1) < 1:
        found.problems.append(f"{where}.max_per_img: expected at least 1, found {test['max_per_img']}")
    _read_nms(test, where, "MODEL.ROI_HEADS.NMS_THRESH_TEST", found)


def _read_nms(test: Mapping[str, Any], where: str, key: str, found: Settings) -> None:
    nms = found.part(test, "nms", parts.NMS, where)
    if nms:
        name = "iou_thr" if "iou_thr" in nms and "iou_threshold" not in nms else "iou_threshold"
        found.number(nms, name, f"{where}.nms", key)
