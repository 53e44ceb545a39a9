"""Define run folders for the report. The report must list broken optional files as missing."""

import json
import os
from collections.abc import Callable
from pathlib import Path

import torch

from seesaw_d2.report.run_folders import read_run
from tests.robustness.corpus import Case, cases, raw, touching

FILES = {
    "config.yaml": b"MODEL: {DEVICE: cpu}\n",
    "metrics.json": b'{"iteration": 1, "total_loss": 2.0}\n',
    "log.txt": b"Command line arguments: x\n",
}


def run(name: str, content: bytes | str | Callable[[Path], None]) -> Callable[[Path], str]:
    """Return a valid run with one replaced file."""

    def make(folder: Path) -> str:
        inference = folder / "run/inference/toy"
        inference.mkdir(parents=True)
        (inference / "lvis_instances_results.json").write_text("[]")
        for other, value in FILES.items():
            (folder / "run" / other).write_bytes(value)
        torch.save({"model": {"x": torch.ones(1)}}, folder / "run/model_final.pth")
        (folder / "run" / name).unlink(missing_ok=True)
        raw(name, content)(folder / "run")
        return str(folder / "run")

    return make


def code(path: Path) -> None:
    torch.save({"model": touching(path.parents[1])}, path)


def weights(rows: torch.Tensor, counts: torch.Tensor) -> Callable[[Path], None]:
    names = ("roi_heads.box_predictor.cls_score.weight", "roi_heads.box_predictor.cls_loss.class_counts")
    return lambda path: torch.save({"model": dict(zip(names, (rows, counts), strict=True))}, path)


def read(folder: str) -> None:
    found = read_run(folder, 3, "toy")
    json.dumps([found.weight_norms, found.class_counts], allow_nan=False)
    assert all(norm >= 0 for norm in found.weight_norms or ())
    assert all(count >= 0 for count in found.class_counts or ())
    assert all(isinstance(line["total_loss"], (int, float)) for line in found.curves)
    assert isinstance(found.config, dict)
    json.dumps(found.missing)


LINE = FILES["metrics.json"].decode()
CASES: list[Case] = cases(
    "run",
    {
        "config of code": (
            run("config.yaml", "A: !!python/object/apply:os.system [x]"),
            r"config\.yaml: not a YAML file",
        ),
        "config, 50,000 brackets": (run("config.yaml", "A: " + "[" * 50_000), r"config\.yaml: .*too deeply"),
        "config, a list": (run("config.yaml", "- 1\n"), r"config\.yaml: expected a mapping of config keys"),
        "config, not UTF-8": (run("config.yaml", b"\xff"), r"config\.yaml: .*UTF-8"),
        "config, a pipe": (run("config.yaml", os.mkfifo), r"config\.yaml: .*found a pipe"),
        "metrics, torn": (run("metrics.json", LINE + LINE[:9]), None),
        "metrics, 100,000 brackets": (run("metrics.json", "[" * 100_000 + "\n" + LINE), None),
        "metrics, other values": (run("metrics.json", f'1\n"x"\nnull\n[]\n{LINE}'), None),
        "metrics, losses of text": (run("metrics.json", '{"iteration": 1, "total_loss": "x"}\n'), None),
        "metrics, not UTF-8": (run("metrics.json", b"\xff\n" + LINE.encode()), None),
        "log, binary": (run("log.txt", bytes(range(256)) * 9), None),
        "weights of code": (run("model_final.pth", code), None),
        "weights, torn": (run("model_final.pth", b"PK\3\4"), None),
        "weights, a pipe": (run("model_final.pth", os.mkfifo), None),
        "weights without rows": (run("model_final.pth", weights(torch.ones(()), torch.ones(()))), None),
        "weights, one number per class": (run("model_final.pth", weights(torch.ones(4), torch.ones(4, 2))), None),
        "weights, NaN": (
            run("model_final.pth", weights(torch.full((4, 2), torch.nan), torch.full((4,), torch.nan))),
            None,
        ),
        "weights, negative": (run("model_final.pth", weights(-torch.ones(4, 2), -torch.ones(4))), None),
        "weights, complex": (run("model_final.pth", weights(torch.ones(4, 2) * 1j, torch.ones(4) * 1j)), None),
        "weights, bools": (run("model_final.pth", weights(torch.ones(4, 2) > 0, torch.ones(4) > 0)), None),
        "classification, torn": (run("inference/toy/classification.json", '{"a'), r"classification\.json: .*not JSON"),
    },
)
