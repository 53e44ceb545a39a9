#!/usr/bin/env python
"""Measure the time and memory of the LVIS evaluation after inference, on generated data that resembles LVIS val.

    python benchmarks/lvis_evaluation.py --images 500 1000 2000
    python benchmarks/lvis_evaluation.py --images 500 --engine official
    python benchmarks/lvis_evaluation.py --images 2000 --processes 2

The data has 1203 categories. Each image has 480 x 640 pixels, 12 objects, and 300 detections with masks. Each number of
images is measured in new processes. The table has these columns:

    boxes, masks    time to compute the metrics of boxes and of masks
    write           time to write the results file
    all             time of the evaluation, including gathering the detections and reading the ground truth
    wall            the same as "all", in wall-clock seconds
    peak            peak memory of the main process: ground truth, detections, and 0.4 GB for libraries

All times except "wall" are CPU seconds of all threads of the main process.
"""

import argparse
import json
import logging
import multiprocessing
import os
import resource
import tempfile
import time

import numpy as np
import torch.distributed as dist
from pycocotools import mask as mask_utils

CATEGORIES, OBJECTS, DETECTIONS, HEIGHT, WIDTH = 1203, 12, 300, 480, 640


def shapes(rng, count=400, variants=5):
    """Return up to ``count`` random shapes for masks of objects and detections.

    Each shape is a list of overlapping variants. A variant is a tuple: mask as COCO's run lengths, box, and area.
    """
    y, x = np.mgrid[:HEIGHT, :WIDTH]
    found = []
    for _ in range(count):
        cx, cy, size = rng.uniform(60, WIDTH - 60), rng.uniform(60, HEIGHT - 60), rng.lognormal(3.4, 0.6)
        waves, phase = rng.integers(3, 9), rng.uniform(0, 6)
        row = []
        for variant in range(variants):
            radius = size * (1 + 0.08 * variant * rng.standard_normal())
            dx, dy = x - cx - variant * rng.normal(0, 0.06 * size), y - cy
            plane = np.hypot(dx, dy) < radius * (1 + 0.2 * np.sin(waves * np.arctan2(dy, dx) + phase))
            rle = mask_utils.encode(np.asfortranarray(plane, dtype=np.uint8))
            row.append((rle["counts"], mask_utils.toBbox(rle), float(mask_utils.area(rle))))
        found.append([entry for entry in row if entry[2] > 0] or row[:1])
    return [row for row in found if row[0][2] > 0]


def make(num_images: int, folder: str, rank: int, processes: int):
    """Generate annotations and detections of ``num_images`` images.

    The process with rank 0 writes the annotations to val.json in ``folder``. Each of the ``processes`` gets the
    detections of every ``processes``-th image.

    Returns:
        the detections of the images of process ``rank``, a list of ``Detections``, one per image.
    """
    from seesaw_d2.evaluation import Detections

    rng = np.random.default_rng(0)
    pool = shapes(rng)
    frequency = 1 / np.arange(1, CATEGORIES + 1)
    frequency /= frequency.sum()
    images, annotations, parts = [], [], []
    for image in range(1, num_images + 1):
        categories = rng.choice(CATEGORIES, OBJECTS, p=frequency) + 1
        chosen = rng.integers(len(pool), size=OBJECTS)
        for category, shape in zip(categories.tolist(), chosen.tolist(), strict=True):
            counts, box, area = pool[shape][0]
            item = {"id": len(annotations) + 1, "image_id": image, "category_id": category, "area": area}
            item |= {"bbox": box.tolist(), "segmentation": {"size": [HEIGHT, WIDTH], "counts": counts.decode()}}
            annotations.append(item)
        negative = sorted(set((rng.choice(CATEGORIES, 10) + 1).tolist()))
        entry = {
            "id": image,
            "height": HEIGHT,
            "width": WIDTH,
            "file_name": f"{image}.jpg",
            "coco_url": f"a/b/{image}.jpg",
        }
        images.append({**entry, "neg_category_ids": negative, "not_exhaustive_category_ids": negative[:2]})
        pick = rng.integers(OBJECTS, size=DETECTIONS)
        true = rng.random(DETECTIONS) < 0.5
        labels = np.where(true, categories[pick], rng.choice(CATEGORIES, DETECTIONS, p=frequency) + 1)
        rows = [
            pool[shape] for shape in np.where(true, chosen[pick], rng.integers(len(pool), size=DETECTIONS)).tolist()
        ]
        entries = [row[index % len(row)] for row, index in zip(rows, rng.integers(5, size=DETECTIONS), strict=True)]
        scores = rng.random(DETECTIONS)
        if image % processes != rank:
            continue
        boxes = np.array([entry[1] for entry in entries])
        # Copy the bytes, because each mask that a model returns is a separate object in memory.
        masks = [bytes(bytearray(entry[0])) for entry in entries]
        ids = np.full(DETECTIONS, image, dtype=np.int64)
        sizes = np.tile(np.array([HEIGHT, WIDTH], dtype=np.int32), (DETECTIONS, 1))
        parts.append(Detections(ids, labels.astype(np.int64) - 1, scores, boxes, sizes, masks))
    if rank == 0:
        names = [{"id": i + 1, "name": f"c{i}", "frequency": "fcr"[i * 3 // CATEGORIES]} for i in range(CATEGORIES)]
        with open(os.path.join(folder, "val.json"), "w") as file:
            json.dump({"images": images, "annotations": annotations, "categories": names}, file)
    return parts


def measure(rank, processes, num_images, engine, folder, queue):
    from seesaw_d2.data import DatasetEntry, register_dataset
    from seesaw_d2.evaluation import LongTailEvaluator, evaluate, lvis_evaluator

    logging.disable(logging.WARNING)
    parts = make(num_images, folder, rank, processes)
    if processes > 1:
        dist.init_process_group("gloo", init_method=f"file://{folder}/meet", rank=rank, world_size=processes)
        dist.barrier()
    register_dataset(DatasetEntry("benchmark", os.path.join(folder, "val.json"), folder))
    evaluator = LongTailEvaluator("benchmark", tasks=("bbox", "segm"), output_dir=folder, engine=engine)
    evaluator._detections, evaluator._image_count = parts, len(parts)
    times = {}

    def timed(module, name, label):
        function = getattr(module, name)

        def wrapped(*args, **kwargs):
            start = time.process_time()
            result = function(*args, **kwargs)
            key = {"bbox": "boxes", "segm": "masks"}.get(args[2]) if label is None else label
            times[key] = times.get(key, 0) + time.process_time() - start
            return result

        setattr(module, name, wrapped)

    timed(lvis_evaluator, "write_results", "write")
    timed(evaluate, "evaluate_detections", None)
    timed(lvis_evaluator, "ground_truth_with_groups", "ground truth")
    del parts
    start, wall = time.process_time(), time.perf_counter()
    results = evaluator.evaluate()
    if rank == 0:
        times["all"], times["wall"] = time.process_time() - start, time.perf_counter() - wall
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
        size = os.path.getsize(os.path.join(folder, "lvis_instances_results.json")) / 2**20
        queue.put((times, peak, size, {task: metrics["AP"] for task, metrics in results.items()}))
    if processes > 1:
        dist.destroy_process_group()


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--images", type=int, nargs="+", default=[500, 1000, 2000], help="numbers of images (default: 500 1000 2000)"
    )
    parser.add_argument("--engine", default="hotcoco", help="TEST.LVIS_ENGINE: hotcoco or official (default: hotcoco)")
    parser.add_argument("--processes", type=int, default=1, help="number of processes (default: 1)")
    args = parser.parse_args()
    print(
        "| images | engine | processes | boxes s | masks s | write s | all s | wall s | peak GB | file MB | AP^b, AP |"
    )
    print("|---" * 11 + "|")
    context = multiprocessing.get_context("spawn")
    for images in args.images:
        with tempfile.TemporaryDirectory() as folder:
            queue = context.Queue()
            common = (args.processes, images, args.engine, folder, queue)
            workers = [context.Process(target=measure, args=(rank, *common)) for rank in range(args.processes)]
            for worker in workers:
                worker.start()
            times, peak, size, ap = queue.get()
            for worker in workers:
                worker.join()
        columns = [f"{times[key]:.1f}" for key in ("boxes", "masks", "write", "all", "wall")]
        ap = ", ".join(f"{value:.6f}" for value in ap.values())
        cells = [str(images), args.engine, str(args.processes), *columns, f"{peak:.2f}", f"{size:.0f}", ap]
        print("| " + " | ".join(cells) + " |", flush=True)


if __name__ == "__main__":
    main()
