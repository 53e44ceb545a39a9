"""Test configs, addresses and weights by name, like detectron2.model_zoo."""

import pytest
import torch
from detectron2.utils.file_io import PathManager

from seesaw_d2 import model_zoo
from seesaw_d2.errors import ConfigError, SeesawError
from seesaw_d2.weights import path_handlers
from seesaw_d2.weights.converters.mmdet import describe_mmdet
from seesaw_d2.weights.published import FILES
from tests.weights.converters.mmdet_names import mmdet_shapes

NAME = "seesaw/mask_rcnn_R_50_FPN_rfs_seesaw_normmask_2x.yaml"
CASCADE = "seesaw/cascade_mask_rcnn_R_101_FPN_random_seesaw_2x.yaml"
QUICKSTART = "quickstart/mask_rcnn_glyphs_seesaw.yaml"


def test_every_address_is_of_the_config_that_the_converter_detects():
    assert len(FILES) == len(set(FILES.values())) == 12
    for name, file in FILES.items():
        shapes = mmdet_shapes(depth=101 if "r101" in file else 50, cascade="cascade" in file, num_classes=1203)
        state = {key: torch.zeros(()).expand(shape) for key, shape in shapes.items()}
        url = model_zoo.get_checkpoint_url(name)
        assert url.startswith("https://")
        assert url.endswith(f"/{file}")
        found = describe_mmdet(state, {}, file, normed_mask=None)
        assert found.config == f"configs/{name}"


def test_names_without_published_weights():
    for function in (model_zoo.get_checkpoint_url, lambda name, *_: model_zoo.get_config(name, trained=True)):
        with pytest.raises(ConfigError, match=QUICKSTART):
            function(QUICKSTART)
        with pytest.raises(ConfigError, match="nothing"):
            function("seesaw/nothing.yaml")
    with pytest.raises(ConfigError, match=r"lazy/.*\.py"):
        model_zoo.get("lazy/mask_rcnn_R_50_FPN_rfs_seesaw_2x.py")


def test_configs():
    assert model_zoo.get_config(NAME).MODEL.WEIGHTS == "torchvision://resnet50"
    assert model_zoo.get_config("quickstart/decoupled_glyphs_crt.yaml").MODEL.WEIGHTS == ""
    cfg = model_zoo.get_config(CASCADE, trained=True)
    assert f"mmdet://{FILES[CASCADE]}" == cfg.MODEL.WEIGHTS
    assert cfg.INPUT.RESIZE == "opencv"
    assert cfg.MODEL.ROI_BOX_CASCADE_HEAD.AVERAGE == "logits"
    assert model_zoo.get_cfg(CASCADE).MODEL.ROI_BOX_CASCADE_HEAD.AVERAGE == "probabilities"


def test_a_model_without_weights():
    torch.manual_seed(0)
    model = model_zoo.get(QUICKSTART, device="cpu")
    assert model.device == torch.device("cpu")
    assert model.roi_heads.num_classes == 108


@pytest.fixture
def published(tmp_path, monkeypatch):
    """Provide MMDetection's file of the model NAME, with zeros, instead of downloading the file."""
    path = tmp_path / FILES[NAME]
    state = {
        name: torch.zeros(()).expand(shape)
        for name, shape in mmdet_shapes(depth=50, cascade=False, num_classes=1203).items()
    }
    torch.save({"meta": {}, "state_dict": state}, path)
    asked = []
    monkeypatch.setattr(path_handlers, "download", lambda url, *_: asked.append(url) or str(path))
    monkeypatch.setattr(path_handlers, "get_cache_dir", lambda: str(tmp_path / "cache"))
    return asked


def test_weights_are_downloaded_and_converted_once(published, tmp_path):
    uri = model_zoo.get_config(NAME, trained=True).MODEL.WEIGHTS
    path = PathManager.get_local_path(uri)
    assert published == [model_zoo.get_checkpoint_url(NAME)]
    state = torch.load(path, weights_only=True)["model"]
    assert state["roi_heads.box_predictor.cls_score.weight"].shape == (1205, 1024)
    before = (tmp_path / "cache/seesaw_d2" / FILES[NAME]).stat().st_mtime_ns
    assert PathManager.get_local_path(uri) == path
    assert (tmp_path / "cache/seesaw_d2" / FILES[NAME]).stat().st_mtime_ns == before


def test_an_unknown_file():
    with pytest.raises(SeesawError, match="nothing"):
        PathManager.get_local_path("mmdet://nothing.pth")


@pytest.mark.slow
def test_a_trained_model(published):
    model = model_zoo.get(NAME, trained=True, device="cpu")
    assert not model.roi_heads.box_predictor.cls_score.weight.any()
