"""Test Cascade R-CNN: the defaults equal Detectron2, and each difference of the paper is tested separately."""

import pytest
import torch
from detectron2.modeling import build_model
from detectron2.modeling.roi_heads import CascadeROIHeads
from detectron2.structures import pairwise_iou
from detectron2.utils.events import EventStorage

from seesaw_d2.errors import ConfigError
from seesaw_d2.modeling import SeesawCascadeROIHeads
from seesaw_d2.weights.class_counts import record_class_counts
from tests.modeling.tiny import CASCADE, NUM_CLASSES, tiny_batch, tiny_config

PER_STAGE = ("MODEL.ROI_MASK_HEAD.PER_STAGE", True)
RESAMPLE = ("MODEL.ROI_BOX_CASCADE_HEAD.RESAMPLE", True)
WEIGHTS = ("MODEL.ROI_BOX_CASCADE_HEAD.STAGE_LOSS_WEIGHTS", [1.0, 0.5, 0.25])
UNSCALED = ("MODEL.ROI_BOX_CASCADE_HEAD.SCALE_GRADIENTS", False)
MASK_HEADS = ("MaskRCNNConvUpsampleHead", "SelectiveMaskHead", "NormedMaskHead")


def build(*overrides):
    torch.manual_seed(0)
    return build_model(tiny_config(*CASCADE, *overrides)).train()


def losses_of(model, batch=None, seed=1):
    torch.manual_seed(seed)
    with EventStorage() as storage:
        losses = model(tiny_batch((3, 2)) if batch is None else batch)
    return losses, storage


def gradients(model, losses, chosen=lambda name: True):
    total = sum(value for name, value in losses.items() if chosen(name))
    model.zero_grad()
    total.backward()
    return {name: p.grad.clone() for name, p in model.named_parameters() if p.grad is not None}


def spy(monkeypatch, owner, name):
    """Record the return values of a method."""
    results, plain = [], getattr(owner, name)

    def wrapper(*args, **kwargs):
        results.append(plain(*args, **kwargs))
        return results[-1]

    monkeypatch.setattr(owner, name, wrapper)
    return results


def test_defaults_are_detectron2s(monkeypatch):
    """Test that losses, gradients and parameter names equal those of Detectron2's forward pass."""
    model = build()
    ours, _ = losses_of(model)
    found = gradients(model, ours)
    for name in ("_forward_box", "_run_stage", "_match_and_label_boxes", "_forward_mask"):
        monkeypatch.setattr(SeesawCascadeROIHeads, name, getattr(CascadeROIHeads, name))
    plain = build()
    assert plain.state_dict().keys() == model.state_dict().keys()
    theirs, _ = losses_of(plain)
    assert ours.keys() == theirs.keys()
    for name, value in theirs.items():
        assert value.item() == ours[name].item(), name
    for name, value in gradients(plain, theirs).items():
        torch.testing.assert_close(found[name], value, rtol=0, atol=0)


def test_stage_weights_scale_every_loss_of_a_stage():
    plain, _ = losses_of(build(*PER_STAGE))
    weighted, _ = losses_of(build(*PER_STAGE, *WEIGHTS))
    for stage, weight in enumerate((1.0, 0.5, 0.25)):
        names = {name for name in plain if name.endswith(f"_stage{stage}")}
        assert {name.removesuffix(f"_stage{stage}") for name in names} == {
            *("loss_cls_classes", "loss_cls_objectness", "loss_box_reg", "loss_mask"),
        }
        for name in names:
            assert weighted[name].item() == pytest.approx(weight * plain[name].item())
    assert "loss_mask" not in plain


@pytest.mark.parametrize("mask", MASK_HEADS)
def test_gradients_on_the_features(mask):
    """Test that Detectron2's scaling divides the gradient of the features by three, and keeps that of the heads."""
    options = (*PER_STAGE, "MODEL.ROI_MASK_HEAD.NAME", mask)

    def from_stages(model):
        return gradients(model, losses_of(model)[0], lambda name: "_stage" in name)

    scaled, unscaled = from_stages(build(*options)), from_stages(build(*options, *UNSCALED))
    shared = [name for name in scaled if name.startswith("backbone.")]
    heads = [name for name in scaled if name.startswith("roi_heads.")]
    assert shared
    assert heads
    for name in shared:
        # The order of sums differs. Therefore, the tolerance is a thousandth of the largest entry.
        assert (scaled[name] * 3 - unscaled[name]).abs().max() <= 1e-3 * unscaled[name].abs().max()
    for name in heads:
        torch.testing.assert_close(scaled[name], unscaled[name])


@pytest.mark.parametrize("mask", MASK_HEADS)
def test_each_mask_head_learns_from_its_own_stage(mask):
    model = build(*PER_STAGE, "MODEL.ROI_MASK_HEAD.NAME", mask)
    heads = {name.split(".")[2] for name in model.state_dict() if name.startswith("roi_heads.mask_head.")}
    assert heads == {"0", "1", "2"}
    for stage in range(3):
        losses, _ = losses_of(model)
        found = gradients(model, losses, lambda name, stage=stage: name == f"loss_mask_stage{stage}")
        nonzero = {name.split(".")[2] for name, g in found.items() if "mask_head" in name and g.abs().sum() > 0}
        assert nonzero == {str(stage)}


@pytest.mark.parametrize("options", [(), RESAMPLE], ids=["as they are", "resampled"])
def test_mask_heads_see_the_foreground_of_their_stage(monkeypatch, options):
    """Test that mask heads get the foreground at the stage's IoU threshold, with the mask of the matched object."""
    model = build(*PER_STAGE, *options)
    seen = []
    for head in model.roi_heads.mask_head:
        head.register_forward_pre_hook(lambda _, args: seen.append(args[1]))
    losses_of(model)
    assert len(seen) == 3
    for instances, threshold in zip(seen, (0.5, 0.6, 0.7), strict=True):
        assert sum(map(len, instances)) > 0
        for image in instances:
            overlap = pairwise_iou(image.proposal_boxes, image.gt_boxes).diagonal()
            assert (overlap >= threshold).all()
            for box, mask in zip(image.gt_boxes.tensor.int().tolist(), image.gt_masks.tensor, strict=True):
                left, top, right, bottom = box
                assert mask[top:bottom, left:right].all()
                assert mask.sum() == (right - left) * (bottom - top)


@pytest.mark.parametrize("mask", MASK_HEADS)
def test_masks_are_averaged(mask):
    model = build(*PER_STAGE, "MODEL.ROI_MASK_HEAD.NAME", mask, "MODEL.ROI_HEADS.SCORE_THRESH_TEST", 0.0).eval()
    outputs = []
    for head in model.roi_heads.mask_head:
        for parameter in head.parameters():
            torch.nn.init.normal_(parameter, std=0.3)
        head.register_forward_hook(lambda _, args, out: outputs.append([i.pred_masks.clone() for i in out]))
    with torch.no_grad():
        results = model.inference(tiny_batch((0, 0)), do_postprocess=False)
    assert len(outputs) == 3
    assert sum(map(len, results)) > 0
    for index, result in enumerate(results):
        stages = torch.stack([stage[index] for stage in outputs])
        assert stages.std(dim=0).max() > 0.01
        torch.testing.assert_close(result.pred_masks, stages.mean(dim=0))


def test_resampling(monkeypatch):
    """Test that each stage has each object once as a proposal, and the configured number and fraction of foreground."""
    sampled = spy(monkeypatch, SeesawCascadeROIHeads, "label_and_sample_proposals")
    size = ("MODEL.ROI_HEADS.BATCH_SIZE_PER_IMAGE", 32, "MODEL.RPN.POST_NMS_TOPK_TRAIN", 100)
    losses, storage = losses_of(build(*RESAMPLE, *size))
    assert len(sampled) == 3
    for images, threshold in zip(sampled, (0.5, 0.6, 0.7), strict=True):
        for image in images:
            assert len(image) <= 32
            foreground = image.gt_classes < NUM_CLASSES
            assert foreground.sum() <= 8
            boxes, truth = image.proposal_boxes.tensor, image.gt_boxes.tensor
            exact = (boxes == truth).all(dim=1)
            assert len(boxes[exact].unique(dim=0)) == exact.sum()
            overlap = pairwise_iou(image.proposal_boxes, image.gt_boxes).diagonal()
            assert ((overlap >= threshold) == foreground).all()
    assert [len(images) for images in sampled] == [2, 2, 2]
    assert {f"{scope}roi_head/num_fg_samples" for scope in ("", "stage1/", "stage2/")} <= set(storage.latest())
    assert all(torch.isfinite(value) for value in losses.values())


def test_the_ground_truth_of_a_stage_is_not_refined_into_the_next(monkeypatch):
    made = spy(monkeypatch, SeesawCascadeROIHeads, "_create_proposals_from_boxes")
    sampled = spy(monkeypatch, SeesawCascadeROIHeads, "label_and_sample_proposals")
    losses_of(build(*RESAMPLE), tiny_batch((3,)))
    for refined, (image,) in zip(made, sampled, strict=False):
        exact = (image.proposal_boxes.tensor == image.gt_boxes.tensor).all(dim=1)
        assert exact.sum() == 3
        assert len(refined[0]) <= len(image) - 3


@pytest.mark.parametrize("mask", MASK_HEADS)
@pytest.mark.parametrize("objects", [(0, 0), (0, 2), (0,)])
@pytest.mark.parametrize("options", [PER_STAGE, (*PER_STAGE, *RESAMPLE, *WEIGHTS, *UNSCALED)], ids=["masks", "paper"])
def test_images_without_objects_train(mask, objects, options):
    model = build(*options, "MODEL.ROI_MASK_HEAD.NAME", mask)
    losses, _ = losses_of(model, tiny_batch(objects))
    assert all(torch.isfinite(value) for value in losses.values())
    found = gradients(model, losses)
    assert all(torch.isfinite(value).all() for value in found.values())
    missing = {name for name, _ in model.named_parameters()} - set(found)
    assert not [name for name in missing if "predictor.bias" not in name]
    model.eval()
    with torch.no_grad():
        assert len(model(tiny_batch(objects))) == len(objects)


def test_without_masks():
    losses, _ = losses_of(build(*PER_STAGE, "MODEL.MASK_ON", False))
    assert not [name for name in losses if "mask" in name]


@pytest.mark.parametrize("weights", [[1.0, 0.5], [1.0, 0.5, -0.25], [1.0, 0.5, "x"]], ids=str)
def test_wrong_weights_name_their_key(weights):
    with pytest.raises(ConfigError, match=r"ROI_BOX_CASCADE_HEAD\.STAGE_LOSS_WEIGHTS: expected .* 3 stages .*found \["):
        build("MODEL.ROI_BOX_CASCADE_HEAD.STAGE_LOSS_WEIGHTS", weights)


def test_mask_heads_that_pool_for_themselves():
    with pytest.raises(ConfigError, match=r"ROI_MASK_HEAD\.PER_STAGE: expected False"):
        build(*PER_STAGE, "MODEL.ROI_MASK_HEAD.POOLER_TYPE", "")


def test_wrong_arguments():
    cfg = tiny_config(*CASCADE)
    shapes = build_model(cfg).backbone.output_shape()
    arguments = SeesawCascadeROIHeads.from_config(cfg, shapes)
    with pytest.raises(ValueError, match="stage_loss_weights: expected 3 numbers"):
        SeesawCascadeROIHeads(**{**arguments, "stage_loss_weights": [1.0]})
    with pytest.raises(ValueError, match=r"mask_head: expected .*3 .*found .* 1$"):
        SeesawCascadeROIHeads(**{**arguments, "mask_head": [arguments["mask_head"]]})
    with pytest.raises(ValueError, match="average: expected one of probabilities, logits"):
        SeesawCascadeROIHeads(**{**arguments, "average": "masks"})


def test_recorded_counts_go_to_their_stages(tmp_path):
    """Test that recorded counts are used in another model, and that neither training nor loading changes them."""
    model = build()
    losses_of(model)
    counted = [predictor.cls_loss.class_counts.clone() for predictor in model.roi_heads.box_predictor]
    torch.save({"model": model.state_dict()}, tmp_path / "model.pth")
    record_class_counts(str(tmp_path / "model.pth"), str(tmp_path / "counts.json"))
    fixed = build("MODEL.ROI_BOX_HEAD.CLS_LOSS.SEESAW.CLASS_COUNTS", str(tmp_path / "counts.json"))
    losses_of(fixed)
    fixed.load_state_dict(build().state_dict())
    found = [predictor.cls_loss.class_counts for predictor in fixed.roi_heads.box_predictor]
    assert [counts.tolist() for counts in found] == [counts.tolist() for counts in counted]
    assert counted[0].tolist() != counted[2].tolist()
