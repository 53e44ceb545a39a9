"""Config keys of the training: length, error handling, checkpoints, speed."""

from detectron2.config import CfgNode as CN


def add_solver(cfg: CN) -> None:
    # > 0: length of the training in epochs of the sampled data set. MAX_ITER and STEPS are computed from it when the
    # program starts. (If the same file sets them, they are for Detectron2's own trainer.) An epoch has ceil(images /
    # IMS_PER_BATCH) iterations. Images without objects do not count if DATALOADER.FILTER_EMPTY_ANNOTATIONS excludes
    # them. With RepeatFactorTrainingSampler an image counts as often as it is repeated. 0: use MAX_ITER and STEPS, as
    # Detectron2 does.
    cfg.SOLVER.EPOCHS = 0.0
    # With EPOCHS: epochs after which the learning rate is multiplied by SOLVER.GAMMA. Increasing, in (0, EPOCHS).
    cfg.SOLVER.STEP_EPOCHS = []
    # > 0: batch size for which SOLVER.BASE_LR is given. The learning rate is multiplied by IMS_PER_BATCH /
    # REFERENCE_BATCH_SIZE (linear scaling rule of Goyal et al., arXiv 1706.02677). 0: use BASE_LR unchanged.
    cfg.SOLVER.REFERENCE_BATCH_SIZE = 0
    # > 0: timeout in minutes of a collective operation in distributed training. After it, a process that waits for
    # others stops and reports where it waited.
    cfg.SOLVER.COLLECTIVE_TIMEOUT = 30.0
    # Integer >= 0: number of training steps with a non-finite loss or gradient that are skipped before the run stops. A
    # skipped step changes neither parameters nor counts.
    cfg.SOLVER.MAX_SKIPPED_STEPS = 0
    # Integer >= 0: number of the latest periodic checkpoints to keep. 0: keep all. With 2 or more, one may be damaged.
    cfg.SOLVER.CHECKPOINT_KEEP = 0
    # Name of a logged metric such as "segm/APr" (with several DATASETS.TEST "NAME/segm/APr"). model_best.pth has the
    # weights with its highest value in the evaluations, which TEST.EVAL_PERIOD schedules. "": do not write it.
    cfg.SOLVER.CHECKPOINT_BEST = ""


def add_speed(cfg: CN) -> None:
    # docs/speed.md describes the effect of each of these keys, with measurements.
    # Dtype of convolutions and matrix products with SOLVER.AMP.ENABLED. "float16": as Detectron2, with a gradient
    # scaler, on GPUs only. "bfloat16": 8 bits of precision and the range of float32, so that no scaler is needed; also
    # on CPUs.
    cfg.SOLVER.AMP.DTYPE = "float16"
    # Operations that use TF32 (10 bits of precision) instead of float32 on an NVIDIA GPU. "convolutions": PyTorch's
    # default. "all": also matrix products. "none": no operation. No effect on a CPU.
    cfg.SOLVER.TF32 = "convolutions"
    # Implementation of SGD. "auto": PyTorch's choice ("foreach" on a GPU, "for-loop" on a CPU). "for-loop": one
    # parameter at a time. "foreach": one operation for all parameters, same numbers. "fused": one kernel for all.
    cfg.SOLVER.OPTIMIZER_IMPLEMENTATION = "auto"
    # 1, 2, 4, 5, 10 or 20: period, in iterations, with which the host reads losses and accuracies from the device and
    # checks that they are finite. The logged values do not change. Above 1 the device decides whether to take a step,
    # which needs OPTIMIZER_IMPLEMENTATION "fused" and no float16.
    cfg.SOLVER.METRICS_PERIOD = 1
    # Use the channels-last memory format for images and features, which often makes convolutions faster.
    cfg.MODEL.CHANNELS_LAST = False
    # Names of model parts to compile with torch.compile, such as ["backbone"], which includes the FPN. It needs a
    # compiler, and a minute or more at the start.
    cfg.MODEL.COMPILE = []
    # Computation of RoIAlign's gradient on a CPU. "torchvision": torchvision's kernel. "products": matrix products for
    # feature maps up to 64 x 64, several times faster, with different rounding.
    cfg.MODEL.ROI_ALIGN_GRADIENT = "torchvision"
    # Load images into pinned memory and copy them to the GPU during the previous training step. No effect on a CPU.
    cfg.DATALOADER.PIN_MEMORY = False
