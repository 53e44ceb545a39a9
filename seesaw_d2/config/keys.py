"""Config keys that this project adds to Detectron2's config, with meaning, range and symbol in the paper."""

from detectron2.config import CfgNode as CN

from seesaw_d2.config.calibration_keys import add_calibration
from seesaw_d2.config.other_loss_keys import add_other_losses
from seesaw_d2.config.solver_keys import add_solver, add_speed


def add_seesaw_config(cfg: CN) -> None:
    """Add this project's keys to a Detectron2 config, in place.

    To train any R-CNN config of Detectron2 with Seesaw Loss, then set ``MODEL.ROI_HEADS.NAME`` to ``SeesawROIHeads``,
    ``SeesawRes5ROIHeads`` (C4 backbones) or ``SeesawCascadeROIHeads``. The defaults of all other keys are those of the
    paper: p = 0.8, q = 2, normalized classifier with temperature 20, objectness branch.
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
    # How the loss models background. "auto": the default of the loss. "objectness": an objectness branch with two more
    # logits, C + 2 in total (Seesaw Loss paper, section 3.3). "class": one more class, C + 1 logits, as in Detectron2.
    # "implicit": C sigmoids, which all reject a background proposal. "none": no background, C logits, only for
    # ImageClassifier. A value that the loss does not support raises an error.
    box_head.CLS_LOSS.BACKGROUND = "auto"

    # Seesaw Loss (Wang et al., CVPR 2021).
    box_head.CLS_LOSS.SEESAW = CN()
    # p >= 0, exponent of the mitigation factor (equation 7). 0 disables the factor.
    box_head.CLS_LOSS.SEESAW.P = 0.8
    # q >= 0, exponent of the compensation factor (equation 8). 0 disables the factor.
    box_head.CLS_LOSS.SEESAW.Q = 2.0
    # eps in (0, 1], lower bound of the probability of the ground-truth class in the compensation factor.
    box_head.CLS_LOSS.SEESAW.EPS = 1e-2
    # Source of the class counts N in the mitigation factor (paper, Table 4). "online": count during training.
    # "dataset": count the instances in the annotations of DATASETS.TRAIN. Any other value: path, relative to the
    # working directory, of a JSON file with class counts that another training recorded
    # (tools/record_class_counts.py).
    box_head.CLS_LOSS.SEESAW.CLASS_COUNTS = "online"

    add_other_losses(box_head.CLS_LOSS)

    # Last layer of the classifier. "NormedLinear": normalized linear layer (paper, section 3.2). "Linear": linear
    # layer. "LWSLinear": linear layer with fixed weights that trains only one scale for each logit (learnable weight
    # scaling, Kang et al., ICLR 2020).
    box_head.CLS_PREDICTOR = CN()
    box_head.CLS_PREDICTOR.NAME = "NormedLinear"
    # tau > 0, factor of the cosines in NormedLinear.
    box_head.CLS_PREDICTOR.TEMPERATURE = 20.0


def _add_iterative_head(cfg: CN) -> None:
    # Keys of MODEL.ROI_HEADS.NAME "IterativeROIHeads" (PCB). These heads classify each box several times. Between two
    # iterations the predicted logits and boxes update the features. CLS_AGNOSTIC_BBOX_REG must be False.
    cfg.MODEL.ROI_ITERATIVE_HEAD = CN()
    # Integer >= 1, number of iterations.
    cfg.MODEL.ROI_ITERATIVE_HEAD.NUM_ITERATIONS = 3
    # Weights >= 0 of the classification losses, one for each iteration. The box loss uses only the last iteration.
    cfg.MODEL.ROI_ITERATIVE_HEAD.LOSS_WEIGHTS = [0.2, 0.2, 0.6]
    # Integers >= 1: number of linear layers and hidden width of the two perceptrons that update the features.
    cfg.MODEL.ROI_ITERATIVE_HEAD.NUM_FC = 2
    cfg.MODEL.ROI_ITERATIVE_HEAD.FC_DIM = 512
    # Whether to apply layer normalization to the logits before the update. The authors use True only with EQL v2.
    cfg.MODEL.ROI_ITERATIVE_HEAD.LAYER_NORM = False


def _add_mask_head(cfg: CN) -> None:
    # tau > 0, factor of the cosines in MODEL.ROI_MASK_HEAD.NAME "NormedMaskHead" (paper, section 3.3).
    cfg.MODEL.ROI_MASK_HEAD.TEMPERATURE = 20.0


def _add_cascade(cfg: CN) -> None:
    # Keys of MODEL.ROI_HEADS.NAME "SeesawCascadeROIHeads". The defaults give Detectron2's Cascade R-CNN. The paper and
    # MMDetection use PER_STAGE True, STAGE_LOSS_WEIGHTS [1.0, 0.5, 0.25], SCALE_GRADIENTS False, RESAMPLE True.

    # True: each stage has a mask head, which is trained on the proposals of the stage. At test time the probabilities
    # of the mask heads are averaged. False: one mask head, trained on the proposals of the first stage.
    cfg.MODEL.ROI_MASK_HEAD.PER_STAGE = False
    # Weights >= 0 of the losses, including mask losses, one for each stage.
    cfg.MODEL.ROI_BOX_CASCADE_HEAD.STAGE_LOSS_WEIGHTS = [1.0, 1.0, 1.0]
    # Whether to divide the gradients from the heads of the stages to the features by the number of stages.
    cfg.MODEL.ROI_BOX_CASCADE_HEAD.SCALE_GRADIENTS = True
    # Proposals of the stages after the first. True: add the ground truth to the boxes that the previous stage refined,
    # and sample ROI_HEADS.BATCH_SIZE_PER_IMAGE boxes with ROI_HEADS.POSITIVE_FRACTION. False: use all refined boxes.
    cfg.MODEL.ROI_BOX_CASCADE_HEAD.RESAMPLE = False
    # Values to average over the stages at test time: "probabilities" (Detectron2) or "logits" (MMDetection).
    cfg.MODEL.ROI_BOX_CASCADE_HEAD.AVERAGE = "probabilities"


def _add_backbone(cfg: CN) -> None:
    # Keys of MODEL.BACKBONE.NAME "build_small_resnet_fpn_backbone": a residual network with about 0.5 M parameters,
    # for small images and for training on a CPU.
    cfg.MODEL.SMALL_RESNET = CN()
    # Numbers of output channels of the stages res2, res3, ... (strides 4, 8, ...).
    cfg.MODEL.SMALL_RESNET.WIDTHS = [32, 64, 128]
    # Integer >= 1, number of residual blocks in each stage.
    cfg.MODEL.SMALL_RESNET.BLOCKS = 2


def _add_classifier(cfg: CN) -> None:
    # Keys of MODEL.META_ARCHITECTURE "ImageClassifier", for image classification (paper, section 4.4). As in detectors,
    # MODEL.ROI_BOX_HEAD.CLS_LOSS selects the loss, and MODEL.ROI_BOX_HEAD.CLS_PREDICTOR selects the last layer.
    cfg.MODEL.CLASSIFIER = CN()
    # Integer C >= 1, number of classes.
    cfg.MODEL.CLASSIFIER.NUM_CLASSES = 1000
    # Network of MODEL.BACKBONE.NAME "build_image_backbone". "resnet10", or the name of a residual network of
    # torchvision ("resnet50", "resnet152", "resnext50_32x4d", ...). "timm/NAME": a model of timm. "resnet32": ResNet
    # for images of 32 pixels (CIFAR). "tiny", "small": small networks for images of 8 and 32 pixels. With other values
    # of MODEL.BACKBONE.NAME, the classifier averages the last output of the backbone.
    cfg.MODEL.CLASSIFIER.BACKBONE = "resnext50_32x4d"

    cfg.INPUT.CLASSIFICATION = CN()
    # Integer S >= 1, side of the square images in pixels.
    cfg.INPUT.CLASSIFICATION.SIZE = 224
    # How images are cropped to S x S pixels. "resized": a resized random crop in training, a center crop in evaluation
    # (ImageNet). "padded": a random crop of the image padded by S / 8 in training, the image in evaluation (CIFAR).
    # "whole": the image, in training and in evaluation.
    cfg.INPUT.CLASSIFICATION.CROP = "resized"
    # Number in [0, 1), strength of random changes of brightness, contrast and saturation in training. Kang et al. (ICLR
    # 2020) use 0.4.
    cfg.INPUT.CLASSIFICATION.COLOR_JITTER = 0.0


def _add_decoupled(cfg: CN) -> None:
    # Decoupled training (Kang et al., ICLR 2020; paper, Table 9) trains a part of a trained model again. The following
    # keys are lists of patterns. A pattern matches the names of parameters and of modules, and a module stands for all
    # its parameters. The wildcards * and ? also match dots. A pattern without a match raises an error.
    cfg.MODEL.FREEZE = CN()
    # Patterns of parameters to freeze. ["*"]: all parameters. []: none. Frozen parameters get no gradients, and their
    # batch normalization and dropout layers stay in evaluation mode. Losses and their statistics are never frozen.
    cfg.MODEL.FREEZE.NAMES = []
    # Patterns of exceptions from NAMES. ["roi_heads.box_predictor*.cls_score"] matches the last layer of the
    # classifier, in a cascade the last layers of all stages.
    cfg.MODEL.FREEZE.EXCEPT = []
    # Patterns of parameters that a training does not load from MODEL.WEIGHTS (in cRT, the last layer of the
    # classifier). These parameters keep their initial values. Resuming and --eval-only load all parameters.
    cfg.MODEL.WEIGHTS_EXCEPT = []


def _add_downloads(cfg: CN) -> None:
    # Limits of downloads, if MODEL.WEIGHTS or a _BASE_ is a URL. For a _BASE_, set these keys on the command line or in
    # the file that contains the _BASE_.
    # Seconds within which the server must answer, and then within which it must send each 1 KiB.
    cfg.MODEL.DOWNLOAD_TIMEOUT = 60.0
    # Seconds for the complete download.
    cfg.MODEL.DOWNLOAD_TIME_LIMIT = 7200.0


def _add_data(cfg: CN) -> None:
    # Datasets to register. Each is a mapping with these keys:
    #   NAME    name of the dataset in DATASETS.TRAIN and DATASETS.TEST
    #   JSON    annotation file in LVIS or COCO format, relative to the working directory
    #   IMAGES  folder that contains the image files
    #   FORMAT  "lvis", "coco" or "auto" (default). "auto" selects "lvis" if every image has neg_category_ids
    # In COCO format, file_name is the path of an image below IMAGES. In LVIS format, the path is the last two parts of
    # coco_url, or file_name if coco_url is missing. Semantic segmentation (docs/semantic.md) has two more keys:
    #   SEM_SEG          folder of label maps: 8-bit gray PNG files, with the same paths as the images below IMAGES
    #   SEM_SEG_CLASSES  JSON file of the classes: {"classes": [{"name": ..., "image_count": ...}, ...]}
    # For image classification, one of these keys replaces JSON:
    #   LIST    text file with "path label" in each line (the format of ImageNet-LT). Needs IMAGES and CLASSES
    #   CSV     file with the columns path and label (an index or a name). Needs IMAGES and CLASSES
    #   FOLDER  folder with one subfolder of images for each class. CLASSES is optional. Hidden files are ignored
    #   INATURALIST  annotation file of iNaturalist 2018. Needs IMAGES
    #   CIFAR   folder of the Python version of CIFAR-10 or CIFAR-100. Needs SPLIT, "train" or "test"
    #   NPZ     file of NumPy arrays: images, uint8 (N, H, W) or (N, H, W, 3), labels, integers (N,), and names (C,)
    #   DIGITS  "train" or "test" selects a split of scikit-learn's 1,797 handwritten digits
    # Image classification has further keys:
    #   CLASSES    number of classes, or a text file with one class name in each line
    #   IMBALANCE  > 1: use a long-tailed subset, with N_max * IMBALANCE^(-i / (C - 1)) images of class i of C
    #   SEED       seed of the subset (default 0)
    cfg.DATASETS.REGISTER = []
    # Integers (a, b), 1 <= a < b. A category with at most a training images is rare, with at most b images common,
    # otherwise frequent. The default is that of LVIS. In image classification the groups are called few, medium and
    # many shots, usually with [19, 100].
    cfg.DATASETS.FREQUENCY_THRESHOLDS = [10, 100]

    # In addition to Detectron2's values, DATALOADER.SAMPLER_TRAIN can be one of three samplers of Kang et al.
    # "ClassAwareSampler" draws a category uniformly, then an image that contains it (class-balanced sampling).
    # "SquareRootSampler" draws a category with a probability proportional to the square root of its number of images.
    # "ProgressivelyBalancedSampler" changes linearly from drawing images uniformly to drawing categories uniformly.
    # The order of images and their augmentation depend only on SEED and the position in the training, not on
    # NUM_WORKERS. (The weighted samplers of Detectron2's main branch are an exception.) With SEED -1 the run draws a
    # seed and saves it.

    # How to resize images and masks of a detector, in training and at test time. "pillow": bilinear with antialiasing,
    # as in Detectron2. "pytorch": the same filter, three times as fast; about 0.2 % of the pixels differ by 1 of 255.
    # "opencv": bilinear without antialiasing, as in MMDetection. Use it for models trained with MMDetection.
    cfg.INPUT.RESIZE = "pillow"

    # Whether to paste rare objects into training images (Copy-Paste, Ghiasi et al., CVPR 2021). Requires MODEL.MASK_ON
    # and INPUT.MASK_FORMAT "bitmask". Annotations may be polygons or run-length encodings.
    cfg.INPUT.COPY_PASTE = CN()
    cfg.INPUT.COPY_PASTE.ENABLED = False
    # t > 0. Let f(c) be the share of training images with category c, and r(c) = max(1, sqrt(t / f(c))) its repeat
    # factor. In an epoch each object of category c is pasted r(c) - 1 times on average.
    cfg.INPUT.COPY_PASTE.THRESHOLD = 1e-3

    # If an image file is missing or cannot be decoded: False: raise an error that names the file. True: log a warning
    # and skip the image. In evaluation all objects of a skipped image count as missed.
    cfg.DATALOADER.SKIP_BAD_IMAGES = False

    # How DATALOADER.SAMPLER_TRAIN "RepeatFactorTrainingSampler" rounds the repeat factors of images. "stochastic":
    # randomly up or down in every epoch (Detectron2). "ceil": up (MMDetection).
    cfg.DATALOADER.REPEAT_ROUNDING = "stochastic"
    # Frequency of a category for its repeat factor. "images": the share of images with the category (Gupta et al., CVPR
    # 2019). "instances": the geometric mean of this share and the share of the category in all instances (IRFS; Yaman
    # et al., 2023).
    cfg.DATALOADER.REPEAT_FREQUENCY = "images"


def _add_evaluation(cfg: CN) -> None:
    # Implementation of the LVIS and COCO metrics. "hotcoco": a fast implementation in Rust. "official": the reference,
    # lvis-api, or pycocotools for data in COCO format. "official" gives the same numbers, is about 20 times slower and
    # needs gigabytes of memory for LVIS.
    cfg.TEST.LVIS_ENGINE = "hotcoco"
    # List of additional metrics. "fixed": AP_fixed with 10,000 detections for each category and no limit for each image
    # (Dave et al., 2021); set TEST.DETECTIONS_PER_IMAGE to a high value. "minival": AP on the images of LVIS v1 val
    # that are in COCO val2017. "coco": AP over the categories that COCO also has. "errors": AP after correcting the
    # categories, the background detections or the order of the detections (docs/results.md).
    cfg.TEST.LVIS_METRICS = []
    # Whether to evaluate the classification of ground-truth boxes used as proposals: the accuracy of rare, common and
    # frequent categories, and the share of boxes classified as background (paper, Figure 1). This needs a second pass
    # over the data.
    cfg.TEST.CLASSIFICATION_ACCURACY = False

    cfg.LOGGING = CN()
    # Name of a Weights & Biases project to log to. Requires the package wandb and a login. "": disabled.
    cfg.LOGGING.WANDB_PROJECT = ""
