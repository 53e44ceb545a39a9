#!/usr/bin/env python
"""Train or evaluate the model of a LazyConfig, like Detectron2's tools/lazyconfig_train_net.py.

python lazyconfig_train_net.py --config-file configs/lazy/mask_rcnn_R_50_FPN_rfs_seesaw_2x.py --num-gpus 8
python lazyconfig_train_net.py --config-file ... train.max_iter=100 dataloader.train.total_batch_size=8
python lazyconfig_train_net.py --config-file ... --eval-only train.init_checkpoint=output/model_final.pth
"""

import os
import sys

import seesaw_d2
from seesaw_d2.arguments import argument_parser, parse_arguments
from seesaw_d2.missing_packages import exit_if_missing

if __name__ == "__main__":
    # Parse the arguments first, because importing PyTorch and Detectron2 takes seconds.
    args = parse_arguments(argument_parser(lazy=True), lazy=True)
    # OpenMP reads this variable when PyTorch is imported. By default, waiting threads spin, and slow down small models.
    os.environ.setdefault("OMP_WAIT_POLICY", "passive")
    try:
        with exit_if_missing():
            seesaw_d2.register()
            from seesaw_d2.train.lazyconfig.job import start

        status = start(args)
    except KeyboardInterrupt:  # interrupted before the job started. After the start, the job handles interrupts
        print("interrupted before the job started", file=sys.stderr)
        status = 130
    sys.exit(status)
