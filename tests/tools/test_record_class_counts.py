"""Test that class counts are written from a checkpoint to a file, and read in another training."""

import json
from types import SimpleNamespace

import pytest
import torch
from record_class_counts import main

from seesaw_d2.errors import ConfigError, WeightsError
from seesaw_d2.losses import build_loss
from seesaw_d2.losses.recorded_counts import read_recorded_counts
from seesaw_d2.weights.class_counts import record_class_counts
from tests.losses.test_build import make_cfg

PREFIX = "roi_heads.box_predictor."


def save(path, **buffers):
    model = {PREFIX + name.replace("__", "."): torch.tensor(value) for name, value in buffers.items()}
    torch.save({"model": model, "iteration": 7}, path)
    return str(path)


def write(path, content):
    path.write_text(content if isinstance(content, str) else json.dumps(content))
    return str(path)


def counts_of(path, num_classes=3, **stage):
    loss = build_loss(make_cfg(SEESAW_CLASS_COUNTS=path), num_classes, **stage)
    assert not loss.online
    return loss.class_counts.tolist()


def test_mask_rcnn(tmp_path, capsys):
    checkpoint = save(tmp_path / "m.pth", cls_loss__class_counts=[1, 2, 2**40, 9], cls_score__weight=[0.5])
    path = str(tmp_path / "counts.json")
    assert main([checkpoint, path]) == 0
    assert "4 classes, background 9" in capsys.readouterr().out
    content = json.loads((tmp_path / "counts.json").read_text())
    assert content == {"class_counts": [[1, 2, 2**40, 9]], "source": checkpoint, "iteration": 7}
    assert counts_of(path) == [1, 2, 2**40, 9]
    assert counts_of(path, stage=2, num_stages=3) == [1, 2, 2**40, 9]  # one list is used for every stage
    assert main([checkpoint, path]) == 2
    assert "counts.json: " in capsys.readouterr().err


def test_every_stage_has_its_own(tmp_path):
    counts = {f"{stage}__cls_loss__class_counts": [stage, 2, 3, 10 * stage] for stage in (1, 0, 2)}
    path = str(tmp_path / "counts.json")
    recorded = record_class_counts(save(tmp_path / "c.pth", **counts), path)
    assert recorded == read_recorded_counts(path)
    for stage in range(3):
        assert counts_of(path, stage=stage, num_stages=3) == [stage, 2, 3, 10 * stage]
    with pytest.raises(ConfigError, match=r"counts\.json: .*\b1\b.*, found 3\b"):
        counts_of(path)


@pytest.mark.parametrize("prefix", ["", "module."])
def test_image_classifier(tmp_path, capsys, prefix):
    """Test an image classifier: the loss is a direct submodule of the model, and has no count of background."""
    model = {f"{prefix}cls_loss.class_counts": torch.tensor([7, 0, 2]), "classifier.weight": torch.zeros(3, 2)}
    torch.save({"model": model}, tmp_path / "m.pth")
    path = str(tmp_path / "counts.json")
    assert main([str(tmp_path / "m.pth"), path]) == 0
    assert "9 images or pixels of 3 classes" in capsys.readouterr().out
    cfg = make_cfg(SEESAW_CLASS_COUNTS=path, BACKGROUND="none")
    assert build_loss(cfg, 3, has_background=False).class_counts.tolist() == [7, 0, 2]


@pytest.mark.parametrize(
    "counts", [3, [[1, 2]], [1.0, float("nan")], [1.0, float("inf")], [-1, 2], [1j, 2], [1.5, 2], [1e30, 2]]
)
def test_other_values_are_named(tmp_path, capsys, counts):
    checkpoint = save(tmp_path / "m.pth", cls_loss__class_counts=counts)
    assert main([checkpoint, str(tmp_path / "counts.json")]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert "m.pth" in line
    assert not (tmp_path / "counts.json").exists()


def test_counts_of_two_losses_are_refused(tmp_path):
    names = ["first.cls_loss.class_counts", "second.cls_loss.class_counts"]
    torch.save({"model": {name: torch.tensor([1, 2]) for name in names}}, tmp_path / "m.pth")
    with pytest.raises(WeightsError) as error:
        record_class_counts(str(tmp_path / "m.pth"), str(tmp_path / "counts.json"))
    assert all(name in str(error.value) for name in ["m.pth", *names])
    assert not (tmp_path / "counts.json").exists()


@pytest.mark.parametrize("stages", ["0. 2.", "1. 2.", "1.", "1. ", "0. "])
def test_stages_with_a_gap_are_refused(tmp_path, stages):
    """Test weights from which a tool has removed the counts of a stage: the next stage must not take its place."""
    names = [f"{PREFIX}{stage}cls_loss.class_counts" for stage in stages.split(" ")]
    torch.save({"model": {name: torch.tensor([1, 2]) for name in names}}, tmp_path / "m.pth")
    with pytest.raises(WeightsError) as error:
        record_class_counts(str(tmp_path / "m.pth"), str(tmp_path / "counts.json"))
    assert all(name in str(error.value) for name in ["m.pth", *names])
    assert not (tmp_path / "counts.json").exists()


def test_stages_of_other_numbers_of_classes_are_refused(tmp_path):
    checkpoint = save(tmp_path / "m.pth", **{"0__class_counts": [1, 2, 3], "1__class_counts": [1, 2]})
    with pytest.raises(WeightsError, match=r"m\.pth.*\b2\b.*\b3\b.*box_predictor\.1\.class_counts"):
        record_class_counts(checkpoint, str(tmp_path / "counts.json"))
    assert not (tmp_path / "counts.json").exists()


def test_a_handwritten_list(tmp_path):
    assert counts_of(write(tmp_path / "c.json", {"class_counts": [5, 8, 2], "why": "x"})) == [5, 8, 2, 8]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("{", "JSON"),
        ([1, 2, 3], '"class_counts"'),
        ({"counts": [1, 2, 3]}, '"class_counts"'),
        ({"class_counts": []}, '"class_counts"'),
        ({"class_counts": [1, -2, 3]}, '"class_counts"'),
        ({"class_counts": [1, 2.5, 3]}, '"class_counts"'),
        ({"class_counts": [[1, 2, 3], 4]}, '"class_counts"'),
        ({"class_counts": [1, 2, 3, 4, 5]}, "found 5"),
        ({"class_counts": [[1, 2, 3], [1, 2]]}, "found 2"),
    ],
)
def test_wrong_files_are_named(tmp_path, content, message):
    with pytest.raises(ConfigError) as error:
        counts_of(write(tmp_path / "bad.json", content))
    assert "bad.json: " in str(error.value)
    assert message in str(error.value)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"nothing", "bad.pth"),
        ({"model": {"backbone.weight": torch.zeros(1)}}, "no class counts"),
        ({"model": {PREFIX + "cls_loss.class_counts": torch.zeros(3, dtype=torch.int64)}}, "class_counts: "),
        ({"model": {PREFIX + "cls_loss.class_counts": torch.ones(3).to_sparse()}}, "class_counts: "),
        ({"model": {PREFIX + "cls_loss.class_counts": torch.ones(3, device="meta")}}, "class_counts: "),
        ({"model": {PREFIX + "cls_loss.class_counts": torch.ones(1).expand(10**14)}}, "class_counts: "),
        ({"model": {0: torch.ones(3)}}, "found 0"),
        ({"state_dict": {}}, '"model"'),
        ({"model": {"x": SimpleNamespace()}}, "types.SimpleNamespace"),
    ],
)
def test_wrong_checkpoints_are_named(tmp_path, content, message):
    path = tmp_path / "bad.pth"
    path.write_bytes(content) if isinstance(content, bytes) else torch.save(content, path)
    with pytest.raises(WeightsError) as error:
        record_class_counts(str(path), str(tmp_path / "counts.json"))
    assert "bad.pth: " in str(error.value)
    assert message in str(error.value)
    assert not (tmp_path / "counts.json").exists()


def test_no_checkpoint(tmp_path, capsys):
    assert main([str(tmp_path / "none.pth"), str(tmp_path / "counts.json")]) == 2
    assert "none.pth" in capsys.readouterr().err
