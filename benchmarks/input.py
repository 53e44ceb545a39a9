#!/usr/bin/env python
"""Measure decoding, resizing and loading of training images, compared with Detectron2.

    python benchmarks/input.py
    python benchmarks/input.py --photos folder/of/photos --device cuda --workers 0 4 8

Without --photos, the images are generated JPEG files of 640 x 480 pixels, a common size in LVIS. Rows of the table:

    decode    decode the bytes of a file to RGB pixels with Pillow (as Detectron2), OpenCV and torchvision. The last
              column has the largest difference from Pillow's pixels.
    resize    resize to a shorter edge of 800 pixels with Pillow, PyTorch and OpenCV, the values of INPUT.RESIZE. The
              last column has the fraction of pixels that differ from Pillow's.
    mapper    map images with 12 polygons with Detectron2's DatasetMapper, and with this project's mapper for each value
              of INPUT.RESIZE
    load      load batches of 8 images in worker processes with Detectron2's loader and with this project's loader
    training takes
              images per second that a training consumes: the quickstart model on a CPU, or, with --device cuda,
              R-50-FPN with 1203 categories on 16 images of 800 pixels

"load" and, on a GPU, "training takes" are measured in wall-clock seconds. All other rows are measured in CPU seconds of
one thread.
"""

import argparse
import functools
import io
import itertools
import logging
import statistics
import tempfile
import time
from pathlib import Path

import cv2
import numpy as np
import torch
import torchvision
from detectron2.data import DatasetFromList, DatasetMapper, build_detection_train_loader
from detectron2.data.samplers import TrainingSampler
from detectron2.structures import BoxMode
from iteration import MODELS, batch, config, ours, training
from measuring import header, interleaved, ratio, row
from PIL import Image

from seesaw_d2.data.images.mapper import CheckedMapper
from seesaw_d2.data.images.resizing import OPENCV, PILLOW, PYTORCH, build_mapper
from seesaw_d2.data.sampling.epoch_samplers import UniformStream
from seesaw_d2.data.sampling.train_loader import TrainLoader
from seesaw_d2.train import load_config

RESIZES = (PILLOW, PYTORCH, OPENCV)


def make_photos(folder: Path, count: int, size=(640, 480), seed: int = 0) -> list[Path]:
    """Write ``count`` random JPEG files to ``folder``, and return their paths. ``size`` is (width, height) in pixels.

    The images are noise at several scales, so that the files have about as many bytes as photos.
    """
    rng, paths = np.random.default_rng(seed), []
    for number in range(count):
        image = np.zeros((size[1], size[0], 3), np.float32)
        for scale in (4, 16, 64):
            coarse = rng.random((size[1] // scale, size[0] // scale, 3), np.float32)
            image += cv2.resize(coarse, size, interpolation=cv2.INTER_CUBIC) * scale
        image = (255 * (image - image.min()) / np.ptp(image)).astype(np.uint8)
        paths.append(folder / f"{number}.jpg")
        Image.fromarray(image).save(paths[-1], quality=92)
    return paths


def make_records(paths: list[Path], objects: int = 12, seed: int = 0) -> list[dict]:
    rng, records = np.random.default_rng(seed), []
    for number, path in enumerate(paths):
        width, height = Image.open(path).size
        annotations = []
        for _ in range(objects):
            angle = np.sort(rng.random(40)) * 2 * np.pi
            radius = rng.uniform(0.05, 0.2) * min(width, height)
            center = rng.uniform(0.2, 0.8, 2) * (width, height)
            points = center + radius * np.stack([np.cos(angle), np.sin(angle)], axis=1)
            (x0, y0), (x1, y1) = points.min(0), points.max(0)
            box = {"bbox": [x0, y0, x1, y1], "bbox_mode": BoxMode.XYXY_ABS, "category_id": 0}
            annotations.append({**box, "segmentation": [points.ravel().tolist()]})
        record = {"file_name": str(path), "image_id": number, "width": width, "height": height}
        records.append({**record, "annotations": annotations})
    return records


def report(what: str, functions: dict, images: int, repetitions: int, notes=None) -> None:
    times = interleaved(functions, repetitions)
    first, *_ = functions
    for name, own in times.items():
        rate = images / statistics.median(own)
        row(what, name, f"{rate:.0f}", ratio(times[first], own), (notes or {}).get(name, "-"))


def pillow(data: bytes) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(data)).convert("RGB"))


def opencv(data: bytes) -> np.ndarray:
    return cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR_RGB)


def by_torchvision(data: bytes) -> np.ndarray:
    decoded = torchvision.io.decode_image(torch.frombuffer(bytearray(data), dtype=torch.uint8))
    return decoded.permute(1, 2, 0).numpy()


def by_pytorch(image: np.ndarray, sides: tuple[int, int]) -> np.ndarray:
    pixels = torch.from_numpy(image.copy()).permute(2, 0, 1).unsqueeze(0)
    resized = torch.nn.functional.interpolate(pixels, size=sides[::-1], mode="bilinear", antialias=True)
    return resized[0].permute(1, 2, 0).numpy()


def each(function, items):
    """Return a function that calls ``function`` with each of the items."""
    return lambda: [function(item) for item in items]


def mapper_config(resize: str):
    return load_config(
        MODELS["lvis"][0], ["INPUT.RESIZE", resize, "INPUT.MIN_SIZE_TRAIN", "(800,)", "INPUT.MASK_FORMAT", "polygon"]
    )


def decoding_and_mapping(paths, records, repetitions: int) -> None:
    data = [path.read_bytes() for path in paths]
    decoders = {"Pillow (Detectron2's)": pillow, "OpenCV": opencv, "torchvision": by_torchvision}
    pixels = [pillow(item) for item in data]
    notes = {}
    for name, decode in decoders.items():
        most = max(int(np.abs(decode(item).astype(int) - one).max()) for item, one in zip(data, pixels, strict=True))
        notes[name] = f"differs by at most {most}"
    report("decode", {name: each(f, data) for name, f in decoders.items()}, len(data), repetitions, notes)

    def sides(image):
        scale = 800 / min(image.shape[:2])
        return round(image.shape[1] * scale), round(image.shape[0] * scale)

    resizers = {
        "Pillow (Detectron2's)": lambda image: np.asarray(Image.fromarray(image).resize(sides(image), Image.BILINEAR)),
        "PyTorch, antialias": lambda image: by_pytorch(image, sides(image)),
        "OpenCV": lambda image: cv2.resize(image, sides(image), interpolation=cv2.INTER_LINEAR),
    }
    notes = {}
    for name, resize in resizers.items():
        differences = [np.abs(resize(one).astype(int) - resizers["Pillow (Detectron2's)"](one)) for one in pixels]
        share = np.mean([(each > 0).mean() for each in differences])
        notes[name] = f"{share:.1%} differ, by at most {max(each.max() for each in differences)}"
    report("resize", {name: each(f, pixels) for name, f in resizers.items()}, len(pixels), repetitions, notes)
    mappers = {"Detectron2's": DatasetMapper(mapper_config("pillow"), True)}
    for resize in RESIZES:
        mappers[f"ours, {resize}"] = CheckedMapper(build_mapper(mapper_config(resize), is_train=True))
    report("mapper", {name: each(f, records) for name, f in mappers.items()}, len(records), repetitions)


def loading(records, workers: int, batches: int, repetitions: int) -> None:
    """Measure the images per wall-clock second of Detectron2's loader and of this project's loader.

    The start of the workers is excluded. CPU seconds of this process would not include the workers.

    Args:
        records: dataset dicts of the images.
        workers: number of worker processes.
        batches: number of measured batches of 8 images.
        repetitions: number of repetitions, in each of which the loaders are measured in turn.
    """

    def theirs():
        return build_detection_train_loader(
            DatasetFromList(records, copy=False),
            mapper=DatasetMapper(mapper_config("pillow"), True),
            sampler=TrainingSampler(len(records), seed=0),
            total_batch_size=8,
            aspect_ratio_grouping=False,
            num_workers=workers,
        )

    def own(resize):
        mapper = CheckedMapper(build_mapper(mapper_config(resize), is_train=True))
        stream = UniformStream(len(records), seed=0)
        return TrainLoader(DatasetFromList(records, copy=False), mapper, stream, batch_size=8, num_workers=workers)

    loaders = {"Detectron2's": theirs, **{f"ours, {resize}": functools.partial(own, resize) for resize in RESIZES}}
    rates: dict[str, list[float]] = {name: [] for name in loaders}
    for _ in range(repetitions):
        for name, build in loaders.items():
            iterator = iter(build())
            next(iterator)
            start = time.perf_counter()
            for _ in itertools.islice(iterator, batches):
                pass
            rates[name].append(8 * batches / (time.perf_counter() - start))
    for name, found in rates.items():
        quotient = ratio(found, rates["Detectron2's"])
        row(f"load, {workers} workers", name, f"{statistics.median(found):.0f}", quotient, "-")


def needs(device: str, repetitions: int) -> None:
    name = "lvis" if device.startswith("cuda") else "quickstart"
    args = argparse.Namespace(model=name, device=device, detections=100, **MODELS[name][1])
    if name == "lvis":
        args.images, args.size, args.proposals = 16, 800, 512
    args.batch = batch(args.images, args.size, config(args).MODEL.ROI_HEADS.NUM_CLASSES, args.proposals // 4)
    times = interleaved({name: training(ours(args))}, repetitions, device)
    row("training takes", f"{name}, {device}", f"{args.images / statistics.median(times[name]):.1f}", "-", "-")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--photos", type=Path, help="folder of JPEG files (default: generated files)")
    parser.add_argument("--images", type=int, default=32, help="number of images (default: 32)")
    parser.add_argument("--workers", type=int, nargs="+", default=[0, 2], help="numbers of workers (default: 0 2)")
    parser.add_argument("--batches", type=int, default=8, help="number of batches to load (default: 8)")
    parser.add_argument("--repetitions", type=int, default=3, help="number of repetitions (default: 3)")
    parser.add_argument("--device", default="cpu", help="device of the training (default: cpu)")
    args = parser.parse_args()
    logging.disable(logging.INFO)
    torch.set_num_threads(1)
    cv2.setNumThreads(0)
    with tempfile.TemporaryDirectory() as folder:
        found = sorted(args.photos.rglob("*.jpg"))[: args.images] if args.photos else None
        paths = found or make_photos(Path(folder), args.images)
        records = make_records(paths)
        header("what", "by", "images / s", "times the first's", "pixels")
        decoding_and_mapping(paths, records, args.repetitions)
        for workers in args.workers:
            loading(records, workers, args.batches, args.repetitions)
        needs(args.device, args.repetitions)


if __name__ == "__main__":
    main()
