"""Test that the code in docs/downstream.md runs, and selects heads with a loss of this package."""

import re
import sys
import types
from pathlib import Path

import pytest
import torch
from detectron2.config import get_cfg, instantiate
from detectron2.modeling import META_ARCH_REGISTRY, ROI_HEADS_REGISTRY, SEM_SEG_HEADS_REGISTRY
from detectron2.modeling.roi_heads import Res5ROIHeads
from torch import nn

from seesaw_d2.losses import ClassificationLoss
from seesaw_d2.modeling import SeesawPredictors
from seesaw_d2.modeling.roi_heads import GlobalMaskLosses
from seesaw_d2.train.preflight.config_checks import check_names
from tests.integrations.set_criteria import DeformableDetrCriterion, Mask2FormerCriterion
from tests.modeling.test_box_predictor_mixin import CustomCascadeROIHeads

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs/downstream.md").read_text()
SECTIONS = dict(re.findall(r"^## (.+?)\n(.+?)(?=^## |\Z)", PAGE, re.MULTILINE | re.DOTALL))
PROGRAMS = {
    title: re.findall(r"^```python\n(.+?)^```", text, re.MULTILINE | re.DOTALL) for title, text in SECTIONS.items()
}


class TridentRes5ROIHeads(Res5ROIHeads):
    """Replacement for TridentNet's heads."""


class Trainer:
    """Replacement for Mask2Former's trainer."""

    @classmethod
    def build_model(cls, cfg):
        return nn.ModuleDict({"criterion": Mask2FormerCriterion(cfg.MODEL.SEM_SEG_HEAD.NUM_CLASSES, None)})


MODULES = {
    "train_net": {"Trainer": Trainer},
    "tridentnet.trident_rcnn": {"TridentRes5ROIHeads": TridentRes5ROIHeads},
    "centernet.modeling.roi_heads.custom_roi_heads": {"CustomCascadeROIHeads": CustomCascadeROIHeads},
}


@pytest.fixture
def projects(monkeypatch):
    for name, contents in MODULES.items():
        parts = name.split(".")
        for index in range(1, len(parts)):
            monkeypatch.setitem(sys.modules, ".".join(parts[:index]), types.ModuleType(parts[index - 1]))
        module = types.ModuleType(name)
        vars(module).update(contents)
        monkeypatch.setitem(sys.modules, name, module)
    before = set(ROI_HEADS_REGISTRY._obj_map)
    yield
    for name in set(ROI_HEADS_REGISTRY._obj_map) - before:
        ROI_HEADS_REGISTRY._obj_map.pop(name)


def uses_our_loss(cfg) -> bool:
    heads = ROI_HEADS_REGISTRY.get(cfg.MODEL.ROI_HEADS.NAME)
    parts = [heads, SEM_SEG_HEADS_REGISTRY.get(cfg.MODEL.SEM_SEG_HEAD.NAME)]
    parts.append(META_ARCH_REGISTRY.get(cfg.MODEL.META_ARCHITECTURE))
    return any(each.__module__.startswith("seesaw_d2.") for each in parts)


def names_of(title) -> dict:
    """Return the variables that the lines of a section use without defining them."""
    if "transformers" in title:
        pytest.importorskip("transformers", reason='needs the extra "transformers"')
        from tests.integrations.transformers_models import make

        return {"config": make("mask2former").config}
    if "timm" in title:
        return {"logits": torch.zeros(2, 1000), "targets": torch.tensor([3, 999])}
    return {"criterion": DeformableDetrCriterion(5, None)} if "DINO" in title else {}


@pytest.mark.parametrize("title", [title for title, programs in PROGRAMS.items() if programs])
def test_the_lines_of_a_section(title, projects):
    if "PointRend" in title:
        pytest.importorskip("detectron2.projects.point_rend", reason="this Detectron2 has no PointRend")
    for program in PROGRAMS[title]:
        assert len([line for line in program.splitlines() if line.strip() and not line.startswith("#")]) <= 10
        found = names_of(title)
        exec(program, found)
        model = found.get("model", found.get("criterion"))
        if "lazy" in found:
            model = instantiate(found["lazy"].roi_heads)
        if "SeesawTrainer" in found:
            model = found["SeesawTrainer"].build_model(get_cfg())
        if model is not None:
            assert any(isinstance(each, ClassificationLoss) for each in model.modules())
        elif "cfg" in found:
            check_names(found["cfg"])
            assert uses_our_loss(found["cfg"])
        else:
            heads = [each for each in found.values() if isinstance(each, type) and each.__name__.startswith("Seesaw")]
            made = [each for each in heads if not each.__module__.startswith("seesaw_d2.")]
            assert made
            assert all(issubclass(each, (GlobalMaskLosses, SeesawPredictors)) for each in made)


def test_the_first_lines_of_the_library_page():
    page = (Path(__file__).parents[2] / "docs/library.md").read_text()
    lines = re.search(r"^# As a library\n\n```python\n(.+?)^```", page, re.DOTALL | re.MULTILINE).group(1)
    found = {}
    exec(lines, found)
    assert found["scores"].shape == (8, 1204)
    assert found["classifier"].weight.grad.abs().sum() > 0


def test_every_section_of_the_table_exists():
    linked = set(re.findall(r"\]\(#([^)]+)\)", PAGE))
    anchors = {re.sub(r"[^\w -]", "", title.lower()).replace(" ", "-") for title in SECTIONS}
    assert linked <= anchors, linked - anchors


@pytest.mark.parametrize("name", ["README.md", "docs/library.md"])
def test_the_lines_of_the_loss_run_as_printed(name):
    programs = re.findall(r"^```python\n(.+?)^```", (ROOT / name).read_text(), re.MULTILINE | re.DOTALL)
    (program,) = (text for text in programs if "SeesawLoss(num_classes=1203)" in text)
    scope: dict = {}
    exec(program, scope)
    assert scope["scores"].shape == (8, 1204)
