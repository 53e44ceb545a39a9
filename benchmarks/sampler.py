#!/usr/bin/env python
"""Measure this project's samplers on a generated dataset of the size of LVIS v1, compared with Detectron2's samplers.

    python benchmarks/sampler.py
    python benchmarks/sampler.py --images 1000000

The dataset has 100,170 images with 12.7 objects on average, and 1203 categories with a Zipf distribution. The
benchmark measures the repeat factors of all images, the indices of one epoch, and class-aware sampling. "ours" reads
the same list of dataset dicts as Detectron2. "ours, columns" reads the cached annotation file. Detectron2 v0.6 has no
class-aware sampler. Therefore, class-aware sampling is compared with "eqlv2's way", the algorithm of the EQL v2
reference, which ``reference_class_aware`` implements. Repetitions are interleaved. Times are medians of CPU seconds of
one thread. Ratios are medians, followed by the quartiles.
"""

import argparse
import itertools
import json
import os
import random
import statistics
import tempfile

import numpy as np
import torch
from detectron2.data.samplers import RepeatFactorTrainingSampler
from measuring import header, interleaved, ratio, row

from seesaw_d2.data.records.cache.store import open_annotations
from seesaw_d2.data.sampling.class_aware import ClassAwareSampler
from seesaw_d2.data.sampling.epoch_samplers import RepeatFactorStream
from seesaw_d2.data.sampling.repeat_factors import image_repeat_factors

CATEGORIES, THRESHOLD = 1203, 0.001


def make_records(num_images: int, seed: int = 0) -> list[dict]:
    rng = np.random.default_rng(seed)
    frequency = 1 / np.arange(1, CATEGORIES + 1) ** 1.1
    counts = rng.poisson(12.7, num_images)
    categories = iter(rng.choice(CATEGORIES, counts.sum(), p=frequency / frequency.sum()).tolist())
    return [
        {
            "image_id": number,
            "annotations": [{"category_id": c, "iscrowd": 0} for c in itertools.islice(categories, count)],
        }
        for number, count in enumerate(counts.tolist())
    ]


def compiled(records: list[dict], folder: str):
    """Write the records to an annotation file, and return the dataset dicts from the cache of this file."""
    images = [
        {"id": r["image_id"], "width": 8, "height": 8, "coco_url": "a/b.jpg", "neg_category_ids": []} for r in records
    ]
    boxes = {"bbox": [1, 1, 4, 4], "area": 16, "segmentation": [[1, 1, 5, 1, 5, 5]]}
    flat = ((r["image_id"], a["category_id"] + 1) for r in records for a in r["annotations"])
    annotations = [{"id": i, "image_id": image, "category_id": c, **boxes} for i, (image, c) in enumerate(flat, 1)]
    names = [{"id": i + 1, "name": f"c{i}", "frequency": "f"} for i in range(CATEGORIES)]
    path = os.path.join(folder, "annotations.json")
    with open(path, "w") as file:
        json.dump({"images": images, "annotations": annotations, "categories": names}, file)
    return open_annotations(path).to_dataset_dicts("images/")


def reference_class_aware(records: list[dict], count: int) -> list[int]:
    """Return ``count`` image indices, drawn by class-aware sampling as in CASDataset of the EQL v2 reference.

    Each step takes the next category of a shuffled list, and the next image of this category's shuffled list of images.
    A list is shuffled again after its last element.
    """
    images: dict[int, list[int]] = {}
    for index, record in enumerate(records):
        for category in {a["category_id"] for a in record["annotations"]}:
            images.setdefault(category, []).append(index)
    categories = list(images)
    random.shuffle(categories)
    for each in images.values():
        random.shuffle(each)
    place = dict.fromkeys(images, 0)
    drawn = []
    for number in range(count):
        if number % len(categories) == 0:
            random.shuffle(categories)
        category = categories[number % len(categories)]
        if place[category] == len(images[category]):
            random.shuffle(images[category])
            place[category] = 0
        drawn.append(images[category][place[category]])
        place[category] += 1
    return drawn


def class_aware(records, count: int) -> int:
    sampler = ClassAwareSampler(records, seed=0)
    return sum(len(sampler.epoch(number)) for number in range(-(-count // 1024)))


def compare(what: str, functions: dict, repetitions: int) -> None:
    times = interleaved(functions, repetitions)
    first, *_ = functions
    for name, own in times.items():
        row(what, name, f"{statistics.median(own):.3f}", ratio(own, times[first]))


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, default=100_170, help="number of images (default: 100170)")
    parser.add_argument("--repetitions", type=int, default=5, help="number of repetitions (default: 5)")
    parser.add_argument("--device", default="cpu", help="ignored, because samplers run on the CPU (default: cpu)")
    args = parser.parse_args()
    torch.set_num_threads(1)
    records = make_records(args.images)
    with tempfile.TemporaryDirectory() as folder:
        os.environ["SEESAW_D2_CACHE"] = os.path.join(folder, "cache")
        columns = compiled(records, folder)
        theirs = RepeatFactorTrainingSampler.repeat_factors_from_category_frequency
        factors = image_repeat_factors(columns, THRESHOLD)
        if not torch.equal(factors, theirs(records, THRESHOLD)):
            raise SystemExit("error: the repeat factors differ from Detectron2's")
        plain, stream = RepeatFactorTrainingSampler(factors, seed=0), RepeatFactorStream(factors, seed=0)
        generator = torch.Generator().manual_seed(0)

        def detectron2s_epoch():
            indices = plain._get_epoch_indices(generator)
            return indices[torch.randperm(len(indices), generator=generator).tolist()]

        header("what", "which", "s", "time / first")
        parts = {
            "Detectron2's": lambda: theirs(records, THRESHOLD),
            "ours": lambda: image_repeat_factors(records, THRESHOLD),
            "ours, columns": lambda: image_repeat_factors(columns, THRESHOLD),
        }
        compare("repeat factors", parts, args.repetitions)
        compare("epoch", {"Detectron2's": detectron2s_epoch, "ours": lambda: stream.epoch(0)}, args.repetitions)
        aware = {
            "eqlv2's way": lambda: reference_class_aware(records, args.images),
            "ours": lambda: class_aware(records, args.images),
            "ours, columns": lambda: class_aware(columns, args.images),
        }
        compare("class-aware, start and epoch", aware, args.repetitions)


if __name__ == "__main__":
    main()
