"""Declare the config keys that this project adds to Detectron2's config. Each comment describes the key below it."""

from detectron2.config import CfgNode as CN

from seesaw_d2.config.calibration_keys import add_calibration
from seesaw_d2.config.data_keys import add_copy_paste, add_datasets, add_loading
from seesaw_d2.config.other_loss_keys import add_other_losses
from seesaw_d2.config.restoring import check_added, restore
from seesaw_d2.config.solver_keys import add_solver, add_speed


def add_seesaw_config(cfg: CN) -> None:
    """Add this project's keys to a Detectron2 config, in place.

    With these keys, any R-CNN config of Detectron2 trains with Seesaw Loss if ``MODEL.ROI_HEADS.NAME`` is
    ``SeesawROIHeads``, ``SeesawRes5ROIHeads`` (C4 backbones) or ``SeesawCascadeROIHeads``. The defaults follow the
    Seesaw Loss paper: exponents p = 0.8 and q = 2, an objectness branch and a normalized classifier with temperature
    20. Keys that the config already has keep their values, so that a second call has no effect.

    Raises:
        ConfigError: another project has added a node in place of one of these values, or a value in place of a node, or
            the config lacks keys but is frozen.
    """
    if cfg.is_frozen():
        check_added(cfg, add_seesaw_config)
        return
    before = cfg.clone()
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
    restore(cfg, before)


def _add_box_head(cfg: CN) -> None:
    box_head = cfg.MODEL.ROI_BOX_HEAD

    # String. Classification loss of the model: the name of a class in seesaw_d2.losses.LOSS_REGISTRY, such as
    # "CrossEntropyLoss".
    box_head.CLS_LOSS = CN()
    box_head.CLS_LOSS.NAME = "SeesawLoss"
    # String. Which logits the classifier has for background, in addition to one logit for each of C categories. Each
    # loss supports some of these values. For other values, it raises an error.
    #   "auto": the default value of the selected loss.
    #   "objectness": two logits of an objectness branch, so the classifier has C + 2 logits (Seesaw Loss, section 3.3).
    #   "class": an additional class, so the classifier has C + 1 logits, as in Detectron2.
    #   "implicit": no additional logit. The classifier has C sigmoids. For background, all of them are trained to be 0.
    #   "none": no additional logit, because the data contain no background. Only for ImageClassifier.
    box_head.CLS_LOSS.BACKGROUND = "auto"

    # Keys of SeesawLoss (Seesaw Loss, Wang et al., CVPR 2021). The numbers of equations and tables are those of this
    # paper.
    box_head.CLS_LOSS.SEESAW = CN()
    # Number >= 0. Exponent p of the mitigation factor of Seesaw Loss (equation 7). Samples of frequent categories push
    # down the logits of rarer categories. A larger p reduces this gradient more. The value 0 disables the factor.
    box_head.CLS_LOSS.SEESAW.P = 0.8
    # Number >= 0. Exponent q of the compensation factor of Seesaw Loss (equation 8). If a wrong category has a higher
    # score than the correct one, this factor increases the gradient of the wrong logit. A larger q increases it more.
    # The value 0 disables the factor.
    box_head.CLS_LOSS.SEESAW.Q = 2.0
    # Number in (0, 1]. The compensation factor of Seesaw Loss divides by the predicted probability of the correct
    # category. This probability is clamped to at least EPS, so that the factor stays finite.
    box_head.CLS_LOSS.SEESAW.EPS = 1e-2
    # String. Where Seesaw Loss gets the number of samples of each category. The mitigation factor compares the numbers
    # of two categories to find the rarer one (Table 4 of the paper).
    #   "online": count the proposals of each category during training.
    #   "dataset": count the instances in the annotations of DATASETS.TRAIN.
    #   Path of a JSON file: read the numbers that an earlier training counted. tools/record_class_counts.py writes this
    #     file. A relative path starts at the working directory.
    box_head.CLS_LOSS.SEESAW.CLASS_COUNTS = "online"

    add_other_losses(box_head.CLS_LOSS)

    # String. Type of the last layer of the classifier.
    #   "NormedLinear": a linear layer with normalized features and weights (Seesaw Loss, section 3.2).
    #   "Linear": a linear layer.
    #   "LWSLinear": a linear layer with frozen weights and one trainable scale per logit (learnable weight scaling,
    #     Kang et al., ICLR 2020).
    box_head.CLS_PREDICTOR = CN()
    box_head.CLS_PREDICTOR.NAME = "NormedLinear"
    # Number > 0. Temperature tau of the classifier layer "NormedLinear". The logit of a class is tau times the cosine
    # of the angle between the features and the weights of the class.
    box_head.CLS_PREDICTOR.TEMPERATURE = 20.0


def _add_iterative_head(cfg: CN) -> None:
    # The keys of MODEL.ROI_ITERATIVE_HEAD apply if MODEL.ROI_HEADS.NAME is "IterativeROIHeads" (PCB; He et al., CVPR
    # 2022). These heads classify each proposal several times. Between two iterations, they update the features of the
    # proposal from its logits and box deltas. MODEL.ROI_BOX_HEAD.CLS_AGNOSTIC_BBOX_REG must be False.
    cfg.MODEL.ROI_ITERATIVE_HEAD = CN()
    # Integer >= 1. Number of times that IterativeROIHeads classifies each proposal.
    cfg.MODEL.ROI_ITERATIVE_HEAD.NUM_ITERATIONS = 3
    # List of NUM_ITERATIONS numbers >= 0. Weight of the classification loss of each iteration. Only the last iteration
    # has a box regression loss.
    cfg.MODEL.ROI_ITERATIVE_HEAD.LOSS_WEIGHTS = [0.2, 0.2, 0.6]
    # Integer >= 1. Number of linear layers in each of the two perceptrons of IterativeROIHeads. One perceptron updates
    # the features of a proposal from its logits, the other one from its box deltas.
    cfg.MODEL.ROI_ITERATIVE_HEAD.NUM_FC = 2
    # Integer >= 1. Width of the hidden layers in the two perceptrons of IterativeROIHeads. If NUM_FC is 1, they have no
    # hidden layers, and this key has no effect.
    cfg.MODEL.ROI_ITERATIVE_HEAD.FC_DIM = 512
    # Boolean. Whether IterativeROIHeads applies layer normalization to the logits of a proposal before it updates the
    # features of the proposal from them. The authors of PCB use True only with EQL v2.
    cfg.MODEL.ROI_ITERATIVE_HEAD.LAYER_NORM = False


def _add_mask_head(cfg: CN) -> None:
    # Number > 0. Temperature tau of the mask head "NormedMaskHead" (MODEL.ROI_MASK_HEAD.NAME; Seesaw Loss, section
    # 3.3). The mask logit of a category is tau times the cosine of the angle between the features of the pixel and the
    # filter of the category.
    cfg.MODEL.ROI_MASK_HEAD.TEMPERATURE = 20.0


def _add_cascade(cfg: CN) -> None:
    # The keys in this function apply if MODEL.ROI_HEADS.NAME is "SeesawCascadeROIHeads". The defaults give Detectron2's
    # Cascade R-CNN. The Seesaw Loss paper and MMDetection use PER_STAGE True, STAGE_LOSS_WEIGHTS [1.0, 0.5, 0.25],
    # SCALE_GRADIENTS False and RESAMPLE True.

    # Boolean. Whether each cascade stage has its own mask head.
    #   True: each stage trains a mask head on the proposals of the stage. At test time the mask probabilities are
    #     averaged over the stages.
    #   False: a single mask head is trained on the proposals of the first stage.
    cfg.MODEL.ROI_MASK_HEAD.PER_STAGE = False
    # List of one number >= 0 for each cascade stage. Weight of the losses of the stage. If
    # MODEL.ROI_MASK_HEAD.PER_STAGE is True, the weight also applies to the mask loss of the stage.
    cfg.MODEL.ROI_BOX_CASCADE_HEAD.STAGE_LOSS_WEIGHTS = [1.0, 1.0, 1.0]
    # Boolean. How to combine the gradients that flow from the cascade stages to the backbone.
    #   True: divide each gradient by the number of stages, as in Detectron2, so that the backbone gets their mean.
    #   False: do not divide, as in MMDetection, so that the backbone gets their sum.
    cfg.MODEL.ROI_BOX_CASCADE_HEAD.SCALE_GRADIENTS = True
    # Boolean. Whether the second and later cascade stages sample the proposals on which they are trained.
    #   True: add the ground-truth boxes to the boxes from the previous stage, then sample as in the first stage, with
    #     MODEL.ROI_HEADS.BATCH_SIZE_PER_IMAGE and MODEL.ROI_HEADS.POSITIVE_FRACTION.
    #   False: use all boxes from the previous stage.
    cfg.MODEL.ROI_BOX_CASCADE_HEAD.RESAMPLE = False
    # String. What to average over the cascade stages at test time, to get the class scores of a proposal.
    #   "probabilities": the class probabilities of the stages, as in Detectron2.
    #   "logits": the logits of the stages, as in MMDetection. The probabilities are computed from the mean logits.
    cfg.MODEL.ROI_BOX_CASCADE_HEAD.AVERAGE = "probabilities"


def _add_backbone(cfg: CN) -> None:
    # The keys of MODEL.SMALL_RESNET apply if MODEL.BACKBONE.NAME is "build_small_resnet_fpn_backbone". This backbone is
    # a ResNet with about 0.5 million parameters, for small images and for training on a CPU.
    cfg.MODEL.SMALL_RESNET = CN()
    # List of integers >= 1. Number of output channels of each stage of the small ResNet. The first number is for res2,
    # which has stride 4, the second one for res3, which has stride 8, and so on.
    cfg.MODEL.SMALL_RESNET.WIDTHS = [32, 64, 128]
    # Integer >= 1. Number of residual blocks in each stage of the small ResNet.
    cfg.MODEL.SMALL_RESNET.BLOCKS = 2


def _add_classifier(cfg: CN) -> None:
    # The keys in this function apply if MODEL.META_ARCHITECTURE is "ImageClassifier", for image classification (Seesaw
    # Loss, section 4.4). As in detectors, MODEL.ROI_BOX_HEAD.CLS_LOSS selects the loss, and
    # MODEL.ROI_BOX_HEAD.CLS_PREDICTOR selects the last layer.
    cfg.MODEL.CLASSIFIER = CN()
    # Integer >= 1. Number of classes of ImageClassifier.
    cfg.MODEL.CLASSIFIER.NUM_CLASSES = 1000
    # String. Backbone of ImageClassifier, if MODEL.BACKBONE.NAME is "build_image_backbone". Otherwise this key has no
    # effect, and ImageClassifier classifies the last feature map of the backbone, averaged over its pixels.
    #   "resnet50", "resnet152", "resnext50_32x4d", ...: a residual network of torchvision.
    #   "resnet10": a residual network with 10 layers.
    #   "resnet32": the ResNet for CIFAR images of 32 x 32 pixels.
    #   "tiny", "small": networks for images of 8 x 8 and of 32 x 32 pixels.
    #   "timm/NAME": the model NAME of timm.
    cfg.MODEL.CLASSIFIER.BACKBONE = "resnext50_32x4d"

    cfg.INPUT.CLASSIFICATION = CN()
    # Integer >= 1. Height and width of the input images of ImageClassifier in pixels.
    cfg.INPUT.CLASSIFICATION.SIZE = 224
    # String. How ImageClassifier gets S x S pixels from an image, where S is INPUT.CLASSIFICATION.SIZE.
    #   "resized": a random resized crop in training, a center crop in evaluation. This is usual for ImageNet.
    #   "padded": in training, a random crop of the image with S / 8 pixels of padding on each side. In evaluation, the
    #     complete image. This is usual for CIFAR.
    #   "whole": the complete image in training and evaluation.
    cfg.INPUT.CLASSIFICATION.CROP = "resized"
    # Number x in [0, 1). In training, brightness, contrast and saturation of each image are multiplied by random
    # factors in [1 - x, 1 + x]. The value 0 disables these changes. Kang et al. (ICLR 2020) use 0.4.
    cfg.INPUT.CLASSIFICATION.COLOR_JITTER = 0.0


def _add_decoupled(cfg: CN) -> None:
    # Decoupled training (Kang et al., ICLR 2020; Seesaw Loss, Table 9) trains some layers of a trained model again. The
    # keys FREEZE.NAMES, FREEZE.EXCEPT and WEIGHTS_EXCEPT select these layers by patterns. A pattern is the name of a
    # parameter or of a module, which stands for all parameters of the module. The wildcards * and ? also match dots. A
    # pattern without a match raises an error.
    cfg.MODEL.FREEZE = CN()
    # List of strings. Names of the parameters or modules to freeze, with the wildcards * and ?. For example, ["*"]
    # freezes all parameters. Frozen batch normalization and dropout layers stay in evaluation mode. Losses are never
    # frozen, so they continue to count the samples of each category.
    cfg.MODEL.FREEZE.NAMES = []
    # List of strings. Exceptions from MODEL.FREEZE.NAMES: names of the parameters or modules to train, with the
    # wildcards * and ?. For example, ["roi_heads.box_predictor*.cls_score"] trains the last layer of the classifier, or
    # of each classifier in a cascade.
    cfg.MODEL.FREEZE.EXCEPT = []
    # List of strings. Names of the parameters or modules that training does not load from MODEL.WEIGHTS, with the
    # wildcards * and ?. These parameters keep the values from the initialization of the model. For example, cRT (Kang
    # et al.) retrains the last layer of the classifier from scratch. Resuming a training and --eval-only load all
    # parameters.
    cfg.MODEL.WEIGHTS_EXCEPT = []


def _add_downloads(cfg: CN) -> None:
    # The keys in this function limit the download time if MODEL.WEIGHTS or a _BASE_ is a URL. For a _BASE_, set these
    # keys on the command line or in the file that contains the _BASE_.

    # Number > 0. A download fails if the server does not answer within this many seconds, or if it then sends less than
    # 1 KiB in this time.
    cfg.MODEL.DOWNLOAD_TIMEOUT = 60.0
    # Number > 0. A download fails if the complete file takes longer than this many seconds.
    cfg.MODEL.DOWNLOAD_TIME_LIMIT = 7200.0


def _add_evaluation(cfg: CN) -> None:
    # String. Package that computes the LVIS and COCO metrics. Both values give the same metrics.
    #   "hotcoco": a fast package in Rust.
    #   "official": lvis-api for data in LVIS format, pycocotools for data in COCO format. lvis-api takes 36 times as
    #     long for boxes, and 8 times as long for masks (benchmarks/README.md). It needs gigabytes of memory for LVIS.
    cfg.TEST.LVIS_ENGINE = "hotcoco"
    # List of strings. Metrics to compute in addition to AP, APr, APc and APf.
    #   "fixed": AP_fixed (Dave et al., 2021), which uses at most 10,000 detections for each category and does not limit
    #     the detections for each image. It needs a high value of TEST.DETECTIONS_PER_IMAGE.
    #   "minival": AP on the images of LVIS v1 val that are in COCO val2017.
    #   "coco": AP over the categories that COCO also has.
    #   "errors": AP, APr, APc and APf after one type of error is corrected (docs/results.md): with the right
    #     categories, without detections of objects of other categories, without detections on background, and with
    #     higher scores for all correct detections than for all wrong detections.
    cfg.TEST.LVIS_METRICS = []
    # Boolean. Whether the evaluation also classifies the ground-truth boxes, in a second pass over the data. The
    # results are the accuracy for rare, common and frequent categories, and the share of boxes that the model
    # classifies as background (Seesaw Loss, Figure 1).
    cfg.TEST.CLASSIFICATION_ACCURACY = False

    cfg.LOGGING = CN()
    # String. Project of Weights & Biases to which the run logs its metrics. This requires the package wandb and a
    # login. If the string is empty, the run does not use wandb.
    cfg.LOGGING.WANDB_PROJECT = ""
