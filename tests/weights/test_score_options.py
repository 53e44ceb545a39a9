"""Test that settings of losses and heads that change scores are compared with those of a checkpoint."""

import pytest
from torch import nn

from seesaw_d2.losses import GumbelOptimizedLoss, InverseImageFrequencyLoss
from seesaw_d2.modeling.building import build_model
from seesaw_d2.weights.score_settings import differing_settings, score_settings
from tests.modeling.tiny import CASCADE, tiny_config

_UNKNOWN = {"image_counts": None, "instance_counts": None, "num_images": None}
_LOSSES = {
    "gumbel False": [GumbelOptimizedLoss(3, image_frequency=None, activation=a) for a in ("gumbel", "sigmoid")],
    "link smooth": [InverseImageFrequencyLoss(3, link=link, **_UNKNOWN) for link in ("raw", "smooth")],
    "counts instances": [InverseImageFrequencyLoss(3, counts=c, **_UNKNOWN) for c in ("images", "instances")],
}


@pytest.mark.parametrize("text", _LOSSES)
def test_options_of_losses(text):
    default, other = (nn.ModuleDict({"loss": loss}) for loss in _LOSSES[text])
    assert text not in score_settings(default)["loss"]
    for model, checkpoint in ((default, other), (other, default)):
        record = {"score_settings": score_settings(checkpoint)}
        assert differing_settings(checkpoint, record) == ""
        found = differing_settings(model, record)
        assert found.startswith("loss: ")
        assert text in found


def test_iterations_of_a_head():
    head = ("MODEL.ROI_HEADS.NAME", "IterativeROIHeads")
    fewer = ("MODEL.ROI_ITERATIVE_HEAD.NUM_ITERATIONS", 2, "MODEL.ROI_ITERATIVE_HEAD.LOSS_WEIGHTS", "[0.5, 0.5]")
    three, two = build_model(tiny_config(*head)), build_model(tiny_config(*head, *fewer))
    assert differing_settings(two, {"score_settings": score_settings(two)}) == ""
    found = differing_settings(three, {"score_settings": score_settings(two)})
    assert "roi_heads: expected IterativeROIHeads (num_iterations 2), found" in found
    assert "(num_iterations 2)" in differing_settings(two, {"score_settings": score_settings(three)})


def test_average_of_a_cascade():
    logits = build_model(tiny_config(*CASCADE, "MODEL.ROI_BOX_CASCADE_HEAD.AVERAGE", "logits"))
    probabilities = build_model(tiny_config(*CASCADE))
    assert differing_settings(logits, {"score_settings": score_settings(logits)}) == ""
    for model, checkpoint in ((probabilities, logits), (logits, probabilities)):
        found = differing_settings(model, {"score_settings": score_settings(checkpoint)})
        assert found.startswith("roi_heads: ")
        assert "(average logits)" in found
