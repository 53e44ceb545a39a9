"""Declare the config keys of all losses except Seesaw Loss. MODEL.ROI_BOX_HEAD.CLS_LOSS has a node for each loss.

PRIOR, a number in (0, 1), has the same meaning in each node: the initial bias of the classifier is chosen so that each
sigmoid has the initial value PRIOR.
"""

from collections.abc import Callable

from detectron2.config import CfgNode as CN

# Maps the name of each node to the function that adds the keys of the node.
_NODES: dict[str, Callable[[CN], None]] = {}


def add_other_losses(cls_loss: CN) -> None:
    """Add one node for each loss to MODEL.ROI_BOX_HEAD.CLS_LOSS, in place."""
    for name, add_keys in _NODES.items():
        cls_loss[name] = CN()
        add_keys(cls_loss[name])


def _loss_node(name: str) -> Callable[[Callable[[CN], None]], Callable[[CN], None]]:
    """Return a decorator for the function that adds the keys of the node ``name``."""

    def register(add_keys: Callable[[CN], None]) -> Callable[[CN], None]:
        _NODES[name] = add_keys
        return add_keys

    return register


@_loss_node("EQL")
def _equalization(node: CN) -> None:
    # EqualizationLoss (Tan et al., CVPR 2020).
    # lambda >= 0. Categories with a frequency below lambda are tail categories. The frequency of a category is the
    # share of the annotated images in DATASETS.TRAIN that contain the category. The default is the paper's value for
    # LVIS v0.5. For LVIS v1, the value 1.1e-3 gives the same share of tail categories.
    node.LAMBDA = 1.77e-3
    node.PRIOR = 0.001


@_loss_node("SOFTMAX_EQL")
def _softmax_equalization(node: CN) -> None:
    # SoftmaxEqualizationLoss (Tan et al., CVPR 2020), the variant of EQL for image classification.
    # lambda >= 0, as in EQL. With the default, classes with fewer than 50 of the 115,846 images of ImageNet-LT are tail
    # classes.
    node.LAMBDA = 4.3e-4
    # gamma in [0, 1], probability that the softmax excludes a tail class for an image of a different class. 0 gives
    # cross-entropy.
    node.GAMMA = 0.9


@_loss_node("EQL_V2")
def _equalization_v2(node: CN) -> None:
    # EqualizationLossV2 (Tan et al., CVPR 2021).
    # A sigmoid maps the gradient ratio of a category to weights (equation 4). gamma > 0 is the slope of the sigmoid.
    node.GAMMA = 12.0
    # mu >= 0, gradient ratio at which the sigmoid is 1/2.
    node.MU = 0.8
    # alpha >= 0. The weight of positive samples is between 1 and 1 + alpha (equation 5). Categories with a small
    # gradient ratio have large weights.
    node.ALPHA = 4.0
    node.PRIOR = 0.001


@_loss_node("ECM")
def _effective_class_margin(node: CN) -> None:
    # EffectiveClassMarginLoss (Cho and Krähenbühl, ECCV 2022).
    # Number > 0, ratio of background samples to instances in DATASETS.TRAIN. The default is the reference's value for
    # LVIS v1.
    node.BACKGROUND_RATIO = 6.3313
    node.PRIOR = 0.001


@_loss_node("GOL")
def _gumbel_optimized(node: CN) -> None:
    # GumbelOptimizedLoss (GOL; Alexandridis et al., ECCV 2022).
    # Which negative samples of rare categories the loss ignores. "eql": the samples in proposals of other categories.
    # "drop": also a random part of the samples in background proposals (DropLoss, used by the authors). "none": the
    # loss uses all samples. Image classifiers need "none", because they have no background.
    node.WEIGHTING = "drop"
    # lambda >= 0. Categories with a frequency (see EQL) below lambda are rare. The default is the authors' value for
    # LVIS v1. WEIGHTING "none" ignores this key.
    node.LAMBDA = 1.1e-3
    # Activation function: "gumbel", exp(-exp(-z)), or "sigmoid".
    node.ACTIVATION = "gumbel"
    # Initial value of the activation, in (0, 1). The default corresponds to the authors' initial bias for LVIS, -2.75.
    node.PRIOR = 1.6e-7


@_loss_node("LOGIT_ADJUSTED")
def _logit_adjusted(node: CN) -> None:
    # LogitAdjustedLoss (Menon et al., ICLR 2021).
    # tau >= 0. Training adds tau * log(share of the category in the instances of DATASETS.TRAIN) to the logit of each
    # category. 0 gives cross-entropy. 1, the paper's value, gives BalancedSoftmaxLoss.
    node.TAU = 1.0


@_loss_node("LDAM")
def _ldam(node: CN) -> None:
    # LDAMLoss with deferred re-weighting (LDAM-DRW; Cao et al., NeurIPS 2019).
    # Number >= 0, margin of the rarest category in DATASETS.TRAIN. Training subtracts the margin from the cosine of the
    # features and the weights of the correct category.
    node.MAX_MARGIN = 0.5
    # s > 0, scale that converts margins of cosines to margins of logits. SCALE must equal CLS_PREDICTOR.TEMPERATURE.
    # The paper uses 30 for both keys.
    node.SCALE = 20.0
    # beta in [0, 1), parameter of the category weights, as in CLASS_BALANCED_FOCAL. 0 disables re-weighting.
    node.BETA = 0.9999
    # Integer >= 0, number of iterations without re-weighting. The paper starts re-weighting at the first decay of the
    # learning rate, after 80 % of the training.
    node.START_ITER = 0
    # Number >= 0. If > 0, START_ITER is computed from this number of epochs, which requires SOLVER.EPOCHS. 0: use
    # START_ITER.
    node.START_EPOCH = 0.0


@_loss_node("IIF")
def _inverse_image_frequency(node: CN) -> None:
    # InverseImageFrequencyLoss (IIF; Alexandridis et al., IEEE TIP 2023). The loss multiplies the logit of each
    # category by a weight that decreases with the frequency p of the category.
    # Link function, which computes the weight from p: "raw" (-ln p, the authors' choice for LVIS), "smooth", "prob",
    # "normit", "gombit", "base2" or "base10". A weight <= 0 raises an error. "prob", "normit": p >= 1/2 has such a
    # weight. "gombit": p > 0.63. "raw", "base2", "base10": p = 1. "smooth": weights are at least 1. A weight near 0
    # hinders the training of the category.
    node.LINK = "raw"
    # Definition of p. "images": the share of the images in DATASETS.TRAIN that contain the category. "instances": the
    # share of the category in the instances.
    node.COUNTS = "images"


@_loss_node("LOCE")
def _equilibrium(node: CN) -> None:
    # EquilibriumLoss (LOCE; Feng et al., ICCV 2021), without the feature memory of the paper.
    # alpha in [0, 1), momentum of the mean score of a category. Each object of the category updates the mean once.
    node.ALPHA = 0.9
    # Number > 0, constant mean score of background. Only BACKGROUND "class" uses this key.
    node.BACKGROUND_SCORE = 0.01


@_loss_node("BAGS")
def _balanced_group_softmax(node: CN) -> None:
    # BalancedGroupSoftmaxLoss (BAGS; Li et al., CVPR 2020).
    # Increasing numbers > 0. They divide the categories into groups by their instance counts in DATASETS.TRAIN. The
    # default gives groups with counts in [0, 10), [10, 100), [100, 1000) and [1000, inf).
    node.BINS = [10, 100, 1000]
    # beta > 0, ratio of other proposals to proposals of a category of the group, on which the softmax of the group is
    # trained.
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
    # beta in [0, 1). A category with n instances in DATASETS.TRAIN has a weight proportional to (1 - beta) /
    # (1 - beta^n). 0 gives equal weights. Values near 1 give weights near the inverse frequency. The defaults of BETA
    # and GAMMA are the paper's values for large image classification datasets. For a detector use BETA 0.9, because
    # training with 0.999 does not converge (box AP 0.2 on the glyphs dataset).
    node.BETA = 0.999
    # gamma >= 0, as in FOCAL.
    node.GAMMA = 0.5
    node.PRIOR = 0.01


@_loss_node("FEDERATED")
def _federated(node: CN) -> None:
    # FederatedLoss (Zhou et al., CenterNet2, 2021). BACKGROUND "implicit" selects sigmoids, "class" selects a softmax.
    # Integer >= 1, number of categories in the loss of a batch. If the batch contains fewer categories, the other
    # categories are drawn randomly.
    node.NUM_SAMPLED = 50
    # Number >= 0. The probability to draw a category with n images in DATASETS.TRAIN is proportional to n^POWER.
    node.POWER = 0.5
    node.PRIOR = 0.01


@_loss_node("PCB")
def _pairwise_class_balance(node: CN) -> None:
    # PairwiseClassBalance (PCB; He et al., CVPR 2022), a wrapper that trains another loss with soft labels. The soft
    # labels are computed from the confusion matrix of the categories.
    # The wrapped loss: "SeesawLoss", "CrossEntropyLoss" or "EqualizationLossV2". Its own config keys apply.
    node.LOSS = "SeesawLoss"
    # alpha in [0, 1], weight of the soft labels. The paper uses 0.05 with Seesaw Loss, 0.2 with EQL v2 and 0.4 with
    # cross-entropy.
    node.ALPHA = 0.05
    # Number in [0, 1), momentum of the moving average in each row of the confusion matrix.
    node.MOMENTUM = 0.99
    # Integer >= 0, number of iterations with hard labels. These iterations only update the confusion matrix. The paper
    # starts with soft labels at the first decay of the learning rate, after 16 of 24 epochs.
    node.START_ITER = 0
    # Number >= 0. If > 0, START_ITER is computed from this number of epochs, which requires SOLVER.EPOCHS. 0: use
    # START_ITER.
    node.START_EPOCH = 0.0
    # Which labels to use until every category has had a proposal. "wait": use hard labels, as the reference
    # does, and log the missing categories. "ignore": use soft labels, in which missing categories have the value 0.
    node.UNSEEN = "wait"
    # Number > 0, largest allowed size of the confusion matrix, in 10^6 bytes. The matrix of C categories needs 4 C^2
    # bytes: 5.8 * 10^6 bytes for LVIS v1, 697 * 10^6 bytes for 13,204 categories.
    node.MAX_MATRIX_MB = 256.0
