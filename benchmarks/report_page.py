#!/usr/bin/env python
"""Measure the size and the loading time of a report with two runs, 1,000 images and 1203 categories, as in LVIS.

    python benchmarks/report_page.py --photos folder/of/photos --output output/large

The benchmark repeats the photos until there are 1,000 images. If the command chromium exists, the benchmark also
measures the loading time, from the start of loading to the "load" event, without the start of the browser.
"""

import argparse
import json
import os
import re
import shutil
import subprocess
from pathlib import Path

import numpy as np
import yaml
from PIL import Image

CATEGORIES, IMAGES = 1203, 1000
SCRIPT = """<script>addEventListener("load", () => setTimeout(() => {
document.documentElement.dataset.load = performance.getEntriesByType("navigation")[0].loadEventEnd; }, 0));</script>"""


def make(photos: list[Path], folder: Path) -> list[str]:
    rng = np.random.default_rng(0)
    sizes = [Image.open(photo).size for photo in photos]
    (folder / "images/val").mkdir(parents=True, exist_ok=True)
    images, annotations, results = [], [], {"first": [], "second": []}
    for index in range(1, IMAGES + 1):
        number = index % len(photos)
        name = f"val/{index}{photos[number].suffix}"
        if not (folder / "images" / name).exists():
            os.symlink(photos[number].resolve(), folder / "images" / name)
        width, height = sizes[number]
        entry = {"id": index, "height": height, "width": width, "coco_url": f"x/{name}"}
        images.append({**entry, "neg_category_ids": [], "not_exhaustive_category_ids": []})
        for _ in range(12):
            x, y = rng.uniform(0, width / 2), rng.uniform(0, height / 2)
            box = [x, y, rng.uniform(9, width / 2), rng.uniform(9, height / 2)]
            common = {"image_id": index, "category_id": int(rng.integers(CATEGORIES)) + 1, "bbox": box}
            annotations.append({"id": len(annotations) + 1, "area": box[2] * box[3], **common})
            for found in results.values():
                category = common["category_id"] if rng.random() < 0.5 else int(rng.integers(CATEGORIES)) + 1
                found.append({**common, "category_id": category, "score": rng.random()})
    names = [
        {"id": i + 1, "name": f"category_{i}", "frequency": "rcf"[i % 3], "image_count": i + 1, "instance_count": i + 1}
        for i in range(CATEGORIES)
    ]
    data = {"images": images, "annotations": annotations, "categories": names}
    (folder / "val.json").write_text(json.dumps(data))
    entry = {"NAME": "large_val", "JSON": str(folder / "val.json"), "IMAGES": str(folder / "images")}
    config = {"DATASETS": {"REGISTER": [entry], "TEST": ["large_val"], "TRAIN": []}}
    for name, found in results.items():
        inference = folder / name / "inference/large_val"
        inference.mkdir(parents=True, exist_ok=True)
        (inference / "lvis_instances_results.json").write_text(json.dumps(found))
        (folder / name / "config.yaml").write_text(yaml.safe_dump(config))
    return [str(folder / name) for name in results]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--photos", type=Path, required=True, help="folder of .jpg or .png files")
    parser.add_argument("--output", type=Path, required=True, help="output folder")
    args = parser.parse_args()
    from seesaw_d2.report.page import write_report
    from seesaw_d2.utils.own_files import claim_folder

    photos = sorted(path for path in args.photos.rglob("*") if path.suffix in (".jpg", ".png"))
    claim_folder(args.output, "benchmark.txt")
    page = args.output.absolute() / "page.html"
    write_report(make(photos, args.output.absolute()), str(page), num_images=IMAGES)
    print(f"{page.stat().st_size / 2**20:.1f} MB")
    chromium = shutil.which("chromium")
    if chromium:
        probe = page.with_name("probe.html")
        probe.write_text(page.read_text().replace("</body>", SCRIPT + "</body>"))
        command = [chromium, "--headless", "--no-sandbox", "--disable-gpu", "--dump-dom", probe.as_uri()]
        dom = subprocess.run(command, capture_output=True, text=True).stdout
        print(f"{float(re.search(r'data-load=.([0-9.]+)', dom).group(1)) / 1000:.2f} s to load")


if __name__ == "__main__":
    main()
