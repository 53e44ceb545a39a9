"""Predict whether a training step on a CPU fits into memory.

If a process needs more memory than available, the operating system kills the process.
"""

from collections.abc import Callable, Sequence
from typing import Any

from detectron2.config import CfgNode

from seesaw_d2.train.preflight.doctor.environment import GIB
from seesaw_d2.train.preflight.doctor.findings import Findings
from seesaw_d2.utils.memory import available_memory, peak_memory, reset_peak_memory

# The examined step may use at most this fraction of the available memory, because later steps may need more.
_USABLE = 0.8


def step_fits(
    solver: CfgNode,
    batch: Sequence[dict[str, Any]],
    run: Callable[[Sequence[dict[str, Any]]], object],
    findings: Findings,
    optimizer_size: int,
) -> bool:
    """Return whether a step on ``batch`` fits into the available memory. If not, report a problem to fix.

    The function measures the peak memory of ``run`` on the largest image and on the two largest images, and
    extrapolates linearly. If the batch has at most two images, or the available memory is unknown, the function returns
    True without a measurement.

    Args:
        solver: the config node SOLVER with the final batch size, for advice in the message.
        batch: model inputs of one process in one step.
        run: function that runs the forward and the backward pass on a list of model inputs.
        findings: object that prints and collects the problems.
        optimizer_size: size of the optimizer's state in bytes, which is added to the measured memory.
    """
    available = available_memory()
    if available is None or len(batch) < 3:
        return True
    images = sorted(batch, key=lambda each: each["image"].numel(), reverse=True)
    reset_peak_memory()
    before = peak_memory()
    peaks = []
    try:
        for count in (1, 2):
            run(images[:count])
            peaks.append(peak_memory())
    except Exception:  # if the step on the whole batch fails, too, the caller reports the error
        return True
    if before is None:  # Windows does not report the peak memory
        return True
    one, two = (peak - before for peak in peaks)
    needed = [one + count * (two - one) + optimizer_size for count in range(len(batch))]
    usable = _USABLE * available
    if needed[-1] <= usable:
        return True
    fitting = sum(each <= usable for each in needed)
    findings.fix(
        f"a step on {len(batch)} images needs about {needed[-1] / GIB:.1f} GiB of memory in addition to the "
        f"{before / GIB:.1f} GiB before the step, but {available / GIB:.1f} GiB are available. One image needs "
        f"{needed[0] / GIB:.1f} GiB, and two images need {needed[1] / GIB:.1f} GiB. "
        + _remedy(solver, fitting / len(batch))
    )
    return False


def _remedy(solver: CfgNode, share: float) -> str:
    """Return advice on how to reduce the memory, such as "Set SOLVER.IMS_PER_BATCH 4, or lower INPUT.MIN_SIZE_TRAIN".

    ``share`` is the fraction of the batch that fits into memory, in [0, 1).
    """
    if not share:
        return "Lower INPUT.MIN_SIZE_TRAIN and INPUT.MAX_SIZE_TRAIN"
    if solver.REFERENCE_WORLD_SIZE:  # the user's config has other numbers than ``solver``, which is scaled
        return f"Multiply SOLVER.IMS_PER_BATCH and SOLVER.BASE_LR by {share:g}, or lower INPUT.MIN_SIZE_TRAIN"
    words = f"SOLVER.IMS_PER_BATCH {round(solver.IMS_PER_BATCH * share)}"
    if not solver.REFERENCE_BATCH_SIZE:  # with this key, the learning rate already follows the batch size
        words += f" SOLVER.REFERENCE_BATCH_SIZE {solver.IMS_PER_BATCH}, which also scales the learning rate"
    return f"Set {words}, or lower INPUT.MIN_SIZE_TRAIN"
