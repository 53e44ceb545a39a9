"""Provide a glyph dataset of a few images, and a config that trains on this dataset within seconds."""

import json
import logging
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from detectron2.utils.logger import setup_logger

from seesaw_d2.data.synthetic import make_glyphs, plain_glyphs
from seesaw_d2.utils.messages import _already_logged

# The programs of tools/ run in their folder, and import each other from this folder.
sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tools"))

# A shell starts background jobs with SIGINT ignored, and child processes inherit this. Tests send SIGINT to children.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

NUM_CLASSES = 6


@pytest.fixture(autouse=True)
def _fresh_loggers():
    """Remove log handlers after each test, and let each test log messages that are logged once per process.

    Detectron2 sets up each logger only once, with the output stream of the first test, which pytest closes afterwards.
    """
    _already_logged.clear()
    yield
    for name in ("detectron2", "fvcore", "seesaw_d2"):
        for handler in logging.getLogger(name).handlers[:]:
            logging.getLogger(name).removeHandler(handler)
    setup_logger.cache_clear()


@pytest.fixture(scope="session")
def glyphs(tmp_path_factory):
    """Return the root folder of a dataset with 6 categories, 24 training images and 6 validation images."""
    root = tmp_path_factory.mktemp("data") / "glyphs"
    settings = {
        "num_categories": NUM_CLASSES,
        "num_train_images": 24,
        "num_val_images": 6,
        "max_category_images": 20,
        "val_instances_per_category": 3,
    }
    make_glyphs(root, plain_glyphs(**settings), workers=1)
    return root


@pytest.fixture
def config_file(glyphs, tmp_path):
    """Return the path of a YAML config: the quickstart model on this data, 3 iterations, no options for speed."""
    names = [f"{glyphs.parent.name}_{split}" for split in ("train", "val")]
    register = [
        {"NAME": name, "JSON": str(glyphs / f"annotations/glyphs_{split}.json"), "IMAGES": str(glyphs / "images")}
        for name, split in zip(names, ("train", "val"), strict=True)
    ]
    solver = {"MAX_ITER": 3, "IMS_PER_BATCH": 4, "CHECKPOINT_PERIOD": 2, "STEPS": (2,), "WARMUP_ITERS": 0}
    plain = {"CHANNELS_LAST": False, "ROI_ALIGN_GRADIENT": "torchvision"}
    config = {
        "_BASE_": str(Path("configs/quickstart/Base-glyphs.yaml").resolve()),
        "MODEL": {"DEVICE": "cpu", "ROI_HEADS": {"NUM_CLASSES": NUM_CLASSES}, **plain},
        "DATASETS": {"REGISTER": register, "TRAIN": (names[0],), "TEST": (names[1],)},
        "SOLVER": {**solver, "OPTIMIZER_IMPLEMENTATION": "auto"},
        "OUTPUT_DIR": str(tmp_path / "run"),
    }
    path = tmp_path / "config.yaml"
    path.write_text(yaml.safe_dump(json.loads(json.dumps(config))))
    return path


@pytest.fixture
def small_disk(tmp_path):
    """Return the folder of a file system with one megabyte. Skip the test if mounting is not allowed."""
    folder = tmp_path / "disk"
    if sys.platform != "linux" or shutil.which("mount") is None:
        pytest.skip("needs Linux and mount")
    folder.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", folder]
    if subprocess.run(command, capture_output=True).returncode:
        pytest.skip("needs to be allowed to mount a tmpfs")
    yield folder
    subprocess.run(["umount", "-l", folder], check=True)
