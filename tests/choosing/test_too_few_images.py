"""Test errors of ``tools/choose_loss.py`` for data that cannot be split, and for files and options that are damaged."""

from types import SimpleNamespace

import numpy as np
import pytest
from choose_loss import main

from seesaw_d2.choosing import image_sets
from seesaw_d2.choosing.choose_loss import _check_task
from seesaw_d2.choosing.classifier_training import Samples
from seesaw_d2.choosing.json_lines import complete_lines
from seesaw_d2.data import register_datasets
from seesaw_d2.errors import ConfigError, DataError
from seesaw_d2.train import load_config

DIGITS = "configs/digits/ce.yaml"


@pytest.mark.parametrize(("seeds", "images", "folds"), [(1, 3, 3), (3, 3, 3), (5, 9, 5), (1, 2, None), (5, 4, None)])
def test_each_fold_has_an_image(monkeypatch, seeds, images, folds):
    monkeypatch.setattr(image_sets, "training_statistics", lambda cfg: SimpleNamespace(num_annotated_images=images))
    if folds:
        assert image_sets.count_folds(None, seeds) == folds
        return
    with pytest.raises(ConfigError, match=rf"--seeds: .*DATASETS\.TRAIN.*found {images}\b"):
        image_sets.count_folds(None, seeds)


def test_a_fold_with_all_samples():
    """Test an epoch whose sampler has drawn only held-out images. Before, drawing a batch never ended."""
    samples = Samples(np.zeros((2, 1), np.float16), np.zeros(2, np.int64), np.zeros(0, np.int64))
    with pytest.raises(DataError, match=r"DATASETS\.TRAIN"):
        next(samples.batches(1, 0))


def test_a_classifier_that_is_tested_on_its_training_images():
    pytest.importorskip("sklearn", reason="the digits are those of scikit-learn")
    cfg = load_config(DIGITS)
    register_datasets(cfg)
    _check_task(cfg, None)
    cfg = load_config(DIGITS, ["DATASETS.TEST", "('digits_test', 'digits_lt_train')"])
    register_datasets(cfg)
    with pytest.raises(ConfigError, match=r"DATASETS\.TEST: .*DATASETS\.TRAIN.*digits_lt_train"):
        _check_task(cfg, None)


@pytest.mark.parametrize("line", ["5", "[]", "null", "{"])
def test_lines_that_are_no_objects(tmp_path, line):
    path = tmp_path / "trainings.jsonl"
    path.write_text(f'{{"settings": "x"}}\n{line}\n')
    with pytest.raises(DataError, match=r"trainings\.jsonl: .*JSON object"):
        complete_lines(path)


def test_no_loss_after_the_option(capsys):
    """Test overrides directly after --losses. Before, all losses were compared."""
    assert main(["--config-file", DIGITS, "--losses", "MODEL.WEIGHTS", "x.pth"]) == 2
    error = capsys.readouterr().err
    assert all(word in error for word in ("--losses", "MODEL.WEIGHTS"))
