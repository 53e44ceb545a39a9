"""Test which differing settings of compared runs the reports list."""

import re
from functools import reduce

import pytest
import report
import yaml

from seesaw_d2.report.setting_differences import config_differences
from seesaw_d2.train import load_config

CHANGED = {
    "DATASETS.FREQUENCY_THRESHOLDS": [3, 5],
    "SOLVER.MOMENTUM": 0.5,
    "SOLVER.WEIGHT_DECAY": 0.5,
    "SOLVER.CLIP_GRADIENTS.ENABLED": True,
    "SOLVER.AMP.ENABLED": True,
    "DATALOADER.SAMPLER_TRAIN": "ClassAwareSampler",
    "DATALOADER.REPEAT_THRESHOLD": 0.25,
    "DATALOADER.FILTER_EMPTY_ANNOTATIONS": False,
    "INPUT.COPY_PASTE.ENABLED": True,
    "INPUT.RANDOM_FLIP": "none",
    "TEST.PRECISE_BN.ENABLED": True,
    "MODEL.FREEZE.NAMES": ["*"],
    "MODEL.ROI_HEADS.CALIBRATION.NAME": "NorCal",
    "MODEL.RPN.BATCH_SIZE_PER_IMAGE": 7,
    "MODEL.WEIGHTS_EXCEPT": ["x"],
}
SAME = {
    "OUTPUT_DIR": "/elsewhere",
    "SEED": 77,
    "VIS_PERIOD": 5,
    "LOGGING.WANDB_PROJECT": "mine",
    "DATALOADER.NUM_WORKERS": 7,
    "SOLVER.CHECKPOINT_PERIOD": 7,
    "TEST.EVAL_PERIOD": 7,
    "MODEL.ROI_BOX_HEAD.CLS_LOSS.NAME": "SeesawLoss",
    "MODEL.ROI_BOX_HEAD.CLS_LOSS.SEESAW.Q": 0.5,
    "MODEL.ROI_BOX_HEAD.CLS_PREDICTOR.NAME": "NormedLinear",
    "MODEL.ROI_BOX_HEAD.CLS_PREDICTOR.TEMPERATURE": 7.0,
}


def saved(changes: dict, config: dict | None = None) -> dict:
    config = yaml.safe_load(load_config("").dump()) if config is None else config
    for key, value in changes.items():
        *parents, last = key.split(".")
        reduce(dict.__getitem__, parents, config)[last] = value
    return config


@pytest.fixture(scope="module")
def found():
    return config_differences([saved({}), saved({**SAME, **CHANGED})])


def test_all_settings_are_compared_and_the_method_is_not(found):
    assert [key for key, _ in found] == sorted(CHANGED, key=lambda key: [*dict(found)].index(key))
    assert dict(found)["MODEL.FREEZE.NAMES"] == ["[]", "[*]"]
    assert dict(found)["SOLVER.MOMENTUM"] == ["0.9", "0.5"]
    parts = [key.split(".")[0] for key, _ in found]
    assert list(dict.fromkeys(parts)) == ["DATASETS", "SOLVER", "DATALOADER", "INPUT", "TEST", "MODEL"]


def test_keys_that_a_config_lacks_are_unknown():
    assert config_differences([{}, saved(CHANGED)]) == []
    some = {"SOLVER": {"MOMENTUM": 0.9}}
    assert config_differences([some, saved(CHANGED)]) == [("SOLVER.MOMENTUM", ["0.9", "0.5"])]
    assert ("SOLVER.MOMENTUM", ["unknown", "0.5", "0.9"]) in config_differences([{}, saved(CHANGED), saved({})])


def test_lazy_configs():
    heads = {"_target_": "a", "box_predictor": {"cls_loss": {"gamma": 1}, "test_score_thresh": 0.05}}
    one = {"model": {"roi_heads": heads}, "train": {"output_dir": "a", "max_iter": 5}, "optimizer": {"lr": 0.1}}
    heads = {"_target_": "b", "box_predictor": {"cls_loss": {"gamma": 2}, "test_score_thresh": 0.01}}
    two = {"model": {"roi_heads": heads}, "train": {"output_dir": "b", "max_iter": 9}, "optimizer": {"lr": 0.2}}
    keys = [key for key, _ in config_differences([one, two])]
    assert sorted(keys) == ["model.roi_heads.box_predictor.test_score_thresh", "optimizer.lr", "train.max_iter"]


def test_a_page_shows_the_first_settings_and_folds_the_others(runs):
    config = runs / "good/config.yaml"
    one, two = yaml.safe_load(config.read_text()), saved(CHANGED, yaml.safe_load(config.read_text()))
    config.write_text(yaml.safe_dump(two))
    command = [str(runs / "confused"), str(runs / "good"), "--output", str(runs / "page.html"), "--images", "0"]
    assert report.main(command) == 0
    text = (runs / "page.html").read_text().replace("<wbr>", "")
    shown, folded = text[text.index('class="warning"') : text.index('id="results-title"')].split("<details>")
    shown, folded = (re.findall(r'<th scope="row">(.*?)</th>', part) for part in (shown, folded))
    assert 1 < len(folded) < len(shown) < len(CHANGED)
    assert shown + folded == [key for key, _ in config_differences([one, two])]


@pytest.mark.parametrize(("architecture", "expected"), [("GeneralizedRCNN", "0.375"), ("LongTailRetinaNet", "0.625")])
def test_the_score_threshold_is_that_of_the_architecture(runs, architecture, expected):
    config = runs / "good/config.yaml"
    changes = {"MODEL.ROI_HEADS.SCORE_THRESH_TEST": 0.375, "MODEL.RETINANET.SCORE_THRESH_TEST": 0.625}
    changes["MODEL.META_ARCHITECTURE"] = architecture
    config.write_text(yaml.safe_dump(saved(changes, yaml.safe_load(config.read_text()))))
    assert report.main([str(runs / "good"), "--output", str(runs / "page.html"), "--images", "0"]) == 0
    (found,) = re.findall(r">score threshold</th><td class=\"text\">(.*?)</td>", (runs / "page.html").read_text())
    assert found == expected
