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

if __name__ == "__main__":
    # Parse the arguments before importing PyTorch and Detectron2, which takes seconds.
    args = parse_arguments(argument_parser(lazy=True), lazy=True)
    # Set before PyTorch starts its threads, because spinning threads slow down small models.
    os.environ.setdefault("OMP_WAIT_POLICY", "passive")
    try:
        seesaw_d2.register()
        from seesaw_d2.train.lazyconfig.job import start

        status = start(args)
    except KeyboardInterrupt:  # during imports, which take seconds
        print("interrupted before the job started", file=sys.stderr)
        status = 130
    sys.exit(status)
