"""Test that checkpoints record how the model computes scores, and that other settings raise a warning."""

import copy

import pytest
import torch

from seesaw_d2.predict.predictor import BatchPredictor
from seesaw_d2.train import load_config
from seesaw_d2.train import main as train_net
from seesaw_d2.weights.format_conversion import convert_weights
from seesaw_d2.weights.tau_checkpoint import normalize_checkpoint

_BOX = "MODEL.ROI_BOX_HEAD."
TRAINED = [_BOX + "CLS_PREDICTOR.NAME", "NormedLinear", _BOX + "CLS_LOSS.NAME", "SeesawLoss"]
LAYER, LOSS = "roi_heads.box_predictor.cls_score", "roi_heads.box_predictor.cls_loss"


@pytest.fixture
def weights(config_file, tmp_path):
    """Train for one iteration, and return the path of the weights."""
    words = [*TRAINED, "DATASETS.TEST", "()", "SOLVER.MAX_ITER", "1", "DATALOADER.NUM_WORKERS", "0"]
    assert train_net(["--config-file", str(config_file), *words]) == 0
    return tmp_path / "run" / "model_final.pth"


def warnings(config_file, caplog, path, *words):
    """Load weights into a model for predictions, and return the warnings about settings."""
    caplog.clear()
    BatchPredictor(load_config(str(config_file), [*TRAINED, *words, "MODEL.WEIGHTS", str(path)]))
    found = [record.getMessage() for record in caplog.records if record.levelname == "WARNING"]
    return [text for text in found if f"{LAYER}:" in text or f"{LOSS}:" in text]


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ([_BOX + "CLS_PREDICTOR.TEMPERATURE", "40.0"], (LAYER, "temperature 20", "temperature 40")),
        ([_BOX + "CLS_PREDICTOR.NAME", "Linear"], (LAYER, "NormedLinear")),
        (
            [_BOX + "CLS_LOSS.NAME", "CrossEntropyLoss", _BOX + "CLS_LOSS.BACKGROUND", "objectness"],
            (LOSS, "SeesawLoss", "CrossEntropyLoss"),
        ),
    ],
)
def test_other_settings_of_equal_shape(weights, config_file, caplog, tmp_path, words, expected):
    converted = tmp_path / "converted.safetensors"
    convert_weights(str(weights), str(converted))
    for path in (weights, converted):
        assert warnings(config_file, caplog, path) == []
        (text,) = warnings(config_file, caplog, path, *words)
        assert all(part in text for part in (str(path), *expected))


@pytest.mark.parametrize("record", [None, "text", ["list"], {1: [2]}])
def test_checkpoints_without_a_valid_record(weights, config_file, caplog, record):
    content = copy.copy(torch.load(weights, weights_only=True))
    del content["score_settings"]
    torch.save(content if record is None else {**content, "score_settings": record}, weights)
    assert len(warnings(config_file, caplog, weights)) == (isinstance(record, dict))


def test_normalized_weights_keep_the_record(config_file, caplog, tmp_path):
    linear = [_BOX + "CLS_PREDICTOR.NAME", "Linear", _BOX + "CLS_LOSS.NAME", "CrossEntropyLoss"]
    linear += [_BOX + "CLS_LOSS.BACKGROUND", "class"]
    words = ["DATASETS.TEST", "()", "SOLVER.MAX_ITER", "1", "DATALOADER.NUM_WORKERS", "0"]
    assert train_net(["--config-file", str(config_file), *linear, *words]) == 0
    output = tmp_path / "tau.pth"
    normalize_checkpoint(str(tmp_path / "run/model_final.pth"), str(output), [0.5])
    assert warnings(config_file, caplog, output, *linear) == []
    (text,) = warnings(config_file, caplog, output, *linear, _BOX + "CLS_PREDICTOR.NAME", "NormedLinear")
    assert all(part in text for part in (str(output), LAYER, "NormedLinear"))
