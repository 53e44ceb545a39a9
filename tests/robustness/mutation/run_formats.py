"""Define the mutation tests of run files: configs, results, logged metrics, comparisons, and report folders."""

import json
import sys
from pathlib import Path

import numpy as np
import yaml
from pycocotools import mask as coco_mask

from seesaw_d2.report.run_config import run_datasets
from seesaw_d2.report.run_folders import read_run
from tests.data.toy import toy_data, write
from tests.robustness import results_cases, yaml_cases
from tests.robustness.mutation.formats import Format, out_of
from tests.robustness.mutation.mutators import JSON, LINES, TEXT, YAML

ROOT = Path(__file__).parents[3]
sys.path.insert(0, str(ROOT / "tools"))

import compare  # noqa: E402  the programs import each other from their folder
import comparison_rows  # noqa: E402
import run_results  # noqa: E402


def _write_results(folder: Path) -> None:
    write(folder, toy_data())
    boxes = [{**results_cases.BOX, "image_id": 10 + index, "score": index / 4} for index in range(3)]
    mask = np.zeros((40, 60), dtype=np.uint8, order="F")
    mask[4:20, 6:30] = 1
    runs = coco_mask.encode(mask)
    runs["counts"] = runs["counts"].decode("ascii")
    write(folder, [{**box, "segmentation": runs} for box in boxes], "r.json")


def _write_config(folder: Path) -> None:
    base = yaml.safe_load((ROOT / "configs/quickstart/Base-glyphs.yaml").read_text())
    base.pop("_BASE_", None)
    (folder / "b.yaml").write_text(yaml.safe_dump(base))
    (folder / "c.yaml").write_text("_BASE_: b.yaml\nSOLVER: {BASE_LR: 0.01, STEPS: [5, 7]}\nMODEL: {MASK_ON: true}\n")


def _read_config(folder: Path) -> None:
    yaml_cases.read(str(folder / "c.yaml"))


ROWS = """
main:
  - {name: CE, config: configs/a.yaml, overrides: {A.B: 1, C: [1, 2], D: x}}
  - {name: "Seesaw, q 0", config: configs/b.yaml}
  - {name: cRT, config: configs/b.yaml, after: CE}
  - {name: NCM, config: configs/b.yaml, after: CE, convert: "tau_normalize.py {weights} {output} --tau 1"}
other:
  - {name: CE, config: configs/a.yaml}
"""


def _write_rows(folder: Path) -> None:
    (folder / "rows.yaml").write_text(ROWS)


def _read_rows(folder: Path) -> None:
    for row in comparison_rows.read_rows(folder / "rows.yaml", "main"):
        compare.commands_of(row, 1, out_of(folder))
        assert compare.folder_of(row["name"], 1, out_of(folder)).is_relative_to(out_of(folder))


def _write_compared(folder: Path) -> None:
    """Write finished runs of tools/compare.py, and the file that tools/run_results.py writes about the runs."""
    for name, value in (("CE", 10.0), ("Seesaw", 20.0)):
        for seed in (1, 2):
            inference = folder / name / f"seed{seed}/inference/x"
            inference.mkdir(parents=True)
            (inference.parents[1] / "model_final.pth").touch()
            row = {"name": name, "config": "c.yaml", "overrides": ["A.B", "1"]}
            (inference.parents[1] / "row.json").write_text(json.dumps(row, indent=1))
            metrics = {"overall": value, "many": 90.0, "medium": 50.0, "few": None, "ECE": 1.0}
            boxes = dict.fromkeys(("AP", "APr", "APc", "APf"), value)
            (inference / "results.json").write_text(json.dumps({"classification": metrics, "bbox": boxes}))
            rows = ["class,train_images,shots,test_images,correct,predicted", "a,200,many,10,9,12", "b,7,few,5,0,3"]
            (inference / "per_class.csv").write_text("\n".join(rows) + "\n")
    runs = run_results.collect(folder, "abc", [])
    (folder / "runs.json").write_text(json.dumps(runs))


def _read_compared(folder: Path) -> None:
    compare.table(
        {name: [compare.read_results(folder / name / f"seed{n}") for n in (1, 2)] for name in ("CE", "Seesaw")}
    )
    runs = run_results.collect(folder, "def", run_results.read_runs(folder / "runs.json"))
    rows = run_results.by_row(runs, None)
    for against in (None, "CE"):
        run_results.table(rows, against)


def _write_run(folder: Path) -> None:
    inference = folder / "run/inference/toy"
    inference.mkdir(parents=True)
    (inference / "lvis_instances_results.json").write_text("[]")
    config = {
        "DATASETS": {"REGISTER": [{"NAME": "a", "JSON": "b"}], "TRAIN": ["a"], "TEST": ["toy"]},
        "MODEL": {"X": 1},
    }
    (folder / "run/config.yaml").write_text(yaml.safe_dump(config))
    lines = [{"iteration": number, "total_loss": 3 / (number + 1), "lr": 0.1} for number in range(9)]
    (folder / "run/metrics.json").write_text("\n".join(map(json.dumps, lines)) + "\n")
    (folder / "run/log.txt").write_text("Environment info:\n-----\nPyTorch 2\n-----\nCommand line arguments: x\n")
    (inference / "classification.json").write_text(
        json.dumps({"groups": {"rare": {"accuracy": 1.0, "background": 0.5}}})
    )


def _read_run(folder: Path) -> None:
    read_run(str(folder / "run"), 3, "toy")
    run_datasets(str(folder / "run"))


FORMATS = [
    Format(
        "results", _write_results, lambda folder: results_cases.read(str(folder / "r.json")), {"r.json": JSON}, share=2
    ),
    Format("config", _write_config, _read_config, {"*.yaml": YAML}),
    Format("comparison", _write_rows, _read_rows, {"rows.yaml": YAML}),
    Format(
        "compared_runs",
        _write_compared,
        _read_compared,
        {"*/*/row.json": JSON, "**/results.json": JSON, "**/per_class.csv": TEXT, "runs.json": JSON},
    ),
    Format(
        "run",
        _write_run,
        _read_run,
        {"run/config.yaml": YAML, "run/metrics.json": LINES, "run/log.txt": TEXT, "**/classification.json": JSON},
    ),
]
