#!/usr/bin/env python
"""Measure how the time and memory at the start of a training grow with the number of images.

    python benchmarks/growth_images.py --images 20000 200000
    python benchmarks/growth_images.py --images 1000000 --boxes

The annotation files are generated and resemble LVIS. The benchmark measures CPU seconds and memory in a new process,
which reads the cache of the file. The annotation file of a million images has 11 GB with polygons, and 1.6 GB without
polygons.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time

from annotations import highest_memory, own_memory, peak_from_now, write
from measuring import header, row


def measure(path: str, masks: bool) -> None:
    """Run the data steps at the start of a training, and print the CPU seconds and the memory of each step as JSON.

    Args:
        path: path of the annotation file.
        masks: whether the model has a mask head, so that the masks are checked.
    """
    from detectron2.config import get_cfg

    from seesaw_d2 import add_seesaw_config
    from seesaw_d2.data.records.cache.store import open_annotations
    from seesaw_d2.data.records.training_records import check_trainable, log_histogram, trained_records
    from seesaw_d2.data.sampling.analysis import analyze_sampling
    from seesaw_d2.data.sampling.batch_composition import aspect_groups
    from seesaw_d2.data.sampling.class_aware import ClassAwareSampler
    from seesaw_d2.data.sampling.epoch_samplers import RepeatFactorStream
    from seesaw_d2.data.sampling.repeat_factors import image_repeat_factors
    from seesaw_d2.data.sampling.train_loader import digest_of

    cfg = get_cfg()
    add_seesaw_config(cfg)
    cfg.MODEL.MASK_ON, cfg.INPUT.MASK_FORMAT = masks, "bitmask"
    found, kept = {}, []
    start_memory, start_peak = own_memory(), peak_from_now()

    def timed(name, function):
        before, start = own_memory(), time.process_time()
        kept.append(function())
        found[name] = (time.process_time() - start, own_memory() - before)
        return kept[-1]

    records = timed("map", lambda: open_annotations(path).to_dataset_dicts("images/"))
    timed("masks of all objects", lambda: check_trainable(cfg, "all", records))
    records = timed("images with objects", lambda: trained_records(cfg, records))
    timed("instances of each category", lambda: log_histogram(records, list(map(str, range(1203)))))
    factors = timed("repeat factors", lambda: image_repeat_factors(records, 0.001))
    timed("an epoch's indices", lambda: RepeatFactorStream(factors, seed=0).epoch(0))
    timed("class-aware sampler", lambda: ClassAwareSampler(records, seed=0))
    timed("statistics and sampling", lambda: analyze_sampling(records, 1203, repeat_threshold=0.001))
    timed("aspect ratio groups", lambda: aspect_groups(records))
    timed("digest of names", lambda: digest_of(records))
    peak = highest_memory()
    found["all"] = (sum(seconds for seconds, _ in found.values()), own_memory() - start_memory)
    print(json.dumps([found, peak - start_peak]))


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--images", type=int, nargs="+", default=[5000, 20_000], help="numbers of images (default: 5000 20000)"
    )
    parser.add_argument("--boxes", action="store_true", help="objects have only boxes, as most objects of OpenImages")
    parser.add_argument("--measure", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.measure:
        measure(args.measure, masks=not args.boxes)
        return
    header("images", "what", "CPU s", "memory kept GB", "peak GB without imports")
    for count in args.images:
        with tempfile.TemporaryDirectory() as folder:
            path = os.path.join(folder, "annotations.json")
            write(path, count, outlines=not args.boxes)
            environment = {**os.environ, "SEESAW_D2_CACHE": os.path.join(folder, "cache"), "OMP_NUM_THREADS": "1"}
            command = [sys.executable, __file__, "--measure", path, *["--boxes"] * args.boxes]
            for _ in range(2):  # the first process writes the cache, and the second one is reported
                output = subprocess.run(command, env=environment, check=True, capture_output=True, text=True).stdout
            found, peak = json.loads(output.splitlines()[-1])
            for name, (seconds, gigabytes) in found.items():
                row(count, name, f"{seconds:.2f}", f"{gigabytes:.2f}", f"{peak:.2f}" if name == "all" else "-")


if __name__ == "__main__":
    main()
