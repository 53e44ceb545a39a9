"""Declare the config keys of all losses except Seesaw Loss. MODEL.ROI_BOX_HEAD.CLS_LOSS has a node for each loss.

Each comment describes the key below it. Equations are those of the paper in the first comment of the node.
"""

from collections.abc import Callable

from detectron2.config import CfgNode as CN

# Maps the name of a loss's config node, such as "EQL", to the function that adds its keys. ``_loss_node`` adds items.
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

    # Number >= 0. A category is a tail category if less than this share of the annotated images in DATASETS.TRAIN
    # contain it. Proposals of other foreground categories do not train the logit of a tail category. The default is the
    # paper's value for LVIS v0.5. In LVIS v1, 1.1e-3 selects the same share of categories.
    node.LAMBDA = 1.77e-3
    # Number in (0, 1). The initial bias of the classifier gives each category this score at the start of training.
    node.PRIOR = 0.001


@_loss_node("SOFTMAX_EQL")
def _softmax_equalization(node: CN) -> None:
    # Keys of SoftmaxEqualizationLoss (Tan et al., CVPR 2020), the variant of EQL for image classification.

    # Number >= 0. A class is a tail class if less than this share of the training images belong to it. With the
    # default, the tail classes of ImageNet-LT are those with fewer than 50 of its 115,846 images.
    node.LAMBDA = 4.3e-4
    # Number in [0, 1]. Probability gamma that the loss excludes a tail class (see SOFTMAX_EQL.LAMBDA) from the softmax
    # for an image of another class. Then the image does not train the logit of the tail class. 0 gives cross-entropy.
    node.GAMMA = 0.9


@_loss_node("EQL_V2")
def _equalization_v2(node: CN) -> None:
    # Keys of EqualizationLossV2 (EQL v2; Tan et al., CVPR 2021). The loss divides the sum of all previous gradients of
    # the positive samples of a category by that of its negative samples. The result is the gradient ratio.

    # Number > 0. Slope gamma of a sigmoid, which maps the gradient ratio of a category, positive to negative, to the
    # weight of its negative samples (equation 4).
    node.GAMMA = 12.0
    # Number >= 0. Gradient ratio mu, positive to negative, at which the negative samples of a category have weight 1/2.
    node.MU = 0.8
    # Number >= 0. Positive samples have weights from 1 to 1 + alpha (equation 5). Categories with a small ratio of
    # positive to negative gradients get large weights.
    node.ALPHA = 4.0
    # Number in (0, 1). The initial bias of the classifier gives each category this score at the start of training.
    node.PRIOR = 0.001


@_loss_node("ECM")
def _effective_class_margin(node: CN) -> None:
    # Keys of EffectiveClassMarginLoss (ECM; Cho and Krähenbühl, ECCV 2022).

    # Number > 0. Number of background samples that the loss assumes for each instance in DATASETS.TRAIN. The margin and
    # the weight of background depend on it. The default is the authors' value for LVIS v1.
    node.BACKGROUND_RATIO = 6.3313
    # Number in (0, 1). The initial bias of the classifier gives each category this score at the start of training.
    node.PRIOR = 0.001


@_loss_node("GOL")
def _gumbel_optimized(node: CN) -> None:
    # Keys of GumbelOptimizedLoss (GOL; Alexandridis et al., ECCV 2022).

    # String. Which negative samples of a rare category (see GOL.LAMBDA) the loss removes.
    #   "eql": the proposals of other foreground categories.
    #   "drop": as "eql", and a random part of the background proposals (DropLoss, used by the authors).
    #   "none": it removes no samples. Image classifiers require this value, because they have no background.
    node.WEIGHTING = "drop"
    # Number >= 0. A category is rare if less than this share of the annotated images in DATASETS.TRAIN contain it. The
    # default is the authors' value for LVIS v1. GOL.WEIGHTING "none" does not use this key.
    node.LAMBDA = 1.1e-3
    # String. Activation function that maps a logit z to a score.
    #   "gumbel": exp(-exp(-z)).
    #   "sigmoid": 1 / (1 + exp(-z)).
    node.ACTIVATION = "gumbel"
    # Number in (0, 1). The initial bias of the classifier gives each category this score at the start of training. The
    # default gives the authors' initial bias for LVIS, -2.75.
    node.PRIOR = 1.6e-7


@_loss_node("LOGIT_ADJUSTED")
def _logit_adjusted(node: CN) -> None:
    # Keys of LogitAdjustedLoss (Menon et al., ICLR 2021).

    # Number >= 0. Factor tau. In training, the loss adds tau * log p to the logit of a category. The frequency p is the
    # share of the instances in DATASETS.TRAIN that belong to the category. The value 0 gives cross-entropy. The value
    # 1, which the paper uses, gives BalancedSoftmaxLoss.
    node.TAU = 1.0


@_loss_node("LDAM")
def _ldam(node: CN) -> None:
    # Keys of LDAMLoss with deferred re-weighting (LDAM-DRW; Cao et al., NeurIPS 2019).

    # Number >= 0. Margin of the rarest category in DATASETS.TRAIN. More frequent categories have smaller margins. The
    # classifier computes a cosine for each category. In training, the loss subtracts the margin of the correct category
    # from its cosine.
    node.MAX_MARGIN = 0.5
    # Number > 0. Factor that converts the margin of a cosine to the margin of a logit. It must equal
    # MODEL.ROI_BOX_HEAD.CLS_PREDICTOR.TEMPERATURE. The paper uses 30 for both keys.
    node.SCALE = 20.0
    # Number in [0, 1). Parameter beta of re-weighting. A category with n instances in DATASETS.TRAIN has a weight
    # proportional to (1 - beta) / (1 - beta^n). The value 0 disables re-weighting.
    node.BETA = 0.9999
    # Integer >= 0. Re-weighting starts after this number of iterations. Before, all categories have the weight 1. The
    # paper starts re-weighting at the first decay of the learning rate, after 80 % of the training.
    node.START_ITER = 0
    # Number >= 0. If > 0, re-weighting starts after this number of epochs. This replaces LDAM.START_ITER and requires
    # SOLVER.EPOCHS. If 0, LDAM.START_ITER applies.
    node.START_EPOCH = 0.0


@_loss_node("IIF")
def _inverse_image_frequency(node: CN) -> None:
    # Keys of InverseImageFrequencyLoss (IIF; Alexandridis et al., IEEE TIP 2023).

    # String. Link function, which maps the frequency p of a category to a weight. The loss multiplies the logit of the
    # category by this weight. Frequent categories get small weights. A weight near 0 hinders the training of the
    # category, and a weight <= 0 raises an error. IIF.COUNTS defines p.
    #   "raw": -ln p, the authors' choice for LVIS. The weight is > 0 if p < 1.
    #   "base2", "base10": -log2 p and -log10 p, also > 0 if p < 1.
    #   "prob": ln((1 - p) / p), > 0 if p < 1/2.
    #   "normit": minus the p-quantile of the standard normal distribution, > 0 if p < 1/2.
    #   "gombit": -ln(-ln(1 - p)), > 0 if p < 0.63.
    #   "smooth": 1 + ln((N + 1) / (n + 1)), >= 1, for a category with n of the N images or instances.
    node.LINK = "raw"
    # String. What the link function IIF.LINK uses as the frequency of a category.
    #   "images": the share of the images in DATASETS.TRAIN that contain the category.
    #   "instances": the share of the instances in DATASETS.TRAIN that belong to the category.
    node.COUNTS = "images"


@_loss_node("LOCE")
def _equilibrium(node: CN) -> None:
    # Keys of EquilibriumLoss (LOCE; Feng et al., ICCV 2021), without the feature memory of the paper.

    # Number in [0, 1). Momentum alpha of the moving average of the scores of each category. The loss computes margins
    # between categories from these averages. Each object updates the average of its category once.
    node.ALPHA = 0.9
    # Number > 0. Constant that the loss uses as the mean score of background if CLS_LOSS.BACKGROUND is "class".
    node.BACKGROUND_SCORE = 0.01


@_loss_node("BAGS")
def _balanced_group_softmax(node: CN) -> None:
    # Keys of BalancedGroupSoftmaxLoss (BAGS; Li et al., CVPR 2020). The authors train only the classifier of a
    # detector, with SOLVER.BASE_LR 0.01 for 16 images. Training all layers may need a lower rate than cross-entropy.

    # List of increasing numbers > 0. These limits divide the categories into groups by their number of instances in
    # DATASETS.TRAIN. Each group has its own softmax. With the default, the groups contain the categories with [0, 10),
    # [10, 100), [100, 1000) and [1000, inf) instances.
    node.BINS = [10, 100, 1000]
    # Number > 0. Number beta of negative samples for each positive sample of a group of categories. All proposals of
    # these categories are positive samples. The negative samples are drawn randomly from the other proposals.
    node.BETA = 8.0


@_loss_node("FOCAL")
def _focal(node: CN) -> None:
    # Keys of FocalLoss (Lin et al., ICCV 2017).

    # Number >= 0. Exponent gamma of the factor (1 - p)^gamma, where p is the predicted probability of the true label,
    # positive or negative. The factor reduces the loss of well classified samples. The value 0 disables the factor.
    node.GAMMA = 2.0
    # Number in (0, 1). Weight alpha of the loss of positive samples. Negative samples have the weight 1 - alpha.
    node.ALPHA = 0.25
    # Number in (0, 1). The initial bias of the classifier gives each category this score at the start of training.
    node.PRIOR = 0.01


@_loss_node("CLASS_BALANCED_FOCAL")
def _class_balanced_focal(node: CN) -> None:
    # Keys of ClassBalancedFocalLoss (Cui et al., CVPR 2019). The defaults of BETA and GAMMA are the paper's values for
    # large image classification datasets.

    # Number in [0, 1). Parameter beta of the category weights. A category with n instances in DATASETS.TRAIN has a
    # weight proportional to (1 - beta) / (1 - beta^n). With 0, all weights are equal. Near 1, they are almost
    # proportional to 1 / n. For a detector use 0.9. Training with 0.999 does not converge (box AP 0.2 on glyph images).
    node.BETA = 0.999
    # Number >= 0. Exponent gamma of the factor (1 - p)^gamma, where p is the predicted probability of the true label,
    # positive or negative. The factor reduces the loss of well classified samples. The value 0 disables the factor.
    node.GAMMA = 0.5
    # Number in (0, 1). The initial bias of the classifier gives each category this score at the start of training.
    node.PRIOR = 0.01


@_loss_node("FEDERATED")
def _federated(node: CN) -> None:
    # Keys of FederatedLoss (Zhou et al., CenterNet2, 2021). The loss uses sigmoids if CLS_LOSS.BACKGROUND is
    # "implicit", and a softmax if it is "class".

    # Integer >= 1. Number of categories in the loss of a batch. If the ground truth of the batch contains fewer
    # categories, the loss draws additional ones randomly. If it contains more, the loss uses all of them.
    node.NUM_SAMPLED = 50
    # Number >= 0. The loss draws a category with a probability proportional to n^POWER, where n is the number of images
    # in DATASETS.TRAIN that contain the category. With POWER 0, all categories with images are equally probable.
    node.POWER = 0.5
    # Number in (0, 1). The initial bias of the classifier gives each category this score at the start of training.
    node.PRIOR = 0.01


@_loss_node("PCB")
def _pairwise_class_balance(node: CN) -> None:
    # Keys of PairwiseClassBalance (PCB; He et al., CVPR 2022), a wrapper that trains another loss with soft labels. The
    # soft labels are computed from the confusion matrix of the categories.

    # String. The loss that PCB trains with soft labels: "SeesawLoss", "CrossEntropyLoss" or "EqualizationLossV2". The
    # config keys of this loss apply.
    node.LOSS = "SeesawLoss"
    # Number in [0, 1]. Weight alpha. PCB trains on alpha times the soft label plus 1 - alpha times the one-hot label.
    # The paper uses 0.05 with Seesaw Loss, 0.2 with EQL v2 and 0.4 with cross-entropy.
    node.ALPHA = 0.05
    # Number in [0, 1). Momentum of the moving average that estimates the confusion matrix of the categories.
    node.MOMENTUM = 0.99
    # Integer >= 0. Soft labels start after this number of iterations. Before, PCB uses one-hot labels and estimates the
    # confusion matrix. The paper starts at the first decay of the learning rate, after 16 of 24 epochs.
    node.START_ITER = 0
    # Number >= 0. If > 0, soft labels start after this number of epochs. This replaces PCB.START_ITER and requires
    # SOLVER.EPOCHS. If 0, PCB.START_ITER applies.
    node.START_EPOCH = 0.0
    # String. What PCB does after START_ITER or START_EPOCH if some categories have not had a foreground proposal yet.
    #   "wait": continue with one-hot labels, as in the authors' code. The log names the missing categories.
    #   "ignore": start with soft labels. They are 0 for the missing categories.
    node.UNSEEN = "wait"
    # Number > 0. Largest allowed size of the confusion matrix, in 10^6 bytes. A larger matrix raises an error. The
    # matrix of C categories has 4 C^2 bytes: 5.8 * 10^6 for LVIS v1, 697 * 10^6 for 13,204 categories.
    node.MAX_MATRIX_MB = 256.0
