import logging

import pytest

from seesaw_d2.data import load_dataset, register_datasets
from tests.data.toy import entry, make_cfg, toy_data, write
from tests.shared import shared_path


@pytest.fixture
def caplog(caplog, monkeypatch):
    """Provide pytest's caplog, which also works after Detectron2's setup_logger disabled propagation."""
    monkeypatch.setattr(logging.getLogger("seesaw_d2"), "propagate", True)
    return caplog


@pytest.fixture
def coco38():
    root = shared_path("data/coco38")
    entries = [
        entry(f"coco38_eval_{split}", root / f"lvis_{split}.json", root / "images") for split in ("train", "val")
    ]
    cfg = make_cfg(*entries, train=["coco38_eval_train"], test=["coco38_eval_val"])
    register_datasets(cfg)
    return cfg


@pytest.fixture
def toy(tmp_path, request):
    def make(data=None, train=None, **options):
        number = len(list(tmp_path.iterdir()))
        names = [f"{split}_{request.node.name}_{number}" for split in ("train", "val")]
        contents = (train or toy_data(), data or toy_data())
        files = [write(tmp_path, *pair) for pair in zip(contents, names, strict=True)]
        entries = [entry(name, file, tmp_path) for name, file in zip(names, files, strict=True)]
        cfg = make_cfg(*entries, train=names[:1], test=names[1:], OUTPUT_DIR=str(tmp_path / "out"), **options)
        register_datasets(cfg)
        return cfg, names[1], load_dataset(names[1])

    return make
