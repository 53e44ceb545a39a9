#!/usr/bin/env python
"""Measure the time to write and to load a checkpoint, compared with Detectron2's checkpointer.

    python benchmarks/checkpoints.py

The checkpoint has 400 MB. It contains Mask R-CNN R-50-FPN with 1203 categories, and the momentum of SGD. Unlike
Detectron2, this project syncs checkpoints to the disk, loads checkpoints without running code, and verifies checksums
with ``--resume``. Each cell of the table has CPU seconds of all threads and, in brackets, wall-clock seconds.
"""

import argparse
import os
import statistics
import tempfile
import time

import torch
from detectron2.checkpoint import DetectionCheckpointer
from detectron2.modeling import build_model
from measuring import header, ratio, row

from seesaw_d2 import model_zoo
from seesaw_d2.train.checkpoints.checkpointer import SeesawCheckpointer

CONFIG = "seesaw/mask_rcnn_R_50_FPN_rfs_seesaw_2x.yaml"


def make_model() -> tuple[torch.nn.Module, torch.optim.Optimizer]:
    cfg = model_zoo.get_cfg(CONFIG)
    cfg.MODEL.DEVICE = "cpu"
    model = build_model(cfg)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.0, momentum=0.9)
    for parameter in model.parameters():
        parameter.grad = torch.zeros_like(parameter)
    optimizer.step()
    return model, optimizer


def timed(function) -> tuple[float, float]:
    cpu, clock = time.process_time(), time.perf_counter()
    function()
    return time.process_time() - cpu, time.perf_counter() - clock


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repetitions", type=int, default=5, help="number of repetitions (default: 5)")
    args = parser.parse_args()
    model, optimizer = make_model()
    with tempfile.TemporaryDirectory() as folder:
        checkpointers = {}
        for name, kind in ("Detectron2", DetectionCheckpointer), ("this project", SeesawCheckpointer):
            place = os.path.join(folder, kind.__name__)
            os.makedirs(place)
            checkpointers[name] = kind(model, place, optimizer=optimizer)
        times: dict[tuple[str, str], list] = {}
        for _ in range(args.repetitions):
            for name, checkpointer in checkpointers.items():
                write = timed(lambda each=checkpointer: each.save("model_0000009", iteration=9))
                resume = timed(lambda each=checkpointer: each.resume_or_load("", resume=True))
                times.setdefault((name, "write"), []).append(write)
                times.setdefault((name, "resume"), []).append(resume)
    header("", "write, s", "ratio", "resume, s", "ratio")
    for name in checkpointers:
        cells = []
        for work in "write", "resume":
            own, reference = times[name, work], times["Detectron2", work]
            cpu, clock = (statistics.median(each) for each in zip(*own, strict=True))
            cells += [f"{cpu:.2f} ({clock:.2f})", ratio([a for a, _ in own], [a for a, _ in reference])]
        row(name, *cells)


if __name__ == "__main__":
    main()
