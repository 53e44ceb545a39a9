"""Config nodes of the losses other than Seesaw Loss: MODEL.ROI_BOX_HEAD.CLS_LOSS.<NODE>, one function per loss.

In every node PRIOR, in (0, 1), is the initial probability of each sigmoid. It sets the classifier's initial bias.
"""

from collections.abc import Callable

from detectron2.config import CfgNode as CN

# Node name -> function that adds the node's keys.
_NODES: dict[str, Callable[[CN], None]] = {}


def add_other_losses(cls_loss: CN) -> None:
    """Add one node for each loss to MODEL.ROI_BOX_HEAD.CLS_LOSS, in place."""
    for name, add_keys in _NODES.items():
        cls_loss[name] = CN()
        add_keys(cls_loss[name])


def _loss_node(name: str) -> Callable[[Callable[[CN], None]], Callable[[CN], None]]:
    """Let the decorated function add the keys of the node ``name``."""

    def register(add_keys: Callable[[CN], None]) -> Callable[[CN], None]:
        _NODES[name] = add_keys
        return add_keys

    return register


@_loss_node("EQL")
def _equalization(node: CN) -> None:
    # EqualizationLoss (Tan et al., CVPR 2020).
    # lambda >= 0. Categories with a lower frequency are tail categories. The frequency of a category is the number of
    # images with it divided by the number of annotated images, in DATASETS.TRAIN. The default is the paper's value for
    # LVIS v0.5. 1.1e-3 gives the same share of tail categories in LVIS v1.
    node.LAMBDA = 1.77e-3
    node.PRIOR = 0.001


@_loss_node("SOFTMAX_EQL")
def _softmax_equalization(node: CN) -> None:
    # SoftmaxEqualizationLoss (same paper, variant for image classification).
    # lambda >= 0, as in EQL. The default is 50 of the 115,846 images of ImageNet-LT.
    node.LAMBDA = 4.3e-4
    # gamma in [0, 1], probability that a tail class is left out of the softmax of another class's image. 0 gives
    # cross-entropy.
    node.GAMMA = 0.9


@_loss_node("EQL_V2")
def _equalization_v2(node: CN) -> None:
    # EqualizationLossV2 (Tan et al., CVPR 2021).
    # gamma > 0 and mu >= 0, slope and midpoint of the function that maps gradient ratios to weights (equation 4).
    node.GAMMA = 12.0
    node.MU = 0.8
    # alpha >= 0. Larger values increase the weight of positive samples of categories with a small gradient ratio
    # (equation 5).
    node.ALPHA = 4.0
    node.PRIOR = 0.001


@_loss_node("ECM")
def _effective_class_margin(node: CN) -> None:
    # EffectiveClassMarginLoss (Cho and Krähenbühl, ECCV 2022).
    # > 0, background samples for each foreground instance of DATASETS.TRAIN; the reference's value for LVIS v1.
    node.BACKGROUND_RATIO = 6.3313
    node.PRIOR = 0.001


@_loss_node("GOL")
def _gumbel_optimized(node: CN) -> None:
    # GumbelOptimizedLoss (GOL; Alexandridis et al., ECCV 2022).
    # Which negatives of rare categories have no loss. "drop": those in proposals of other categories, and at random
    # those in background (DropLoss, the authors' choice). "eql": those in proposals of other categories. "none": all
    # have a loss; the choice for image classifiers, which have no background.
    node.WEIGHTING = "drop"
    # lambda >= 0, as in EQL; the authors' value for LVIS v1. WEIGHTING "none" does not use it.
    node.LAMBDA = 1.1e-3
    # "gumbel", exp(-exp(-z)), or "sigmoid".
    node.ACTIVATION = "gumbel"
    # In (0, 1), initial probability. The default gives the authors' bias for LVIS, -2.75.
    node.PRIOR = 1.6e-7


@_loss_node("LOGIT_ADJUSTED")
def _logit_adjusted(node: CN) -> None:
    # LogitAdjustedLoss (Menon et al., ICLR 2021).
    # tau >= 0, factor of the logarithm of a category's share in the instances of DATASETS.TRAIN, which is added to its
    # logit in training. 0 gives cross-entropy, 1 (the paper's) gives BalancedSoftmaxLoss.
    node.TAU = 1.0


@_loss_node("LDAM")
def _ldam(node: CN) -> None:
    # LDAMLoss with deferred re-weighting (LDAM-DRW; Cao et al., NeurIPS 2019).
    # >= 0, margin of the rarest category in DATASETS.TRAIN, as a difference of cosines.
    node.MAX_MARGIN = 0.5
    # s > 0, factor of the margins. Set it to CLS_PREDICTOR.TEMPERATURE. The paper uses 30 for both.
    node.SCALE = 20.0
    # beta in [0, 1), as in CLASS_BALANCED_FOCAL, for the weights of the categories. 0: no re-weighting.
    node.BETA = 0.9999
    # Integer >= 0, number of iterations before the categories are weighted. Published: 80 % of the training, where the
    # learning rate decays for the first time.
    node.START_ITER = 0
    # > 0: START_ITER in epochs, as PCB.START_EPOCH.
    node.START_EPOCH = 0.0


@_loss_node("IIF")
def _inverse_image_frequency(node: CN) -> None:
    # InverseImageFrequencyLoss (IIF; Alexandridis et al., IEEE TIP 2023). It multiplies the logit of each category by a
    # weight that decreases with the frequency p of the category.
    # Link function, which computes the weight: "raw", -ln p, the authors' choice for LVIS, "smooth", "prob", "normit",
    # "gombit", "base2" or "base10". Links that give a category a weight <= 0 are refused: "prob" and "normit" for
    # p >= 1/2, "gombit" for p > 0.63, "raw", "base2" and "base10" for p = 1. Weights near 0 hinder the training of
    # categories in nearly all images. The weights of "smooth" are at least 1.
    node.LINK = "raw"
    # "images": p is the share of the images in DATASETS.TRAIN with the category. "instances": its share of the
    # instances.
    node.COUNTS = "images"


@_loss_node("LOCE")
def _equilibrium(node: CN) -> None:
    # EquilibriumLoss (LOCE; Feng et al., ICCV 2021), without the feature memory of the paper.
    # alpha in [0, 1), momentum of the mean score of a category for each object of the category.
    node.ALPHA = 0.9
    # > 0, constant mean score of background. Only BACKGROUND "class" uses it.
    node.BACKGROUND_SCORE = 0.01


@_loss_node("BAGS")
def _balanced_group_softmax(node: CN) -> None:
    # BalancedGroupSoftmaxLoss (BAGS; Li et al., CVPR 2020).
    # Increasing instance counts that divide the categories of DATASETS.TRAIN into groups: [0, 10), [10, 100), ...
    node.BINS = [10, 100, 1000]
    # beta > 0. For each proposal of its own categories, a group is trained on beta other proposals.
    node.BETA = 8.0


@_loss_node("FOCAL")
def _focal(node: CN) -> None:
    # FocalLoss (Lin et al., ICCV 2017).
    # gamma >= 0, exponent of the modulating factor. 0 turns the factor off.
    node.GAMMA = 2.0
    # alpha in (0, 1), weight of positives. Negatives have the weight 1 - alpha.
    node.ALPHA = 0.25
    node.PRIOR = 0.01


@_loss_node("CLASS_BALANCED_FOCAL")
def _class_balanced_focal(node: CN) -> None:
    # ClassBalancedFocalLoss (Cui et al., CVPR 2019).
    # beta in [0, 1), parameter of the effective number of samples, which is computed from the instances in
    # DATASETS.TRAIN. 0 weights all categories equally. Values near 1 weight them by inverse frequency. BETA and GAMMA
    # are the paper's values for large image classification data sets. With them the training of a detector does not
    # converge (glyphs: box AP 0.2 with 0.999); use 0.9.
    node.BETA = 0.999
    # gamma >= 0, as in FOCAL.
    node.GAMMA = 0.5
    node.PRIOR = 0.01


@_loss_node("FEDERATED")
def _federated(node: CN) -> None:
    # FederatedLoss (Zhou et al., CenterNet2, 2021). BACKGROUND "implicit" gives a sigmoid, "class" a softmax.
    # Integer >= 1, number of categories that a batch is trained on: those in the batch and randomly drawn others.
    node.NUM_SAMPLED = 50
    # >= 0. A category is drawn with a probability proportional to its number of images in DATASETS.TRAIN to this power.
    node.POWER = 0.5
    node.PRIOR = 0.01


@_loss_node("PCB")
def _pairwise_class_balance(node: CN) -> None:
    # PairwiseClassBalance (PCB; He et al., CVPR 2022). It wraps another loss and trains it with soft labels, which it
    # computes from the confusion between categories.
    # The wrapped loss: "SeesawLoss", "CrossEntropyLoss" or "EqualizationLossV2". It is configured by its own keys.
    node.LOSS = "SeesawLoss"
    # alpha in [0, 1], weight of the soft labels. Published: 0.05 with Seesaw Loss, 0.2 with EQL v2, 0.4 with
    # cross-entropy.
    node.ALPHA = 0.05
    # In [0, 1), momentum of the moving average in each row of the confusion matrix.
    node.MOMENTUM = 0.99
    # Integer >= 0, number of iterations before soft labels are used. Until then only the matrix is updated. Published:
    # 2 / 3 of the training (16 of 24 epochs), where the learning rate decays for the first time.
    node.START_ITER = 0
    # > 0: START_ITER in epochs. It needs SOLVER.EPOCHS, and START_ITER is computed from it. 0: use START_ITER.
    node.START_EPOCH = 0.0
    # While some categories have had no proposal: "wait" uses hard labels (as the reference) and logs the missing
    # categories; "ignore" uses soft labels in which these categories have no share.
    node.UNSEEN = "wait"
    # > 0, in 10^6 bytes: largest allowed confusion matrix (4 C^2 bytes). It takes 5.8 for LVIS v1 and 697 for 13,204
    # categories.
    node.MAX_MATRIX_MB = 256.0
