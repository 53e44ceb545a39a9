"""Test that every parameter of MMDetection's twelve models has a counterpart of the same shape."""

from pathlib import Path

import pytest
import torch

from seesaw_d2.errors import ConfigError, WeightsError
from seesaw_d2.train import load_config
from seesaw_d2.weights.converters import convert_mmdet, describe_mmdet
from seesaw_d2.weights.converters.fit_check import build_without_memory, check_fit, model_shapes
from seesaw_d2.weights.converters.mmdet_names import is_dropped, rename_mmdet
from tests.weights.converters.mmdet_names import mmdet_shapes
from tests.weights.converters.mmdet_on_cpu import build_mmdet, mmdet_config, require_mmdet

ROOT = Path(__file__).parents[3]
# Family, depth -> number of entries in MMDetection's checkpoint, measured like the names below.
ENTRIES = {("mask", 50): 361, ("mask", 101): 667, ("cascade-mask", 101): 709}
MODELS = [
    (family, depth, sampler, mask)
    for family, depth in ENTRIES
    for sampler in ("random", "sample1e-3")
    for mask in ("", "-normed-mask")
]


def empty_state(family, depth, num_classes=1203):
    shapes = mmdet_shapes(depth=depth, cascade=family != "mask", num_classes=num_classes)
    return {name: torch.empty(shape, device="meta") for name, shape in shapes.items()}


@pytest.mark.parametrize(("family", "depth", "sampler", "mask"), MODELS, ids=lambda value: str(value))
def test_the_twelve_models(family, depth, sampler, mask):
    state = empty_state(family, depth)
    assert len(state) == ENTRIES[family, depth]
    text = "cls_predictor_cfg=dict(type='NormedLinear')"
    text += "ClassBalancedDataset" * (sampler != "random") + "predictor_cfg=dict(type='NormedConv2d')" * bool(mask)
    model = describe_mmdet(state, {"config": text})
    assert (model.cascade, model.depth, model.num_classes) == (family != "mask", depth, 1203)
    assert (ROOT / model.config).is_file()
    assert ("rfs" in model.config, "normmask" in model.config) == (sampler != "random", bool(mask))
    kept = {name: value for name, value in state.items() if not is_dropped(name)}
    assert len(state) - len(kept) == sum(name.endswith("num_batches_tracked") for name in state)
    renamed = {rename_mmdet(name): value for name, value in kept.items()}
    assert len(renamed) == len(kept)
    shapes = model_shapes(build_without_memory(load_config(model.config, model.overrides)))
    # Nothing is missing, including the statistics of the losses.
    assert {name: tuple(value.shape) for name, value in renamed.items()} == {k: tuple(v) for k, v in shapes.items()}


@pytest.mark.slow
@pytest.mark.parametrize(("family", "depth"), ENTRIES)
def test_the_names_are_mmdets(family, depth):
    require_mmdet()
    model = build_mmdet(mmdet_config(f"seesaw_loss/{family}-rcnn_r{depth}_fpn_seesaw-loss_random-ms-2x_lvis-v1"))
    expected = {name: tuple(value.shape) for name, value in model.state_dict().items()}
    assert mmdet_shapes(depth=depth, cascade=family != "mask", num_classes=1203) == expected


@pytest.mark.parametrize(
    ("theirs", "expected"),
    [
        ("module.roi_head.bbox_head.fc_cls.weight", "roi_heads.box_predictor.cls_score.weight"),
        ("roi_head.bbox_head.2.shared_fcs.1.bias", "roi_heads.box_head.2.fc2.bias"),
        ("roi_head.mask_head.1.convs.3.conv.weight", "roi_heads.mask_head.1.mask_fcn4.weight"),
        ("neck.fpn_convs.3.conv.bias", "backbone.fpn_output5.bias"),
        ("backbone.layer4.0.downsample.1.running_var", "backbone.bottom_up.res5.0.shortcut.norm.running_var"),
        ("roi_head.bbox_head.fc_cls_2.weight", None),
        ("roi_head.mask_iou_head.fcs.0.weight", None),
        ("neck.lateral_convs.0.bn.weight", None),
        ("rpn_head.rpn_conv.0.conv.weight", None),
    ],
)
def test_single_names(theirs, expected):
    assert rename_mmdet(theirs) == expected


def test_what_is_not_recognized_is_listed():
    unknown = ["roi_head.mask_iou_head.fcs.0.bias", f"neck.fpn_convs.{'9' * 5000}.conv.bias"]
    converted, unrecognized = convert_mmdet(dict.fromkeys(["rpn_head.rpn_cls.bias", *unknown], torch.ones(3)))
    assert list(converted) == ["proposal_generator.rpn_head.objectness_logits.bias"]
    assert unrecognized == unknown


def test_class_counts():
    name = "roi_head.bbox_head.1.loss_cls.cum_samples"
    converted, _ = convert_mmdet({name: torch.tensor([3.0, 16777216.0, 0.0])})
    (counts,) = converted.values()
    assert counts.dtype == torch.int64
    assert counts.tolist() == [3, 16777216, 0]
    for wrong in (float("nan"), -1.0, 1e30):
        with pytest.raises(WeightsError, match="cum_samples: "):
            convert_mmdet({name: torch.tensor([wrong])})


def test_other_programs_and_version_1():
    with pytest.raises(WeightsError, match=r"MMDetection, found fc\.weight"):
        convert_mmdet({"fc.weight": torch.ones(1)})
    with pytest.raises(WeightsError, match=r"bbox_head\.fc_cls\.weight"):
        convert_mmdet({"bbox_head.fc_cls.weight": torch.ones(1)})


def test_another_number_of_categories():
    model = describe_mmdet(empty_state("mask", 50, num_classes=38), {}, "mine.pth")
    assert (model.num_classes, model.normed_mask, model.sampler) == (38, None, None)
    assert model.overrides[-2:] == ["MODEL.ROI_HEADS.NUM_CLASSES", "38"]


@pytest.mark.parametrize(
    ("family", "lacking", "reason"),
    [
        ("mask", "roi_head.bbox_head.loss_cls.cum_samples", "loss_cls.cum_samples"),
        ("mask", "roi_head.bbox_head.fc_cls.weight", "roi_head.bbox_head.fc_cls.weight"),
        ("cascade-mask", "roi_head.bbox_head.0.fc_cls.weight", "roi_head.bbox_head.0.fc_cls.weight"),
        ("mask", "backbone.layer3.5.conv3.weight", "backbone.layer3 has 5 blocks instead of 6 or 23"),
    ],
)
def test_other_models_need_a_config(family, lacking, reason):
    state = empty_state(family, 50)
    del state[lacking]
    with pytest.raises(ConfigError, match=r"--config-file: .*other\.pth") as found:
        describe_mmdet(state, {}, "other.pth")
    assert reason in str(found.value)


def test_a_classifier_of_another_loss():
    state = empty_state("mask", 50)
    classifier = state["roi_head.bbox_head.fc_cls.weight"]
    for wrong, rows in ((classifier[1:], 1204), (torch.tensor(1.0), 1)):
        state["roi_head.bbox_head.fc_cls.weight"] = wrong
        with pytest.raises(ConfigError, match=rf"fc_cls\.weight has {rows} rows instead of 1205"):
            describe_mmdet(state, {}, "other.pth")


def test_what_does_not_fit_is_named():
    shapes = {"a": torch.Size([2]), "b": torch.Size([3]), "x.cls_loss.class_counts": torch.Size([4])}
    good = {"a": torch.ones(2), "b": torch.ones(3)}
    assert check_fit(good, shapes, "in.pth", "c.yaml") == []
    assert check_fit({"a": good["a"]}, shapes, "in.pth", "c.yaml", partly=True) == ["b"]
    for state, message in (
        ({"a": good["a"]}, "b: not in the checkpoint"),
        ({**good, "c": good["a"]}, "c: not in the model"),
        ({**good, "b": torch.ones(2)}, r"b: expected shape \(3,\), found shape \(2,\)"),
    ):
        with pytest.raises(WeightsError, match=rf"in.pth: .* fit the model of c.yaml: {message}"):
            check_fit(state, shapes, "in.pth", "c.yaml")
