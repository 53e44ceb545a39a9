"""Test that stored training proposals equal the proposals on which the ROI heads are trained."""

import copy

import pytest
import torch

from seesaw_d2.choosing.recording import box_predictors
from seesaw_d2.choosing.training_proposals import record_training
from tests.choosing.test_stored_proposals import Interrupted, detector
from tests.modeling.tiny import CASCADE, NUM_CLASSES, tiny_batch

HEADS = {"standard": (), "cascade": CASCADE}


def batches():
    found = [tiny_batch((2, 1), seed=1), tiny_batch((0, 3), seed=2)]
    for number, batch in enumerate(found):
        for index, each in enumerate(batch):
            each["image_id"] = 10 * number + index
    return found


def contents(stored):
    return {name: stored.column(name).tobytes() for name in stored.description["columns"]}


@pytest.mark.parametrize("name", HEADS)
def test_the_classifiers_inputs_and_the_heads_labels(tmp_path, name):
    model = detector(*HEADS[name])
    before = copy.deepcopy(model.state_dict())
    stages = record_training(model, box_predictors(model), batches(), tmp_path / "train", {})
    assert all(torch.equal(value, before[key]) for key, value in model.state_dict().items())
    assert not model.training
    assert model.roi_heads.mask_on
    heads = model.roi_heads
    predictors = heads.box_predictor if name == "cascade" else [heads.box_predictor]
    assert len(stages) == len(predictors)
    for stored, predictor in zip(stages, predictors, strict=True):
        assert "losses" not in vars(predictor)
        assert not predictor._forward_pre_hooks
        assert stored.image_ids == [0, 1, 10, 11]
        assert stored.counts.sum() == len(stored.column("labels"))
        for image, item in zip(stored, [each for batch in batches() for each in batch], strict=True):
            labels = image.columns["labels"][:, 0]
            real = set(item["instances"].gt_classes.tolist())
            assert set(labels.tolist()) <= real | {NUM_CLASSES}
            assert real <= set(labels.tolist())  # the proposals include the ground-truth boxes
    if name == "standard":  # the stored features are the features of the boxes
        image, item = stages[0][2], batches()[1][0]
        assert (image.columns["labels"] == NUM_CLASSES).all()  # an image without objects
        assert image.size == tuple(item["image"].shape[1:])


def test_an_interrupted_recording_goes_on(tmp_path):
    model = detector()

    def stopped():
        yield batches()[0]
        raise Interrupted

    (whole,) = record_training(model, box_predictors(model), batches(), tmp_path / "whole", {})
    with pytest.raises(Interrupted):
        record_training(model, box_predictors(model), stopped(), tmp_path / "again", {})
    (again,) = record_training(model, box_predictors(model), batches(), tmp_path / "again", {})
    assert contents(again) == contents(whole)
