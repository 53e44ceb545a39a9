"""Define broken results files of other programs."""

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from seesaw_d2.data import read_annotations
from seesaw_d2.evaluation.evaluate import evaluate_file
from tests.data.toy import toy_data, write
from tests.robustness.corpus import Case, cases, raw

BOX = {"image_id": 10, "category_id": 3, "score": 0.5, "bbox": [5, 5, 15, 15]}
RUNS = {"size": [40, 60], "counts": "PR2"}


def of(content: bytes | str | Callable[[Path], None]) -> Callable[[Path], str]:
    def make(folder: Path) -> str:
        write(folder, toy_data())
        return raw("r.json", content)(folder)

    return make


def box(**changes: Any) -> Callable[[Path], str]:
    return of(json.dumps([BOX, {**BOX, **changes}]))


def mask(runs: Any) -> Callable[[Path], str]:
    item = {key: value for key, value in BOX.items() if key != "bbox"}
    return of(json.dumps([{**item, "segmentation": runs}]))


def read(path: str) -> None:
    folder = os.path.dirname(path)
    metrics = evaluate_file(path, read_annotations(os.path.join(folder, "toy.json")), None).metrics
    values = [value for task in metrics.values() for value in task.values()]
    assert values
    assert not np.isinf(values).any()


CASES: list[Case] = cases(
    "results",
    {
        "right": (box(), None),
        "none": (of("[]"), None),
        "the same one 1,000 times": (of(json.dumps([BOX] * 1000)), None),
        "torn": (of(json.dumps([BOX])[:-9]), r"r\.json: .*JSON"),
        "empty": (of(""), r"r\.json: .*JSON"),
        "not UTF-8": (of(b'[{"image_id": "\xff"}]'), r"r\.json: .*JSON"),
        "an object": (of("{}"), r"r\.json: .*an object"),
        "100,000 brackets": (of("[" * 100_000), r"r\.json: .*nested"),
        "numbers": (of("[1, 2]"), r"r\.json: .* 0 .* 1"),
        "JSON Lines": (of(f"{json.dumps(BOX)}\n" * 2), r"r\.json: .*several JSON values.*JSON Lines.*line 2, column 1"),
        "a score twice": (
            of(json.dumps([BOX])[:-2] + ', "score": 0.9}]'),
            r'r\.json: .*each key once.*"score" 2 times',
        ),
        "NaN": (of(json.dumps([{**BOX, "score": float("nan")}])), r"r\.json: .*JSON"),
        "no score": (of(json.dumps([{k: v for k, v in BOX.items() if k != "score"}])), r'r\.json: .*"score"'),
        "no box": (of(json.dumps([BOX, {k: v for k, v in BOX.items() if k != "bbox"}])), r'r\.json: .*"bbox"'),
        "neither box nor mask": (of(json.dumps([{"image_id": 10}])), r'r\.json: .*"bbox".* 0'),
        "score a string": (box(score="0.5"), r'r\.json: "score"'),
        "score null": (box(score=None), r'r\.json: "score"'),
        "score of 1e999": (of(json.dumps([BOX]).replace("0.5", "1e999")), r"r\.json: (.*JSON|\"score\")"),
        "negative score": (box(score=-1.0), None),
        "another dataset's image": (box(image_id=999), r'r\.json: "image_id"'),
        "image a string": (box(image_id="10"), r'r\.json: "image_id"'),
        "image beyond 64 bits": (box(image_id=2**70), r"r\.json"),
        "category of another dataset": (box(category_id=999), r'r\.json: "category_id"'),
        "category 0": (box(category_id=0), r'r\.json: "category_id"'),
        "box of three": (box(bbox=[1, 2, 3]), r'r\.json: "bbox"'),
        "box of strings": (box(bbox=["a"] * 4), r'r\.json: "bbox"'),
        "box null": (box(bbox=None), r'r\.json: "bbox"'),
        "box of huge numbers": (box(bbox=[1e300, 1e300, 1e300, 1e300]), None),
        "box of negative size": (box(bbox=[5, 5, -9, -9]), None),
        "mask of garbage": (mask({**RUNS, "counts": "garbage!!"}), r'r\.json: "segmentation"'),
        "mask that is too long": (mask({**RUNS, "counts": "o" * 3000}), r'r\.json: "segmentation"'),
        "mask of another size": (mask({"size": [9, 9], "counts": "Q2"}), r'r\.json: "segmentation"'),
        "mask of polygons": (mask([[1, 1, 9, 1, 9, 9]]), r'r\.json: "segmentation"'),
        "mask without counts": (mask({"size": [40, 60], "counts": ""}), r'r\.json: "segmentation"'),
        "a folder": (of(lambda path: path.mkdir()), r"r\.json: .*a directory"),
        "a pipe": (of(os.mkfifo), r"r\.json: .*a pipe"),
    },
)
