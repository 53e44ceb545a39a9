"""The config keys of how a model is trained, whatever it is: length, faults, checkpoints, speed."""

from detectron2.config import CfgNode as CN


def add_solver(cfg: CN) -> None:
    # > 0: length of the training in epochs of the sampled data set; when the program starts, MAX_ITER and STEPS are
    # computed from it. (Beside it in the same file they are for Detectron2's own trainer.) An epoch is
    # ceil(images / IMS_PER_BATCH) iterations. Images without objects do not count if
    # DATALOADER.FILTER_EMPTY_ANNOTATIONS leaves them out; with RepeatFactorTrainingSampler an image counts as often as
    # it is repeated. 0: MAX_ITER and STEPS as they are, as in Detectron2.
    cfg.SOLVER.EPOCHS = 0.0
    # With EPOCHS: after which of them the learning rate is multiplied by SOLVER.GAMMA; increasing, in (0, EPOCHS).
    cfg.SOLVER.STEP_EPOCHS = []
    # > 0: SOLVER.BASE_LR is for this batch size, and is multiplied by IMS_PER_BATCH / REFERENCE_BATCH_SIZE (the linear
    # scaling rule of Goyal et al., arXiv 1706.02677). 0: BASE_LR as it is.
    cfg.SOLVER.REFERENCE_BATCH_SIZE = 0
    # > 0, minutes: with several processes, how long one waits for the others before it gives up and says where.
    cfg.SOLVER.COLLECTIVE_TIMEOUT = 30.0
    # >= 0: how many steps with a loss or a gradient that is not finite a run leaves out before it stops. A step that is
    # left out changes neither parameters nor counts.
    cfg.SOLVER.MAX_SKIPPED_STEPS = 0
    # >= 0: how many of the periodic checkpoints are kept, the newest; 0 keeps all. 2 or more: one can be damaged.
    cfg.SOLVER.CHECKPOINT_KEEP = 0
    # A metric as it is logged, such as "segm/APr" (with several DATASETS.TEST "NAME/segm/APr"): model_best.pth are the
    # weights with its highest value in the evaluations, of which TEST.EVAL_PERIOD says when. "": none.
    cfg.SOLVER.CHECKPOINT_BEST = ""


def add_speed(cfg: CN) -> None:
    # docs/speed.md has what each of these changes, where it helps and what was measured.
    # With SOLVER.AMP.ENABLED: what convolutions and matrix products are computed in. "float16": Detectron2's, with a
    # gradient scaler, on GPUs alone. "bfloat16": float32's range, so that no scaler is needed, 8 bits of precision; on
    # CPUs too.
    cfg.SOLVER.AMP.DTYPE = "float16"
    # What an NVIDIA GPU computes in TF32 (10 bits of precision) in place of float32. "convolutions": PyTorch's default;
    # "all": matrix products too; "none". On a CPU nothing changes.
    cfg.SOLVER.TF32 = "convolutions"
    # How SGD updates its parameters. "auto": as PyTorch chooses (on a GPU "foreach", on a CPU "for-loop"). "for-loop":
    # one after the other. "foreach": an operation for all at a time, the same numbers. "fused": one kernel for all.
    cfg.SOLVER.OPTIMIZER_IMPLEMENTATION = "auto"
    # 1, 2, 4, 5, 10 or 20: every how many iterations the host waits for losses and accuracies, and for whether they are
    # finite. What is logged is the same. Above 1 the device alone decides whether a step is taken, which needs
    # OPTIMIZER_IMPLEMENTATION "fused" and no float16.
    cfg.SOLVER.METRICS_PERIOD = 1
    # Keep images and features with their channels last in memory, which convolutions are often faster with.
    cfg.MODEL.CHANNELS_LAST = False
    # Names of parts of the model that torch.compile compiles, such as ["backbone"], which is the FPN too. It needs a
    # compiler, and a minute or more at the start.
    cfg.MODEL.COMPILE = []
    # How the gradient of RoIAlign is computed on a CPU. "torchvision": by its own kernel. "products": by matrix
    # products where feature maps have at most 64 x 64 positions, several times faster; another rounding.
    cfg.MODEL.ROI_ALIGN_GRADIENT = "torchvision"
    # With a GPU: load images into pinned memory and copy them to it while the batch before is trained on. On a CPU
    # nothing changes.
    cfg.DATALOADER.PIN_MEMORY = False
