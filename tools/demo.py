#!/usr/bin/env python
"""Train and evaluate a small Mask R-CNN with Seesaw Loss on generated data. ``make demo`` runs this program.

The program generates the glyph dataset, trains and evaluates the quickstart config, prints the results and draws
detections. If you have also trained the cross-entropy config, the program draws the detections of both models. An
interrupted training continues from its last checkpoint. A finished training is only evaluated again.
"""

import json
import os
import sys
import time
from pathlib import Path

from command_line import command, parser_of

ROOT = Path(__file__).resolve().parent.parent
CONFIG = "configs/quickstart/mask_rcnn_glyphs_seesaw.yaml"
RIVAL = "configs/quickstart/mask_rcnn_glyphs_ce.yaml"
DATASET = "glyphs_val"
DETECTIONS = Path("inference", DATASET, "lvis_instances_results.json")


def detections_of(runs: dict[str, Path], data: Path) -> dict[str, Path]:
    """Return the results files (JSON lists of detections) of the runs. Omit files that are older than the dataset.

    Args:
        runs: dict from the name of a run to its folder.
        data: folder of the glyph dataset.

    Returns:
        a dict from the name of a run to its results file.
    """
    files = {name: folder / DETECTIONS for name, folder in runs.items()}
    made = (data / "glyphs.json").stat().st_mtime
    return {name: file for name, file in files.items() if file.is_file() and file.stat().st_mtime > made}


@command
def main(arguments=None) -> int | None:
    parser_of(__doc__).parse_args(arguments)
    os.chdir(ROOT)  # paths in the config are relative to the project
    from seesaw_d2.data import training_frequency_groups
    from seesaw_d2.data.synthetic import GlyphConfig, make_glyphs
    from seesaw_d2.drawing.plain_text import PICTURE_MARK
    from seesaw_d2.report import draw_predictions, results_table
    from seesaw_d2.report.page import write_report
    from seesaw_d2.report.rendering import check_page
    from seesaw_d2.train import load_config
    from seesaw_d2.train import main as train
    from seesaw_d2.utils.own_files import check_replaceable

    start = time.perf_counter()
    make_glyphs("datasets/glyphs", GlyphConfig())
    cfg = load_config(CONFIG)
    folder = Path(cfg.OUTPUT_DIR)
    picture, page = folder / "predictions.png", folder / "report.html"
    check_replaceable(picture, PICTURE_MARK, "a picture of this program")
    check_page(str(page))
    resume = ["--resume"] if os.path.isdir(cfg.OUTPUT_DIR) else []
    status = train(["--config-file", CONFIG, *resume, "TEST.CLASSIFICATION_ACCURACY", "True"])
    if status in (130, 143):  # training has saved a checkpoint after a signal
        print("To continue, run make demo again.", file=sys.stderr)
    if status:
        return status
    runs = {"cross-entropy": Path(load_config(RIVAL).OUTPUT_DIR), "Seesaw Loss": folder}
    found = detections_of(runs, Path("datasets/glyphs"))
    draw_predictions(DATASET, found, picture, groups=training_frequency_groups(cfg))
    seconds = f"{time.perf_counter() - start:.0f} s" + (" for the last start" if resume else "")
    print(f"\nSeesaw Mask R-CNN on the glyph dataset (seed {cfg.SEED}, {seconds}):\n")
    print(results_table(json.loads((folder / DETECTIONS).with_name("results.json").read_text())))
    print(f"\ncheckpoint   {folder / 'model_final.pth'}\nmetrics      {folder / 'metrics.json'}")
    write_report([str(folder)], str(page), names=["Seesaw Loss"], title="Seesaw Mask R-CNN on the glyph dataset")
    print(f"detections   {folder / DETECTIONS}\npicture      {picture}\nreport       {page} (open it in a browser)")
    return 0


if __name__ == "__main__":
    sys.exit(main())
