#!/usr/bin/env python
"""Time and memory until a process has the records of LVIS's training set, on a generated file of its kind.

    python benchmarks/annotations.py --images 10000 --detectron2
    python benchmarks/annotations.py --images 100170

1203 categories, 12.7 objects an image, polygons of LVIS's sizes: with LVIS v1's 100,170 images 1.1 GB of JSON. Each
line is a fresh process: "first" parses, checks and compiles, "next" maps what was made, "detectron2" is its own
``load_lvis_json``. Seconds are CPU seconds of all threads and, in brackets, the clock's. Memory is what the process has
of its own afterwards (anonymous, in ``/proc/self/smaps_rollup``) over what it had after its imports, and the peak while
it worked. "epoch" is the time to make every record once.
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
    """Streams the file: it is larger than what should be held. Without outlines objects are boxes alone."""
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
    """GB that this process shares with nobody and no file."""
    with open("/proc/self/smaps_rollup") as file:
        lines = dict(line.split(":") for line in file if line.startswith(("Anonymous:", "LazyFree:")))
    return int(lines["Anonymous"].split()[0]) / 1e6


def peak_from_now():
    """Forget the peak until now, which a process that was forked has of its parent: GB resident now."""
    with open("/proc/self/clear_refs", "w") as file:
        file.write("5")
    return highest_memory()


def highest_memory():
    """GB resident at the highest point, mapped files among them."""
    with open("/proc/self/status") as file:
        return next(int(line.split()[1]) for line in file if line.startswith("VmHWM")) / 1e6


def measure(kind, path):
    """One process's part: prints a line of numbers."""
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
    parser.add_argument("--images", nargs="+", type=int, default=[10_000])
    parser.add_argument("--detectron2", action="store_true", help="its loader too, which takes 13 GB at LVIS's size")
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
