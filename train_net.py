#!/usr/bin/env python
"""Train or evaluate the model of a config, with the arguments of Detectron2's train_net.py.

python train_net.py --config-file configs/quickstart/mask_rcnn_glyphs_seesaw.yaml
python train_net.py --config-file ... --num-gpus 8
python train_net.py --config-file ... --eval-only MODEL.WEIGHTS output/model_final.pth
"""

import os
import sys

if __name__ == "__main__":
    # Set before PyTorch starts its threads: spinning threads slow down small models.
    os.environ.setdefault("OMP_WAIT_POLICY", "passive")
    try:
        from seesaw_d2.train import main

        status = main()
    except KeyboardInterrupt:  # during imports, which take seconds
        print("interrupted: nothing was begun", file=sys.stderr)
        status = 130
    sys.exit(status)
