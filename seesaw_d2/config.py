"""Every config key that this project adds to Detectron2's, with meaning, range and paper symbol."""

from detectron2.config import CfgNode as CN


def add_seesaw_config(cfg: CN) -> None:
    """Add this project's keys to a Detectron2 config, in place.

    With the defaults and ``MODEL.ROI_HEADS.NAME: SeesawROIHeads`` any Detectron2 config trains with
    Seesaw Loss as in the paper: p = 0.8, q = 2, normalized classifier with temperature 20, objectness branch.
    """
    _add_box_head(cfg)
    _add_iterative_head(cfg)
    _add_mask_head(cfg)
    _add_backbone(cfg)
    _add_data(cfg)


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

    # Pairwise Class Balance (PCB; He et al., CVPR 2022), CLS_LOSS.NAME "PairwiseClassBalance": another loss with soft
    # labels made of the confusion between categories.
    box_head.CLS_LOSS.PCB = CN()
    # The loss that it wraps: "SeesawLoss", "CrossEntropyLoss" or another that takes soft labels; their own keys hold.
    box_head.CLS_LOSS.PCB.LOSS = "SeesawLoss"
    # alpha in [0, 1], weight of the soft labels. Published: 0.05 with Seesaw Loss, 0.2 with EQL v2, 0.4 with
    # cross-entropy.
    box_head.CLS_LOSS.PCB.ALPHA = 0.05
    # In [0, 1), how much of a row of the confusion matrix stays in each update.
    box_head.CLS_LOSS.PCB.MOMENTUM = 0.99
    # >= 0, iterations before the soft labels begin; until then the matrix is collected alone. Published: 2 / 3 of the
    # training (16 of 24 epochs), when the learning rate falls for the first time.
    box_head.CLS_LOSS.PCB.START_ITER = 0
    # While categories have had no proposal: "wait" with the soft labels (the reference; the log tells what is missing),
    # or "ignore" them: begin, and give them no share of any soft label.
    box_head.CLS_LOSS.PCB.UNSEEN = "wait"
    # > 0, in 10^6 bytes: the largest confusion matrix (4 C^2 bytes) that is allowed. LVIS's is 6, 13,204 categories' 697.
    box_head.CLS_LOSS.PCB.MAX_MATRIX_MB = 256.0

    # The last layer of the classifier: "NormedLinear" (paper, section 3.2) or "Linear".
    box_head.CLS_PREDICTOR = CN()
    box_head.CLS_PREDICTOR.NAME = "NormedLinear"
    # tau > 0, scale of the cosine in NormedLinear.
    box_head.CLS_PREDICTOR.TEMPERATURE = 20.0


def _add_iterative_head(cfg: CN) -> None:
    # Of MODEL.ROI_HEADS.NAME "IterativeROIHeads" (PCB): boxes are classified several times, with features that the
    # last classification and boxes have changed. It needs class-specific boxes.
    cfg.MODEL.ROI_ITERATIVE_HEAD = CN()
    # >= 1, how often.
    cfg.MODEL.ROI_ITERATIVE_HEAD.NUM_ITERATIONS = 3
    # One number >= 0 for each iteration: factor of its classification losses. (The box loss is that of the last one.)
    cfg.MODEL.ROI_ITERATIVE_HEAD.LOSS_WEIGHTS = [0.2, 0.2, 0.6]
    # >= 1, linear layers, and >= 1, the width between them, of the two perceptrons that change the features.
    cfg.MODEL.ROI_ITERATIVE_HEAD.NUM_FC = 2
    cfg.MODEL.ROI_ITERATIVE_HEAD.FC_DIM = 512
    # Normalize the logits (layer normalization) before they change the features. Published: True with EQL v2 alone.
    cfg.MODEL.ROI_ITERATIVE_HEAD.LAYER_NORM = False


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
