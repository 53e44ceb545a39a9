"""Define ``Step``: one training iteration, which updates the model only if losses and gradients are finite."""

import logging
import os
import time
from contextlib import nullcontext
from typing import Any, NoReturn

import torch
from detectron2.engine import SimpleTrainer
from detectron2.engine.train_loop import TrainerBase
from detectron2.layers import FrozenBatchNorm2d
from detectron2.utils import comm
from torch import Tensor, nn

from seesaw_d2.errors import ConfigError, NonFiniteError
from seesaw_d2.train.acceleration import begin_momentum
from seesaw_d2.train.checkpoints.optimizer_state import load_optimizer_state
from seesaw_d2.train.finite_boxes import finite_boxes, modules_with_box_checks
from seesaw_d2.train.launch.signals import STOP, signals_blocked
from seesaw_d2.train.step_report import (
    StepReport,
    describe_reports,
    generator_states,
    gradient_norms,
    images_of,
    read_reports,
    reduced_values,
    report_of,
    store_report,
)
from seesaw_d2.utils.deferred_scalars import kept_scalars
from seesaw_d2.utils.distributed import unwrapped
from seesaw_d2.weights.checkpoint_io import write_checkpoint

logger = logging.getLogger(__name__)


class Step(SimpleTrainer):
    """Trainer that skips the update if losses or gradients are not finite. It replaces SimpleTrainer and AMPTrainer.

    If a loss or a gradient of any process is not finite, all processes skip the step: parameters, optimizer state and
    buffers (class counts, batch normalization) keep their values. With float16, only losses are checked, because the
    gradient scaler handles overflow. After more than ``max_skipped`` skipped steps, NonFiniteError ends the training.

    With ``metrics_period`` > 1, the host does not wait for the device in each step. The optimizer's fused kernel skips
    steps on the device. The host reads the losses only at the end of each period, and can raise NonFiniteError only
    then. Until then, the device skips all further steps after more than ``max_skipped`` skipped steps.

    Args:
        model, data_loader, optimizer: as in SimpleTrainer.
        folder: folder for ``nonfinite_iter<k>.pth``, the state saved if iteration k raises NonFiniteError.
        max_skipped: >= 0, number of steps that may be skipped in the training.
        amp: torch.float16 or torch.bfloat16 for mixed precision (on a CPU only bfloat16), or None for float32.
        metrics_period: >= 1, number of iterations after which the host reads the losses.

    Raises:
        ConfigError: ``metrics_period`` > 1 with float16 or with an optimizer that is not fused.
    """

    def __init__(
        self,
        model,
        data_loader,
        optimizer,
        *,
        folder: str,
        max_skipped: int = 0,
        amp: torch.dtype | None = None,
        metrics_period: int = 1,
    ):
        with signals_blocked():  # Detectron2 v0.6 starts the workers here, which must ignore SIGTERM and SIGINT
            super().__init__(model, data_loader, optimizer)
        self.amp, self.metrics_period = amp, metrics_period
        self.grad_scaler = torch.amp.GradScaler("cuda") if amp == torch.float16 else None
        if metrics_period > 1 and not (self.grad_scaler is None and all(g["fused"] for g in optimizer.param_groups)):
            raise ConfigError(
                f"SOLVER.METRICS_PERIOD: expected 1, found {metrics_period}. A longer period needs "
                "SOLVER.OPTIMIZER_IMPLEMENTATION fused, and does not support SOLVER.AMP.DTYPE float16."
            )
        self.folder, self.max_skipped, self.skipped = folder, max_skipped, 0
        self._named = list(unwrapped(model).named_parameters())
        self._device = next((each.device for _, each in self._named), torch.device("cpu"))
        self._buffers, self._box_checks = _changing_buffers(model), modules_with_box_checks(model)
        self._before = [buffer.clone() for buffer in self._buffers]
        self._pending: list[StepReport] = []
        # Number of non-finite steps so far, a scalar tensor. None before the first step, and if metrics_period is 1.
        self._refused: Tensor | None = None
        self._started = False
        # True after any process has received SIGTERM or SIGINT. ``settle`` sets the same value in all processes.
        self.signalled = False

    def run_step(self) -> None:
        start = time.perf_counter()
        with nullcontext() if self._started else signals_blocked():
            data = next(self._data_loader_iter)
        self._started = True
        data_time = time.perf_counter() - start
        generators = generator_states(self._device)
        if self._buffers:
            torch._foreach_copy_(self._before, self._buffers)
        with kept_scalars() as scalars, finite_boxes(self._box_checks) as errors:
            losses = self._backward(data, generators)
        own = torch.stack([loss.detach().double() for loss in losses.values()])
        norms = None
        finite = own.isfinite().all() & (not errors)
        if self.grad_scaler is None:
            norms = gradient_norms([each.grad for _, each in self._with_gradients()]).to(own.device)
            finite = finite & norms.isfinite().all()
        values = reduced_values(own, finite, data_time, STOP.signum is not None)
        self._pending.append(
            StepReport(self.iter, list(losses), values, own, norms, images_of(data), generators, scalars, errors)
        )
        if self.metrics_period > 1:
            self._update_unless(values[0] > 0)
            if (self.iter + 1) % self.metrics_period == 0:
                self.settle()
        elif self.settle():
            self._update()

    def settle(self) -> bool:
        """Read and log the losses that the host has not read yet. All processes must call this method.

        Returns:
            whether losses and gradients of the last iteration are finite in all processes.

        Raises:
            NonFiniteError: a loss or a gradient was not finite in more than ``max_skipped`` iterations.
        """
        pending, self._pending = self._pending, []
        rows = read_reports(pending)
        self.signalled = self.signalled or any(row[1] > 0 for row in rows)
        for measured, values in zip(pending, rows, strict=True):
            if values[0] > 0:
                self._refuse(measured)
            else:
                store_report(measured, values)
        return not (rows and rows[-1][0] > 0)

    def _backward(self, data: list[dict[str, Any]], generators: dict[str, Any]) -> dict[str, Tensor]:
        with nullcontext() if self.amp is None else self._autocast():
            try:
                losses = self.model(data)
            except FloatingPointError as error:  # a custom model may raise this error instead of returning NaN
                return self._without_losses(data, generators, error)
            if isinstance(losses, Tensor):  # a custom model may return one loss instead of a dict
                losses = {"total_loss": losses}
            total = sum(losses.values())
        self.optimizer.zero_grad()
        (total if self.grad_scaler is None else self.grad_scaler.scale(total)).backward()
        return losses

    def _without_losses(self, data, generators: dict[str, Any], error: FloatingPointError) -> dict[str, Tensor]:
        """Return a NaN loss for the batch ``data``, because the forward pass raised ``error``.

        With several processes, raise NonFiniteError, because another process may wait for this process in a collective.
        ``generators`` are the states of the random number generators before the iteration, for the saved report.
        """
        losses = {"total_loss": torch.full((), float("nan"), device=self._device)}
        if comm.get_world_size() > 1:
            own = StepReport(self.iter, [], torch.empty(0), torch.empty(0), None, images_of(data), generators)
            own.errors.append(str(error))
            self._undo()
            self._end(self.iter, [report_of(own, [])])
        logger.warning(f"iteration {self.iter}: {error}")
        self.optimizer.zero_grad()
        return losses

    def _autocast(self) -> torch.autocast:
        kind = "cuda" if self.amp == torch.float16 else self._device.type
        return torch.autocast(kind, dtype=self.amp)

    def _with_gradients(self) -> list[tuple[str, nn.Parameter]]:
        return [(name, each) for name, each in self._named if each.grad is not None]

    def _update(self) -> None:
        if self.grad_scaler is None:
            self.optimizer.step()
        else:
            self.grad_scaler.step(self.optimizer)
            self.grad_scaler.update()

    def _update_unless(self, bad: Tensor) -> None:
        """Update the model on the device. Undo the iteration if ``bad`` or after too many skipped steps.

        ``bad`` is a scalar tensor: whether any process has a non-finite loss or gradient.
        """
        if self._refused is None:
            self._refused = torch.full((), self.skipped, device=bad.device)
            begin_momentum(self.optimizer)
        self._refused = self._refused + bad
        refused = bad | (self._refused > self.max_skipped)
        for buffer, before in zip(self._buffers, self._before, strict=True):
            buffer.copy_(torch.where(refused, before, buffer))
        self.optimizer.found_inf = refused.float()
        self.optimizer.step()

    def _refuse(self, measured: StepReport) -> None:
        """Skip the step that ``measured`` describes, and log a warning. Raise NonFiniteError after too many skips."""
        report = report_of(measured, self._named if measured.norms is None else self._with_gradients())
        if self.metrics_period == 1:
            self._undo()
        reports = comm.all_gather(report)
        self.skipped += 1
        if self.skipped > self.max_skipped:
            self._end(measured.iteration, reports)
        logger.warning(
            f"iteration {measured.iteration}: {describe_reports(reports)}\n"
            f"Skipped {self.skipped} of at most {self.max_skipped} steps so far (SOLVER.MAX_SKIPPED_STEPS)"
        )

    def _undo(self) -> None:
        if self._buffers:
            torch._foreach_copy_(self._buffers, self._before)
        self.optimizer.zero_grad()

    def _end(self, iteration: int, reports: list[dict[str, Any]]) -> NoReturn:
        """Save model, optimizer and ``reports``, and raise NonFiniteError. Only rank 0 saves reports of all ranks."""
        path = os.path.join(self.folder, f"nonfinite_iter{iteration}.pth")
        if comm.is_main_process() or len(reports) == 1:
            model, optimizer = unwrapped(self.model).state_dict(), self.optimizer.state_dict()
            state = {"model": model, "optimizer": optimizer, "iteration": iteration, "ranks": reports}
            write_checkpoint(path, state)
        raise NonFiniteError(
            f"iteration {iteration}: {describe_reports(reports)}\nThe state before this step was saved to {path}. To "
            "continue, use --resume with a lower SOLVER.BASE_LR, with SOLVER.CLIP_GRADIENTS, or with "
            "SOLVER.MAX_SKIPPED_STEPS above 0."
        )

    def state_dict(self) -> dict[str, Any]:
        state = {**super().state_dict(), "skipped_steps": self.skipped}
        return state if self.grad_scaler is None else {**state, "grad_scaler": self.grad_scaler.state_dict()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        TrainerBase.load_state_dict(self, state)  # SimpleTrainer's method would also load old learning rates
        load_optimizer_state(self.optimizer, state["optimizer"], self.folder)
        self.skipped = state.get("skipped_steps", 0)
        if self.grad_scaler is not None and "grad_scaler" in state:
            self.grad_scaler.load_state_dict(state["grad_scaler"])


def _changing_buffers(model: nn.Module) -> list[Tensor]:
    """Return the buffers that a step can change: all buffers outside of FrozenBatchNorm2d modules."""
    fixed = {
        id(buffer)
        for module in model.modules()
        if isinstance(module, FrozenBatchNorm2d)
        for buffer in module.buffers(recurse=False)
    }
    return [buffer for buffer in model.buffers() if buffer.numel() and id(buffer) not in fixed]
