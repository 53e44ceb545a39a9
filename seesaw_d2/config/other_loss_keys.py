"""Config keys of all losses except Seesaw Loss, below MODEL.ROI_BOX_HEAD.CLS_LOSS. Each loss has one node.

In every node PRIOR, in (0, 1), is the initial probability of each sigmoid. It sets the initial bias of the classifier.
"""

from collections.abc import Callable

from detectron2.config import CfgNode as CN

# Maps the name of a node to the function that adds its keys.
_NODES: dict[str, Callable[[CN], None]] = {}


def add_other_losses(cls_loss: CN) -> None:
    """Add one node for each loss to MODEL.ROI_BOX_HEAD.CLS_LOSS, in place."""
    for name, add_keys in _NODES.items():
        cls_loss[name] = CN()
        add_keys(cls_loss[name])


def _loss_node(name: str) -> Callable[[Callable[[CN], None]], Callable[[CN], None]]:
    """Return a decorator that registers a function, which adds the keys of the node ``name``."""

    def register(add_keys: Callable[[CN], None]) -> Callable[[CN], None]:
        _NODES[name] = add_keys
        return add_keys

    return register


@_loss_node("EQL")
def _equalization(node: CN) -> None:
    # EqualizationLoss (Tan et al., CVPR 2020).
    # lambda >= 0. Categories with a frequency below lambda are tail categories. The frequency of a category is (number
    # of images with the category) / (number of annotated images) in DATASETS.TRAIN. The default is the paper's value
    # for LVIS v0.5. In LVIS v1, 1.1e-3 gives the same share of tail categories.
    node.LAMBDA = 1.77e-3
    node.PRIOR = 0.001


@_loss_node("SOFTMAX_EQL")
def _softmax_equalization(node: CN) -> None:
    # SoftmaxEqualizationLoss (Tan et al., CVPR 2020), the variant of EQL for image classification.
    # lambda >= 0, as in EQL. The default corresponds to 50 of the 115,846 images of ImageNet-LT.
    node.LAMBDA = 4.3e-4
    # gamma in [0, 1], probability that the softmax excludes a tail class for an image of a different class. 0 gives
    # cross-entropy.
    node.GAMMA = 0.9


@_loss_node("EQL_V2")
def _equalization_v2(node: CN) -> None:
    # EqualizationLossV2 (Tan et al., CVPR 2021).
    # gamma > 0, slope, and mu >= 0, midpoint, of the function that maps gradient ratios to weights (equation 4).
    node.GAMMA = 12.0
    node.MU = 0.8
    # alpha >= 0. Positive samples of categories with a small gradient ratio have a weight up to 1 + alpha (equation 5).
    node.ALPHA = 4.0
    node.PRIOR = 0.001


@_loss_node("ECM")
def _effective_class_margin(node: CN) -> None:
    # EffectiveClassMarginLoss (Cho and Krähenbühl, ECCV 2022).
    # Number > 0 of background samples for each instance in DATASETS.TRAIN. The default is the reference's value for
    # LVIS v1.
    node.BACKGROUND_RATIO = 6.3313
    node.PRIOR = 0.001


@_loss_node("GOL")
def _gumbel_optimized(node: CN) -> None:
    # GumbelOptimizedLoss (GOL; Alexandridis et al., ECCV 2022).
    # Negative samples of rare categories that have no loss. "drop": all in proposals of other categories, and a random
    # part in background proposals (DropLoss, used by the authors). "eql": all in proposals of other categories. "none":
    # every sample has a loss. Image classifiers have no background and need "none".
    node.WEIGHTING = "drop"
    # lambda >= 0, as in EQL. The default is the authors' value for LVIS v1. WEIGHTING "none" ignores this key.
    node.LAMBDA = 1.1e-3
    # Activation function: "gumbel", exp(-exp(-z)), or "sigmoid".
    node.ACTIVATION = "gumbel"
    # Number in (0, 1), initial probability. The default gives the authors' bias for LVIS, -2.75.
    node.PRIOR = 1.6e-7


@_loss_node("LOGIT_ADJUSTED")
def _logit_adjusted(node: CN) -> None:
    # LogitAdjustedLoss (Menon et al., ICLR 2021).
    # tau >= 0. In training, tau times the logarithm of a category's share in the instances of DATASETS.TRAIN is added
    # to the logit of the category. 0 gives cross-entropy. 1, the paper's value, gives BalancedSoftmaxLoss.
    node.TAU = 1.0


@_loss_node("LDAM")
def _ldam(node: CN) -> None:
    # LDAMLoss with deferred re-weighting (LDAM-DRW; Cao et al., NeurIPS 2019).
    # Number >= 0, margin of the rarest category in DATASETS.TRAIN, as a difference of cosines.
    node.MAX_MARGIN = 0.5
    # s > 0, factor of the margins. It must equal CLS_PREDICTOR.TEMPERATURE. The paper uses 30 for both keys.
    node.SCALE = 20.0
    # beta in [0, 1) of the category weights, as in CLASS_BALANCED_FOCAL. 0 disables re-weighting.
    node.BETA = 0.9999
    # Integer >= 0, number of iterations without re-weighting. The paper uses 80 % of the training, the first decay of
    # the learning rate.
    node.START_ITER = 0
    # If > 0, START_ITER is computed from this number of epochs. Requires SOLVER.EPOCHS. 0: use START_ITER.
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
    # Increasing instance counts, which divide the categories of DATASETS.TRAIN into groups: [0, 10), [10, 100), ....
    node.BINS = [10, 100, 1000]
    # beta > 0. A group is trained on beta other proposals for each proposal of the group's categories.
    node.BETA = 8.0


@_loss_node("FOCAL")
def _focal(node: CN) -> None:
    # FocalLoss (Lin et al., ICCV 2017).
    # gamma >= 0, exponent of the modulating factor. 0 disables the factor.
    node.GAMMA = 2.0
    # alpha in (0, 1), weight of positive samples. Negative samples have the weight 1 - alpha.
    node.ALPHA = 0.25
    node.PRIOR = 0.01


@_loss_node("CLASS_BALANCED_FOCAL")
def _class_balanced_focal(node: CN) -> None:
    # ClassBalancedFocalLoss (Cui et al., CVPR 2019).
    # beta in [0, 1), parameter of the effective number of samples, which is computed from the number of instances in
    # DATASETS.TRAIN. 0 weights all categories equally. Values near 1 weight them by inverse frequency. The defaults of
    # BETA and GAMMA are the paper's values for large image classification datasets. For a detector use BETA 0.9,
    # because training with 0.999 does not converge (box AP 0.2 on glyphs).
    node.BETA = 0.999
    # gamma >= 0, as in FOCAL.
    node.GAMMA = 0.5
    node.PRIOR = 0.01


@_loss_node("FEDERATED")
def _federated(node: CN) -> None:
    # FederatedLoss (Zhou et al., CenterNet2, 2021). BACKGROUND "implicit" selects sigmoids, "class" selects a softmax.
    # Integer >= 1, number of categories in the loss of a batch: the categories in the batch and randomly drawn others.
    node.NUM_SAMPLED = 50
    # Number >= 0. The probability to draw a category is proportional to (number of its images in DATASETS.TRAIN)^POWER.
    node.POWER = 0.5
    node.PRIOR = 0.01


@_loss_node("PCB")
def _pairwise_class_balance(node: CN) -> None:
    # PairwiseClassBalance (PCB; He et al., CVPR 2022), a wrapper that trains another loss with soft labels. The soft
    # labels are computed from the confusion between categories.
    # The wrapped loss: "SeesawLoss", "CrossEntropyLoss" or "EqualizationLossV2". The keys of that loss configure it.
    node.LOSS = "SeesawLoss"
    # alpha in [0, 1], weight of the soft labels. The paper uses 0.05 with Seesaw Loss, 0.2 with EQL v2 and 0.4 with
    # cross-entropy.
    node.ALPHA = 0.05
    # Number in [0, 1), momentum of the moving average in each row of the confusion matrix.
    node.MOMENTUM = 0.99
    # Integer >= 0, number of iterations with hard labels. These iterations only update the confusion matrix. The paper
    # uses 2 / 3 of the training (16 of 24 epochs), the first decay of the learning rate.
    node.START_ITER = 0
    # If > 0, START_ITER is computed from this number of epochs. Requires SOLVER.EPOCHS. 0: use START_ITER.
    node.START_EPOCH = 0.0
    # Labels while some categories have not had a proposal. "wait": use hard labels, as the reference does, and log the
    # missing categories. "ignore": use soft labels, in which the missing categories have the value 0.
    node.UNSEEN = "wait"
    # Number > 0, largest allowed size of the confusion matrix, in 10^6 bytes. The matrix needs 4 C^2 bytes, which is
    # 5.8 for LVIS v1 and 697 for 13,204 categories.
    node.MAX_MATRIX_MB = 256.0
