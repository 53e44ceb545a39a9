"""Use Seesaw Loss in CenterNet2 (https://github.com/xingyizhou/CenterNet2), and keep its score multiplication.

Import this module in CenterNet2's train_net.py. In the function ``setup``, call ``add_seesaw_config(cfg)`` before the
line that merges the config file, and call ``use_seesaw(cfg)`` after this line. In a checkout of CenterNet2, the
following command prints the box predictors of a config:

    PYTHONPATH=. python path/to/centernet2_heads.py configs/CenterNet2_R50_1x.yaml
"""

import sys

from centernet.config import add_centernet_config
from centernet.modeling.roi_heads.custom_roi_heads import CustomCascadeROIHeads
from detectron2.config import CfgNode, get_cfg
from detectron2.modeling import ROI_HEADS_REGISTRY, build_model

from seesaw_d2 import add_seesaw_config
from seesaw_d2.modeling import SeesawPredictors


@ROI_HEADS_REGISTRY.register()
class SeesawCenterNet2ROIHeads(SeesawPredictors, CustomCascadeROIHeads):
    """Run CenterNet2's cascade with Seesaw Loss in each stage.

    As in CenterNet2, the score of category j is √(P(j) · proposal score).
    """


def use_seesaw(cfg: CfgNode) -> None:
    """Select Seesaw Loss in a CenterNet2 config, in place."""
    cfg.MODEL.ROI_HEADS.NAME = "SeesawCenterNet2ROIHeads"
    # Disable these two losses, because MODEL.ROI_BOX_HEAD.CLS_LOSS replaces them.
    cfg.MODEL.ROI_BOX_HEAD.USE_SIGMOID_CE = False
    cfg.MODEL.ROI_BOX_HEAD.USE_FED_LOSS = False


def main() -> None:
    cfg = get_cfg()
    add_centernet_config(cfg)
    add_seesaw_config(cfg)
    cfg.merge_from_file(sys.argv[1])
    use_seesaw(cfg)
    cfg.MODEL.DEVICE = "cpu"
    print(build_model(cfg).roi_heads.box_predictor)


if __name__ == "__main__":
    main()
