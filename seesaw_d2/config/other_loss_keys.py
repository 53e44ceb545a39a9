"""Declare the config keys of all losses except Seesaw Loss. MODEL.ROI_BOX_HEAD.CLS_LOSS has a node for each loss.

Each comment describes the key below it. Equations and values are those of the paper in the first comment of the node.
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
    # EqualizationLoss (EQL; Tan et al., CVPR 2020).

    # Number >= 0. Frequency lambda below which a category is a tail category. The frequency of a category is the share
    # of the annotated images in DATASETS.TRAIN that contain the category. The default is the paper's value for LVIS
    # v0.5. In LVIS v1, 1.1e-3 selects the same share of categories as this value in v0.5.
    node.LAMBDA = 1.77e-3
    # Number in (0, 1). Initial probability of each category, from which the initial bias of the classifier is computed.
    node.PRIOR = 0.001


@_loss_node("SOFTMAX_EQL")
def _softmax_equalization(node: CN) -> None:
    # SoftmaxEqualizationLoss (Tan et al., CVPR 2020), the variant of EQL for image classification.

    # Number >= 0. Frequency lambda below which a class is a tail class. The frequency of a class is the share of the
    # training images that belong to the class. With the default, the classes with fewer than 50 of the 115,846 images
    # of ImageNet-LT are tail classes.
    node.LAMBDA = 4.3e-4
    # Number in [0, 1]. Probability gamma that the softmax for an image excludes a tail class to which the image does
    # not belong. The value 0 gives cross-entropy.
    node.GAMMA = 0.9


@_loss_node("EQL_V2")
def _equalization_v2(node: CN) -> None:
    # EqualizationLossV2 (EQL v2; Tan et al., CVPR 2021). The gradient ratio of a category is the sum of the
    # gradients of positive samples divided by the sum of the gradients of negative samples. A sigmoid of this ratio
    # determines the weights of the samples (equation 4).

    # Number > 0. Slope gamma of the sigmoid.
    node.GAMMA = 12.0
    # Number >= 0. Gradient ratio mu at which the sigmoid is 1/2.
    node.MU = 0.8
    # Number >= 0. Parameter alpha of the weight of positive samples, which is between 1 and 1 + alpha (equation 5).
    # Categories with a small gradient ratio have large weights.
    node.ALPHA = 4.0
    # Number in (0, 1). Initial probability of each category, from which the initial bias of the classifier is computed.
    node.PRIOR = 0.001


@_loss_node("ECM")
def _effective_class_margin(node: CN) -> None:
    # EffectiveClassMarginLoss (ECM; Cho and Krähenbühl, ECCV 2022).

    # Number > 0. Ratio of background samples to instances in DATASETS.TRAIN. The default is the authors' value for LVIS
    # v1.
    node.BACKGROUND_RATIO = 6.3313
    # Number in (0, 1). Initial probability of each category, from which the initial bias of the classifier is computed.
    node.PRIOR = 0.001


@_loss_node("GOL")
def _gumbel_optimized(node: CN) -> None:
    # GumbelOptimizedLoss (GOL; Alexandridis et al., ECCV 2022).

    # String. Negative samples of rare categories that the loss ignores.
    #   "eql": the samples in proposals of other categories.
    #   "drop": also a random part of the samples in background proposals (DropLoss, used by the authors).
    #   "none": no samples. Image classifiers require this value, because they have no background.
    node.WEIGHTING = "drop"
    # Number >= 0. Frequency lambda below which a category is rare, with the same definition of frequency as EQL.LAMBDA.
    # The default is the authors' value for LVIS v1. WEIGHTING "none" does not use this key.
    node.LAMBDA = 1.1e-3
    # String. Activation function that maps a logit z to a score: "gumbel", exp(-exp(-z)), or "sigmoid".
    node.ACTIVATION = "gumbel"
    # Number in (0, 1). Initial value of the activation, which determines the initial bias of the classifier. The
    # default corresponds to the authors' initial bias for LVIS, -2.75.
    node.PRIOR = 1.6e-7


@_loss_node("LOGIT_ADJUSTED")
def _logit_adjusted(node: CN) -> None:
    # LogitAdjustedLoss (Menon et al., ICLR 2021).

    # Number >= 0. Parameter tau. Training adds tau * log p to the logit of a category, where p is the share of the
    # instances in DATASETS.TRAIN that belong to the category. The value 0 gives cross-entropy. The value 1, which the
    # paper uses, gives BalancedSoftmaxLoss.
    node.TAU = 1.0


@_loss_node("LDAM")
def _ldam(node: CN) -> None:
    # LDAMLoss with deferred re-weighting (LDAM-DRW; Cao et al., NeurIPS 2019).

    # Number >= 0. Margin of the rarest category in DATASETS.TRAIN. Training subtracts the margin of the correct
    # category from the cosine between the features and the weights of this category.
    node.MAX_MARGIN = 0.5
    # Number > 0. Scale s that converts margins of cosines to margins of logits. It must equal
    # MODEL.ROI_BOX_HEAD.CLS_PREDICTOR.TEMPERATURE. The paper uses 30 for both keys.
    node.SCALE = 20.0
    # Number in [0, 1). Parameter beta of the category weights, with the same formula as CLASS_BALANCED_FOCAL.BETA. The
    # value 0 disables re-weighting.
    node.BETA = 0.9999
    # Integer >= 0. Number of iterations without re-weighting. The paper starts re-weighting at the first decay of the
    # learning rate, after 80 % of the training.
    node.START_ITER = 0
    # Number >= 0. Number of epochs without re-weighting. If > 0, this number replaces START_ITER and
    # requires SOLVER.EPOCHS. If 0, START_ITER applies.
    node.START_EPOCH = 0.0


@_loss_node("IIF")
def _inverse_image_frequency(node: CN) -> None:
    # InverseImageFrequencyLoss (IIF; Alexandridis et al., IEEE TIP 2023). The loss multiplies the logit of each
    # category by a weight that decreases with the frequency p of the category.

    # String. Link function, which computes the weight from p. A weight <= 0 raises an error. A weight near 0 hinders
    # the training of the category.
    #   "raw": -ln p, the authors' choice for LVIS. The weight is > 0 if p < 1.
    #   "base2", "base10": -log2 p and -log10 p, also > 0 if p < 1.
    #   "prob": ln((1 - p) / p), > 0 if p < 1/2.
    #   "normit": minus the p-quantile of the standard normal distribution, > 0 if p < 1/2.
    #   "gombit": -ln(-ln(1 - p)), > 0 if p < 0.63.
    #   "smooth": 1 + ln((N + 1) / (n + 1)), >= 1, for a category with n of the N images or instances.
    node.LINK = "raw"
    # String. Definition of the frequency p of a category.
    #   "images": the share of the images in DATASETS.TRAIN that contain the category.
    #   "instances": the share of the instances in DATASETS.TRAIN that belong to the category.
    node.COUNTS = "images"


@_loss_node("LOCE")
def _equilibrium(node: CN) -> None:
    # EquilibriumLoss (LOCE; Feng et al., ICCV 2021), without the feature memory of the paper.

    # Number in [0, 1). Momentum alpha of the mean score of a category. Each object of the category updates the mean
    # score once.
    node.ALPHA = 0.9
    # Number > 0. Constant mean score of background. Only CLS_LOSS.BACKGROUND "class" uses this key.
    node.BACKGROUND_SCORE = 0.01


@_loss_node("BAGS")
def _balanced_group_softmax(node: CN) -> None:
    # BalancedGroupSoftmaxLoss (BAGS; Li et al., CVPR 2020). The authors train only the classifier of a detector, with
    # SOLVER.BASE_LR 0.01 for 16 images. A training of the whole detector may need a lower rate than cross-entropy.

    # List of increasing numbers > 0. Instance counts in DATASETS.TRAIN that separate the groups of categories. With the
    # default, the groups have counts in [0, 10), [10, 100), [100, 1000) and [1000, inf).
    node.BINS = [10, 100, 1000]
    # Number > 0. Ratio beta of the samples that train the softmax of a group: proposals outside the group to proposals
    # of categories in the group.
    node.BETA = 8.0


@_loss_node("FOCAL")
def _focal(node: CN) -> None:
    # FocalLoss (Lin et al., ICCV 2017).

    # Number >= 0. Exponent gamma of the modulating factor. The value 0 disables the factor.
    node.GAMMA = 2.0
    # Number in (0, 1). Weight alpha of positive samples. Negative samples have the weight 1 - alpha.
    node.ALPHA = 0.25
    # Number in (0, 1). Initial probability of each category, from which the initial bias of the classifier is computed.
    node.PRIOR = 0.01


@_loss_node("CLASS_BALANCED_FOCAL")
def _class_balanced_focal(node: CN) -> None:
    # ClassBalancedFocalLoss (Cui et al., CVPR 2019). The defaults of BETA and GAMMA are the paper's values for large
    # image classification datasets.

    # Number in [0, 1). Parameter beta of the category weights. A category with n instances in DATASETS.TRAIN has a
    # weight proportional to (1 - beta) / (1 - beta^n). The value 0 gives equal weights. Values near 1 give weights near
    # the inverse frequency. For a detector use 0.9, because training with 0.999 does not converge (box AP 0.2 on the
    # glyphs dataset).
    node.BETA = 0.999
    # Number >= 0. Exponent gamma of the modulating factor. The value 0 disables the factor.
    node.GAMMA = 0.5
    # Number in (0, 1). Initial probability of each category, from which the initial bias of the classifier is computed.
    node.PRIOR = 0.01


@_loss_node("FEDERATED")
def _federated(node: CN) -> None:
    # FederatedLoss (Zhou et al., CenterNet2, 2021). CLS_LOSS.BACKGROUND "implicit" selects sigmoids, "class" selects a
    # softmax.

    # Integer >= 1. Number of categories in the loss of a batch. If the batch contains fewer categories, the loss draws
    # the missing categories randomly.
    node.NUM_SAMPLED = 50
    # Number >= 0. Exponent of the drawing probability. A category with n images in DATASETS.TRAIN is drawn with a
    # probability proportional to n^POWER.
    node.POWER = 0.5
    # Number in (0, 1). Initial probability of each category, from which the initial bias of the classifier is computed.
    node.PRIOR = 0.01


@_loss_node("PCB")
def _pairwise_class_balance(node: CN) -> None:
    # PairwiseClassBalance (PCB; He et al., CVPR 2022), a wrapper that trains another loss with soft labels. The soft
    # labels are computed from the confusion matrix of the categories.

    # String. The wrapped loss: "SeesawLoss", "CrossEntropyLoss" or "EqualizationLossV2". The config keys of the wrapped
    # loss apply.
    node.LOSS = "SeesawLoss"
    # Number in [0, 1]. Weight alpha of the soft labels. The paper uses 0.05 with Seesaw Loss, 0.2 with EQL v2 and 0.4
    # with cross-entropy.
    node.ALPHA = 0.05
    # Number in [0, 1). Momentum of the moving average in each row of the confusion matrix.
    node.MOMENTUM = 0.99
    # Integer >= 0. Number of iterations with hard labels. These iterations only update the confusion matrix. The paper
    # starts to use soft labels at the first decay of the learning rate, after 16 of 24 epochs.
    node.START_ITER = 0
    # Number >= 0. Number of epochs with hard labels. If > 0, this number replaces START_ITER and requires
    # SOLVER.EPOCHS. If 0, START_ITER applies.
    node.START_EPOCH = 0.0
    # String. Labels after START_ITER or START_EPOCH, until every category has had a proposal.
    #   "wait": hard labels, as in the authors' code. The log names the categories without a proposal.
    #   "ignore": soft labels with the value 0 for categories without a proposal.
    node.UNSEEN = "wait"
    # Number > 0. Largest allowed size of the confusion matrix, in 10^6 bytes. The matrix of C categories needs 4 C^2
    # bytes: 5.8 * 10^6 bytes for LVIS v1, 697 * 10^6 bytes for 13,204 categories.
    node.MAX_MATRIX_MB = 256.0
