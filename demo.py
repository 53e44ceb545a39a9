#!/usr/bin/env python
r"""Run a trained model on images or on a video, with the arguments of Detectron2's demo.

python demo.py --config-file configs/quickstart/mask_rcnn_glyphs_seesaw.yaml --input datasets/glyphs/images/val \
    --output output/drawn --opts MODEL.WEIGHTS output/quickstart/model_final.pth
python demo.py --config-file ... --input film.mp4 --output output/film.mp4 --opts MODEL.WEIGHTS ...
"""

import os
import sys

import seesaw_d2
from seesaw_d2.arguments import demo_parser, parse_arguments
from seesaw_d2.missing_packages import exit_if_missing

if __name__ == "__main__":
    # Parse the arguments first, because importing PyTorch and Detectron2 takes seconds.
    args = parse_arguments(demo_parser())
    # OpenMP reads this variable when PyTorch is imported. By default, waiting threads spin, and slow down small models.
    os.environ.setdefault("OMP_WAIT_POLICY", "passive")
    try:
        with exit_if_missing():
            seesaw_d2.register()
            from seesaw_d2.predict.demo import start

        status = start(args)
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        status = 130
    sys.exit(status)
