#!/usr/bin/env python
"""A trained model on pictures or on a video; the arguments are those of Detectron2's demo.

python demo.py --config-file configs/quickstart/mask_rcnn_glyphs_seesaw.yaml --input datasets/glyphs/images/val \
    --output output/drawn --opts MODEL.WEIGHTS output/quickstart/model_final.pth
python demo.py --config-file ... --input film.mp4 --output film_drawn.mp4 --opts MODEL.WEIGHTS ...
"""

import sys

from seesaw_d2.report.demo import main

if __name__ == "__main__":
    sys.exit(main())
