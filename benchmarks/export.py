#!/usr/bin/env python
"""Images per second of a model in Python, in TorchScript and in onnxruntime, in batches and in half precision.

    python benchmarks/export.py
    python benchmarks/export.py --config-file configs/... --images 16 --batch-size 8 --skip onnx MODEL.DEVICE cpu

The quickstart model with random weights on made-up pictures, one thread on a CPU. Each round takes each way once, one
after the other; medians of the rounds. Resizing is in all times, the pasting of masks in none.
"""

import argparse
import statistics
import tempfile
import time
from pathlib import Path

import numpy as np
import torch
from detectron2.modeling import build_model

from seesaw_d2.engine import load_config
from seesaw_d2.engine.checks import resolve_device
from seesaw_d2.engine.predictor import DTYPES, build_predictor_model, prepare
from seesaw_d2.export import ExportedModel, export_model

CONFIG = "configs/quickstart/mask_rcnn_glyphs_seesaw.yaml"


def pictures(cfg, count):
    """Noise in rectangles, of the size that the model gets."""
    random = np.random.default_rng(0)
    height, width = cfg.INPUT.MIN_SIZE_TEST, min(cfg.INPUT.MAX_SIZE_TEST, cfg.INPUT.MIN_SIZE_TEST * 4 // 3)
    small = random.integers(0, 256, (count, height // 16, width // 16, 3), dtype=np.uint8)
    return list(small.repeat(16, axis=1).repeat(16, axis=2))


def eager(model, cfg, batch, dtype):
    """A function over pictures: the model itself, ``batch`` of them in a forward pass."""

    def run(given):
        for start in range(0, len(given), batch):
            inputs = [{"image": torch.from_numpy(prepare(cfg, each))} for each in given[start : start + batch]]
            with torch.no_grad(), torch.autocast(model.device.type, DTYPES[dtype], enabled=dtype != "float32"):
                model.inference(inputs, do_postprocess=False)

    return run


def exported(cfg, folder, file_format, dtype, sample):
    path = export_model(cfg, str(Path(folder) / dtype), file_format, dtype=dtype, picture=sample).path
    model = ExportedModel(path, threads=1)

    def run(given):
        for each in given:
            model(prepare(cfg, each))

    return run


def seconds(function, given):
    if torch.cuda.is_available():
        torch.cuda.synchronize()
    start = time.perf_counter()
    function(given)
    if torch.cuda.is_available():
        torch.cuda.synchronize()
    return time.perf_counter() - start


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--config-file", default=CONFIG)
    parser.add_argument("--images", type=int, default=32)
    parser.add_argument("--batch-size", type=int, default=8)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--skip", nargs="*", default=[], choices=["onnx", "bfloat16"])
    parser.add_argument("opts", nargs=argparse.REMAINDER, help="KEY VALUE ...")
    args = parser.parse_args()
    torch.set_num_threads(1)
    torch.manual_seed(0)
    cfg = load_config(args.config_file, args.opts)
    resolve_device(cfg)
    given = pictures(cfg, args.images)
    with tempfile.TemporaryDirectory() as folder:
        cfg.MODEL.WEIGHTS = str(Path(folder) / "model.pth")
        torch.save({"model": build_model(cfg).state_dict()}, cfg.MODEL.WEIGHTS)
        model = build_predictor_model(cfg)
        ways = {"eager": eager(model, cfg, 1, "float32")}
        ways[f"eager, batches of {args.batch_size}"] = eager(model, cfg, args.batch_size, "float32")
        ways["TorchScript"] = exported(cfg, folder, "torchscript", "float32", given[0])
        if "onnx" not in args.skip and cfg.MODEL.DEVICE == "cpu":
            ways["onnxruntime"] = exported(cfg, folder, "onnx", "float32", given[0])
        if "bfloat16" not in args.skip:
            ways["eager, bfloat16"] = eager(model, cfg, 1, "bfloat16")
            ways[f"eager, bfloat16, batches of {args.batch_size}"] = eager(model, cfg, args.batch_size, "bfloat16")
            ways["TorchScript, bfloat16"] = exported(cfg, folder, "torchscript", "bfloat16", given[0])
    times = {name: [] for name in ways}
    for function in ways.values():  # TorchScript optimizes in its first calls
        function(given[: 2 * args.batch_size])
    for _ in range(args.rounds):
        for name, function in ways.items():
            times[name].append(seconds(function, given))
    first = statistics.median(times["eager"])
    print("| way | images a second | time / eager |")
    print("|---" * 3 + "|")
    for name, values in times.items():
        median = statistics.median(values)
        print(f"| {name} | {len(given) / median:.1f} | {median / first:.2f} |")


if __name__ == "__main__":
    main()
