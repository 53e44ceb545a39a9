"""Test torchvision's converted Mask R-CNN: the same features, heads and, with its anchors, detections."""

import re

import pytest
import torch
from convert_torchvision_checkpoint import main
from detectron2.modeling import build_model
from torchvision.models.detection import MaskRCNN, MaskRCNN_ResNet50_FPN_Weights
from torchvision.models.detection.backbone_utils import resnet_fpn_backbone
from torchvision.ops.misc import FrozenBatchNorm2d

from seesaw_d2.errors import WeightsError
from seesaw_d2.train import SeesawCheckpointer, load_config
from seesaw_d2.weights.converters.torchvision_detector import convert_torchvision_detector

C, HEIGHT, WIDTH = 5, 96, 160
LAYERS = ("box_predictor.cls_score", "box_predictor.bbox_pred", "mask_head.predictor")
CONFIG = "configs/Base-LVIS-mask_rcnn.yaml"
PLAIN = {
    "MODEL.ROI_BOX_HEAD.CLS_LOSS.NAME": "CrossEntropyLoss",
    "MODEL.ROI_BOX_HEAD.CLS_LOSS.BACKGROUND": "class",
    "MODEL.ROI_BOX_HEAD.CLS_PREDICTOR.NAME": "Linear",
}
OPTIONS = {
    "MODEL.DEVICE": "cpu",
    "MODEL.WEIGHTS": "",
    "MODEL.RESNETS.DEPTH": 18,
    "MODEL.RESNETS.RES2_OUT_CHANNELS": 64,
    "MODEL.ROI_HEADS.NUM_CLASSES": C,
    **{f"MODEL.ROI_{head}_HEAD.POOLER_TYPE": "ROIAlign" for head in ("BOX", "MASK")},
    **{f"MODEL.ROI_{head}_HEAD.POOLER_SAMPLING_RATIO": 2 for head in ("BOX", "MASK")},
    "TEST.DETECTIONS_PER_IMAGE": 20,
}


def words(**more):
    return [word for pair in {**OPTIONS, **more}.items() for word in pair]


@pytest.fixture(scope="module")
def theirs():
    """Return a model with random weights and the eps of published weights."""
    torch.manual_seed(3)
    backbone = resnet_fpn_backbone(backbone_name="resnet18", weights=None, norm_layer=FrozenBatchNorm2d)
    size = {"min_size": HEIGHT, "max_size": WIDTH}  # the size of the picture, so that the picture is not resized
    model = MaskRCNN(backbone, num_classes=C + 1, box_score_thresh=1e-4, box_detections_per_img=20, **size).eval()
    for module in model.modules():
        if isinstance(module, FrozenBatchNorm2d):
            module.eps = 0.0
            module.running_mean.normal_(std=0.1)
            module.running_var.uniform_(0.5, 1.5)
            module.weight.uniform_(0.3, 0.6)
            module.bias.normal_(std=0.1)
    with torch.no_grad():
        for layer, spread in ((model.rpn.head.cls_logits, 0.05), (model.rpn.head.bbox_pred, 0.01)):
            layer.weight.normal_(std=spread)
        for layer in (model.rpn.head.conv[0][0], model.roi_heads.box_head.fc6, model.roi_heads.box_head.fc7):
            torch.nn.init.kaiming_normal_(layer.weight)
        model.roi_heads.box_predictor.cls_score.weight.normal_(std=0.3)
        model.roi_heads.box_predictor.bbox_pred.weight.normal_(std=0.03)
        # Scale the classifier, so that no category always wins.
        classifier, seen = model.roi_heads.box_predictor.cls_score, []
        handle = classifier.register_forward_hook(lambda *call: seen.append(call[2].mean(dim=0)))
        model([torch.rand(3, HEIGHT, WIDTH)])
        handle.remove()
        classifier.bias.sub_(seen[0])
    return model


@pytest.fixture(scope="module")
def ours(theirs):
    model = build_model(load_config(CONFIG, words(**PLAIN))).eval()
    state = convert_torchvision_detector(theirs.state_dict(), keep_classes=True)
    lacking = model.load_state_dict(state, strict=False)
    assert not lacking.unexpected_keys
    assert not [name for name in lacking.missing_keys if "num_batches_tracked" not in name]
    return model


@pytest.fixture(scope="module")
def image():
    torch.manual_seed(1)
    return torch.randint(0, 256, (3, HEIGHT, WIDTH), dtype=torch.uint8)


@torch.no_grad()
def test_features_and_rpn(theirs, ours, image):
    normalized = ours.preprocess_image([{"image": image}]).tensor
    transformed, _ = theirs.transform([image / 255])
    torch.testing.assert_close(normalized, transformed.tensors, rtol=1e-5, atol=1e-5)
    expected, found = theirs.backbone(normalized), ours.backbone(normalized)
    for theirs_name, name in zip(("0", "1", "2", "3", "pool"), ("p2", "p3", "p4", "p5", "p6"), strict=True):
        assert expected[theirs_name].std() > 0.01
        torch.testing.assert_close(found[name], expected[theirs_name], rtol=1e-4, atol=1e-5)
    levels = list(expected.values())
    torch.testing.assert_close(ours.proposal_generator.rpn_head(levels), theirs.rpn.head(levels))


@torch.no_grad()
def test_anchors_are_rounded_there(theirs, ours, image):
    """Test the rounding of anchors. No config removes this difference, which is at most half a pixel per side."""
    expected = theirs.rpn.anchor_generator
    expected.set_cell_anchors(torch.float32, torch.device("cpu"))
    for level, anchors in enumerate(ours.proposal_generator.anchor_generator.cell_anchors):
        assert torch.equal(anchors.round(), expected.cell_anchors[level])
        assert 0 < (anchors - expected.cell_anchors[level]).abs().max() <= 0.5


@torch.no_grad()
def test_detections_on_its_anchors(theirs, ours, image, monkeypatch):
    for anchors in ours.proposal_generator.anchor_generator.cell_anchors:
        monkeypatch.setattr(anchors, "data", anchors.data.round())
    (expected,) = theirs([image / 255])
    (found,) = ours([{"image": image, "height": HEIGHT, "width": WIDTH}])
    found = found["instances"]
    assert len(found) == len(expected["labels"]) == 20
    assert len(expected["labels"].unique()) > 1
    assert torch.equal(found.pred_classes + 1, expected["labels"])
    torch.testing.assert_close(found.pred_boxes.tensor, expected["boxes"], rtol=0, atol=1e-2)
    torch.testing.assert_close(found.scores, expected["scores"], rtol=1e-4, atol=1e-5)


@torch.no_grad()
def test_masks(theirs, ours):
    """Compare mask logits, because torchvision pastes masks differently."""
    x = torch.randn(2, 256, 14, 14)
    expected = theirs.roi_heads.mask_predictor(theirs.roi_heads.mask_head(x))[:, 1:]
    torch.testing.assert_close(ours.roi_heads.mask_head.layers(x), expected)


def test_older_names(theirs):
    """Test older parameter names. The published file is older than torchvision 0.13."""
    state = theirs.state_dict()
    old = {}
    for name, value in state.items():
        name = name.replace("rpn.head.conv.0.0.", "rpn.head.conv.")
        if ".fpn." in name:
            name = name.replace(".0.weight", ".weight").replace(".0.bias", ".bias")
        if name.startswith("roi_heads.mask_head."):
            number = int(name.split(".")[2])
            name = f"roi_heads.mask_head.mask_fcn{number + 1}.{name.rsplit('.', 1)[-1]}"
        old[name] = value
    assert "backbone.fpn.inner_blocks.0.weight" in old
    assert "roi_heads.mask_head.mask_fcn4.bias" in old
    expected = convert_torchvision_detector(state, keep_classes=True)
    found = convert_torchvision_detector(old, keep_classes=True)
    assert found.keys() == expected.keys()
    assert all(torch.equal(found[name], value) for name, value in expected.items())


def test_cocos_categories():
    """Test that the 80 rows of COCO's categories out of 91 rows are kept in order, with background last."""
    rows = torch.arange(91.0)
    state = {
        "roi_heads.box_predictor.cls_score.bias": rows,
        "roi_heads.box_predictor.bbox_pred.bias": torch.arange(91.0 * 4),
        "roi_heads.mask_predictor.mask_fcn_logits.bias": rows,
    }
    found = convert_torchvision_detector(state, keep_classes=True)
    names = MaskRCNN_ResNet50_FPN_Weights.COCO_V1.meta["categories"]
    score = found["roi_heads.box_predictor.cls_score.bias"].int().tolist()
    assert len(score) == 81
    assert [names[row] for row in score[:3]] == ["person", "bicycle", "car"]
    assert names[score[79]] == "toothbrush"
    assert score[80] == 0
    assert found["roi_heads.mask_head.predictor.bias"].int().tolist() == score[:80]
    assert found["roi_heads.box_predictor.bbox_pred.bias"][-4:].int().tolist() == [360, 361, 362, 363]


@pytest.mark.parametrize("shape", [(), (0,), (4,), (13, 2)])
def test_layers_without_rows_for_categories(shape):
    name = "roi_heads.box_predictor.bbox_pred.weight"
    with pytest.raises(WeightsError, match=rf"{name}: "):
        convert_torchvision_detector({name: torch.ones(shape)}, keep_classes=True)


def test_a_start_for_training(theirs, tmp_path, capsys):
    """Test that the printed parameters without weights are those that the checkpointer finds missing."""
    source, target = str(tmp_path / "coco.pth"), str(tmp_path / "start.pth")
    torch.save(theirs.state_dict(), source)
    arguments = [source, target, "--config-file", CONFIG, "--opts", *map(str, words())]
    assert main(arguments) == 0
    anew = [f"roi_heads.{name}.{kind}" for name in LAYERS for kind in ("weight", "bias")]
    assert capsys.readouterr().out.strip().endswith(f": {', '.join(anew)}")
    model = build_model(load_config(CONFIG, words()))
    before = {name: value.clone() for name, value in model.state_dict().items()}
    SeesawCheckpointer(model).load(target, checkpointables=[])
    written = torch.load(target, weights_only=True)["model"]
    for name, value in model.state_dict().items():
        assert torch.equal(value, written.get(name, before[name])), name
    assert main(arguments) == 2
    assert "--overwrite" in capsys.readouterr().err


def test_other_score_settings(theirs, tmp_path, caplog):
    """Test that a kept classifier records how torchvision computes scores, even for a config with another loss."""
    source, target = str(tmp_path / "coco.pth"), str(tmp_path / "kept.pth")
    torch.save(theirs.state_dict(), source)
    seesaw = {**PLAIN, "MODEL.ROI_BOX_HEAD.CLS_PREDICTOR.NAME": "NormedLinear"}
    for converted in (PLAIN, seesaw):
        arguments = [source, target, "--config-file", CONFIG, "--overwrite", "--keep-classes"]
        assert main([*arguments, "--opts", *map(str, words(**converted))]) == 0
        for options in (PLAIN, seesaw):
            caplog.clear()
            SeesawCheckpointer(build_model(load_config(CONFIG, words(**options)))).load(target)
            warned = [record for record in caplog.records if "NormedLinear (" in record.getMessage()]
            assert len(warned) == (options is seesaw)


def test_other_files_and_numbers(theirs, tmp_path, capsys):
    torch.save({"a": torch.ones(1)}, tmp_path / "other.pth")
    torch.save(theirs.state_dict(), tmp_path / "coco.pth")
    torch.save({"backbone.body.bn1.weight": torch.ones(64, dtype=torch.int64)}, tmp_path / "integers.pth")
    end = [str(tmp_path / "start.pth"), "--config-file", CONFIG]
    assert main([str(tmp_path / "integers.pth"), *end]) == 2
    assert re.search(r"integers\.pth: .*stem\.conv1\.norm\.weight: .*torch\.int64", capsys.readouterr().err)
    assert main([str(tmp_path / "other.pth"), *end]) == 2
    assert "other.pth: a " in capsys.readouterr().err
    for eps in ("nan", "-1"):
        assert main([str(tmp_path / "coco.pth"), *end, f"--eps={eps}"]) == 2
        assert "--eps: expected " in capsys.readouterr().err
    assert not (tmp_path / "start.pth").exists()


def test_other_models():
    with pytest.raises(WeightsError, match=r"rpn\.head\.conv\.1\.0\.weight "):
        convert_torchvision_detector({"rpn.head.conv.1.0.weight": torch.ones(1)})
