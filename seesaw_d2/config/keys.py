"""Declare the config keys that this project adds to Detectron2's config. A comment describes each key."""

from detectron2.config import CfgNode as CN

from seesaw_d2.config.calibration_keys import add_calibration
from seesaw_d2.config.other_loss_keys import add_other_losses
from seesaw_d2.config.solver_keys import add_solver, add_speed


def add_seesaw_config(cfg: CN) -> None:
    """Add this project's keys to a Detectron2 config, in place.

    With these keys, any R-CNN config of Detectron2 trains with Seesaw Loss if ``MODEL.ROI_HEADS.NAME`` is
    ``SeesawROIHeads``, ``SeesawRes5ROIHeads`` (C4 backbones) or ``SeesawCascadeROIHeads``. The defaults follow the
    paper: p = 0.8, q = 2, an objectness branch and a normalized classifier with temperature 20.
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
    # Model of background, for C categories. "auto": the default of the loss. "objectness": the classifier has an
    # objectness branch with two logits, so C + 2 logits in total (Seesaw Loss paper, section 3.3). "class": background
    # is an additional class, so the classifier has C + 1 logits, as in Detectron2. "implicit": the classifier has C
    # sigmoids, which are all trained to be 0 for background. "none": background does not exist (only ImageClassifier).
    # A value that the loss does not support raises an error.
    box_head.CLS_LOSS.BACKGROUND = "auto"

    # Seesaw Loss (Wang et al., CVPR 2021).
    box_head.CLS_LOSS.SEESAW = CN()
    # p >= 0, exponent of the mitigation factor (equation 7). 0 disables the factor.
    box_head.CLS_LOSS.SEESAW.P = 0.8
    # q >= 0, exponent of the compensation factor (equation 8). 0 disables the factor.
    box_head.CLS_LOSS.SEESAW.Q = 2.0
    # eps in (0, 1]. The compensation factor clamps the probability of the ground-truth class from below to eps.
    box_head.CLS_LOSS.SEESAW.EPS = 1e-2
    # Source of the class counts N in the mitigation factor (paper, Table 4). "online": count the proposals of each
    # class during training. "dataset": count the instances in the annotations of DATASETS.TRAIN. Any other value is the
    # path of a JSON file with the class counts of an earlier training (tools/record_class_counts.py). A relative path
    # starts at the working directory.
    box_head.CLS_LOSS.SEESAW.CLASS_COUNTS = "online"

    add_other_losses(box_head.CLS_LOSS)

    # Last layer of the classifier. "NormedLinear": a normalized linear layer (paper, section 3.2). "Linear": a linear
    # layer. "LWSLinear": a linear layer with frozen weights and a trainable scale for each logit (learnable weight
    # scaling, Kang et al., ICLR 2020).
    box_head.CLS_PREDICTOR = CN()
    box_head.CLS_PREDICTOR.NAME = "NormedLinear"
    # tau > 0, temperature of "NormedLinear". A logit is tau times the cosine of the features and a row of weights.
    box_head.CLS_PREDICTOR.TEMPERATURE = 20.0


def _add_iterative_head(cfg: CN) -> None:
    # Keys of MODEL.ROI_HEADS.NAME "IterativeROIHeads" (PCB; He et al., CVPR 2022). These heads classify each proposal
    # several times. After each iteration except the last, the predicted logits and box deltas update the features.
    # MODEL.ROI_BOX_HEAD.CLS_AGNOSTIC_BBOX_REG must be False.
    cfg.MODEL.ROI_ITERATIVE_HEAD = CN()
    # Integer >= 1, number of iterations.
    cfg.MODEL.ROI_ITERATIVE_HEAD.NUM_ITERATIONS = 3
    # Numbers >= 0, weight of the classification loss of each iteration. The box loss uses only the last iteration.
    cfg.MODEL.ROI_ITERATIVE_HEAD.LOSS_WEIGHTS = [0.2, 0.2, 0.6]
    # Integers >= 1, number of linear layers and width of the hidden layers in each perceptron for the update.
    cfg.MODEL.ROI_ITERATIVE_HEAD.NUM_FC = 2
    cfg.MODEL.ROI_ITERATIVE_HEAD.FC_DIM = 512
    # Whether to apply layer normalization to the logits before the update. The authors use True only with EQL v2.
    cfg.MODEL.ROI_ITERATIVE_HEAD.LAYER_NORM = False


def _add_mask_head(cfg: CN) -> None:
    # tau > 0, temperature of MODEL.ROI_MASK_HEAD.NAME "NormedMaskHead" (paper, section 3.3). A mask logit is tau times
    # the cosine of the features and a filter.
    cfg.MODEL.ROI_MASK_HEAD.TEMPERATURE = 20.0


def _add_cascade(cfg: CN) -> None:
    # Keys that apply if MODEL.ROI_HEADS.NAME is "SeesawCascadeROIHeads". The defaults give Detectron2's Cascade R-CNN.
    # The paper and MMDetection use PER_STAGE True, STAGE_LOSS_WEIGHTS [1.0, 0.5, 0.25], SCALE_GRADIENTS False,
    # RESAMPLE True.

    # True: each stage trains its own mask head on the proposals of the stage. At test time the mask probabilities are
    # averaged over the stages. False: a single mask head is trained on the proposals of the first stage.
    cfg.MODEL.ROI_MASK_HEAD.PER_STAGE = False
    # Numbers >= 0, weight of the losses of each stage. The weights include the mask losses of PER_STAGE.
    cfg.MODEL.ROI_BOX_CASCADE_HEAD.STAGE_LOSS_WEIGHTS = [1.0, 1.0, 1.0]
    # Whether to divide the gradients that flow from the heads of the stages to the features by the number of stages.
    cfg.MODEL.ROI_BOX_CASCADE_HEAD.SCALE_GRADIENTS = True
    # Proposals of each stage after the first stage. True: add the ground-truth boxes to the boxes from the previous
    # stage, and sample MODEL.ROI_HEADS.BATCH_SIZE_PER_IMAGE of these boxes with MODEL.ROI_HEADS.POSITIVE_FRACTION.
    # False: use all boxes from the previous stage.
    cfg.MODEL.ROI_BOX_CASCADE_HEAD.RESAMPLE = False
    # Values to average over the stages at test time: "probabilities" (Detectron2) or "logits" (MMDetection).
    cfg.MODEL.ROI_BOX_CASCADE_HEAD.AVERAGE = "probabilities"


def _add_backbone(cfg: CN) -> None:
    # Keys of MODEL.BACKBONE.NAME "build_small_resnet_fpn_backbone": a residual network with about 0.5 M parameters,
    # for small images and for training on a CPU.
    cfg.MODEL.SMALL_RESNET = CN()
    # Integers >= 1, output channels of each stage res2, res3, ... (strides 4, 8, ...).
    cfg.MODEL.SMALL_RESNET.WIDTHS = [32, 64, 128]
    # Integer >= 1, number of residual blocks in each stage.
    cfg.MODEL.SMALL_RESNET.BLOCKS = 2


def _add_classifier(cfg: CN) -> None:
    # Keys of MODEL.META_ARCHITECTURE "ImageClassifier", for image classification (paper, section 4.4). As in detectors,
    # MODEL.ROI_BOX_HEAD.CLS_LOSS selects the loss, and MODEL.ROI_BOX_HEAD.CLS_PREDICTOR selects the last layer.
    cfg.MODEL.CLASSIFIER = CN()
    # Integer C >= 1, number of classes.
    cfg.MODEL.CLASSIFIER.NUM_CLASSES = 1000
    # Network of MODEL.BACKBONE.NAME "build_image_backbone": the name of a residual network of torchvision ("resnet50",
    # "resnet152", "resnext50_32x4d", ...), "resnet10", "resnet32" (ResNet for CIFAR images of 32 x 32 pixels),
    # "timm/NAME" (a model of timm), "tiny" or "small" (for images of 8 x 8 and 32 x 32 pixels). With other values of
    # MODEL.BACKBONE.NAME, the classifier averages the last output of the backbone.
    cfg.MODEL.CLASSIFIER.BACKBONE = "resnext50_32x4d"

    cfg.INPUT.CLASSIFICATION = CN()
    # Integer S >= 1, height and width of the model input in pixels.
    cfg.INPUT.CLASSIFICATION.SIZE = 224
    # Crop of the images to S x S pixels. "resized" (ImageNet): a random resized crop in training, a center crop in
    # evaluation. "padded" (CIFAR): a random crop of the image with S / 8 pixels of padding in training, the complete
    # image in evaluation. "whole": the complete image in training and evaluation.
    cfg.INPUT.CLASSIFICATION.CROP = "resized"
    # Number in [0, 1), strength of the random changes of brightness, contrast and saturation in training. Kang et al.
    # (ICLR 2020) use 0.4.
    cfg.INPUT.CLASSIFICATION.COLOR_JITTER = 0.0


def _add_decoupled(cfg: CN) -> None:
    # Decoupled training (Kang et al., ICLR 2020; paper, Table 9) trains a part of a trained model again. The next three
    # keys are lists of patterns. A pattern matches the name of a parameter, or the name of a module with all parameters
    # of the module. The wildcards * and ? also match dots. A pattern without a match raises an error.
    cfg.MODEL.FREEZE = CN()
    # Patterns of parameters to freeze. ["*"]: all parameters. []: no parameters. Frozen layers of batch normalization
    # and dropout stay in evaluation mode. Losses and their statistics are never frozen.
    cfg.MODEL.FREEZE.NAMES = []
    # Patterns of parameters to train although they match NAMES. ["roi_heads.box_predictor*.cls_score"] matches the last
    # layer of the classifier, and in a cascade the last layers of the classifiers of all stages.
    cfg.MODEL.FREEZE.EXCEPT = []
    # Patterns of parameters that training does not load from MODEL.WEIGHTS, so that they keep their initial values. In
    # cRT (Kang et al.) this is the last layer of the classifier. Resuming and --eval-only load all parameters.
    cfg.MODEL.WEIGHTS_EXCEPT = []


def _add_downloads(cfg: CN) -> None:
    # Limits of downloads. They apply if MODEL.WEIGHTS or a _BASE_ is a URL. For a _BASE_, set these keys on the command
    # line or in the file that contains the _BASE_.
    # Number > 0, longest time in seconds until the server answers, and later until it has sent the next 1 KiB.
    cfg.MODEL.DOWNLOAD_TIMEOUT = 60.0
    # Number > 0, longest time of a complete download in seconds.
    cfg.MODEL.DOWNLOAD_TIME_LIMIT = 7200.0


def _add_data(cfg: CN) -> None:
    # Datasets to register, each as a mapping with the following keys. Paths are relative to the working directory.
    #   NAME    name of the dataset in DATASETS.TRAIN and DATASETS.TEST
    #   JSON    annotation file in LVIS or COCO format
    #   IMAGES  folder of the image files
    #   FORMAT  "lvis", "coco" or "auto" (default). "auto" selects "lvis" if every image has neg_category_ids
    # The path of an image below IMAGES is file_name in COCO format. In LVIS format, it is the last two parts of
    # coco_url, or file_name if coco_url is missing. For semantic segmentation (docs/semantic.md) add:
    #   SEM_SEG          folder of label maps: 8-bit gray PNG files, with the same paths as the images below IMAGES
    #   SEM_SEG_CLASSES  JSON file of the classes: {"classes": [{"name": ..., "image_count": ...}, ...]}
    # For image classification, one of these keys replaces JSON:
    #   LIST    text file with "path label" in each line (the format of ImageNet-LT). Needs IMAGES and CLASSES
    #   CSV     CSV file with the columns path and label (an index or a name). Needs IMAGES and CLASSES
    #   FOLDER  folder with one subfolder of images for each class. CLASSES is optional. Hidden files are ignored
    #   INATURALIST  annotation file of iNaturalist 2018. Needs IMAGES
    #   CIFAR   folder of the Python version of CIFAR-10 or CIFAR-100. Needs SPLIT, "train" or "test"
    #   NPZ     .npz file with the NumPy arrays "images", uint8 (N, H, W) or (N, H, W, 3), "labels", integers (N,), and
    #           "names", C class names
    #   DIGITS  "train" or "test" selects a split of scikit-learn's 1,797 handwritten digits
    # Image classification has further keys:
    #   CLASSES    number of classes, or the path of a text file with one class name in each line
    #   IMBALANCE  number r > 1: select a long-tailed subset. With C classes and N images in the largest class, the
    #              subset has N r^(-i / (C - 1)) images of class i = 0, ..., C - 1, so N / r images of the last class
    #   SEED       seed of the random selection for IMBALANCE (default 0)
    cfg.DATASETS.REGISTER = []
    # Integers (a, b), 1 <= a < b. Categories with at most a training images are rare, with a + 1 to b images common,
    # and with more than b images frequent. The default is the definition of LVIS. In image classification the groups
    # are called few, medium and many shots, usually with [19, 100].
    cfg.DATASETS.FREQUENCY_THRESHOLDS = [10, 100]

    # In addition to Detectron2's values, DATALOADER.SAMPLER_TRAIN can be one of three samplers of Kang et al. (ICLR
    # 2020). "ClassAwareSampler" draws a category uniformly, then an image that contains the category (class-balanced
    # sampling). "SquareRootSampler" draws a category with a probability proportional to the square root of its number
    # of images. "ProgressivelyBalancedSampler" changes linearly from drawing images uniformly to drawing categories
    # uniformly. The order and the augmentation of the images depend on SEED and the training step, not on NUM_WORKERS,
    # except with the weighted samplers of Detectron2's main branch. With SEED -1 the run draws a seed and saves it.

    # Method to resize images and masks of a detector, in training and at test time. "pillow": bilinear with
    # antialiasing, as in Detectron2. "pytorch": the same filter, but three times as fast. About 0.2 % of the pixels
    # differ by 1 of 255. "opencv": bilinear without antialiasing, as in MMDetection. Use "opencv" for models that
    # MMDetection trained.
    cfg.INPUT.RESIZE = "pillow"

    # Whether to paste rare objects into training images (Copy-Paste, Ghiasi et al., CVPR 2021). Requires MODEL.MASK_ON
    # True and INPUT.MASK_FORMAT "bitmask". The annotations may contain polygons or run-length encodings.
    cfg.INPUT.COPY_PASTE = CN()
    cfg.INPUT.COPY_PASTE.ENABLED = False
    # Threshold t > 0. Let f(c) be the share of the training images that contain category c. In an
    # epoch each object of category c is pasted max(1, sqrt(t / f(c))) - 1 times on average.
    cfg.INPUT.COPY_PASTE.THRESHOLD = 1e-3
    # If an image file is missing or cannot be decoded, True logs a warning and skips the image, and False raises an
    # error that names the file. In evaluation all objects of a skipped image count as missed.
    cfg.DATALOADER.SKIP_BAD_IMAGES = False
    # Rounding of the repeat factors of images for DATALOADER.SAMPLER_TRAIN "RepeatFactorTrainingSampler". "stochastic":
    # randomly up or down in every epoch, as in Detectron2. "ceil": always up, as in MMDetection.
    cfg.DATALOADER.REPEAT_ROUNDING = "stochastic"
    # Frequency from which the repeat factor of a category is computed. "images": the share of the images that contain
    # the category (Gupta et al., CVPR 2019). "instances": the geometric mean of this share and the share of the
    # category in all instances (IRFS; Yaman et al., 2023).
    cfg.DATALOADER.REPEAT_FREQUENCY = "images"


def _add_evaluation(cfg: CN) -> None:
    # Package that computes the LVIS and COCO metrics. "hotcoco": a fast package in Rust. "official": lvis-api for data
    # in LVIS format, pycocotools for data in COCO format. Both values give the same metrics. "official" is about 20
    # times slower and needs gigabytes of memory for LVIS.
    cfg.TEST.LVIS_ENGINE = "hotcoco"
    # List of additional metrics. "fixed": AP_fixed with at most 10,000 detections for each category and no limit for
    # each image (Dave et al., 2021). It needs a high value of TEST.DETECTIONS_PER_IMAGE. "minival": AP on the images of
    # LVIS v1 val that are in COCO val2017. "coco": AP over the categories that COCO also has. "errors": AP after
    # correcting the categories, the background detections or the order of the detections (docs/results.md).
    cfg.TEST.LVIS_METRICS = []
    # Whether to classify the ground-truth boxes, in a second pass over the data. The results are the accuracy for rare,
    # common and frequent categories, and the share of boxes classified as background (paper, Figure 1).
    cfg.TEST.CLASSIFICATION_ACCURACY = False

    cfg.LOGGING = CN()
    # Weights & Biases project to which the run logs. Requires the package wandb and a login. "": do not use wandb.
    cfg.LOGGING.WANDB_PROJECT = ""
