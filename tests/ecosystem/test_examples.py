"""examples/: each runs from another folder, with only the installed package, and says what it promises."""

import re
import runpy
from pathlib import Path

import pytest
import torch
from torchvision.models.detection import roi_heads

ROOT = Path(__file__).parents[2]
EXAMPLES = ROOT / "examples"


def test_each_is_short_and_in_the_readme():
    listed = (EXAMPLES / "README.md").read_text()
    for path in EXAMPLES.rglob("*.py"):
        assert len(path.read_text().splitlines()) < 120
        assert path.name in listed or path.parent.name in listed


@pytest.mark.slow
def test_a_detectron2_project(run_python, tmp_path):
    """It has a meta-architecture and a data set of its own, trains, and evaluates."""
    output = run_python(EXAMPLES / "detectron2_project/train_shapes.py", "--output", "out", "--iterations", 10)
    assert re.search(r"bbox/AP [\d.]+, bbox/APr [\d.]+, bbox/APc [\d.]+, bbox/APf [\d.]+", output)
    assert "BrightnessFreeRCNN" in (tmp_path / "out/config.yaml").read_text()
    assert (tmp_path / "out/model_final.pth").is_file()
    assert (tmp_path / "out/inference/evaluation.json").is_file()


def test_a_pytorch_loop(capsys):
    runpy.run_path(str(EXAMPLES / "pytorch_loop.py"), run_name="__main__")
    rare = re.findall(r"^(.+): accuracy [\d.]+, rare classes ([\d.]+)$", capsys.readouterr().out, re.MULTILINE)
    assert float(dict(rare)["Seesaw Loss"]) > float(dict(rare)["cross-entropy"]) + 3


@pytest.mark.slow
def test_torchvisions_mask_rcnn_trains(run_python):
    output = run_python(EXAMPLES / "torchvision_mask_rcnn.py", "--iterations", 3)
    counts = [int(count) for count in re.search(r"counted \[(.+)\]", output).group(1).split(",")]
    assert counts[0] > 0
    assert counts[-1] > counts[0]  # background


def test_torchvisions_losses_and_scores_are_seesaws(monkeypatch):
    """Through torchvision's own functions, labels and scores have background first, as torchvision has it."""
    example = runpy.run_path(str(EXAMPLES / "torchvision_mask_rcnn.py"))
    monkeypatch.setattr(roi_heads, "fastrcnn_loss", roi_heads.fastrcnn_loss)  # put back after the test
    model = torch.nn.Module()
    model.roi_heads = torch.nn.Module()
    model.roi_heads.box_predictor = roi_heads_predictor()
    example["use_seesaw_loss"](model, 3)
    predictor = model.roi_heads.box_predictor.train()
    labels = [torch.tensor([0, 1]), torch.tensor([3])]
    logits, deltas = predictor(torch.randn(3, 8))
    cls_loss, box_loss = roi_heads.fastrcnn_loss(logits, deltas, labels, [torch.zeros(2, 4), torch.zeros(1, 4)])
    assert predictor.cls_loss.class_counts.tolist() == [1, 0, 1, 1]
    plain = predictor.cls_loss.eval()(logits, torch.tensor([3, 0, 2]))  # does not count again
    torch.testing.assert_close(cls_loss, sum(plain.values()))
    foreground = deltas.reshape(3, 4, 4)[[1, 2], [1, 3]]
    expected = torch.nn.functional.smooth_l1_loss(foreground, torch.zeros(2, 4), beta=1 / 9, reduction="sum") / 3
    torch.testing.assert_close(box_loss, expected)
    features = torch.randn(3, 8)
    scores = predictor.eval()(features)[0].softmax(dim=1)
    ours = predictor.cls_loss.probabilities(predictor.cls_score(features))
    torch.testing.assert_close(scores, torch.cat([ours[:, 3:], ours[:, :3]], dim=1))


def roi_heads_predictor():
    from torchvision.models.detection.faster_rcnn import FastRCNNPredictor

    return FastRCNNPredictor(8, 4)
