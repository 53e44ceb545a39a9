"""Examine the memory that a training needs: print an estimate, then train one step."""

import time

import torch
from detectron2.utils.events import EventStorage
from torch import nn

from seesaw_d2.train.acceleration import amp_dtype, precision_warnings
from seesaw_d2.train.preflight.doctor.environment import GIB
from seesaw_d2.train.preflight.doctor.findings import Findings
from seesaw_d2.train.preflight.doctor.step_memory import step_fits
from seesaw_d2.train.preflight.job_checks import Preflight
from seesaw_d2.train.trainer import Trainer
from seesaw_d2.utils.memory import peak_memory, reset_peak_memory


def state_size(model: nn.Module, optimizer: torch.optim.Optimizer) -> tuple[int, int, int]:
    """Return three sizes in bytes: of the parameters and buffers, of the gradients, and of the optimizer's state.

    The optimizer's state is estimated: one tensor per trained parameter for SGD, and two for Adam and AdamW.
    """
    weights = sum(value.numel() * value.element_size() for value in model.state_dict().values())
    trained = sum(p.numel() * p.element_size() for p in model.parameters() if p.requires_grad)
    kept = {"SGD": 1, "Adam": 2, "AdamW": 2}.get(type(optimizer).__name__.removesuffix("WithGradientClip"), 2)
    return weights, trained, kept * trained


def examine_step(preflight: Preflight, findings: Findings) -> int:
    """Estimate the memory that a training needs, then train one step on as many images as one process gets per step.

    Args:
        preflight: checks of the training, whose model checks have already run.
        findings: object that prints and collects the problems.

    Returns:
        the size of a checkpoint (weights and optimizer) in bytes.
    """
    cfg, model = preflight.cfg, preflight.checkpointer.model
    for note in preflight.notes():
        findings.ok(note)
    for warning in precision_warnings(cfg):
        findings.note(warning)
    optimizer = Trainer.build_optimizer(cfg, model)
    weights, trained, kept = state_size(model, optimizer)
    findings.ok(
        f"estimate: weights {weights / GIB:.2f} GiB, gradients {trained / GIB:.2f} GiB, optimizer {kept / GIB:.2f} "
        "GiB. Activations need additional memory for each image"
    )
    with findings.attempt():
        _real_step(preflight, model, findings, kept)
    return weights + kept


def _real_step(preflight: Preflight, model: nn.Module, findings: Findings, optimizer_size: int) -> None:
    cfg = preflight.cfg
    small = cfg.clone()
    small.defrost()
    small.DATALOADER.NUM_WORKERS = 0
    small.SOLVER.IMS_PER_BATCH = cfg.SOLVER.IMS_PER_BATCH // preflight.world_size
    batch = next(iter(Trainer.build_train_loader(small)))
    device = torch.device(cfg.MODEL.DEVICE)
    model = model.to(device).train()
    optimizer = Trainer.build_optimizer(cfg, model)

    def losses_of(images) -> dict[str, torch.Tensor]:
        """Run the forward and the backward pass on model inputs, and return the losses, a dict from name to value."""
        optimizer.zero_grad()
        with EventStorage(0), torch.autocast(device.type, dtype=amp_dtype(cfg), enabled=cfg.SOLVER.AMP.ENABLED):
            losses = model(images)
        sum(losses.values()).backward()
        return losses

    reset_peak_memory()
    before = _peak(device)
    if device.type == "cpu" and not step_fits(cfg.SOLVER, batch, losses_of, findings, optimizer_size):
        return
    start = time.perf_counter()
    try:
        losses = losses_of(batch)
        total = sum(losses.values())
        optimizer.step()
        finite = bool(torch.isfinite(total))  # bool() waits for the GPU, so that the measured time is right
    except torch.OutOfMemoryError as error:
        reason = str(error).splitlines()[0]
        findings.fix(
            f"{len(batch)} images do not fit into memory: {reason}. Lower SOLVER.IMS_PER_BATCH or INPUT.MIN_SIZE_TRAIN"
        )
        return
    seconds, peak = time.perf_counter() - start, _peak(device)
    if not finite:
        values = ", ".join(f"{name} {value.item():g}" for name, value in losses.items())
        findings.fix(f"expected finite losses in the first step, found {values}. Check the weights and the data")
        return
    text = f"one step on {len(batch)} images: loss {total.item():.2f}, {seconds:.1f} s (later steps are faster)"
    if device.type == "cuda":
        whole = torch.cuda.get_device_properties(device).total_memory
        text += f", at most {peak / GIB:.1f} of the GPU's {whole / GIB:.0f} GiB"
        if peak > 0.9 * whole:
            findings.note("the GPU's memory is nearly full, and other batches may need more memory than this batch")
    elif peak is not None and before is not None:
        text += f", {(peak - before) / GIB:.1f} GiB of memory in addition to the {before / GIB:.1f} GiB before the step"
    findings.ok(text)


def _peak(device: torch.device) -> int | None:
    """Return the peak memory in bytes of this process on the GPU or, for a CPU, in RAM. Return None if unknown."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device)
    return peak_memory()
