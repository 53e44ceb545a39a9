"""Test the content of the wheel, and that the installed package works from another folder."""

import zipfile
from pathlib import Path

import pytest
import torch
from detectron2.modeling import build_model

from seesaw_d2 import model_zoo
from seesaw_d2.errors import ConfigError

ROOT = Path(__file__).parents[2]
USE = """
import json, sys
from pathlib import Path
import seesaw_d2
from detectron2.modeling import ROI_HEADS_REGISTRY, ROI_MASK_HEAD_REGISTRY, build_model
from seesaw_d2 import model_zoo
from seesaw_d2.report.page import write_report  # finds its templates
from seesaw_d2.report import page

folder = Path(seesaw_d2.__file__).resolve().parent
assert folder == Path(sys.argv[1]).resolve() / "seesaw_d2", folder
assert "SeesawROIHeads" in ROI_HEADS_REGISTRY and "NormedMaskHead" in ROI_MASK_HEAD_REGISTRY
assert model_zoo.config_folder() == folder / "configs"
for name in model_zoo.config_names():
    if name.endswith(".yaml"):
        model_zoo.get_cfg(name)
cfg = model_zoo.get_cfg("quickstart/mask_rcnn_glyphs_seesaw.yaml")
build_model(cfg)
assert model_zoo.get_cfg("lazy/mask_rcnn_R_50_FPN_rfs_seesaw_2x.py").model.roi_heads.num_classes == 1203
assert {"report.html", "report.css", "report.js"} <= {path.name for path in (folder / "report/templates").iterdir()}
print(json.dumps(model_zoo.config_names()))
"""


def test_every_config_is_in_the_wheel(wheel):
    """Test that the wheel contains all configs, the templates, the license and py.typed, but no tests and no caches."""
    names = zipfile.ZipFile(wheel).namelist()
    expected = {f"seesaw_d2/configs/{name}" for name in model_zoo.config_names()}
    assert expected == {name for name in names if name.startswith("seesaw_d2/configs/")}
    assert {"seesaw_d2/py.typed", "seesaw_d2/report/templates/report.html"} <= set(names)
    assert any(name.endswith("licenses/LICENSE") for name in names)
    modules = {path.relative_to(ROOT).as_posix() for path in (ROOT / "seesaw_d2").rglob("*.py")}
    assert modules == {name for name in names if name.endswith(".py") and "/configs/" not in name}


@pytest.mark.slow
def test_the_installed_package_works_from_another_folder(run_python, installed):
    listed = run_python("-c", USE, installed)
    assert "seesaw/mask_rcnn_R_50_FPN_rfs_seesaw_2x.yaml" in listed


@pytest.mark.slow
def test_train_net_of_an_installed_package(run_python, config_file, tmp_path):
    run_python("-m", "seesaw_d2", "--config-file", config_file)
    assert (tmp_path / "run/model_final.pth").is_file()


@pytest.mark.slow
def test_train_net_of_an_installed_package_takes_configs_by_name(run_python, installed, tmp_path):
    """Test config names in train_net.py, up to the error about the missing dataset."""
    command = ("-m", "seesaw_d2", "--config-file")
    err = run_python(*command, "quickstart/mask_rcnn_glyphs_seesaw.yaml", status=2)
    assert "DATASETS.REGISTER[0].JSON: " in err
    assert f"{tmp_path}/datasets/glyphs" in err
    err = run_python(*command, "seesaw/mask_rcnn_R_50_FPN_rfs_seesaw_3x.yaml", status=2)
    folder = installed / "seesaw_d2/configs"
    assert str(tmp_path) in err
    assert f"{folder}. Did you mean " in err
    assert "seesaw/mask_rcnn_R_50_FPN_rfs_seesaw_2x.yaml" in err
    assert not list(tmp_path.iterdir())


def test_a_checkout_finds_its_own_configs():
    assert model_zoo.config_folder() == ROOT / "configs"
    assert model_zoo.get_config_file("digits/ce.yaml") == str(ROOT / "configs/digits/ce.yaml")
    assert model_zoo.get_cfg("digits/ce.yaml").MODEL.META_ARCHITECTURE == "ImageClassifier"


def test_detectron2_builds_the_model_of_a_config_by_name():
    """Test that Detectron2 builds a model whose config has MODEL.DEVICE auto, which is not a device of PyTorch."""
    cfg = model_zoo.get_cfg("quickstart/mask_rcnn_glyphs_seesaw.yaml")
    assert build_model(cfg).device.type == ("cuda" if torch.cuda.is_available() else "cpu")


def test_an_unknown_config_suggests_the_nearest():
    with pytest.raises(ConfigError, match=r"found 'digits/cee\.yaml'. Did you mean digits/ce\.yaml\?"):
        model_zoo.get_config_file("digits/cee.yaml")
