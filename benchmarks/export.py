#!/usr/bin/env python
r"""Compare exported models with the original model: differences of the outputs, and images per second.

    python benchmarks/export.py
    python benchmarks/export.py --config-file configs/seesaw/mask_rcnn_R_50_FPN_rfs_seesaw_normmask_2x.yaml \
        --images 2 --batch-size 2 --rounds 3 MODEL.DEVICE cpu
    python benchmarks/export.py --config-file ... --file onnx --file onnx-float16 --images 0   # no speed

The model has random weights or the weights of --weights, and runs on generated images. On a CPU, the model uses one
thread. Each round measures each row of the second table once. The table has medians over the rounds. On a CPU, times
are CPU seconds. On a GPU, times are wall-clock seconds. All times include resizing, and exclude pasting the masks into
the images.
"""

import argparse
import statistics
import tempfile
import time
from pathlib import Path

import numpy as np
import torch
from measuring import header, interleaved, ratio, row
from random_detector import random_detector

from seesaw_d2.errors import OutputError
from seesaw_d2.export import ExportedModel, export_model
from seesaw_d2.predict.predictor import DTYPES, load_predictor, prepare
from seesaw_d2.train import load_config
from seesaw_d2.train.preflight.config_checks import resolve_device

CONFIG = "configs/quickstart/mask_rcnn_glyphs_seesaw.yaml"
OUTPUTS = ("boxes", "scores", "masks", "unmatched detections")
FILES = {
    "torchscript": ("torchscript", "float32"),
    "torchscript-bfloat16": ("torchscript", "bfloat16"),
    "onnx": ("onnx", "float32"),
    "onnx-float16": ("onnx", "float16"),
}


def pictures(cfg, count):
    """Return ``count`` images of random squares, uint8 arrays (height, width, 3), as large as the model's inputs."""
    random = np.random.default_rng(0)
    height, width = cfg.INPUT.MIN_SIZE_TEST, min(cfg.INPUT.MAX_SIZE_TEST, cfg.INPUT.MIN_SIZE_TEST * 4 // 3)
    small = random.integers(0, 256, (count, height // 16, width // 16, 3), dtype=np.uint8)
    return list(small.repeat(16, axis=1).repeat(16, axis=2))


def eager(model, cfg, batch, dtype):
    """Return a function that runs the original model on a list of images.

    Args:
        model: the original model.
        cfg: config of the model.
        batch: number of images per forward pass.
        dtype: autocast dtype, "float32", "float16" or "bfloat16".
    """

    def run(given):
        for start in range(0, len(given), batch):
            inputs = [{"image": torch.from_numpy(prepare(cfg, each))} for each in given[start : start + batch]]
            with torch.no_grad(), torch.autocast(model.device.type, DTYPES[dtype], enabled=dtype != "float32"):
                model.inference(inputs, do_postprocess=False)

    return run


def exported(cfg, folder, file_format, dtype, sample):
    """Export the model to a file, and print a table row with the differences from the original model.

    Args:
        cfg: config of the model.
        folder: folder of the file.
        file_format, dtype: format and dtype of the exported model.
        sample: image for the comparison.

    Returns:
        a function that runs the exported model on a list of images, or None if the differences are too large.
    """
    start = time.process_time()
    try:
        written = export_model(cfg, str(Path(folder) / dtype), file_format, dtype=dtype, picture=sample)
    except OutputError as error:
        row(f"{file_format}, {dtype}", str(error))
        return None
    seconds = time.process_time() - start
    differences = [f"{written.differences[name]:.3g}" if name in written.differences else "" for name in OUTPUTS]
    row(
        f"{file_format}, {dtype}",
        f"{seconds:.0f}",
        f"{written.size / 2**20:.1f}",
        *differences,
        ", ".join(map(str, written.detections)),
    )
    model = ExportedModel(written.path, threads=1)

    def run(given):
        for each in given:
            model(prepare(cfg, each))

    return run


def files(cfg, folder, names, sample):
    """Export the model to several kinds of files, and print a table of the differences from the original model.

    Args:
        cfg: config of the model.
        folder: folder of the files.
        names: kinds of files, keys of ``FILES``.
        sample: image for the comparison.

    Returns:
        a dict from a name to a function that runs the exported model on a list of images.
    """
    differences = [f"largest difference of {name}" if name == OUTPUTS[0] else name for name in OUTPUTS]
    header("file", "CPU seconds to export and compare", "MiB", *differences, "detections in the images compared")
    written = {name: exported(cfg, folder, *FILES[name], sample) for name in names}
    return {name: function for name, function in written.items() if function is not None}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--config-file", default=CONFIG, help="config of the model (default: the quickstart config)")
    parser.add_argument("--weights", help="weights of the model (default: random weights)")
    parser.add_argument("--images", type=int, default=32, help="number of images (default: 32); 0: measure no times")
    parser.add_argument("--batch-size", type=int, default=8, help="images per batch of the model (default: 8)")
    parser.add_argument("--rounds", type=int, default=5, help="number of rounds (default: 5)")
    parser.add_argument(
        "--file", action="append", choices=FILES, help="file to export. Repeat the option for more (default: all)"
    )
    parser.add_argument("opts", nargs=argparse.REMAINDER, help="config overrides KEY VALUE ...")
    args = parser.parse_args()
    torch.set_num_threads(1)
    cfg = load_config(args.config_file, args.opts)
    resolve_device(cfg, training=False)
    sample, *_ = given = pictures(cfg, max(args.images, 1))
    with tempfile.TemporaryDirectory() as folder:
        cfg.MODEL.WEIGHTS = args.weights or str(Path(folder) / "model.pth")
        if args.weights is None:
            torch.save({"model": random_detector(cfg, prepare(cfg, sample)).state_dict()}, cfg.MODEL.WEIGHTS)
        onnx_too = cfg.MODEL.DEVICE == "cpu"
        names = args.file or [name for name, (kind, _) in FILES.items() if onnx_too or kind != "onnx"]
        from_files = files(cfg, folder, names, sample)
        model, *_ = load_predictor(cfg)
    if not args.images:
        return
    ways = {"eager": eager(model, cfg, 1, "float32")}
    ways[f"eager, batches of {args.batch_size}"] = eager(model, cfg, args.batch_size, "float32")
    ways["eager, bfloat16"] = eager(model, cfg, 1, "bfloat16")
    ways[f"eager, bfloat16, batches of {args.batch_size}"] = eager(model, cfg, args.batch_size, "bfloat16")
    ways |= from_files
    for function in ways.values():  # TorchScript optimizes the model in the first calls
        function(given[:2])
    functions = {name: lambda function=function: function(given) for name, function in ways.items()}
    times = interleaved(functions, args.rounds, cfg.MODEL.DEVICE)
    print()
    header("way", "images a second", "time / eager")
    for name, values in times.items():
        row(name, f"{len(given) / statistics.median(values):.2f}", ratio(values, times["eager"]))


if __name__ == "__main__":
    main()
