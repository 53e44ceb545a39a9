"""The config nodes of the losses that Seesaw Loss is compared to: MODEL.ROI_BOX_HEAD.CLS_LOSS.<LOSS>."""

from detectron2.config import CfgNode as CN


def add_other_losses(cls_loss: CN) -> None:
    """One node for each loss. PRIOR, in (0, 1): π, the probability that every sigmoid starts from, by the bias."""
    # EqualizationLoss (Tan et al., CVPR 2020).
    cls_loss.EQL = CN()
    # lambda >= 0, frequency below which a category is tail: images with it over annotated images, in DATASETS.TRAIN.
    # The paper's is for LVIS v0.5; for v1 1.1e-3 is the same share of categories.
    cls_loss.EQL.LAMBDA = 1.77e-3
    cls_loss.EQL.PRIOR = 0.001

    # SoftmaxEqualizationLoss (the same paper's form for image classification).
    cls_loss.SOFTMAX_EQL = CN()
    # lambda >= 0, as in EQL; the default is 50 images of ImageNet-LT's 115,846.
    cls_loss.SOFTMAX_EQL.LAMBDA = 4.3e-4
    # 0 <= gamma <= 1, how often a tail class is left out of another class's softmax. 0: never, which is cross-entropy.
    cls_loss.SOFTMAX_EQL.GAMMA = 0.9

    # EqualizationLossV2 (Tan et al., CVPR 2021).
    cls_loss.EQL_V2 = CN()
    # gamma > 0 and mu >= 0, slope and middle of the map from gradient ratio to weight (equation 4).
    cls_loss.EQL_V2.GAMMA = 12.0
    cls_loss.EQL_V2.MU = 0.8
    # alpha >= 0, how much positive samples of a category with a small ratio gain (equation 5).
    cls_loss.EQL_V2.ALPHA = 4.0
    cls_loss.EQL_V2.PRIOR = 0.001

    # BalancedGroupSoftmaxLoss (BAGS; Li et al., CVPR 2020).
    cls_loss.BAGS = CN()
    # Increasing instance counts that divide the categories of DATASETS.TRAIN into groups: [0, 10), [10, 100), ...
    cls_loss.BAGS.BINS = [10, 100, 1000]
    # beta > 0, how many other proposals a group is trained on for each of its own.
    cls_loss.BAGS.BETA = 8.0

    # FocalLoss (Lin et al., ICCV 2017).
    cls_loss.FOCAL = CN()
    # gamma >= 0, exponent of the modulating factor. 0 switches it off.
    cls_loss.FOCAL.GAMMA = 2.0
    # 0 < alpha < 1, weight of positives; negatives have 1 - alpha.
    cls_loss.FOCAL.ALPHA = 0.25
    cls_loss.FOCAL.PRIOR = 0.01

    # ClassBalancedFocalLoss (Cui et al., CVPR 2019).
    cls_loss.CLASS_BALANCED_FOCAL = CN()
    # 0 <= beta < 1, of the effective number of samples, from the instances in DATASETS.TRAIN. 0: no balancing; towards
    # 1: inverse frequency. BETA and GAMMA are the paper's for its large data sets of images; a detector's training does
    # not settle with weights so different (glyphs: box AP 0.2 with 0.999), and takes 0.9.
    cls_loss.CLASS_BALANCED_FOCAL.BETA = 0.999
    # gamma >= 0, as in FOCAL.
    cls_loss.CLASS_BALANCED_FOCAL.GAMMA = 0.5
    cls_loss.CLASS_BALANCED_FOCAL.PRIOR = 0.01

    # FederatedLoss (Zhou et al., CenterNet2, 2021). BACKGROUND "implicit" is a sigmoid, "class" a softmax.
    cls_loss.FEDERATED = CN()
    # >= 1, categories that a batch is trained on: its own, and others at random.
    cls_loss.FEDERATED.NUM_SAMPLED = 50
    # >= 0, exponent of the categories' image counts in DATASETS.TRAIN, as their probability to be drawn.
    cls_loss.FEDERATED.POWER = 0.5
    cls_loss.FEDERATED.PRIOR = 0.01

    # PairwiseClassBalance (PCB; He et al., CVPR 2022): another loss with soft labels made of the confusion between
    # categories.
    cls_loss.PCB = CN()
    # The loss that it wraps: "SeesawLoss", "CrossEntropyLoss" or "EqualizationLossV2"; their own keys hold.
    cls_loss.PCB.LOSS = "SeesawLoss"
    # alpha in [0, 1], weight of the soft labels. Published: 0.05 with Seesaw Loss, 0.2 with EQL v2, 0.4 with
    # cross-entropy.
    cls_loss.PCB.ALPHA = 0.05
    # In [0, 1), how much of a row of the confusion matrix stays in each update.
    cls_loss.PCB.MOMENTUM = 0.99
    # >= 0, iterations before the soft labels begin; until then the matrix is collected alone. Published: 2 / 3 of the
    # training (16 of 24 epochs), when the learning rate falls for the first time.
    cls_loss.PCB.START_ITER = 0
    # > 0: the same in epochs, with SOLVER.EPOCHS; put into START_ITER when the program starts.
    cls_loss.PCB.START_EPOCH = 0.0
    # While categories have had no proposal: "wait" with the soft labels (the reference; the log tells what is
    # missing), or "ignore" them: begin, and give them no share of any soft label.
    cls_loss.PCB.UNSEEN = "wait"
    # > 0, in 10^6 bytes: the largest confusion matrix (4 C^2 bytes) that is allowed. LVIS v1's is 5.8, that of 13,204
    # categories 697.
    cls_loss.PCB.MAX_MATRIX_MB = 256.0
