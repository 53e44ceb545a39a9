"""Test Detectron2's DefaultPredictor and Visualizer with the config that a training saved."""

import logging

import pytest
import torch
import yaml
from detectron2.config import get_cfg
from detectron2.data import DatasetCatalog, MetadataCatalog
from detectron2.engine import DefaultPredictor
from detectron2.structures import Boxes, Instances
from detectron2.utils.visualizer import Visualizer

from seesaw_d2 import add_seesaw_config
from seesaw_d2.data import register_datasets
from seesaw_d2.train import load_config
from seesaw_d2.train.preflight.config_checks import resolve_device
from tests.conftest import NUM_CLASSES


@pytest.fixture
def run(config_file, tmp_path):
    """Return config.yaml of a run, and unregister its datasets, as in a new process."""
    cfg = load_config(str(config_file), ["MODEL.WEIGHTS", ""])
    resolve_device(cfg)
    names = [entry["NAME"] for entry in cfg.DATASETS.REGISTER]
    for name in names:
        forget(name)
    (tmp_path / "config.yaml").write_text(cfg.dump())
    yield tmp_path / "config.yaml"
    for name in names:
        forget(name)


def forget(name):
    if name in DatasetCatalog:
        DatasetCatalog.remove(name)
    MetadataCatalog.pop(name, None)


def their_config(path):
    cfg = get_cfg()
    add_seesaw_config(cfg)
    cfg.merge_from_file(str(path))
    return cfg


def drawn(metadata) -> list[str]:
    """Return the texts that Visualizer draws for an object of each category."""
    instances = Instances((100, 100))
    instances.pred_boxes = Boxes(torch.tensor([[5.0, 5.0, 60.0, 60.0]]).repeat(NUM_CLASSES, 1))
    instances.pred_classes, instances.scores = torch.arange(NUM_CLASSES), torch.full((NUM_CLASSES,), 0.5)
    output = Visualizer(torch.zeros(100, 100, 3, dtype=torch.uint8).numpy(), metadata)
    output = output.draw_instance_predictions(instances)
    return [text.get_text() for text in output.ax.texts]


def test_class_names_are_drawn(run):
    predictor = DefaultPredictor(their_config(run))
    names = MetadataCatalog.get(predictor.cfg.DATASETS.TEST[0]).thing_classes
    assert len(names) == NUM_CLASSES
    assert not set(names) & set(map(str, range(NUM_CLASSES)))
    assert drawn(predictor.metadata) == [f"{name} 50%" for name in names]


def test_the_data_can_be_registered_afterwards(run):
    predictor = DefaultPredictor(their_config(run))
    assert predictor.cfg.DATASETS.TEST[0] not in DatasetCatalog
    register_datasets(predictor.cfg)
    assert len(DatasetCatalog.get(predictor.cfg.DATASETS.TEST[0])) == 6


def test_data_that_are_not_here_give_a_warning(run, caplog):
    caplog.set_level(logging.WARNING)
    values = yaml.safe_load(run.read_text())
    for entry in values["DATASETS"]["REGISTER"]:
        entry["JSON"] = "elsewhere/train.json"
    run.write_text(yaml.safe_dump(values))
    predictor = DefaultPredictor(their_config(run))
    assert any("elsewhere/train.json" in record.getMessage() for record in caplog.records)
    assert len(drawn(predictor.metadata)) == NUM_CLASSES  # numbers instead of names
