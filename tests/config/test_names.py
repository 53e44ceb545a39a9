"""Test --config-file with paths and names, inside and outside a checkout, and with misspelled names."""

from pathlib import Path

import pytest

from seesaw_d2.errors import ConfigError
from seesaw_d2.train import load_config
from seesaw_d2.train.lazyconfig.loading import load_lazy_config

ROOT = Path(__file__).parents[2]


def message(given):
    with pytest.raises(ConfigError) as raised:
        load_config(given)
    return str(raised.value)


def test_a_name_where_there_is_no_such_path(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    name = "quickstart/mask_rcnn_glyphs_bags.yaml"
    for given in (name, f"configs/{name}", f"./configs/{name}"):
        assert load_config(given).MODEL.ROI_BOX_HEAD.CLS_LOSS.NAME == "BalancedGroupSoftmaxLoss"
    (tmp_path / "quickstart").mkdir()
    (tmp_path / name).write_text("MODEL: {DEVICE: mine}")
    assert load_config(name).MODEL.DEVICE == "mine"


def test_a_lazy_config_by_name(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert load_lazy_config("lazy/mask_rcnn_R_50_FPN_rfs_seesaw_2x.py").model.roi_heads.num_classes == 1203
    with pytest.raises(ConfigError, match=r"3x\.py: .* Did you mean lazy/mask_rcnn_R_50_FPN_rfs"):
        load_lazy_config("lazy/mask_rcnn_R_50_FPN_rfs_seesaw_3x.py")


@pytest.mark.parametrize(
    ("given", "hint"),
    [
        ("bird_seesaw.yaml", ". Did you mean birds_seesaw.yaml?"),
        ("mask_rcnn_glyphs_eql.yaml", ". Did you mean quickstart/mask_rcnn_glyphs_eql.yaml or "),
        ("configs/seesaw/mask_rcnn_R_101_FPN_rfs_seesaw_3x.yaml", " seesaw/mask_rcnn_R_101_FPN_rfs_seesaw_2x.yaml"),
        ("configs/quickstart/nothing_like_it.yaml", "quickstart"),
    ],
)
def test_an_unknown_one_names_both_places_and_near_ones(given, hint, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "birds_seesaw.yaml").touch()
    found = message(given)
    assert found.startswith(f"{given}: ")
    assert str(tmp_path) in found
    assert hint in found.partition(f" {ROOT}/configs")[2]


def test_a_path_in_full_is_no_name(tmp_path):
    (tmp_path / "birds.yaml").touch()
    found = message(str(tmp_path / "bird.yaml"))
    assert found.startswith(f"{tmp_path}/bird.yaml: ")
    assert found.endswith(f" Did you mean {tmp_path}/birds.yaml?")
    assert "Did you mean" not in message(str(tmp_path / "other.yaml"))


def test_in_a_checkout_a_near_one_is_given_once(monkeypatch):
    monkeypatch.chdir(ROOT)
    found = message("configs/digits/seesw.yaml")
    assert "Did you mean configs/digits/seesaw.yaml" in found
    assert found.count("digits/seesaw.yaml") == 1


@pytest.mark.parametrize("given", ["configs/digits", "digits", str(ROOT / "configs/digits")])
def test_a_folder_is_refused_with_its_configs(given, monkeypatch):
    monkeypatch.chdir(ROOT)
    found = message(given)
    assert found.startswith(f"{given}: ")
    assert "seesaw.yaml" in found
    assert "\n" not in found
