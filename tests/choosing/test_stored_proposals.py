"""Test that stored proposals give the same detections as the model, also after an interruption."""

import json

import numpy as np
import pytest
import torch
from detectron2.modeling import build_model

from seesaw_d2.choosing.detecting import all_detections, detections_of
from seesaw_d2.choosing.recording import limits_of, record, scoring_of
from seesaw_d2.choosing.stored_proposals import StoredProposals
from seesaw_d2.errors import ConfigError, DataError
from tests.modeling.tiny import CASCADE, tiny_batch, tiny_config

NODE, LOSS = "MODEL.ROI_HEADS.CALIBRATION", "MODEL.ROI_BOX_HEAD.CLS_LOSS.NAME"
HEADS = {
    "standard": (),
    "cascade": CASCADE,
    "cascade of logits": (*CASCADE, "MODEL.ROI_BOX_CASCADE_HEAD.AVERAGE", "logits"),
    "iterative": ("MODEL.ROI_HEADS.NAME", "IterativeROIHeads"),
    "sigmoids": (LOSS, "FocalLoss"),
    "margins": (LOSS, "EffectiveClassMarginLoss"),
}


def detector(*overrides):
    torch.manual_seed(0)
    model = build_model(tiny_config("MODEL.ROI_HEADS.SCORE_THRESH_TEST", 0.001, *overrides)).eval()
    for name, value in model.named_parameters():
        if name.endswith("cls_score.bias"):
            torch.nn.init.normal_(value)  # random weights, so that categories and stages differ
    return model


def images(count=3):
    found = tiny_batch((0,) * count)
    for index, each in enumerate(found):
        each.update(image_id=100 + index, height=96 + index, width=128)
    return found


def assert_same_detections(model, stored, inputs):
    with torch.no_grad():
        outputs = [model([each])[0]["instances"] for each in inputs]
    assert sum(map(len, outputs)) > 0
    for image, expected in zip(stored, outputs, strict=True):
        found = detections_of(image, scoring_of(model), limits_of(model))
        assert torch.equal(found.pred_boxes.tensor, expected.pred_boxes.tensor)
        assert torch.equal(found.scores, expected.scores)
        assert torch.equal(found.pred_classes, expected.pred_classes)
        assert found.image_size == expected.image_size


@pytest.mark.parametrize("name", HEADS)
def test_the_models_own_detections(tmp_path, name):
    model, inputs = detector(*HEADS[name]), images()
    stored = record(model, inputs, tmp_path / "stored", {"set": "a"})
    assert stored.image_ids == [100, 101, 102]
    assert_same_detections(model, stored, inputs)


@pytest.mark.parametrize("name", ["standard", "cascade", "cascade of logits", "iterative", "sigmoids"])
def test_a_calibration_after_recording(tmp_path, name):
    """Test that the stored logits are the logits before the calibration."""
    counts = tmp_path / "counts.json"
    counts.write_text(json.dumps({"class_counts": [1, 3, 10, 40, 90, 400, 1000]}))
    calibration = (f"{NODE}.NAME", "NorCal", f"{NODE}.COUNTS", str(counts))
    plain, calibrated = detector(*HEADS[name]), detector(*HEADS[name], *calibration)
    stored = record(plain, images(), tmp_path / "stored", {})
    assert_same_detections(calibrated, stored, images())
    assert all_detections(stored, scoring_of(plain), limits_of(plain)).to_json() != (
        all_detections(stored, scoring_of(calibrated), limits_of(calibrated)).to_json()
    )
    again = record(calibrated, images(), tmp_path / "again", {})
    assert np.array_equal(again.column("logits0"), stored.column("logits0"))


def test_the_model_is_as_before(tmp_path):
    model = detector()
    record(model, images(1), tmp_path / "stored", {}, features=True)
    with torch.no_grad():
        assert model(images(1))[0]["instances"].has("pred_masks")
    assert "predict_probs" not in vars(model.roi_heads.box_predictor)
    assert not model.roi_heads.box_predictor._forward_pre_hooks


@pytest.mark.parametrize("name", ["standard", "cascade", "iterative"])
def test_the_classifiers_inputs(tmp_path, name):
    model = detector(*HEADS[name])
    stored = record(model, images(), tmp_path / "stored", {}, features=True)
    predictors = model.roi_heads.box_predictor if "cascade" in name else [model.roi_heads.box_predictor]
    for stage, predictor in enumerate(predictors):
        features = torch.from_numpy(np.array(stored.column(f"features{stage}"))).float()
        logits = torch.from_numpy(np.array(stored.column(f"logits{stage}")))
        torch.testing.assert_close(predictor.cls_score(features), logits, rtol=0.01, atol=0.01)
    rois = stored[0].columns["rois0"]
    assert rois.shape == (len(stored[0].columns["boxes"]), 4)
    assert (rois[:, 2:] >= rois[:, :2]).all()


class Interrupted(Exception):
    pass


def test_an_interrupted_recording_goes_on(tmp_path):
    model, folder = detector(), tmp_path / "stored"

    def stopped():
        yield from images()[:2]
        raise Interrupted

    with pytest.raises(Interrupted):
        record(model, stopped(), folder, {"set": "a"})
    with open(folder / "boxes.bin", "ab") as boxes, open(folder / "images.jsonl", "a") as lines:
        boxes.write(b"half a row")  # simulate a process that was killed while it wrote the file
        lines.write('{"image_id": 1')
    assert_same_detections(model, record(model, images(), folder, {"set": "a"}), images())


def test_a_folder_of_something_else(tmp_path):
    model, folder = detector(), tmp_path / "stored"
    record(model, images(1), folder, {"set": "a"})
    for other, source in ((model, {"set": "b"}), (detector(LOSS, "FocalLoss"), {"set": "a"})):
        with pytest.raises(ConfigError, match="stored"):
            record(other, images(1), folder, source)
    (tmp_path / "notes").mkdir()
    (tmp_path / "notes/mine.txt").write_text("x")
    with pytest.raises(ConfigError, match="notes"):
        record(model, images(1), tmp_path / "notes", {})
    assert (tmp_path / "notes/mine.txt").read_text() == "x"


def test_broken_files(tmp_path):
    record(detector(), images(1), tmp_path / "stored", {})
    (tmp_path / "stored/boxes.bin").write_bytes(b"")
    with pytest.raises(DataError, match=r"boxes\.bin"):
        StoredProposals(tmp_path / "stored").column("boxes")
    with pytest.raises(DataError, match=r"boxes\.bin"):  # the missing rows must not become zeros
        record(detector(), images(2), tmp_path / "stored", {})
    assert (tmp_path / "stored/boxes.bin").read_bytes() == b""
    with pytest.raises(DataError, match=r"proposals\.json"):
        StoredProposals(tmp_path)


def test_images_that_two_programs_stored_are_an_error(tmp_path):
    model, folder = detector(), tmp_path / "stored"

    def with_another_program():
        for number, each in enumerate(images()):
            yield each
            if number == 0:
                record(detector(), images(1), tmp_path / "other", {})
                for path in folder.iterdir():
                    if path.suffix in (".bin", ".jsonl"):
                        path.write_bytes(path.read_bytes() + (tmp_path / "other" / path.name).read_bytes())

    with pytest.raises(DataError, match=rf"{folder}: .* 3 images.* 4 images"):
        record(model, with_another_program(), folder, {})


def test_a_head_that_computes_scores_otherwise(tmp_path):
    model = detector()
    plain = model.roi_heads.box_predictor.inference
    model.roi_heads.box_predictor.inference = lambda *args: ([each[:1] for each in plain(*args)[0]], None)
    with pytest.raises(ConfigError, match=r"MODEL\.ROI_HEADS\.NAME"):
        record(model, images(1), tmp_path / "stored", {})


def test_a_model_without_box_predictors(tmp_path):
    model = torch.nn.Linear(1, 1)
    with pytest.raises(ConfigError, match=r"MODEL\.META_ARCHITECTURE"):
        record(model, images(1), tmp_path / "stored", {})
