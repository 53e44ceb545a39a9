"""One iteration: data, losses, gradients, update; never an update by what is not finite."""

import logging
import os
import random
import time
from contextlib import nullcontext
from typing import Any

import numpy as np
import torch
from detectron2.engine import SimpleTrainer
from detectron2.utils import comm
from torch import Tensor, nn

from seesaw_d2.engine.signals import signals_blocked
from seesaw_d2.errors import NonFiniteError
from seesaw_d2.utils.checkpoints import write_checkpoint
from seesaw_d2.utils.distributed import any_process

logger = logging.getLogger(__name__)

_IMAGES_SHOWN = 8


class Step(SimpleTrainer):
    """Detectron2's SimpleTrainer and AMPTrainer (v0.6 and main) in one, with a check before the update.

    Where a loss of any process, or without AMP a gradient, is nan or infinite, no process takes the step: parameters,
    optimizer and buffers (class counts, batch normalization) are what they were before. The training goes on with the
    next batch, at most ``max_skipped`` times in a run; then it ends, and the state before the step is in a file.
    With AMP gradients that overflow are usual, and its scaler's business.

    Args:
        model, data_loader, optimizer: as in SimpleTrainer.
        folder: for the file ``nonfinite_iter<k>.pth``.
        max_skipped: >= 0.
        amp: train in mixed precision, on a GPU.
    """

    def __init__(self, model, data_loader, optimizer, *, folder: str, max_skipped: int = 0, amp: bool = False):
        with signals_blocked():  # v0.6 starts the loader's workers here
            super().__init__(model, data_loader, optimizer)
        self.grad_scaler = torch.amp.GradScaler("cuda") if amp else None
        self.folder, self.max_skipped, self.skipped = folder, max_skipped, 0
        self._buffers = [buffer for buffer in model.buffers() if buffer.numel()]
        self._before = [buffer.clone() for buffer in self._buffers]
        self._started = False

    def run_step(self) -> None:
        start = time.perf_counter()
        with nullcontext() if self._started else signals_blocked():
            data = next(self._data_loader_iter)
        self._started = True
        data_time = time.perf_counter() - start
        generators = _generators()
        if self._buffers:
            torch._foreach_copy_(self._before, self._buffers)
        losses = self._backward(data)
        if any_process(not self._finite(losses)):
            self._refuse(data, losses, generators)
            return
        self._write_metrics(losses, data_time)
        if self.grad_scaler is None:
            self.optimizer.step()
        else:
            self.grad_scaler.step(self.optimizer)
            self.grad_scaler.update()

    def _backward(self, data: list[dict[str, Any]]) -> dict[str, Tensor]:
        with nullcontext() if self.grad_scaler is None else torch.autocast("cuda"):
            losses = self.model(data)
            if isinstance(losses, Tensor):  # a meta-architecture of one's own
                losses = {"total_loss": losses}
            total = sum(losses.values())
        self.optimizer.zero_grad()
        (total if self.grad_scaler is None else self.grad_scaler.scale(total)).backward()
        return losses

    def _finite(self, losses: dict[str, Tensor]) -> bool:
        finite = torch.stack([loss.detach().float() for loss in losses.values()]).isfinite().all()
        if self.grad_scaler is None:
            finite = finite & _largest_gradient(self.model).isfinite()
        return bool(finite)

    def _refuse(self, data, losses: dict[str, Tensor], generators: dict[str, Any]) -> None:
        """Undo what the step has changed; skip it, or save and raise NonFiniteError. All processes come here."""
        bad = [name for name, each in self._parameters() if each.grad is not None and not each.grad.isfinite().all()]
        if self._buffers:
            torch._foreach_copy_(self._buffers, self._before)
        self.optimizer.zero_grad()
        report = {
            "images": [{key: item[key] for key in ("file_name", "image_id") if key in item} for item in data],
            "losses": {name: loss.item() for name, loss in losses.items()},
            "gradients": bad,
            "generators": generators,
        }
        reports = comm.all_gather(report)
        self.skipped += 1
        message = f"iteration {self.iter}: {_describe(reports)}"
        if self.skipped <= self.max_skipped:
            logger.warning(
                f"{message}\nSkipped: {self.skipped} of at most {self.max_skipped} (SOLVER.MAX_SKIPPED_STEPS)"
            )
            return
        path = os.path.join(self.folder, f"nonfinite_iter{self.iter}.pth")
        if comm.is_main_process():
            model = getattr(self.model, "module", self.model).state_dict()
            state = {"model": model, "optimizer": self.optimizer.state_dict(), "iteration": self.iter, "ranks": reports}
            write_checkpoint(path, state)
        raise NonFiniteError(
            f"{message}\nThe state before this step is in {path}. To go on, --resume with a lower SOLVER.BASE_LR, with "
            "SOLVER.CLIP_GRADIENTS, or with SOLVER.MAX_SKIPPED_STEPS above 0"
        )

    def _parameters(self) -> list[tuple[str, nn.Parameter]]:
        return list(getattr(self.model, "module", self.model).named_parameters())

    def state_dict(self) -> dict[str, Any]:
        state = {**super().state_dict(), "skipped_steps": self.skipped}
        return state if self.grad_scaler is None else {**state, "grad_scaler": self.grad_scaler.state_dict()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        super().load_state_dict(state)
        self.skipped = state.get("skipped_steps", 0)
        if self.grad_scaler is not None and "grad_scaler" in state:
            self.grad_scaler.load_state_dict(state["grad_scaler"])


def _largest_gradient(model: nn.Module) -> Tensor:
    """The largest absolute value in any gradient; nan if one is nan."""
    gradients = [parameter.grad for parameter in model.parameters() if parameter.grad is not None]
    if not gradients:
        return torch.zeros(())
    return torch.stack([norm.float() for norm in torch._foreach_norm(gradients, float("inf"))]).amax()


def _generators() -> dict[str, Any]:
    """States of the random number generators, as plain values and tensors."""
    name, keys, *rest = np.random.get_state()  # noqa: NPY002 (the one that augmentations use)
    return {
        "python": random.getstate(),
        "numpy": (name, torch.from_numpy(keys.astype(np.int64)), *rest),
        "torch": torch.get_rng_state(),
        "cuda": torch.cuda.get_rng_state() if torch.cuda.is_available() else None,
    }


def _describe(reports: list[dict[str, Any]]) -> str:
    lines = ["a loss or a gradient is not finite"]
    for rank, report in enumerate(reports):
        losses = ", ".join(f"{name} {value:.4g}" for name, value in report["losses"].items())
        names = report["gradients"]
        gradients = f"; gradients not finite: {', '.join(names[:3])}, {len(names)} in all" if names else ""
        images = [" id ".join(map(str, item.values())) for item in report["images"]]
        more = f" and {len(images) - _IMAGES_SHOWN} more" if len(images) > _IMAGES_SHOWN else ""
        where = f"rank {rank}: " if len(reports) > 1 else ""
        lines.append(f"  {where}{losses}{gradients}; images {', '.join(images[:_IMAGES_SHOWN])}{more}")
    return "\n".join(lines)
