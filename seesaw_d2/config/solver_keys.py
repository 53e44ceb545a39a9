"""Declare the config keys of schedule, checkpoints, error handling and speed.

Each comment describes the key below it.
"""

from detectron2.config import CfgNode as CN


def add_solver(cfg: CN) -> None:
    # Number >= 0. Length of the training in epochs.
    #   If > 0, train_net.py computes SOLVER.MAX_ITER from SOLVER.EPOCHS, and SOLVER.STEPS from SOLVER.STEP_EPOCHS. An
    #     epoch has ceil(images / SOLVER.IMS_PER_BATCH) iterations. With RepeatFactorTrainingSampler, each repetition of
    #     an image counts as an image. If DATALOADER.FILTER_EMPTY_ANNOTATIONS is True, images without objects do not
    #     count.
    #   If 0, SOLVER.MAX_ITER and SOLVER.STEPS apply, as in Detectron2.
    cfg.SOLVER.EPOCHS = 0.0
    # List of increasing numbers in (0, SOLVER.EPOCHS). Epochs after which the learning rate is multiplied by
    # SOLVER.GAMMA. This key requires SOLVER.EPOCHS > 0.
    cfg.SOLVER.STEP_EPOCHS = []
    # Integer >= 0. Batch size for which SOLVER.BASE_LR was chosen.
    #   If > 0, the learning rate is proportional to the batch size: BASE_LR * IMS_PER_BATCH / REFERENCE_BATCH_SIZE
    #     (linear scaling rule, Goyal et al., arXiv 1706.02677).
    #   If 0, the learning rate is BASE_LR for each batch size.
    cfg.SOLVER.REFERENCE_BATCH_SIZE = 0
    # Number > 0. Timeout in minutes of collective operations (all_reduce, barrier) in distributed training. A process
    # that waits longer for the other processes stops with an error, which names the operation.
    cfg.SOLVER.COLLECTIVE_TIMEOUT = 30.0
    # Integer >= 0. How many training steps with an infinite or NaN loss or gradient a run skips. The next such step
    # stops the run with an error. A skipped step changes neither the parameters nor the class counts of the loss.
    cfg.SOLVER.MAX_SKIPPED_STEPS = 0
    # Integer >= 0. Number of periodic checkpoints to keep. The run deletes older ones. If 0, the run keeps all
    # checkpoints. With 2 or more, the run can be resumed even if the latest checkpoint is damaged.
    cfg.SOLVER.CHECKPOINT_KEEP = 0
    # String. Metric that selects the best weights: "segm/APr" for example, or "NAME/segm/APr" for the dataset NAME if
    # DATASETS.TEST has several datasets. The run evaluates every TEST.EVAL_PERIOD iterations and saves the weights with
    # the highest metric as model_best.pth. If the string is empty, the run does not save model_best.pth.
    cfg.SOLVER.CHECKPOINT_BEST = ""


def add_speed(cfg: CN) -> None:
    # The keys in this function make a training faster. docs/speed.md reports by how much.

    # String. Dtype of convolutions and matrix products if SOLVER.AMP.ENABLED is True.
    #   "float16": as in Detectron2, with a gradient scaler. Only for GPUs.
    #   "bfloat16": less precise (8 bits), but with the range of float32, so that training needs no gradient scaler. For
    #     GPUs and CPUs.
    cfg.SOLVER.AMP.DTYPE = "float16"
    # String. Operations that an NVIDIA GPU computes in TF32, which is faster than float32, but has only 10 bits of
    # precision. This key has no effect on a CPU.
    #   "convolutions": only convolutions, PyTorch's default.
    #   "all": convolutions and matrix products.
    #   "none": no operations.
    cfg.SOLVER.TF32 = "convolutions"
    # String. Implementation of the SGD optimizer in PyTorch.
    #   "for-loop": update one parameter tensor at a time.
    #   "foreach": update all parameters together with torch._foreach operations, with the same results.
    #   "fused": do the whole update in one kernel.
    #   "auto": PyTorch's default, which is "foreach" on a GPU and "for-loop" on a CPU.
    cfg.SOLVER.OPTIMIZER_IMPLEMENTATION = "auto"
    # Integer 1, 2, 4, 5, 10 or 20. Number of iterations after which the host reads the losses and accuracies from the
    # device and checks that they are finite. With a larger number, the host waits for the device less often. The logged
    # values stay the same. Numbers above 1 require SOLVER.OPTIMIZER_IMPLEMENTATION "fused", which skips a non-finite
    # step without the host. Numbers above 1 do not support AMP with float16.
    cfg.SOLVER.METRICS_PERIOD = 1
    # Boolean. Whether to store images and features in PyTorch's channels-last memory format. This often makes
    # convolutions faster.
    cfg.MODEL.CHANNELS_LAST = False
    # List of strings. Names of the submodules of the model that torch.compile compiles, such as ["backbone"], which
    # includes the FPN. Compiling requires a C++ compiler and takes a minute or more at the start of the training.
    cfg.MODEL.COMPILE = []
    # String. How a CPU computes the gradient of RoIAlign. This key has no effect on a GPU.
    #   "torchvision": with torchvision's kernel.
    #   "products": with matrix products, for feature maps up to 64 x 64. This is several times faster. The gradients
    #     differ only by rounding. Larger feature maps use torchvision's kernel.
    cfg.MODEL.ROI_ALIGN_GRADIENT = "torchvision"
    # Boolean. Whether to load images into pinned (page-locked) memory and copy them to the GPU during the previous
    # training step, so that the GPU does not wait for them. This key has no effect on a CPU.
    cfg.DATALOADER.PIN_MEMORY = False
