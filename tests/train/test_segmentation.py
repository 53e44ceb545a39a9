"""Test semantic segmentation and Panoptic FPN on the command line: training, evaluation, mistakes."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from detectron2.data import MetadataCatalog
from PIL import Image

from seesaw_d2.data.synthetic import make_glyphs, plain_glyphs
from seesaw_d2.data.synthetic.semantic import CLASSES_FILE, IGNORED
from seesaw_d2.errors import DataError
from seesaw_d2.report.page import write_report
from seesaw_d2.train import main
from seesaw_d2.weights.class_counts import record_class_counts
from tests.conftest import NUM_CLASSES

ROOT = Path(__file__).parents[2]
SMALL = [
    *("MODEL.DEVICE", "cpu", "MODEL.SEM_SEG_HEAD.NUM_CLASSES", str(NUM_CLASSES + 1)),
    *("MODEL.SEM_SEG_HEAD.CONVS_DIM", "32"),
    *("MODEL.SMALL_RESNET.WIDTHS", "[8, 12, 16]", "MODEL.FPN.OUT_CHANNELS", "16"),
    *("SOLVER.MAX_ITER", "2", "SOLVER.STEPS", "(1,)", "SOLVER.IMS_PER_BATCH", "2", "SOLVER.METRICS_PERIOD", "1"),
]  # fmt: skip
PANOPTIC = {
    "MODEL": {
        "META_ARCHITECTURE": "PanopticFPN",
        "SEM_SEG_HEAD": {"NAME": "SeesawSemSegFPNHead", "IN_FEATURES": ["p2", "p3"], "COMMON_STRIDE": 4, "NORM": "GN"},
    }
}


@pytest.fixture(scope="module")
def semantic(tmp_path_factory):
    """Return the root folder of a dataset with 6 categories and label maps."""
    root = tmp_path_factory.mktemp("semantic") / "glyphs"
    config = plain_glyphs(
        num_categories=NUM_CLASSES, num_train_images=12, num_val_images=6, max_category_images=11,
        val_instances_per_category=3,
    )  # fmt: skip
    make_glyphs(root, config, workers=1, semantic=True)
    return root


def register(root: Path) -> list[dict]:
    return [
        {
            "NAME": f"{root.parent.name}_{split}",
            "JSON": str(root / f"annotations/glyphs_{split}.json"),
            "IMAGES": str(root / "images"),
            "SEM_SEG": str(root / "semantic"),
            "SEM_SEG_CLASSES": str(root / "annotations" / CLASSES_FILE),
        }
        for split in ("train", "val")
    ]


def data(root: Path) -> list[str]:
    entries = register(root)
    names = [repr((entry["NAME"],)) for entry in entries]
    return ["DATASETS.REGISTER", repr(entries), "DATASETS.TRAIN", names[0], "DATASETS.TEST", names[1]]


def run(config: str, root: Path, folder: Path, *overrides: str, flags=()) -> int:
    path = str(ROOT / f"configs/quickstart/{config}.yaml")
    return main(["--config-file", path, *flags, *SMALL, *data(root), "OUTPUT_DIR", str(folder), *overrides])


def results_of(folder: Path) -> dict:
    (path,) = folder.glob("inference/*/results.json")
    return json.loads(path.read_text())


def test_label_maps_are_the_objects(semantic):
    names = json.loads((semantic / "annotations" / CLASSES_FILE).read_text())["classes"]
    assert names[0]["name"] == "background"
    annotations = json.loads((semantic / "annotations/glyphs_train.json").read_text())
    assert [each["image_count"] for each in names[1:]] == [each["image_count"] for each in annotations["categories"]]
    counts = np.zeros((len(annotations["images"]), 256), np.int64)
    for index, image in enumerate(annotations["images"]):
        path = semantic / "semantic/train" / f"{image['id']:012d}.png"
        counts[index] = np.bincount(np.asarray(Image.open(path)).ravel(), minlength=256)
    for each in annotations["annotations"]:
        # The edges of objects, about two pixels wide, are ignored.
        found = counts[each["image_id"] - 1, each["category_id"]]
        assert 0.6 * each["area"] < found <= each["area"] + 1
    assert (counts[:, IGNORED] > 0).all()
    present = (counts > 0).sum(axis=0)[1 : NUM_CLASSES + 1]
    assert present.tolist() == [each["image_count"] for each in annotations["categories"]]


@pytest.mark.parametrize("config", ["semantic_glyphs_ce", "semantic_glyphs_seesaw"])
def test_trains_and_evaluates(config, semantic, tmp_path):
    assert run(config, semantic, tmp_path / "run") == 0
    found = results_of(tmp_path / "run")["sem_seg"]
    assert set(found) == {"mIoU", "mIoU_rare", "mIoU_common", "mIoU_frequent", "mACC", "pACC"}
    state = torch.load(tmp_path / "run/model_final.pth", weights_only=True)["model"]
    if config.endswith("seesaw"):
        counts = state["sem_seg_head.cls_loss.class_counts"]
        assert counts.dtype == torch.int64
        assert 2 * 2 * 128 * 128 * 0.9 < counts.sum() < 2 * 2 * 128 * 128
    weights = ["MODEL.WEIGHTS", str(tmp_path / "run/model_final.pth")]
    assert run(config, semantic, tmp_path / "again", *weights, flags=["--eval-only"]) == 0
    assert results_of(tmp_path / "again")["sem_seg"] == found
    assert MetadataCatalog.get(register(semantic)[1]["NAME"]).stuff_classes[0] == "background"


def test_panoptic_fpn_trains_both_heads(config_file, semantic, tmp_path):
    config = yaml.safe_load(config_file.read_text())
    config["MODEL"] |= PANOPTIC["MODEL"]
    config_file.write_text(yaml.safe_dump(config))
    assert main(["--config-file", str(config_file), *SMALL, *data(semantic), "OUTPUT_DIR", str(tmp_path / "run")]) == 0
    found = results_of(tmp_path / "run")
    assert {"bbox", "segm", "sem_seg"} <= set(found)
    state = torch.load(tmp_path / "run/model_final.pth", weights_only=True)["model"]
    assert state["roi_heads.box_predictor.cls_loss.class_counts"].sum() == 2 * 2 * 64
    assert state["sem_seg_head.cls_loss.class_counts"].sum() > 2 * 2 * 128 * 128 * 0.9
    recorded = record_class_counts(str(tmp_path / "run/model_final.pth"), str(tmp_path / "counts.json"))
    assert recorded.stages == [state["roi_heads.box_predictor.cls_loss.class_counts"].tolist()]


def test_tools_with_runs_of_semantic_segmentation(semantic, tmp_path, capsys):
    folder = tmp_path / "run"
    assert run("semantic_glyphs_seesaw", semantic, folder) == 0
    counts = record_class_counts(str(folder / "model_final.pth"), str(tmp_path / "counts.json"))
    assert [len(stage) for stage in counts.stages] == [NUM_CLASSES + 1]
    recorded = ["MODEL.ROI_BOX_HEAD.CLS_LOSS.SEESAW.CLASS_COUNTS", str(tmp_path / "counts.json")]
    assert run("semantic_glyphs_seesaw", semantic, tmp_path / "again", *recorded) == 0
    again = torch.load(tmp_path / "again/model_final.pth", weights_only=True)["model"]
    assert again["sem_seg_head.cls_loss.class_counts"].tolist() == counts.stages[0]
    with pytest.raises(DataError, match=r"META_ARCHITECTURE.*SemanticSegmentor"):
        write_report([str(folder)], str(tmp_path / "report.html"))


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["MODEL.SEM_SEG_HEAD.NUM_CLASSES", "6"], "MODEL.SEM_SEG_HEAD.NUM_CLASSES"),
        (["MODEL.SEM_SEG_HEAD.NAME", "SeesawHead"], "MODEL.SEM_SEG_HEAD.NAME"),
        (["MODEL.SEM_SEG_HEAD.NAME", "SemSegFPNHead"], "MODEL.ROI_BOX_HEAD.CLS_PREDICTOR"),
        (["MODEL.ROI_BOX_HEAD.CLS_LOSS.NAME", "FocalLoss"], "MODEL.ROI_BOX_HEAD.CLS_LOSS.NAME"),
        (["MODEL.ROI_BOX_HEAD.CLS_LOSS.SEESAW.CLASS_COUNTS", "dataset"], "SEESAW.CLASS_COUNTS"),
        (["TEST.AUG.ENABLED", "True"], "TEST.AUG.ENABLED"),
        (["TEST.CLASSIFICATION_ACCURACY", "True"], "TEST.CLASSIFICATION_ACCURACY"),
    ],
)
def test_mistakes_are_refused(semantic, tmp_path, capsys, overrides, message):
    assert run("semantic_glyphs_seesaw", semantic, tmp_path / "run", *overrides) == 2
    assert message in capsys.readouterr().err
    assert not (tmp_path / "run").exists()


def remove(root):
    (root / "semantic/train/000000000001.png").unlink()


def resize(root):
    Image.fromarray(np.zeros((8, 8), np.uint8)).save(root / "semantic/train/000000000001.png")


def color(root):
    path = root / "semantic/train/000000000001.png"
    Image.open(path).convert("P").save(path)


def unknown_class(root):
    Image.fromarray(np.full((128, 128), 9, np.uint8)).save(root / "semantic/train/000000000001.png")


def classes(text):
    return lambda root: (root / "annotations" / CLASSES_FILE).write_text(text)


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (remove, "000000000001.png"),
        (resize, "000000000001.png"),
        (color, "000000000001.png"),
        (classes("[]"), CLASSES_FILE),
        (classes('{"classes": []}'), CLASSES_FILE),
        (classes('{"classes": [{"name": "a"}, {"name": "a"}]}'), CLASSES_FILE),
        (classes('{"classes": [{"name": "a", "image_count": 1}, {"name": "b"}]}'), "image_count"),
    ],
)
def test_damaged_data(semantic, tmp_path, capsys, damage, message):
    root = tmp_path / f"copy_{tmp_path.name}" / "glyphs"
    shutil.copytree(semantic, root)
    damage(root)
    assert run("semantic_glyphs_seesaw", root, tmp_path / "run") == 2
    assert message in capsys.readouterr().err


def test_a_value_that_is_no_class(semantic, tmp_path, capsys):
    root = tmp_path / f"copy_{tmp_path.name}" / "glyphs"
    shutil.copytree(semantic, root)
    unknown_class(root)
    assert run("semantic_glyphs_seesaw", root, tmp_path / "run", "SOLVER.MAX_ITER", "8") == 2
    err = capsys.readouterr().err
    assert "000000000001.png" in err
    assert "9" in err


@pytest.mark.parametrize(("key", "value"), [("SEM_SEG", None), ("SEM_SEG", "nowhere"), ("SEM_SEG_CLASSES", "nowhere")])
def test_entries_are_checked(semantic, tmp_path, capsys, key, value):
    entries = register(semantic)
    for entry in entries:
        if value is None:
            del entry[key]
        else:
            entry[key] = value
    overrides = ["DATASETS.REGISTER", repr(entries)]
    assert run("semantic_glyphs_seesaw", semantic, tmp_path / "run", *overrides) == 2
    assert "DATASETS.REGISTER[0]" in capsys.readouterr().err
