import sys
from pathlib import Path

import pytest

from seesaw_d2.data import load_dataset, register_datasets
from seesaw_d2.train import load_config
from tests.conftest import NUM_CLASSES
from tests.report.runs import make_run

# The programs run in their folder, and import each other from this folder.
sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "tools"))


@pytest.fixture
def runs(config_file, tmp_path):
    cfg = load_config(str(config_file))
    register_datasets(cfg)
    records = load_dataset(cfg.DATASETS.TEST[0])
    make_run(tmp_path / "good", config_file, records, NUM_CLASSES)
    make_run(tmp_path / "confused", config_file, records, NUM_CLASSES, confuse=True)
    make_run(tmp_path / "plain", config_file, records, NUM_CLASSES, plain=True)
    return tmp_path
