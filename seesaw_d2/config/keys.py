"""Declare the config keys that this project adds to Detectron2's config. Each comment describes the key below it."""

from detectron2.config import CfgNode as CN

from seesaw_d2.config.calibration_keys import add_calibration
from seesaw_d2.config.data_keys import add_copy_paste, add_datasets, add_loading
from seesaw_d2.config.other_loss_keys import add_other_losses
from seesaw_d2.config.solver_keys import add_solver, add_speed


def add_seesaw_config(cfg: CN) -> None:
    """Add this project's keys to a Detectron2 config, in place.

    With these keys, any R-CNN config of Detectron2 trains with Seesaw Loss if ``MODEL.ROI_HEADS.NAME`` is
    ``SeesawROIHeads``, ``SeesawRes5ROIHeads`` (C4 backbones) or ``SeesawCascadeROIHeads``. The defaults follow the
    Seesaw Loss paper: exponents p = 0.8 and q = 2, an objectness branch and a normalized classifier with temperature
    20.
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
    add_datasets(cfg)
    add_loading(cfg)
    add_copy_paste(cfg)
    _add_evaluation(cfg)
    add_solver(cfg)
    add_speed(cfg)


def _add_box_head(cfg: CN) -> None:
    box_head = cfg.MODEL.ROI_BOX_HEAD

    # String. Classification loss: the name of a class in seesaw_d2.losses.LOSS_REGISTRY, such as "CrossEntropyLoss".
    box_head.CLS_LOSS = CN()
    box_head.CLS_LOSS.NAME = "SeesawLoss"
    # String. How the classifier represents background, in addition to C categories. A value that the loss does not
    # support raises an error.
    #   "auto": the default of the loss.
    #   "objectness": two logits of an objectness branch, so the classifier has C + 2 logits (Seesaw Loss, section 3.3).
    #   "class": an additional class, so the classifier has C + 1 logits, as in Detectron2.
    #   "implicit": no additional logit. The classifier has C sigmoids. For background, the target of each sigmoid is 0.
    #   "none": the data contain no background. Only ImageClassifier supports this value.
    box_head.CLS_LOSS.BACKGROUND = "auto"

    # Seesaw Loss (Wang et al., CVPR 2021). The next comments refer to the equations and tables of this paper.
    box_head.CLS_LOSS.SEESAW = CN()
    # Number >= 0. Exponent p of the mitigation factor (equation 7). The value 0 disables the factor.
    box_head.CLS_LOSS.SEESAW.P = 0.8
    # Number >= 0. Exponent q of the compensation factor (equation 8). The value 0 disables the factor.
    box_head.CLS_LOSS.SEESAW.Q = 2.0
    # Number in (0, 1]. Lower bound of the probability of the ground-truth class in the compensation factor, which
    # divides by this probability.
    box_head.CLS_LOSS.SEESAW.EPS = 1e-2
    # String. Source of the class counts N in the mitigation factor (Table 4).
    #   "online": count the proposals of each class during training.
    #   "dataset": count the instances in the annotations of DATASETS.TRAIN.
    #   Path of a JSON file: read the counts of an earlier training, which tools/record_class_counts.py has written. A
    #     relative path starts at the working directory.
    box_head.CLS_LOSS.SEESAW.CLASS_COUNTS = "online"

    add_other_losses(box_head.CLS_LOSS)

    # String. Last layer of the classifier.
    #   "NormedLinear": a linear layer with normalized features and weights (Seesaw Loss, section 3.2).
    #   "Linear": a linear layer.
    #   "LWSLinear": a linear layer with frozen weights and a trainable scale for each logit (learnable weight scaling,
    #     Kang et al., ICLR 2020).
    box_head.CLS_PREDICTOR = CN()
    box_head.CLS_PREDICTOR.NAME = "NormedLinear"
    # Number > 0. Temperature tau of "NormedLinear". A logit is tau times the cosine between the features and the
    # weights of the class.
    box_head.CLS_PREDICTOR.TEMPERATURE = 20.0


def _add_iterative_head(cfg: CN) -> None:
    # Keys of MODEL.ROI_HEADS.NAME "IterativeROIHeads" (PCB; He et al., CVPR 2022). These heads classify each proposal
    # several times. After each iteration except the last, the predicted logits and box deltas update the features.
    # MODEL.ROI_BOX_HEAD.CLS_AGNOSTIC_BBOX_REG must be False.
    cfg.MODEL.ROI_ITERATIVE_HEAD = CN()
    # Integer >= 1. Number of iterations, in each of which the heads classify all proposals.
    cfg.MODEL.ROI_ITERATIVE_HEAD.NUM_ITERATIONS = 3
    # List of NUM_ITERATIONS numbers >= 0. Weight of the classification loss of each iteration. The box loss uses only
    # the last iteration.
    cfg.MODEL.ROI_ITERATIVE_HEAD.LOSS_WEIGHTS = [0.2, 0.2, 0.6]
    # Integer >= 1. Number of linear layers in each perceptron that updates the features.
    cfg.MODEL.ROI_ITERATIVE_HEAD.NUM_FC = 2
    # Integer >= 1. Width of the hidden layers in these perceptrons.
    cfg.MODEL.ROI_ITERATIVE_HEAD.FC_DIM = 512
    # Boolean. Whether to apply layer normalization to the logits before the update. The authors use True only with EQL
    # v2.
    cfg.MODEL.ROI_ITERATIVE_HEAD.LAYER_NORM = False


def _add_mask_head(cfg: CN) -> None:
    # Number > 0. Temperature tau of MODEL.ROI_MASK_HEAD.NAME "NormedMaskHead" (Seesaw Loss, section 3.3). A mask logit
    # is tau times the cosine between the features of a pixel and the filter of a category.
    cfg.MODEL.ROI_MASK_HEAD.TEMPERATURE = 20.0


def _add_cascade(cfg: CN) -> None:
    # Keys of MODEL.ROI_HEADS.NAME "SeesawCascadeROIHeads". The defaults give Detectron2's Cascade R-CNN. The Seesaw
    # Loss paper and MMDetection use PER_STAGE True, STAGE_LOSS_WEIGHTS [1.0, 0.5, 0.25], SCALE_GRADIENTS False,
    # RESAMPLE True.

    # Boolean. Whether each stage has its own mask head.
    #   True: each stage trains a mask head on the proposals of the stage. At test time the mask probabilities are
    #     averaged over the stages.
    #   False: a single mask head is trained on the proposals of the first stage.
    cfg.MODEL.ROI_MASK_HEAD.PER_STAGE = False
    # List of numbers >= 0. Weight of the losses of each stage, including the mask losses of PER_STAGE.
    cfg.MODEL.ROI_BOX_CASCADE_HEAD.STAGE_LOSS_WEIGHTS = [1.0, 1.0, 1.0]
    # Boolean. Whether to divide the gradients that flow from the heads of the stages to the features by the number of
    # stages.
    cfg.MODEL.ROI_BOX_CASCADE_HEAD.SCALE_GRADIENTS = True
    # Boolean. Whether to sample the training proposals of each stage after the first stage.
    #   True: add the ground-truth boxes to the boxes from the previous stage, then sample as in the first stage, with
    #     MODEL.ROI_HEADS.BATCH_SIZE_PER_IMAGE and MODEL.ROI_HEADS.POSITIVE_FRACTION.
    #   False: use all boxes from the previous stage.
    cfg.MODEL.ROI_BOX_CASCADE_HEAD.RESAMPLE = False
    # String. Values to average over the stages at test time: "probabilities" (as in Detectron2) or "logits" (as in
    # MMDetection).
    cfg.MODEL.ROI_BOX_CASCADE_HEAD.AVERAGE = "probabilities"


def _add_backbone(cfg: CN) -> None:
    # Keys of MODEL.BACKBONE.NAME "build_small_resnet_fpn_backbone", a residual network with about 0.5 million
    # parameters for small images and for training on a CPU.
    cfg.MODEL.SMALL_RESNET = CN()
    # List of integers >= 1. Number of output channels of each stage res2, res3, ... (strides 4, 8, ...).
    cfg.MODEL.SMALL_RESNET.WIDTHS = [32, 64, 128]
    # Integer >= 1. Number of residual blocks in each stage.
    cfg.MODEL.SMALL_RESNET.BLOCKS = 2


def _add_classifier(cfg: CN) -> None:
    # Keys of MODEL.META_ARCHITECTURE "ImageClassifier", for image classification (Seesaw Loss, section 4.4). As in
    # detectors, MODEL.ROI_BOX_HEAD.CLS_LOSS selects the loss, and MODEL.ROI_BOX_HEAD.CLS_PREDICTOR the last layer.
    cfg.MODEL.CLASSIFIER = CN()
    # Integer >= 1. Number of classes.
    cfg.MODEL.CLASSIFIER.NUM_CLASSES = 1000
    # String. Network of MODEL.BACKBONE.NAME "build_image_backbone". With other values of MODEL.BACKBONE.NAME,
    # ImageClassifier classifies the last output of the backbone, averaged over the pixels.
    #   "resnet50", "resnet152", "resnext50_32x4d", ...: a residual network of torchvision.
    #   "resnet10": a residual network with 10 layers.
    #   "resnet32": the ResNet for CIFAR images of 32 x 32 pixels.
    #   "tiny", "small": networks for images of 8 x 8 and of 32 x 32 pixels.
    #   "timm/NAME": the model NAME of timm.
    cfg.MODEL.CLASSIFIER.BACKBONE = "resnext50_32x4d"

    cfg.INPUT.CLASSIFICATION = CN()
    # Integer S >= 1. Height and width of the model input in pixels.
    cfg.INPUT.CLASSIFICATION.SIZE = 224
    # String. Crop of the images to S x S pixels, where S is INPUT.CLASSIFICATION.SIZE.
    #   "resized": a random resized crop in training, a center crop in evaluation, as for ImageNet.
    #   "padded": a random crop of the image with S / 8 pixels of padding in training, the complete image in evaluation,
    #     as for CIFAR.
    #   "whole": the complete image in training and evaluation.
    cfg.INPUT.CLASSIFICATION.CROP = "resized"
    # Number in [0, 1). Strength of the random changes of brightness, contrast and saturation in training. The value 0
    # disables the changes. Kang et al. (ICLR 2020) use 0.4.
    cfg.INPUT.CLASSIFICATION.COLOR_JITTER = 0.0


def _add_decoupled(cfg: CN) -> None:
    # Decoupled training (Kang et al., ICLR 2020; Seesaw Loss, Table 9) trains a part of a trained model again. The next
    # three keys are lists of patterns. A pattern matches the name of a parameter, or the name of a module and so all
    # parameters of the module. The wildcards * and ? also match dots. A pattern without a match raises an error.
    cfg.MODEL.FREEZE = CN()
    # List of strings. Patterns of the parameters to freeze. ["*"] matches all parameters. Frozen layers of batch
    # normalization and dropout stay in evaluation mode. Losses and their statistics are never frozen.
    cfg.MODEL.FREEZE.NAMES = []
    # List of strings. Patterns of parameters to train although they match NAMES. For example,
    # ["roi_heads.box_predictor*.cls_score"] matches the last layer of each classifier, also in a cascade.
    cfg.MODEL.FREEZE.EXCEPT = []
    # List of strings. Patterns of parameters that keep their initial values, because training does not load these
    # parameters from MODEL.WEIGHTS. cRT (Kang et al.) retrains the last layer of the classifier in this way. Resuming a
    # training and --eval-only load all parameters.
    cfg.MODEL.WEIGHTS_EXCEPT = []


def _add_downloads(cfg: CN) -> None:
    # Limits of downloads, which apply if MODEL.WEIGHTS or a _BASE_ is a URL. For a _BASE_, set these keys on the
    # command line or in the file that contains the _BASE_.

    # Number > 0. Longest wait in seconds for the server's answer, and then for each further KiB.
    cfg.MODEL.DOWNLOAD_TIMEOUT = 60.0
    # Number > 0. Longest time of a complete download in seconds.
    cfg.MODEL.DOWNLOAD_TIME_LIMIT = 7200.0


def _add_evaluation(cfg: CN) -> None:
    # String. Package that computes the LVIS and COCO metrics. Both values give the same metrics.
    #   "hotcoco": a fast package in Rust.
    #   "official": lvis-api for data in LVIS format, pycocotools for data in COCO format. About 20 times slower. LVIS
    #     needs gigabytes of memory.
    cfg.TEST.LVIS_ENGINE = "hotcoco"
    # List of strings. Metrics to compute in addition to AP.
    #   "fixed": AP_fixed (Dave et al., 2021), which uses at most 10,000 detections for each category and does not limit
    #     the detections for each image. It needs a high value of TEST.DETECTIONS_PER_IMAGE.
    #   "minival": AP on the images of LVIS v1 val that are in COCO val2017.
    #   "coco": AP over the categories that COCO also has.
    #   "errors": AP after correcting one type of error: categories, detections on background, or the order of the
    #     detections by score (docs/results.md).
    cfg.TEST.LVIS_METRICS = []
    # Boolean. Whether to classify the ground-truth boxes, in a second pass over the data. The results are the accuracy
    # for rare, common and frequent categories, and the share of boxes classified as background (Seesaw Loss, Figure 1).
    cfg.TEST.CLASSIFICATION_ACCURACY = False

    cfg.LOGGING = CN()
    # String. Weights & Biases project to which the run logs, which requires the package wandb and a login. If the
    # string is empty, the run does not use wandb.
    cfg.LOGGING.WANDB_PROJECT = ""
