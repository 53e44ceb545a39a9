"""Test the average over the stages of Cascade R-CNN at test time: of probabilities, or of logits."""

import pytest
import torch
from detectron2.modeling.roi_heads import cascade_rcnn as detectron2_cascade

from seesaw_d2.errors import ConfigError
from seesaw_d2.modeling import cascade
from tests.modeling.test_cascade import build
from tests.modeling.tiny import tiny_batch

LOGITS = ("MODEL.ROI_BOX_CASCADE_HEAD.AVERAGE", "logits")


def stages_and_scores(monkeypatch, *options):
    """Return the logits of the three stages, their probabilities, and the scores of the detections."""
    model = build("MODEL.ROI_HEADS.SCORE_THRESH_TEST", 0.0, *options).eval()
    logits, scores = [], []
    for predictor in model.roi_heads.box_predictor:
        torch.nn.init.normal_(predictor.cls_score.bias, std=2)
        predictor.register_forward_hook(lambda _, args, out: logits.append(out[0]))
    for owner in (detectron2_cascade, cascade):
        plain = owner.fast_rcnn_inference
        monkeypatch.setattr(
            owner, "fast_rcnn_inference", lambda b, s, *rest, f=plain: scores.append(s) or f(b, s, *rest)
        )
    with torch.no_grad():
        detections = model.inference(tiny_batch((0, 0)), do_postprocess=False)
    assert sum(map(len, detections)) > 0
    return logits, torch.cat(scores[0]), model.roi_heads.box_predictor[0].cls_loss


@pytest.mark.parametrize("loss", ["SeesawLoss", "CrossEntropyLoss", "EqualizationLossV2"])
def test_what_is_averaged(monkeypatch, loss):
    """Test the average of probabilities (default) and the average of logits before the activation."""
    options = ("MODEL.ROI_BOX_HEAD.CLS_LOSS.NAME", loss)
    logits, by_default, cls_loss = stages_and_scores(monkeypatch, *options)
    assert len(logits) == 3
    torch.testing.assert_close(by_default, torch.stack([cls_loss.probabilities(each) for each in logits]).mean(dim=0))
    logits, by_logits, _ = stages_and_scores(monkeypatch, *options, *LOGITS)
    assert len(logits) == 3
    torch.testing.assert_close(by_logits, cls_loss.probabilities((logits[0] + logits[1] + logits[2]) / 3))
    assert (by_logits - by_default).abs().max() > 0.01


def test_stages_that_agree_have_one_average():
    """Test that if all stages have equal logits, both averages are equal."""
    probabilities, by_logits = build().eval().roi_heads, build(*LOGITS).eval().roi_heads
    logits = 5 * torch.randn(4, probabilities.box_predictor[0].cls_loss.num_logits)
    predictions, proposals = [(logits, torch.zeros(4, 4))] * 3, [range(3), range(1)]
    for found, expected in zip(
        by_logits.average_probs(predictions, proposals),
        probabilities.average_probs(predictions, proposals),
        strict=True,
    ):
        torch.testing.assert_close(found, expected)


def test_a_wrong_average():
    with pytest.raises(
        ConfigError, match=r'ROI_BOX_CASCADE_HEAD\.AVERAGE: expected "probabilities" or "logits", found'
    ):
        build("MODEL.ROI_BOX_CASCADE_HEAD.AVERAGE", "scores")
