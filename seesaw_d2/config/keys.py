"""Config keys that this project adds to Detectron2's, with meaning, range and symbol in the paper."""

from detectron2.config import CfgNode as CN

from seesaw_d2.config.calibration_keys import add_calibration
from seesaw_d2.config.other_loss_keys import add_other_losses
from seesaw_d2.config.solver_keys import add_solver, add_speed


def add_seesaw_config(cfg: CN) -> None:
    """Add this project's keys to a Detectron2 config, in place.

    With the defaults, one key makes any Detectron2 config of an R-CNN train with Seesaw Loss as in the paper (p = 0.8,
    q = 2, normalized classifier with temperature 20, objectness branch): set ``MODEL.ROI_HEADS.NAME`` to
    ``SeesawROIHeads``, to ``SeesawRes5ROIHeads`` for a C4 backbone, or to ``SeesawCascadeROIHeads``.
    """
    _add_box_head(cfg)
    add_calibration(cfg)
    _add_iterative_head(cfg)
    _add_mask_head(cfg)
    _add_cascade(cfg)
    _add_backbone(cfg)
    _add_classifier(cfg)
    _add_decoupled(cfg)
    _add_downloads(cfg)
    _add_data(cfg)
    _add_evaluation(cfg)
    add_solver(cfg)
    add_speed(cfg)


def _add_box_head(cfg: CN) -> None:
    box_head = cfg.MODEL.ROI_BOX_HEAD

    # Classification loss: a name in seesaw_d2.losses.LOSS_REGISTRY.
    box_head.CLS_LOSS = CN()
    box_head.CLS_LOSS.NAME = "SeesawLoss"
    # How background is modelled. "auto": the loss's default. "objectness": a branch with two logits in addition to
    # those of the C classes (C + 2 logits; Seesaw Loss paper, section 3.3). "class": one more class (C + 1 logits, as
    # in Detectron2). "implicit": background is a proposal that all sigmoids reject (C logits). "none": without
    # background (C logits), for an ImageClassifier only. A value that the loss does not support is an error.
    box_head.CLS_LOSS.BACKGROUND = "auto"

    # Seesaw Loss (Wang et al., CVPR 2021).
    box_head.CLS_LOSS.SEESAW = CN()
    # p >= 0, exponent of the mitigation factor (equation 7). 0 turns the factor off.
    box_head.CLS_LOSS.SEESAW.P = 0.8
    # q >= 0, exponent of the compensation factor (equation 8). 0 turns the factor off.
    box_head.CLS_LOSS.SEESAW.Q = 2.0
    # eps in (0, 1], lower bound of the ground-truth class's probability in the compensation factor.
    box_head.CLS_LOSS.SEESAW.EPS = 1e-2
    # Source of the class counts N of the mitigation factor (paper, Table 4). "online": counted during training.
    # "dataset": instances in the annotations of DATASETS.TRAIN. Any other value: path of a JSON file with class counts
    # of another training (tools/record_class_counts.py), relative to the working directory.
    box_head.CLS_LOSS.SEESAW.CLASS_COUNTS = "online"

    add_other_losses(box_head.CLS_LOSS)

    # Last layer of the classifier: "NormedLinear" (paper, section 3.2), "Linear", or "LWSLinear", a trained linear
    # classifier with one learned scale per logit (learnable weight scaling, Kang et al., ICLR 2020).
    box_head.CLS_PREDICTOR = CN()
    box_head.CLS_PREDICTOR.NAME = "NormedLinear"
    # tau > 0, scale of the cosine in NormedLinear.
    box_head.CLS_PREDICTOR.TEMPERATURE = 20.0


def _add_iterative_head(cfg: CN) -> None:
    # Keys of MODEL.ROI_HEADS.NAME "IterativeROIHeads" (PCB). It classifies boxes several times and updates the features
    # with the logits and boxes in between. It needs class-specific boxes.
    cfg.MODEL.ROI_ITERATIVE_HEAD = CN()
    # Integer >= 1, number of classifications.
    cfg.MODEL.ROI_ITERATIVE_HEAD.NUM_ITERATIONS = 3
    # One number >= 0 per iteration: factor of its classification losses. The box loss is that of the last iteration.
    cfg.MODEL.ROI_ITERATIVE_HEAD.LOSS_WEIGHTS = [0.2, 0.2, 0.6]
    # Integers >= 1: number of linear layers and hidden width of the two perceptrons that update the features.
    cfg.MODEL.ROI_ITERATIVE_HEAD.NUM_FC = 2
    cfg.MODEL.ROI_ITERATIVE_HEAD.FC_DIM = 512
    # Apply layer normalization to the logits before the update. Published: True only with EQL v2.
    cfg.MODEL.ROI_ITERATIVE_HEAD.LAYER_NORM = False


def _add_mask_head(cfg: CN) -> None:
    # tau > 0, scale of the cosine in MODEL.ROI_MASK_HEAD.NAME "NormedMaskHead" (paper, section 3.3).
    cfg.MODEL.ROI_MASK_HEAD.TEMPERATURE = 20.0


def _add_cascade(cfg: CN) -> None:
    # Keys of MODEL.ROI_HEADS.NAME "SeesawCascadeROIHeads". The defaults give Detectron2's Cascade R-CNN. The paper and
    # MMDetection use PER_STAGE True, STAGE_LOSS_WEIGHTS [1.0, 0.5, 0.25], SCALE_GRADIENTS False, RESAMPLE True.

    # True: one mask head per stage, trained on the proposals of its stage, with probabilities averaged at test time.
    # False: one mask head, trained on the proposals of the first stage.
    cfg.MODEL.ROI_MASK_HEAD.PER_STAGE = False
    # One number >= 0 per stage: factor of its losses, including those of its mask head.
    cfg.MODEL.ROI_BOX_CASCADE_HEAD.STAGE_LOSS_WEIGHTS = [1.0, 1.0, 1.0]
    # Divide the gradients from the stages' heads to the features by the number of stages.
    cfg.MODEL.ROI_BOX_CASCADE_HEAD.SCALE_GRADIENTS = True
    # Proposals of the stages after the first. True: add the ground truth to the boxes refined by the previous stage,
    # and sample ROI_HEADS.BATCH_SIZE_PER_IMAGE of them with ROI_HEADS.POSITIVE_FRACTION. False: use the refined boxes.
    cfg.MODEL.ROI_BOX_CASCADE_HEAD.RESAMPLE = False
    # What to average over the stages at test time: "probabilities" (Detectron2) or "logits" (MMDetection).
    cfg.MODEL.ROI_BOX_CASCADE_HEAD.AVERAGE = "probabilities"


def _add_backbone(cfg: CN) -> None:
    # Keys of MODEL.BACKBONE.NAME "build_small_resnet_fpn_backbone": a residual network with about 0.5 M parameters,
    # batch normalization and a stem of stride 4, for small images and for training on a CPU.
    cfg.MODEL.SMALL_RESNET = CN()
    # Output channels of the stages res2, res3, ... (strides 4, 8, ...).
    cfg.MODEL.SMALL_RESNET.WIDTHS = [32, 64, 128]
    # Integer >= 1, number of residual blocks per stage.
    cfg.MODEL.SMALL_RESNET.BLOCKS = 2


def _add_classifier(cfg: CN) -> None:
    # Keys of MODEL.META_ARCHITECTURE "ImageClassifier": image classification (paper, section 4.4). Loss and last layer
    # are configured by MODEL.ROI_BOX_HEAD.CLS_LOSS and CLS_PREDICTOR, as for detectors.
    cfg.MODEL.CLASSIFIER = CN()
    # Integer C >= 1, number of classes.
    cfg.MODEL.CLASSIFIER.NUM_CLASSES = 1000
    # Network of MODEL.BACKBONE.NAME "build_image_backbone": "resnet10", one of torchvision's residual networks
    # ("resnet50", "resnet152", "resnext50_32x4d", ...), "timm/NAME" for a timm model, "resnet32" for images of 32
    # pixels (CIFAR), or "tiny" or "small", for images of 8 or 32 pixels. Other backbones of Detectron2 can be used,
    # too: their last output is averaged.
    cfg.MODEL.CLASSIFIER.BACKBONE = "resnext50_32x4d"

    cfg.INPUT.CLASSIFICATION = CN()
    # Integer S >= 1, side length of the square images in pixels.
    cfg.INPUT.CLASSIFICATION.SIZE = 224
    # "resized": a random crop resized to S, in evaluation a center crop (as for ImageNet). "padded": a random crop of
    # the image padded by S / 8, in evaluation the image itself (as for CIFAR). "whole": the image itself, also in
    # training.
    cfg.INPUT.CLASSIFICATION.CROP = "resized"
    # In [0, 1): strength of the random changes of brightness, contrast and saturation in training (Kang et al., ICLR
    # 2020: 0.4).
    cfg.INPUT.CLASSIFICATION.COLOR_JITTER = 0.0


def _add_decoupled(cfg: CN) -> None:
    # Decoupled training (Kang et al., ICLR 2020; paper, Table 9): a second training of a part of a trained model. The
    # following keys contain patterns. A pattern is the name of a parameter, or of a module, which stands for all its
    # parameters. The wildcards * and ? also match dots. A pattern that matches nothing is an error.
    cfg.MODEL.FREEZE = CN()
    # Patterns of what to freeze, ["*"] for everything: no gradients, and batch normalization and dropout in evaluation
    # mode. []: nothing. Losses and their statistics are never frozen.
    cfg.MODEL.FREEZE.NAMES = []
    # Patterns of what not to freeze although it matches NAMES. ["roi_heads.box_predictor*.cls_score"] is the
    # classifier's last layer, in all stages of a cascade.
    cfg.MODEL.FREEZE.EXCEPT = []
    # Patterns of parameters that are not loaded when a training starts from MODEL.WEIGHTS and keep their initial values
    # (cRT: the classifier's last layer). Resuming and --eval-only load everything.
    cfg.MODEL.WEIGHTS_EXCEPT = []


def _add_downloads(cfg: CN) -> None:
    # Seconds in which a server must answer and then send each 1 KiB, when MODEL.WEIGHTS or a _BASE_ is an address. For
    # _BASE_s, the keys count on the command line and in the files that name them.
    cfg.MODEL.DOWNLOAD_TIMEOUT = 60.0
    # Seconds for the whole download.
    cfg.MODEL.DOWNLOAD_TIME_LIMIT = 7200.0


def _add_data(cfg: CN) -> None:
    # Data sets to register. Each is a mapping with
    #   NAME    its name in DATASETS.TRAIN and DATASETS.TEST
    #   JSON    annotation file in LVIS or COCO format, relative to the working directory
    #   IMAGES  folder that contains the image files
    #   FORMAT  "lvis", "coco" or "auto" (default: "lvis" if every image has neg_category_ids)
    # The image file is, in LVIS format, the last two parts of coco_url, or file_name if there is none, and in COCO
    # format file_name. For semantic segmentation (docs/semantic.md) two keys more:
    #   SEM_SEG          folder of label maps, PNG files of 8 bits in gray, with the images' paths below IMAGES
    #   SEM_SEG_CLASSES  JSON file of the classes: {"classes": [{"name": ..., "image_count": ...}, ...]}
    # For image classification, one of the following replaces JSON:
    #   LIST    text file with "path label" in each line (ImageNet-LT's format). Needs IMAGES and CLASSES
    #   CSV     file with the columns path and label (an index or a name). Needs IMAGES and CLASSES
    #   FOLDER  folder with one subfolder of images per class. CLASSES is optional. Hidden files are ignored
    #   INATURALIST  annotation file of iNaturalist 2018. Needs IMAGES
    #   CIFAR   folder of the Python version of CIFAR-10 or CIFAR-100. Needs SPLIT, "train" or "test"
    #   NPZ     file of NumPy arrays: images (N, H, W) or (N, H, W, 3), uint8, labels (N,), integers, and names (C,)
    #   DIGITS  "train" or "test" of scikit-learn's 1,797 handwritten digits
    # Further keys for image classification:
    #   CLASSES    number of classes, or a text file with one name per line
    #   IMBALANCE  > 1: use a long-tailed subset, with N_max * IMBALANCE^(-i / (C - 1)) images of class i of C
    #   SEED       seed of the subset (default 0)
    cfg.DATASETS.REGISTER = []
    # Integers (a, b), 1 <= a < b. A category is rare with at most a training images, common with at most b, else
    # frequent. The default is LVIS's. For image classification the groups are few, medium and many shots, usually with
    # [19, 100].
    cfg.DATASETS.FREQUENCY_THRESHOLDS = [10, 100]

    # In addition to Detectron2's values, DATALOADER.SAMPLER_TRAIN has three samplers of Kang et al. "ClassAwareSampler"
    # draws a category uniformly, then an image with it (class-balanced). "SquareRootSampler" draws a category with a
    # probability proportional to the square root of its number of images. "ProgressivelyBalancedSampler" changes
    # linearly from drawing images uniformly to drawing categories uniformly. The order of the images (except with the
    # weighted samplers of Detectron2's main branch) and their augmentation depend only on SEED and the position in the
    # training, not on NUM_WORKERS. With SEED -1 the run draws a seed and saves it.

    # How to resize a detector's images and masks, in training and at test time. "pillow": as Detectron2, bilinear with
    # antialiasing. "pytorch": the same filter, three times as fast, with differences of 1 of 255 in about 0.2 % of the
    # pixels. "opencv": as MMDetection, bilinear without antialiasing, for models trained with it.
    cfg.INPUT.RESIZE = "pillow"

    # Copy-Paste (Ghiasi et al., CVPR 2021) of rare objects into training images. It needs MODEL.MASK_ON and
    # INPUT.MASK_FORMAT "bitmask"; annotations may be polygons or run lengths.
    cfg.INPUT.COPY_PASTE = CN()
    cfg.INPUT.COPY_PASTE.ENABLED = False
    # t > 0. An object of category c is pasted r(c) - 1 times in an epoch of as many images as DATASETS.TRAIN has, with
    # the repeat factor r(c) = max(1, sqrt(t / f(c))) and the share f(c) of images with the category.
    cfg.INPUT.COPY_PASTE.THRESHOLD = 1e-3

    # What to do with an image that is missing or cannot be decoded. False: raise an error with its name. True: skip it
    # with a warning (in evaluation its objects count as missed).
    cfg.DATALOADER.SKIP_BAD_IMAGES = False

    # How DATALOADER.SAMPLER_TRAIN "RepeatFactorTrainingSampler" rounds repeat factors of images. "stochastic": randomly
    # up or down in every epoch (Detectron2). "ceil": up (MMDetection).
    cfg.DATALOADER.REPEAT_ROUNDING = "stochastic"
    # Frequency of a category that its repeat factor depends on. "images": the share of images with it (Gupta et al.,
    # CVPR 2019). "instances": the geometric mean of this and of its share in all instances (IRFS; Yaman et al., 2023).
    cfg.DATALOADER.REPEAT_FREQUENCY = "images"


def _add_evaluation(cfg: CN) -> None:
    # Implementation of LVIS's metrics. "hotcoco": a Rust implementation. "official": lvis-api, or pycocotools for data
    # in COCO format, as a reference. It gives the same numbers, is about 20 times slower and needs gigabytes of memory
    # for LVIS.
    cfg.TEST.LVIS_ENGINE = "hotcoco"
    # Additional metrics, any of: "fixed" (AP_fixed: 10,000 detections per category and no limit per image, Dave et al.
    # 2021; set TEST.DETECTIONS_PER_IMAGE high), "minival" (AP on the images of LVIS v1 val that are in COCO val2017),
    # "coco" (AP over the categories that COCO has, too), "errors" (AP if categories, background or the order of the
    # detections were right; see docs/results.md).
    cfg.TEST.LVIS_METRICS = []
    # Whether to evaluate the classification of ground-truth boxes used as proposals: accuracy of rare, common and
    # frequent categories, and the share classified as background (paper, Figure 1). It needs a second pass over the
    # data.
    cfg.TEST.CLASSIFICATION_ACCURACY = False

    cfg.LOGGING = CN()
    # Name of a Weights & Biases project to log to. It needs the package wandb and its login. "": do not log to it.
    cfg.LOGGING.WANDB_PROJECT = ""
