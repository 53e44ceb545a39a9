#!/usr/bin/env python
"""Measure the time and memory of loading dataset dicts from a generated annotation file that resembles LVIS.

    python benchmarks/annotations.py --images 10000 --detectron2
    python benchmarks/annotations.py --images 100170

The file has 1203 categories, 12.7 objects per image, and polygons of the same sizes as in LVIS. With 100,170 images, as
in LVIS v1, the file has 1.1 GB. Each row of the table is measured in a new process:

    first         parse and check the file, and write the cache
    next          memory-map the cache
    detectron2    Detectron2's load_lvis_json

The table has these columns:

    CPU s         CPU seconds of all threads and, in brackets, wall-clock seconds
    own memory    anonymous memory (/proc/self/smaps_rollup) after loading, minus the memory after the imports
    peak          maximum resident memory
    epoch         time to create each dataset dict once
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time

import numpy as np

CATEGORIES = 1203


def write(path, num_images, seed=0, outlines=True):
    """Write a random annotation file in LVIS format, object by object, because it may be larger than the memory.

    Args:
        path: path of the file.
        num_images: number of images.
        seed: seed of the random generator.
        outlines: if True, objects have boxes and polygons. If False, objects have only boxes.
    """
    rng = np.random.default_rng(seed)
    frequency = 1 / np.arange(1, CATEGORIES + 1) ** 1.1
    counts = rng.poisson(12.7, num_images)
    categories = rng.choice(CATEGORIES, counts.sum(), p=frequency / frequency.sum()) + 1
    points = np.clip(rng.lognormal(3.62, 0.7, counts.sum()).astype(int), 3, 600)
    images = [
        {
            "id": number,
            "width": 640,
            "height": 480,
            "coco_url": f"http://images.cocodataset.org/train2017/{number:012d}.jpg",
            "neg_category_ids": rng.integers(1, CATEGORIES + 1, 5).tolist(),
            "not_exhaustive_category_ids": [],
        }
        for number in range(1, num_images + 1)
    ]
    names = [{"id": number, "name": f"category {number}", "frequency": "f"} for number in range(1, CATEGORIES + 1)]
    with open(path, "w") as file:
        file.write(f'{{"categories": {json.dumps(names)}, "images": {json.dumps(images)}, "annotations": [')
        number = 0
        for image, count in enumerate(counts.tolist(), 1):
            for _ in range(count):
                xy = np.round(rng.random((points[number] if outlines else 2, 2)) * (600, 400), 2)
                (x, y), (right, bottom) = xy.min(0).tolist(), xy.max(0).tolist()
                entry = {
                    "id": number + 1,
                    "image_id": image,
                    "category_id": int(categories[number]),
                    "area": 1234.5,
                    "bbox": [x, y, round(right - x, 2), round(bottom - y, 2)],
                    **({"segmentation": [xy.ravel().tolist()]} if outlines else {}),
                }
                file.write((", " if number else "") + json.dumps(entry))
                number += 1
        file.write("]}")


def own_memory():
    """Return the anonymous memory of this process in GB, which is not shared with files or other processes."""
    with open("/proc/self/smaps_rollup") as file:
        lines = dict(line.split(":") for line in file if line.startswith(("Anonymous:", "LazyFree:")))
    return int(lines["Anonymous"].split()[0]) / 1e6


def peak_from_now():
    """Reset the peak memory of this process to the memory in use, and return this memory in GB.

    The reset is necessary because a forked process inherits the peak memory of its parent process.
    """
    with open("/proc/self/clear_refs", "w") as file:
        file.write("5")
    return highest_memory()


def highest_memory():
    """Return the maximum resident memory of this process in GB, including memory-mapped files."""
    with open("/proc/self/status") as file:
        return next(int(line.split()[1]) for line in file if line.startswith("VmHWM")) / 1e6


def measure(kind, path):
    """Load the file with the loader ``kind`` (a row of the table), and print the measured numbers as JSON."""
    if kind == "detectron2":
        import lvis.lvis  # noqa: F401
        from detectron2.data.datasets.lvis import load_lvis_json
    else:
        from seesaw_d2.data.records.cache.store import open_annotations
    peak_from_now()
    before, wall, cpu = own_memory(), time.perf_counter(), time.process_time()
    records = (
        load_lvis_json(path, "images/") if kind == "detectron2" else open_annotations(path).to_dataset_dicts("images/")
    )
    wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    own, peak = own_memory() - before, highest_memory()
    start = time.process_time()
    for record in records:
        len(record["annotations"])
    epoch = time.process_time() - start
    print(json.dumps([len(records), cpu, wall, own, peak, epoch]))


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", nargs="+", type=int, default=[10_000], help="numbers of images (default: 10000)")
    parser.add_argument(
        "--detectron2", action="store_true", help="measure Detectron2's loader, too. It needs 13 GB for LVIS"
    )
    parser.add_argument("--measure", nargs=2, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.measure:
        measure(*args.measure)
        return
    print("| images | file GB | which | CPU s (clock) | own memory GB | peak GB | epoch s |")
    print("|---" * 7 + "|")
    for num_images in args.images:
        with tempfile.TemporaryDirectory() as folder:
            path = os.path.join(folder, "annotations.json")
            write(path, num_images)
            size = os.path.getsize(path) / 1e9
            environment = {**os.environ, "SEESAW_D2_CACHE": os.path.join(folder, "cache"), "OMP_NUM_THREADS": "1"}
            for kind in ["first", "next", *["detectron2"] * args.detectron2]:
                command = [sys.executable, __file__, "--measure", kind, path]
                output = subprocess.run(command, env=environment, check=True, capture_output=True, text=True).stdout
                count, cpu, wall, own, peak, epoch = json.loads(output.splitlines()[-1])
                times, memory = f"{cpu:.1f} ({wall:.1f})", f"{own:.2f} | {peak:.2f}"
                print(f"| {count} | {size:.2f} | {kind} | {times} | {memory} | {epoch:.1f} |", flush=True)


if __name__ == "__main__":
    main()
