"""Config keys of the training: schedule, error handling, checkpoints, speed."""

from detectron2.config import CfgNode as CN


def add_solver(cfg: CN) -> None:
    # Length of the training in epochs. If > 0, MAX_ITER and STEPS are computed when the program starts, and their
    # values in the config are only for Detectron2's own trainer. An epoch has ceil(images / IMS_PER_BATCH) iterations.
    # With RepeatFactorTrainingSampler each repetition of an image counts. If DATALOADER.FILTER_EMPTY_ANNOTATIONS is
    # True, images without objects do not count. 0: use MAX_ITER and STEPS, as Detectron2 does.
    cfg.SOLVER.EPOCHS = 0.0
    # With EPOCHS: epochs after which the learning rate is multiplied by SOLVER.GAMMA. Increasing numbers in (0,
    # EPOCHS).
    cfg.SOLVER.STEP_EPOCHS = []
    # Batch size for which SOLVER.BASE_LR was chosen. If > 0, the learning rate is multiplied by IMS_PER_BATCH /
    # REFERENCE_BATCH_SIZE (linear scaling rule, Goyal et al., arXiv 1706.02677). 0: use BASE_LR unchanged.
    cfg.SOLVER.REFERENCE_BATCH_SIZE = 0
    # Number > 0, timeout of a collective operation in distributed training, in minutes. After this time, a process that
    # waits for other processes stops and reports the operation.
    cfg.SOLVER.COLLECTIVE_TIMEOUT = 30.0
    # Integer >= 0, number of training steps with a non-finite loss or gradient to skip before the run stops. A skipped
    # step changes neither parameters nor class counts.
    cfg.SOLVER.MAX_SKIPPED_STEPS = 0
    # Integer >= 0, number of the latest periodic checkpoints to keep. 0: keep all. With 2 or more, the run can still be
    # resumed if the latest checkpoint is damaged.
    cfg.SOLVER.CHECKPOINT_KEEP = 0
    # Name of a logged metric such as "segm/APr", or "NAME/segm/APr" if DATASETS.TEST has several datasets. The weights
    # with the highest value in all evaluations (TEST.EVAL_PERIOD) are saved as model_best.pth. "": do not save them.
    cfg.SOLVER.CHECKPOINT_BEST = ""


def add_speed(cfg: CN) -> None:
    # docs/speed.md describes the effect of each of these keys, with measurements.
    # Dtype of convolutions and matrix products with SOLVER.AMP.ENABLED. "float16": only on GPUs, with a gradient
    # scaler, as in Detectron2. "bfloat16": on GPUs and CPUs. It has 8 bits of precision and the range of float32, so
    # that it needs no scaler.
    cfg.SOLVER.AMP.DTYPE = "float16"
    # Operations that use TF32 (10 bits of precision) instead of float32 on an NVIDIA GPU. "convolutions": only
    # convolutions, PyTorch's default. "all": convolutions and matrix products. "none": no operation. No effect on a
    # CPU.
    cfg.SOLVER.TF32 = "convolutions"
    # Implementation of SGD. "auto": PyTorch's default, "foreach" on a GPU and "for-loop" on a CPU. "for-loop": update
    # one parameter at a time. "foreach": update all parameters with one operation, with the same results. "fused":
    # update all parameters with one kernel.
    cfg.SOLVER.OPTIMIZER_IMPLEMENTATION = "auto"
    # Period in iterations, 1, 2, 4, 5, 10 or 20, in which the host reads losses and accuracies from the device and
    # checks that they are finite. The logged values do not depend on the period. With a period above 1, the device
    # decides whether to skip a step. This requires OPTIMIZER_IMPLEMENTATION "fused" and excludes AMP with float16.
    cfg.SOLVER.METRICS_PERIOD = 1
    # Whether to use the channels-last memory format for images and features, which often makes convolutions faster.
    cfg.MODEL.CHANNELS_LAST = False
    # Names of the parts of the model to compile with torch.compile, such as ["backbone"], which includes the FPN.
    # Compiling requires a C++ compiler and takes a minute or more when the training starts.
    cfg.MODEL.COMPILE = []
    # Method to compute the gradient of RoIAlign on a CPU. "torchvision": the kernel of torchvision. "products": matrix
    # products for feature maps up to 64 x 64, which are several times faster and differ by rounding.
    cfg.MODEL.ROI_ALIGN_GRADIENT = "torchvision"
    # Whether to load images into pinned memory and copy them to the GPU during the previous training step. No effect on
    # a CPU.
    cfg.DATALOADER.PIN_MEMORY = False
