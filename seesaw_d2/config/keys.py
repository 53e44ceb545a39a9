"""Every config key that this project adds to Detectron2's, with meaning, range and paper symbol."""

from detectron2.config import CfgNode as CN

from seesaw_d2.config.loss_keys import add_other_losses
from seesaw_d2.config.solver_keys import add_solver, add_speed


def add_seesaw_config(cfg: CN) -> None:
    """Add this project's keys to a Detectron2 config, in place.

    With the defaults and ``MODEL.ROI_HEADS.NAME: SeesawROIHeads`` any Detectron2 config trains with
    Seesaw Loss as in the paper: p = 0.8, q = 2, normalized classifier with temperature 20, objectness branch.
    """
    _add_box_head(cfg)
    _add_iterative_head(cfg)
    _add_mask_head(cfg)
    _add_cascade(cfg)
    _add_backbone(cfg)
    _add_classifier(cfg)
    _add_decoupled(cfg)
    _add_data(cfg)
    _add_evaluation(cfg)
    add_solver(cfg)
    add_speed(cfg)


def _add_box_head(cfg: CN) -> None:
    box_head = cfg.MODEL.ROI_BOX_HEAD

    # The classification loss: a name in seesaw_d2.losses.LOSS_REGISTRY.
    box_head.CLS_LOSS = CN()
    box_head.CLS_LOSS.NAME = "SeesawLoss"
    # How background is modelled. "auto": as the loss's own paper does. "objectness": a two-way branch beside C classes
    # (C + 2 logits; Seesaw Loss paper, section 3.3). "class": one more class (C + 1 logits, as in Detectron2).
    # "implicit": what no category's sigmoid accepts (C logits). "none": not at all (C logits), which is what an
    # ImageClassifier always does and a detector never. What a loss cannot do is refused.
    box_head.CLS_LOSS.BACKGROUND = "auto"

    # Seesaw Loss (Wang et al., CVPR 2021).
    box_head.CLS_LOSS.SEESAW = CN()
    # p >= 0, exponent of the mitigation factor (equation 7). 0 switches the factor off.
    box_head.CLS_LOSS.SEESAW.P = 0.8
    # q >= 0, exponent of the compensation factor (equation 8). 0 switches the factor off.
    box_head.CLS_LOSS.SEESAW.Q = 2.0
    # 0 < eps <= 1, lower bound of the ground-truth probability in the compensation factor's ratio.
    box_head.CLS_LOSS.SEESAW.EPS = 1e-2
    # Where the class counts N of the mitigation factor come from (paper, Table 4). "online": counted during
    # training. "dataset": instances in the annotations of DATASETS.TRAIN. Otherwise the path of a JSON file of
    # counts that another training recorded (tools/record_class_counts.py), relative to the working directory.
    box_head.CLS_LOSS.SEESAW.CLASS_COUNTS = "online"

    add_other_losses(box_head.CLS_LOSS)

    # The last layer of the classifier: "NormedLinear" (paper, section 3.2), "Linear", or "LWSLinear": a trained linear
    # classifier of which only one scale for each logit is learned (learnable weight scaling, Kang et al., ICLR 2020).
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


def _add_cascade(cfg: CN) -> None:
    # Of MODEL.ROI_HEADS.NAME "SeesawCascadeROIHeads". The defaults are Detectron2's Cascade R-CNN. That of the paper
    # and of MMDetection is PER_STAGE True, STAGE_LOSS_WEIGHTS [1.0, 0.5, 0.25], SCALE_GRADIENTS False, RESAMPLE True.
    # A mask head in each stage, trained on that stage's proposals, their probabilities averaged at test time; or one
    # mask head for all, trained on the first stage's proposals.
    cfg.MODEL.ROI_MASK_HEAD.PER_STAGE = False
    # One number >= 0 for each stage: factor of its losses, those of its mask head included.
    cfg.MODEL.ROI_BOX_CASCADE_HEAD.STAGE_LOSS_WEIGHTS = [1.0, 1.0, 1.0]
    # Divide by the number of stages what the stages' heads send back to the features.
    cfg.MODEL.ROI_BOX_CASCADE_HEAD.SCALE_GRADIENTS = True
    # Stages after the first: add the ground truth to the boxes that the stage before has refined, and sample
    # ROI_HEADS.BATCH_SIZE_PER_IMAGE of them at ROI_HEADS.POSITIVE_FRACTION; or take the refined boxes as they are.
    cfg.MODEL.ROI_BOX_CASCADE_HEAD.RESAMPLE = False
    # What of the stages is averaged at test time: "probabilities" (Detectron2's), or "logits", before the probabilities
    # are taken once (MMDetection's).
    cfg.MODEL.ROI_BOX_CASCADE_HEAD.AVERAGE = "probabilities"


def _add_backbone(cfg: CN) -> None:
    # MODEL.BACKBONE.NAME "build_small_resnet_fpn_backbone": a residual network of some 0.5 M parameters with
    # batch normalization and a stem of stride 4, for small images and for training on a CPU.
    cfg.MODEL.SMALL_RESNET = CN()
    # Output channels of the stages res2, res3, ... (strides 4, 8, ...).
    cfg.MODEL.SMALL_RESNET.WIDTHS = [32, 64, 128]
    # Residual blocks in each stage, >= 1.
    cfg.MODEL.SMALL_RESNET.BLOCKS = 2


def _add_classifier(cfg: CN) -> None:
    # MODEL.META_ARCHITECTURE "ImageClassifier": image classification (paper, section 4.4). Its loss and its last layer
    # are described where a detector's are, by MODEL.ROI_BOX_HEAD.CLS_LOSS and CLS_PREDICTOR.
    cfg.MODEL.CLASSIFIER = CN()
    # C >= 1, classes.
    cfg.MODEL.CLASSIFIER.NUM_CLASSES = 1000
    # MODEL.BACKBONE.NAME "build_image_backbone": "resnet10", one of torchvision's residual networks ("resnet50",
    # "resnet152", "resnext50_32x4d", ...), "timm/NAME" for one of timm's models, or "tiny" or "small", for images of
    # 8 or 32 pixels. Any other backbone of Detectron2 works too: its last output is averaged.
    cfg.MODEL.CLASSIFIER.BACKBONE = "resnext50_32x4d"

    cfg.INPUT.CLASSIFICATION = CN()
    # S >= 1: side of the square images, in pixels.
    cfg.INPUT.CLASSIFICATION.SIZE = 224
    # "resized": a random part, scaled to S; in evaluation the centre of the image (as in ImageNet training). "padded":
    # a random window of the image padded by S / 8; in evaluation the image itself (as in CIFAR training). "whole": the
    # image itself in training too.
    cfg.INPUT.CLASSIFICATION.CROP = "resized"
    # In [0, 1): brightness, contrast and saturation of training images vary by so much (Kang et al., ICLR 2020: 0.4).
    cfg.INPUT.CLASSIFICATION.COLOR_JITTER = 0.0


def _add_decoupled(cfg: CN) -> None:
    # Decoupled training (Kang et al., ICLR 2020; paper, Table 9): a second training of a part of a trained model. In
    # these keys a pattern is the name of a parameter or of a module, which stands for all that is in it; * and ? are
    # wildcards, dots included. A pattern that matches nothing is an error.
    cfg.MODEL.FREEZE = CN()
    # Patterns of what is frozen, ["*"] for all: no gradient, batch normalization and dropout in evaluation mode. [] is
    # nothing. Losses and what they count go on.
    cfg.MODEL.FREEZE.NAMES = []
    # Patterns of what is not, although NAMES says so: ["roi_heads.box_predictor*.cls_score"] is the classifier's last
    # layer, in all stages of a cascade.
    cfg.MODEL.FREEZE.EXCEPT = []
    # Patterns of what is left out when a training starts from MODEL.WEIGHTS: it keeps its initial values although the
    # file has others (cRT: the classifier's last layer). A resume and --eval-only load everything.
    cfg.MODEL.WEIGHTS_EXCEPT = []


def _add_data(cfg: CN) -> None:
    # Data sets to register, each a mapping:
    #   NAME    how DATASETS.TRAIN and DATASETS.TEST call it
    #   JSON    annotation file in LVIS or COCO format; relative to the working directory
    #   IMAGES  folder that the images' file names are relative to
    #   FORMAT  "lvis", "coco" or "auto" (default: "lvis" if every image has neg_category_ids)
    # Image files: with LVIS, the last two parts of coco_url (or else file_name); with COCO, file_name.
    # For image classification, in place of JSON one of
    #   LIST    text file with "path label" in each line (ImageNet-LT's format); needs IMAGES, CLASSES
    #   CSV     file with the columns path and label (an index or a name); needs IMAGES, CLASSES
    #   FOLDER  folder with a subfolder of images for each class; takes CLASSES. What is hidden is passed over
    #   INATURALIST  annotation file of iNaturalist 2018; needs IMAGES
    #   CIFAR   folder of CIFAR-10's or CIFAR-100's Python version; needs SPLIT, "train" or "test"
    #   NPZ     file of NumPy arrays: images (N, H, W) or (N, H, W, 3) and labels (N,), uint8 and integers; names (C,)
    #   DIGITS  "train" or "test" of scikit-learn's 1,797 handwritten digits
    # and with it
    #   CLASSES    how many classes there are, or a text file with one name in each line
    #   IMBALANCE  > 1: keep a long-tailed part, class i of C with N_max * IMBALANCE^(-i / (C - 1)) images
    #   SEED       of the choice of that part (default 0)
    cfg.DATASETS.REGISTER = []
    # (a, b), 1 <= a < b: a category is rare with at most a training images, common with at most b, else
    # frequent. The default is LVIS's. For image classification these are few, medium and many shots: [19, 100].
    cfg.DATASETS.FREQUENCY_THRESHOLDS = [10, 100]

    # DATALOADER.SAMPLER_TRAIN has three names more than in Detectron2, for Kang et al.'s ways: "ClassAwareSampler"
    # chooses a category uniformly, then an image with it (class-balanced); "SquareRootSampler" chooses it in
    # proportion to the square root of its images; "ProgressivelyBalancedSampler" goes from all images alike to all
    # categories alike. The order of the images, of all samplers but the weighted ones that Detectron2's main branch
    # alone has, and their augmentation follow from SEED (-1: one that the run draws and keeps) and the place in the
    # training, whatever NUM_WORKERS is.

    # How a detector's images and masks are resized, in training and at test time. "pillow": Detectron2's way, bilinear
    # with antialiasing. "pytorch": the same filter, three times as fast; some 0.2 % of the pixels differ by 1 of 255.
    # "opencv": MMDetection's pixels and sizes, bilinear without antialiasing; for models that were trained so.
    cfg.INPUT.RESIZE = "pillow"

    # An image that is missing or cannot be decoded: False stops with its name, True leaves it out with a
    # warning (in evaluation its objects count as missed).
    cfg.DATALOADER.SKIP_BAD_IMAGES = False

    # What DATALOADER.SAMPLER_TRAIN "RepeatFactorTrainingSampler" does with fractions of the images' repeat factors.
    # "stochastic": rounds up or down at random in every epoch (Detectron2's). "ceil": rounds up (MMDetection's).
    cfg.DATALOADER.REPEAT_ROUNDING = "stochastic"


def _add_evaluation(cfg: CN) -> None:
    # What computes LVIS's metrics. "hotcoco": a Rust engine. "official": lvis-api, or pycocotools for data in COCO's
    # format, to check it with: the same numbers, some 20 times slower, gigabytes at LVIS's size.
    cfg.TEST.LVIS_ENGINE = "hotcoco"
    # More metrics, each some of: "fixed" (AP_fixed: 10,000 detections of a category and no limit for an image,
    # Dave et al. 2021; wants a large TEST.DETECTIONS_PER_IMAGE), "minival" (AP on the images of LVIS v1 val that
    # are in COCO val2017), "coco" (AP over the categories that COCO has too).
    cfg.TEST.LVIS_METRICS = []
    # Also measure how ground-truth boxes, given as proposals, are classified: accuracy of rare, common and
    # frequent categories and what is lost to background (paper, Figure 1). Costs a second pass over the data.
    cfg.TEST.CLASSIFICATION_ACCURACY = False

    cfg.LOGGING = CN()
    # Not "": also log to this project of Weights & Biases, with the package wandb and its own login.
    cfg.LOGGING.WANDB_PROJECT = ""
