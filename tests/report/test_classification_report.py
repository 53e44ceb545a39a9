"""Test the classification report: metrics, confusions of few-shot classes, and charts."""

import json
import re

import torch
from detectron2.data import MetadataCatalog

from seesaw_d2.evaluation import ClassificationEvaluator
from seesaw_d2.report import shots_table, write_classification_report

CLASSES = ["cat", "a<b", "dog", "owl"]


def make_run(folder, counts, labels, predicted):
    """Write the files of an evaluation, and return its results."""
    MetadataCatalog.get("labelled_report").set(thing_classes=CLASSES)
    evaluator = ClassificationEvaluator("labelled_report", train_count=lambda: counts, output_dir=str(folder))
    rows = [{"probabilities": row} for row in (4.0 * torch.eye(4)[predicted]).softmax(dim=1)]
    evaluator.process([{"label": label} for label in labels], rows)
    results = evaluator.evaluate()
    text = json.dumps(results).replace("NaN", "null")
    (folder / "results.json").write_text(text)
    return json.loads(text)


def test_page(tmp_path):
    for name in ("ce", "seesaw"):
        (tmp_path / name).mkdir()
    counts = torch.tensor([500, 50, 5, 4]).numpy()
    labels = [0, 0, 1, 2, 2, 3, 3, 3]
    first = make_run(tmp_path / "ce", counts, labels, [0, 0, 1, 1, 2, 1, 1, 0])
    second = make_run(tmp_path / "seesaw", counts, labels, labels)
    folders = {name: str(tmp_path / name) for name in ("ce", "seesaw")}
    write_classification_report(folders, str(tmp_path / "page.html"))
    text = (tmp_path / "page.html").read_text()
    cells = [float(value) for value in re.findall(r"<td>([\d.]+)</td>", text)]
    metrics = [run["classification"][name] for run in (first, second) for name in ("overall", "many", "medium", "few")]
    assert [*cells[:4], *cells[5:9]] == [round(value, 1) for value in metrics]
    # owl is confused most often; names are escaped.
    rows = re.findall(r"<tr><td>(\w+)</td><td>(\d+)</td><td class=.text.>(.*?)</td><td>(\d+)</td></tr>", text)
    assert rows == [("owl", "4", "a&lt;b", "2"), ("dog", "5", "a&lt;b", "1"), ("owl", "4", "cat", "1")]
    assert '<td colspan="4">none</td>' in text  # nothing is confused in the second run
    assert len(re.findall(r'<circle class="run0"', text)) == 4 + 1  # four classes, and one confidence bin
    assert "default-src 'none'" in text
    table = shots_table({"ce": first, "none": {"classification": dict.fromkeys(first["classification"])}}).splitlines()
    assert table[1].split()[1] == f"{first['classification']['overall']:.1f}"
    assert table[2].split() == ["none", *"-----"]


def test_unknown_numbers_of_training_images(tmp_path):
    """Test a run without DATASETS.TRAIN: its classes have no place on the axis, and no class is known as few-shot."""
    folders = {name: tmp_path / name for name in ("known", "unknown")}
    for name, folder in folders.items():
        folder.mkdir()
        make_run(folder, torch.tensor([500, 50, 5, 4]).numpy() if name == "known" else None, [0, 1, 2, 3], [0, 1, 2, 2])
    write_classification_report({name: str(folder) for name, folder in folders.items()}, str(tmp_path / "page.html"))
    text = (tmp_path / "page.html").read_text()
    assert len(re.findall(r"<title>known: [^<]* training images", text)) == 4
    assert not re.findall(r"<title>unknown: [^<]* training images", text)
    assert "unknown is not shown, because" in text
    assert re.findall(r"<td>owl</td><td>4</td>|<td colspan=.4.>[^<]*", text) == [
        "<td>owl</td><td>4</td>",
        '<td colspan="4">unknown, as the numbers of training images',
    ]


def test_lines_are_at_the_thresholds_of_the_run(tmp_path):
    folder = tmp_path / "run/inference/labelled"
    folder.mkdir(parents=True)
    make_run(folder, torch.tensor([500, 50, 5, 4]).numpy(), [0, 1, 2, 3], [0, 1, 2, 3])
    for text, expected in (("DATASETS: {FREQUENCY_THRESHOLDS: [5, 50]}", ["5", "50"]), ("DATASETS: {}", [])):
        (tmp_path / "run/config.yaml").write_text(text)
        write_classification_report({"run": str(folder)}, str(tmp_path / "page.html"))
        page = (tmp_path / "page.html").read_text()
        places = dict(re.findall(r'cx="([\d.]+)"[^>]*><title>[^<]*, (\d+) training images', page))
        assert [places[x] for x in re.findall(r'class="guide" x1="([\d.]+)"', page)] == expected
        assert ("5 and 50 images" in page) == bool(expected)


def test_runs_that_differ_in_more_than_the_method_are_said_to(tmp_path):
    folders = {}
    for name, steps in (("ce", 10), ("seesaw", 20)):
        folder = tmp_path / name / "inference/labelled"
        folder.mkdir(parents=True)
        make_run(folder, torch.tensor([500, 50, 5, 4]).numpy(), [0, 1, 2, 3], [0, 1, 2, 3])
        head = f"ROI_BOX_HEAD: {{CLS_PREDICTOR: {{NAME: {'Linear' if name == 'ce' else 'NormedLinear'}}}}}"
        model = f"MODEL: {{META_ARCHITECTURE: ImageClassifier, ROI_HEADS: {{NAME: Res5ROIHeads}}, {head}}}"
        config = f"SOLVER: {{MAX_ITER: {steps}, GAMMA: 0.1, WARMUP_ITERS: {steps}}}\n{model}\n"
        (tmp_path / name / "config.yaml").write_text(config)
        folders[name] = str(folder)
    write_classification_report(folders, str(tmp_path / "page.html"))
    text = (tmp_path / "page.html").read_text().replace("<wbr>", "")  # allowed line breaks
    warning = re.search(r'class="warning".*?</table>', text, re.DOTALL).group()
    rows = re.findall(r"<t[hd][^>]*>([^<]*)</t", warning)
    assert rows[-6:] == ["SOLVER.MAX_ITER", "10", "20", "SOLVER.WARMUP_ITERS", "10", "20"]
    assert "SOLVER.WARMUP_ITERS" in re.search(r"<p>(.*?)</p>", warning).group(1)  # a method may need its own value
    note = re.search(r'class="note".*?</table>', text, re.DOTALL).group()
    cells = re.findall(r"<t[hd][^>]*>([^<]*)</t", note)
    assert cells[-3:] == ["MODEL.ROI_BOX_HEAD.CLS_PREDICTOR.NAME", "Linear", "NormedLinear"]
    (tmp_path / "seesaw/config.yaml").unlink()
    write_classification_report(folders, str(tmp_path / "page.html"))
    assert 'class="warning"' not in (tmp_path / "page.html").read_text()
