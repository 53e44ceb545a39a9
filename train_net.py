#!/usr/bin/env python
"""Train or evaluate the model of a config, with the arguments of Detectron2's train_net.py.

python train_net.py --config-file configs/quickstart/mask_rcnn_glyphs_seesaw.yaml
python train_net.py --config-file ... --num-gpus 8
python train_net.py --config-file ... --eval-only MODEL.WEIGHTS output/model_final.pth
"""

import os
import sys

import seesaw_d2
from seesaw_d2.arguments import argument_parser, parse_arguments
from seesaw_d2.missing_packages import exit_if_missing

if __name__ == "__main__":
    # Parse the arguments first, because importing PyTorch and Detectron2 takes seconds.
    args = parse_arguments(argument_parser())
    # OpenMP reads this variable when PyTorch is imported. By default, waiting threads spin, and slow down small models.
    os.environ.setdefault("OMP_WAIT_POLICY", "passive")
    try:
        with exit_if_missing():
            seesaw_d2.register()
            from seesaw_d2.train.command_line import start

        status = start(args)
    except KeyboardInterrupt:  # interrupted before the job started. After the start, the job handles interrupts
        print("interrupted before the job started", file=sys.stderr)
        status = 130
    sys.exit(status)
