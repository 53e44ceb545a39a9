"""Define the mutation tests of evaluations, runs, logged metrics, and category counts."""

import json
from pathlib import Path

import yaml
from detectron2.data import DatasetCatalog, MetadataCatalog
from detectron2.utils.events import JSONWriter

from seesaw_d2.data.records.registration import _registered
from seesaw_d2.data.sampling.simulated_counts import read_category_counts
from seesaw_d2.report import write_classification_report
from seesaw_d2.report.page import write_report
from seesaw_d2.train.resumed_metrics import cut_back
from tests.data.toy import entry, toy_data, write, write_images
from tests.robustness.mutation.formats import Format, out_of
from tests.robustness.mutation.mutators import JSON, LINES, TEXT, YAML
from tests.robustness.results_cases import BOX

PER_CLASS = """class,train_images,shots,test_images,correct,accuracy,predicted,precision
cat,200,many,10,9,90.0,12,75.0
a<b,50,medium,4,2,50.0,2,100.0
owl,5,few,5,1,20.0,3,33.3
none,1,few,0,0,,1,0.0
"""
CONFUSION = "class,called,images\nowl,cat,3\nowl,a<b,1\ncat,owl,1\n"
CALIBRATION = "from,to,images,confidence,accuracy\n0.0,0.5,8,0.4,0.5\n0.5,1.0,11,0.9,0.8\n"
LINE = {"iteration": 1, "total_loss": 3.0, "lr": 0.1, "fast_rcnn/class_accuracy_rare": 0.1}


def _write_evaluation(folder: Path) -> None:
    metrics = {"overall": 80.0, "many": 90.0, "medium": 50.0, "few": 10.0, "ECE": 1.0}
    (folder / "results.json").write_text(json.dumps({"classification": metrics}))
    for name, text in (("per_class", PER_CLASS), ("confusion", CONFUSION), ("calibration", CALIBRATION)):
        (folder / f"{name}.csv").write_text(text)


def _read_evaluation(folder: Path) -> None:
    write_classification_report({"a": str(folder), "b": str(folder)}, str(out_of(folder) / "report.html"))


def _write_run(folder: Path) -> None:
    write(folder, toy_data())
    write_images(folder / "images", toy_data())
    inference = folder / "run/inference/toy"
    inference.mkdir(parents=True)
    boxes = [{**BOX, "image_id": 10 + index, "category_id": 3 + 4 * (index % 2)} for index in range(4)]
    write(inference, boxes, "lvis_instances_results.json")
    datasets = {"REGISTER": [entry("toy", folder / "toy.json", folder / "images")], "TRAIN": ["toy"], "TEST": ["toy"]}
    model = {"ROI_HEADS": {"SCORE_THRESH_TEST": 0.05, "NUM_CLASSES": 2}, "WEIGHTS": ""}
    config = {"DATASETS": datasets, "MODEL": model, "SOLVER": {"STEPS": [5, 7], "BASE_LR": 0.1}}
    (folder / "run/config.yaml").write_text(yaml.safe_dump(config))
    lines = [{**LINE, "iteration": number} for number in range(9)]
    (folder / "run/metrics.json").write_text("\n".join(map(json.dumps, lines)) + "\n")
    (folder / "run/log.txt").write_text("Environment info:\n-----\nPyTorch 2\n-----\nCommand line arguments: x\n")
    groups = {name: {"accuracy": 50.0, "background": 5.0, "objects": 3} for name in ("rare", "frequent")}
    write(inference, {"groups": groups}, "classification.json")


def _read_run(folder: Path) -> None:
    for name in list(_registered):  # datasets of the previous input
        DatasetCatalog.remove(name)
        MetadataCatalog.remove(name)
    _registered.clear()
    write_report([str(folder / "run")], str(out_of(folder) / "report.html"), num_images=2)


def _write_metrics(folder: Path) -> None:
    (folder / "metrics.json").write_text("".join(json.dumps({**LINE, "iteration": n}) + "\n" for n in range(9)))


def _read_metrics(folder: Path) -> None:
    path = folder / "metrics.json"
    lines = path.read_bytes().splitlines(keepends=True)
    writer = JSONWriter(str(path))
    try:
        cut_back(writer, sum(map(len, lines[: len(lines) // 2])), 4)
    finally:
        writer.close()


def _write_category_counts(folder: Path) -> None:
    rows = [{"name": name, "image_count": 2 + n, "instance_count": 5 + n} for n, name in enumerate("abc")]
    write(folder, {"categories": rows}, "counts.json")


def _read_category_counts(folder: Path) -> None:
    read_category_counts(str(folder / "counts.json"))


FORMATS = [
    Format("classification_report", _write_evaluation, _read_evaluation, {"*.csv": TEXT, "*.json": JSON}, share=0.5),
    Format(
        "detection_report",
        _write_run,
        _read_run,
        {"run/config.yaml": YAML, "run/metrics.json": LINES, "run/log.txt": TEXT, "run/inference/*/*.json": JSON},
        share=0.5,
    ),
    Format("metrics", _write_metrics, _read_metrics, {"metrics.json": LINES}, share=0.5, writes_inside=True),
    Format("category_counts", _write_category_counts, _read_category_counts, {"counts.json": JSON}, share=0.5),
]
