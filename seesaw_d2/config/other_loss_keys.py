"""Declare the config keys of all losses except Seesaw Loss. MODEL.ROI_BOX_HEAD.CLS_LOSS has a node for each loss.

Each comment describes the key below it. Equations are those of the paper in the first comment of the node.
"""

from collections.abc import Callable

from detectron2.config import CfgNode as CN

# Maps the name of each loss node, such as "EQL", to the function that adds its keys. ``_loss_node`` fills this dict.
_NODES: dict[str, Callable[[CN], None]] = {}


def add_other_losses(cls_loss: CN) -> None:
    """Add a node with config keys for each loss, such as EQL, to MODEL.ROI_BOX_HEAD.CLS_LOSS, in place."""
    for name, add_keys in _NODES.items():
        cls_loss[name] = CN()
        add_keys(cls_loss[name])


def _loss_node(name: str) -> Callable[[Callable[[CN], None]], Callable[[CN], None]]:
    """Return a decorator that registers a function in ``_NODES``. The function adds the keys of the node ``name``."""

    def register(add_keys: Callable[[CN], None]) -> Callable[[CN], None]:
        _NODES[name] = add_keys
        return add_keys

    return register


@_loss_node("EQL")
def _equalization(node: CN) -> None:
    # Keys of EqualizationLoss (EQL; Tan et al., CVPR 2020).

    # Number >= 0. Frequency lambda below which a category is a tail category. The logit of a tail category has no loss
    # for proposals of other categories. The frequency is the share of the annotated images in DATASETS.TRAIN that
    # contain the category. The default is the paper's value for LVIS v0.5. In LVIS v1, 1.1e-3 selects the same share of
    # categories.
    node.LAMBDA = 1.77e-3
    # Number in (0, 1). Score of each category at the start of training, which sets the initial bias of the classifier.
    node.PRIOR = 0.001


@_loss_node("SOFTMAX_EQL")
def _softmax_equalization(node: CN) -> None:
    # Keys of SoftmaxEqualizationLoss (Tan et al., CVPR 2020), the variant of EQL for image classification.

    # Number >= 0. Frequency lambda below which a class is a tail class. The frequency of a class is the share of the
    # training images that belong to the class. With the default, the classes with fewer than 50 of the 115,846 images
    # of ImageNet-LT are tail classes.
    node.LAMBDA = 4.3e-4
    # Number in [0, 1]. Probability gamma with which a tail class (frequency below SOFTMAX_EQL.LAMBDA) is excluded from
    # the softmax of an image of another class. The value 0 gives cross-entropy.
    node.GAMMA = 0.9


@_loss_node("EQL_V2")
def _equalization_v2(node: CN) -> None:
    # Keys of EqualizationLossV2 (EQL v2; Tan et al., CVPR 2021). The gradient ratio of a category is the sum of the
    # gradients of its positive samples divided by that of its negative samples, over all previous steps.

    # Number > 0. Slope gamma of the sigmoid that computes the weight of the negative samples of a category from its
    # gradient ratio, positive to negative (equation 4).
    node.GAMMA = 12.0
    # Number >= 0. Gradient ratio mu, positive to negative, at which the negative samples of a category have weight 1/2.
    node.MU = 0.8
    # Number >= 0. Positive samples have weights between 1 and 1 + alpha (equation 5). The weight is large for
    # categories with a small ratio of positive to negative gradients.
    node.ALPHA = 4.0
    # Number in (0, 1). Score of each category at the start of training, which sets the initial bias of the classifier.
    node.PRIOR = 0.001


@_loss_node("ECM")
def _effective_class_margin(node: CN) -> None:
    # Keys of EffectiveClassMarginLoss (ECM; Cho and Krähenbühl, ECCV 2022).

    # Number > 0. The loss treats background as a category with this many samples per instance in DATASETS.TRAIN. The
    # default is the authors' value for LVIS v1.
    node.BACKGROUND_RATIO = 6.3313
    # Number in (0, 1). Score of each category at the start of training, which sets the initial bias of the classifier.
    node.PRIOR = 0.001


@_loss_node("GOL")
def _gumbel_optimized(node: CN) -> None:
    # Keys of GumbelOptimizedLoss (GOL; Alexandridis et al., ECCV 2022).

    # String. Proposals that a rare category (frequency below GOL.LAMBDA) does not get as negative samples.
    #   "eql": proposals of other categories.
    #   "drop": proposals of other categories and a random part of the background (DropLoss, used by the authors).
    #   "none": no proposals. Image classifiers require this value, because they have no background.
    node.WEIGHTING = "drop"
    # Number >= 0. Frequency lambda below which a category is rare. The frequency is the share of the annotated images
    # in DATASETS.TRAIN that contain the category. The default is the authors' value for LVIS v1. GOL.WEIGHTING "none"
    # does not use this key.
    node.LAMBDA = 1.1e-3
    # String. Activation function that maps a logit z to a score: "gumbel", exp(-exp(-z)), or "sigmoid".
    node.ACTIVATION = "gumbel"
    # Number in (0, 1). Predicted score of each category at the start of training, which sets the initial bias of the
    # classifier. The default gives the authors' initial bias for LVIS, -2.75.
    node.PRIOR = 1.6e-7


@_loss_node("LOGIT_ADJUSTED")
def _logit_adjusted(node: CN) -> None:
    # Keys of LogitAdjustedLoss (Menon et al., ICLR 2021).

    # Number >= 0. Factor tau. In training, tau * log p is added to the logit of a category, where p is the share of the
    # instances in DATASETS.TRAIN that belong to the category. The value 0 gives cross-entropy. The value 1, which the
    # paper uses, gives BalancedSoftmaxLoss.
    node.TAU = 1.0


@_loss_node("LDAM")
def _ldam(node: CN) -> None:
    # Keys of LDAMLoss with deferred re-weighting (LDAM-DRW; Cao et al., NeurIPS 2019).

    # Number >= 0. Margin of the rarest category in DATASETS.TRAIN. Others have smaller margins. Training subtracts the
    # margin of the correct category from the cosine between the features and the weights of this category.
    node.MAX_MARGIN = 0.5
    # Number > 0. Scale s that converts margins of cosines to margins of logits. It must equal
    # MODEL.ROI_BOX_HEAD.CLS_PREDICTOR.TEMPERATURE. The paper uses 30 for both keys.
    node.SCALE = 20.0
    # Number in [0, 1). Parameter beta of re-weighting. A category with n instances in DATASETS.TRAIN has a weight
    # proportional to (1 - beta) / (1 - beta^n). The value 0 disables re-weighting.
    node.BETA = 0.9999
    # Integer >= 0. Number of iterations at the start of training without re-weighting, where all categories have the
    # weight 1. The paper starts re-weighting at the first decay of the learning rate, after 80 % of the training.
    node.START_ITER = 0
    # Number >= 0. Number of epochs at the start of training without re-weighting. If > 0, this number replaces
    # START_ITER and requires SOLVER.EPOCHS. If 0, START_ITER applies.
    node.START_EPOCH = 0.0


@_loss_node("IIF")
def _inverse_image_frequency(node: CN) -> None:
    # Keys of InverseImageFrequencyLoss (IIF; Alexandridis et al., IEEE TIP 2023).

    # String. Link function. It computes a weight, by which the loss multiplies the logit of a category, from the
    # frequency p of the category (IIF.COUNTS defines p). Frequent categories get small weights. A weight <= 0 raises an
    # error. A weight near 0 hinders the training of the category.
    #   "raw": -ln p, the authors' choice for LVIS. The weight is > 0 if p < 1.
    #   "base2", "base10": -log2 p and -log10 p, also > 0 if p < 1.
    #   "prob": ln((1 - p) / p), > 0 if p < 1/2.
    #   "normit": minus the p-quantile of the standard normal distribution, > 0 if p < 1/2.
    #   "gombit": -ln(-ln(1 - p)), > 0 if p < 0.63.
    #   "smooth": 1 + ln((N + 1) / (n + 1)), >= 1, for a category with n of the N images or instances.
    node.LINK = "raw"
    # String. Definition of the frequency of a category, from which the link function IIF.LINK computes its weight.
    #   "images": the share of the images in DATASETS.TRAIN that contain the category.
    #   "instances": the share of the instances in DATASETS.TRAIN that belong to the category.
    node.COUNTS = "images"


@_loss_node("LOCE")
def _equilibrium(node: CN) -> None:
    # Keys of EquilibriumLoss (LOCE; Feng et al., ICCV 2021), without the feature memory of the paper.

    # Number in [0, 1). Momentum alpha of the moving average of the scores of a category, from which the loss computes
    # margins between categories. Each object of the category updates the average once.
    node.ALPHA = 0.9
    # Number > 0. Constant that the loss uses as the mean score of background. Only CLS_LOSS.BACKGROUND "class" uses it.
    node.BACKGROUND_SCORE = 0.01


@_loss_node("BAGS")
def _balanced_group_softmax(node: CN) -> None:
    # Keys of BalancedGroupSoftmaxLoss (BAGS; Li et al., CVPR 2020). The authors train only the classifier of a
    # detector, with SOLVER.BASE_LR 0.01 for 16 images. Training all layers may need a lower rate than cross-entropy.

    # List of increasing numbers > 0. Numbers of instances in DATASETS.TRAIN that separate groups of categories. Each
    # group has its own softmax. With the default, the groups contain the categories with [0, 10), [10, 100),
    # [100, 1000) and [1000, inf) instances.
    node.BINS = [10, 100, 1000]
    # Number > 0. The softmax of a group of categories is trained on all proposals of these categories and on beta times
    # as many other proposals, which are selected randomly.
    node.BETA = 8.0


@_loss_node("FOCAL")
def _focal(node: CN) -> None:
    # Keys of FocalLoss (Lin et al., ICCV 2017).

    # Number >= 0. Exponent gamma of the factor (1 - p)^gamma, where p is the probability predicted for the true label
    # (positive or negative). The factor reduces the loss of well classified samples. The value 0 disables the factor.
    node.GAMMA = 2.0
    # Number in (0, 1). Weight alpha of positive samples. Negative samples have the weight 1 - alpha.
    node.ALPHA = 0.25
    # Number in (0, 1). Score of each category at the start of training, which sets the initial bias of the classifier.
    node.PRIOR = 0.01


@_loss_node("CLASS_BALANCED_FOCAL")
def _class_balanced_focal(node: CN) -> None:
    # Keys of ClassBalancedFocalLoss (Cui et al., CVPR 2019). The defaults of BETA and GAMMA are the paper's values for
    # large image classification datasets.

    # Number in [0, 1). Parameter beta of the category weights. A category with n instances in DATASETS.TRAIN has a
    # weight proportional to (1 - beta) / (1 - beta^n). The value 0 gives equal weights. Values near 1 give weights near
    # 1 / n. For a detector use 0.9: training with 0.999 does not converge (box AP 0.2 on the glyphs dataset).
    node.BETA = 0.999
    # Number >= 0. Exponent gamma of the factor (1 - p)^gamma, where p is the probability predicted for the true label
    # (positive or negative). The factor reduces the loss of well classified samples. The value 0 disables the factor.
    node.GAMMA = 0.5
    # Number in (0, 1). Score of each category at the start of training, which sets the initial bias of the classifier.
    node.PRIOR = 0.01


@_loss_node("FEDERATED")
def _federated(node: CN) -> None:
    # Keys of FederatedLoss (Zhou et al., CenterNet2, 2021). CLS_LOSS.BACKGROUND "implicit" selects sigmoids, "class"
    # selects a softmax.

    # Integer >= 1. Number of categories in the loss of a batch. If the ground truth of the batch contains fewer
    # categories, the loss draws the missing ones randomly. If it contains more, the loss uses all of them.
    node.NUM_SAMPLED = 50
    # Number >= 0. Exponent of the drawing probability. A category with n images in DATASETS.TRAIN is drawn with a
    # probability proportional to n^POWER.
    node.POWER = 0.5
    # Number in (0, 1). Score of each category at the start of training, which sets the initial bias of the classifier.
    node.PRIOR = 0.01


@_loss_node("PCB")
def _pairwise_class_balance(node: CN) -> None:
    # Keys of PairwiseClassBalance (PCB; He et al., CVPR 2022), a wrapper that trains another loss with soft labels. The
    # soft labels are computed from the confusion matrix of the categories.

    # String. The loss that PCB trains with soft labels: "SeesawLoss", "CrossEntropyLoss" or "EqualizationLossV2". The
    # config keys of this loss apply.
    node.LOSS = "SeesawLoss"
    # Number in [0, 1]. Weight alpha of the soft labels. The one-hot labels have the weight 1 - alpha. The paper uses
    # 0.05 with Seesaw Loss, 0.2 with EQL v2 and 0.4 with cross-entropy.
    node.ALPHA = 0.05
    # Number in [0, 1). Momentum of the moving average that estimates the confusion matrix of the categories.
    node.MOMENTUM = 0.99
    # Integer >= 0. Number of iterations at the start of training with one-hot labels, while PCB collects its confusion
    # matrix. The paper starts to use soft labels at the first decay of the learning rate, after 16 of 24 epochs.
    node.START_ITER = 0
    # Number >= 0. Number of epochs at the start of training with one-hot labels. If > 0, this number replaces
    # START_ITER and requires SOLVER.EPOCHS. If 0, START_ITER applies.
    node.START_EPOCH = 0.0
    # String. Training labels after START_ITER or START_EPOCH, until every category has had a foreground proposal.
    #   "wait": one-hot labels, as in the authors' code. The log names the categories without a proposal.
    #   "ignore": soft labels with the value 0 for categories without a proposal.
    node.UNSEEN = "wait"
    # Number > 0. Largest allowed size of the confusion matrix, in 10^6 bytes. A larger matrix raises an error. For C
    # categories it needs 4 C^2 bytes: 5.8 * 10^6 bytes for LVIS v1, 697 * 10^6 bytes for 13,204 categories.
    node.MAX_MATRIX_MB = 256.0
