"""Every config key that this project adds to Detectron2's, with meaning, range and paper symbol."""

from detectron2.config import CfgNode as CN


def add_seesaw_config(cfg: CN) -> None:
    """Add this project's keys to a Detectron2 config, in place.

    With the defaults and ``MODEL.ROI_HEADS.NAME: SeesawROIHeads`` any Detectron2 config trains with
    Seesaw Loss as in the paper: p = 0.8, q = 2, normalized classifier with temperature 20, objectness branch.
    """
    _add_box_head(cfg)
    _add_mask_head(cfg)
    _add_backbone(cfg)
    _add_data(cfg)
    _add_evaluation(cfg)


def _add_box_head(cfg: CN) -> None:
    box_head = cfg.MODEL.ROI_BOX_HEAD

    # The classification loss: a name in seesaw_d2.losses.LOSS_REGISTRY.
    box_head.CLS_LOSS = CN()
    box_head.CLS_LOSS.NAME = "SeesawLoss"
    # How background is modelled. "objectness": a two-way branch beside C classes (C + 2 logits; Seesaw Loss
    # paper, section 3.3). "class": one more class (C + 1 logits, as in Detectron2).
    box_head.CLS_LOSS.BACKGROUND = "objectness"

    # Seesaw Loss (Wang et al., CVPR 2021).
    box_head.CLS_LOSS.SEESAW = CN()
    # p >= 0, exponent of the mitigation factor (equation 7). 0 switches the factor off.
    box_head.CLS_LOSS.SEESAW.P = 0.8
    # q >= 0, exponent of the compensation factor (equation 8). 0 switches the factor off.
    box_head.CLS_LOSS.SEESAW.Q = 2.0
    # 0 < eps <= 1, lower bound of the ground-truth probability in the compensation factor's ratio.
    box_head.CLS_LOSS.SEESAW.EPS = 1e-2
    # Where the class counts N of the mitigation factor come from (paper, Table 4). "online": counted during
    # training. "dataset": instances in the annotations of DATASETS.TRAIN.
    box_head.CLS_LOSS.SEESAW.CLASS_COUNTS = "online"

    # The last layer of the classifier: "NormedLinear" (paper, section 3.2) or "Linear".
    box_head.CLS_PREDICTOR = CN()
    box_head.CLS_PREDICTOR.NAME = "NormedLinear"
    # tau > 0, scale of the cosine in NormedLinear.
    box_head.CLS_PREDICTOR.TEMPERATURE = 20.0


def _add_mask_head(cfg: CN) -> None:
    # tau > 0, scale of the cosine in MODEL.ROI_MASK_HEAD.NAME "NormedMaskHead" (paper, section 3.3).
    cfg.MODEL.ROI_MASK_HEAD.TEMPERATURE = 20.0


def _add_backbone(cfg: CN) -> None:
    # MODEL.BACKBONE.NAME "build_small_resnet_fpn_backbone": a residual network of some 0.5 M parameters with
    # batch normalization and a stem of stride 4, for small images and for training on a CPU.
    cfg.MODEL.SMALL_RESNET = CN()
    # Output channels of the stages res2, res3, ... (strides 4, 8, ...).
    cfg.MODEL.SMALL_RESNET.WIDTHS = [32, 64, 128]
    # Residual blocks in each stage, >= 1.
    cfg.MODEL.SMALL_RESNET.BLOCKS = 2


def _add_data(cfg: CN) -> None:
    # Data sets to register, each a mapping:
    #   NAME    how DATASETS.TRAIN and DATASETS.TEST call it
    #   JSON    annotation file in LVIS or COCO format; relative to the working directory
    #   IMAGES  folder that the images' file names are relative to
    #   FORMAT  "lvis", "coco" or "auto" (default: "lvis" if every image has neg_category_ids)
    # Image files: with LVIS, the last two parts of coco_url (or else file_name); with COCO, file_name.
    cfg.DATASETS.REGISTER = []
    # (a, b), 1 <= a < b: a category is rare with at most a training images, common with at most b, else
    # frequent. The default is LVIS's.
    cfg.DATASETS.FREQUENCY_THRESHOLDS = [10, 100]

    # An image that is missing or cannot be decoded: False stops with its name, True leaves it out with a
    # warning (in evaluation its objects count as missed).
    cfg.DATALOADER.SKIP_BAD_IMAGES = False


def _add_evaluation(cfg: CN) -> None:
    # What computes LVIS's metrics. "hotcoco": a Rust engine. "official": lvis-api, to check it with: the same
    # numbers, some 20 times slower, gigabytes at LVIS's size.
    cfg.TEST.LVIS_ENGINE = "hotcoco"
    # More metrics, each some of: "fixed" (AP_fixed: 10,000 detections of a category and no limit for an image,
    # Dave et al. 2021; wants a large TEST.DETECTIONS_PER_IMAGE), "minival" (AP on the images of LVIS v1 val that
    # are in COCO val2017), "coco" (AP over the categories that COCO has too).
    cfg.TEST.LVIS_METRICS = []
    # Also measure how ground-truth boxes, given as proposals, are classified: accuracy of rare, common and
    # frequent categories and what is lost to background (paper, Figure 1). Costs a second pass over the data.
    cfg.TEST.CLASSIFICATION_ACCURACY = False
