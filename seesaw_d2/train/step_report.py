"""Report the losses and gradients of training iterations. The device computes them, and the host reads them later.

Shapes: K losses, W processes, P parameters with a gradient.
"""

import random
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from detectron2.utils import comm
from detectron2.utils.events import get_event_storage
from torch import Tensor, nn

from seesaw_d2.utils.deferred_scalars import Scalars, store_scalars
from seesaw_d2.utils.distributed import all_reduce_sum, rank, world_size
from seesaw_d2.utils.messages import first_few

_IMAGES_SHOWN = 8


@dataclass
class StepReport:
    """Report of one process on one iteration, before the optimizer's update.

    Args:
        iteration: number of the iteration.
        names: names of the K losses.
        values: float64 (2 + K + W,) for K losses and W processes, equal in all processes. In this order: number of
            processes with a non-finite loss or gradient, number of processes that received a stop signal, sum of each
            loss over the processes, and time in seconds that each process waited for data.
        losses: (K,) losses of this process.
        norms: (P,), largest absolute value of the gradient of each of the P parameters with a gradient. None if not
            computed.
        images: file names and ids of the images in this process's batch.
        generators: states of the random number generators before the iteration.
        scalars: values that the model logged, as pairs (names, tensor on the device).
        errors: Detectron2's error messages about non-finite boxes in this iteration.
    """

    iteration: int
    names: list[str]
    values: Tensor
    losses: Tensor
    norms: Tensor | None
    images: list[dict[str, Any]]
    generators: dict[str, Any]
    scalars: list[Scalars] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)


def reduced_values(losses: Tensor, finite: Tensor, data_time: float, signalled: bool = False) -> Tensor:
    """Sum losses, flags and data times over all processes with one all-reduce and without host-device synchronization.

    All processes must call this function, with the same number of losses in the same order.

    Args:
        losses: float64 (K,), the K losses of this process.
        finite: scalar bool, whether the losses and gradients of this process are finite.
        data_time: seconds that this process waited for data.
        signalled: whether this process has received a stop signal.

    Returns:
        float64 (2 + K + W,) for W processes, on the device of the losses. In this order: number of processes whose
            ``finite`` is False, number of processes whose ``signalled`` is True, sum of each loss over the processes,
            and ``data_time`` of each process.
    """
    own = torch.zeros(2 + len(losses) + world_size(), dtype=torch.float64, device=losses.device)
    own[0] = ~finite
    own[1].fill_(signalled)
    own[2 : 2 + len(losses)] = losses
    own[2 + len(losses) + rank()].fill_(data_time)
    return all_reduce_sum(own)


def images_of(batch: Any) -> list[dict[str, Any]]:
    """Return the file names and ids in a batch of dataset dicts, or [] for batches of other types."""
    records = [item for item in batch if isinstance(item, dict)] if isinstance(batch, (list, tuple)) else []
    return [{key: item[key] for key in ("file_name", "image_id") if key in item} for item in records]


def gradient_norms(gradients: Sequence[Tensor]) -> Tensor:
    """Return a float32 tensor with the largest absolute value of each gradient, or NaN for a gradient with NaN."""
    if not gradients:
        return torch.zeros(0)
    return torch.stack([norm.float() for norm in torch._foreach_norm(gradients, float("inf"))])


def read_reports(reports: Sequence[StepReport]) -> list[list[float]]:
    """Copy the tensors ``values`` and ``scalars`` of all reports from the device to the host with one transfer.

    Returns:
        a list for each report, with the numbers in its ``values``, followed by those in its ``scalars``.
    """
    parts = [part for report in reports for part in (report.values, *(kept for _, kept in report.scalars))]
    if not parts:
        return []
    numbers = torch.cat([part.double() for part in parts]).tolist()
    rows, start = [], 0
    for report in reports:
        end = start + len(report.values) + sum(len(kept) for _, kept in report.scalars)
        rows.append(numbers[start:end])
        start = end
    return rows


def store_report(report: StepReport, row: Sequence[float]) -> None:
    """Log the metrics of an iteration as Detectron2's SimpleTrainer does.

    The function logs the mean of each loss over the processes, and the longest time that a process waited for data.

    Args:
        report: report of the iteration.
        row: the numbers in ``report.values`` and ``report.scalars``, as ``read_reports`` returned them.
    """
    values, scalars = row[: len(report.values)], row[len(report.values) :]
    storage = get_event_storage()
    now, storage.iter = storage.iter, report.iteration
    store_scalars([name for names, _ in report.scalars for name in names], scalars)
    if comm.is_main_process():
        means = {name: value / world_size() for name, value in zip(report.names, values[2:], strict=False)}
        storage.put_scalar("data_time", max(values[2 + len(means) :]))
        storage.put_scalar("total_loss", sum(means.values()))
        if len(means) > 1:
            storage.put_scalars(**means)
    storage.iter = now


def report_of(report: StepReport, named: Sequence[tuple[str, nn.Parameter]]) -> dict[str, Any]:
    """Convert the report of an iteration with non-finite losses or gradients to a dict that a checkpoint can contain.

    Args:
        report: report of the iteration.
        named: pairs (name, parameter) in the order of ``report.norms``. If ``report.norms`` is None, pass all
            parameters. The function then computes the norms.

    Returns:
        a dict with "images", "losses" (from name to value), "gradients" (names of the parameters with a non-finite
        gradient), "generators" (states of the random number generators) and "errors" (messages).
    """
    norms = report.norms
    if norms is None:
        named = [(name, each) for name, each in named if each.grad is not None]
        norms = gradient_norms([each.grad for _, each in named])
    bad = [name for (name, _), finite in zip(named, norms.isfinite().tolist(), strict=True) if not finite]
    return {
        "images": report.images,
        "losses": dict(zip(report.names, report.losses.tolist(), strict=True)),
        "gradients": bad,
        "generators": report.generators,
        "errors": report.errors,
    }


def describe_reports(reports: Sequence[dict[str, Any]]) -> str:
    """Describe an iteration with non-finite losses or gradients: a title, and a line for each process.

    Each line contains the losses, the parameters with a non-finite gradient, and the images of the batch. ``reports``
    contains one dict of ``report_of`` for each process, in the order of ranks.
    """
    lines = ["a loss or a gradient is not finite"]
    for number, report in enumerate(reports):
        losses = ", ".join(f"{name} {value:.4g}" for name, value in report["losses"].items())
        names = report["gradients"]
        gradients = f"; non-finite gradients: {first_few(names, limit=3)}" if names else ""
        images = [" id ".join(map(str, item.values())) for item in report["images"]]
        more = f" and {len(images) - _IMAGES_SHOWN} more" if len(images) > _IMAGES_SHOWN else ""
        where = f"rank {number}: " if len(reports) > 1 else ""
        errors = "".join(f"; {error}" for error in report["errors"])
        lines.append(f"  {where}{losses}{gradients}{errors}; images {', '.join(images[:_IMAGES_SHOWN])}{more}")
    return "\n".join(lines)


def generator_states(device: torch.device | None = None) -> dict[str, Any]:
    """Return the states of Python's, NumPy's and PyTorch's random number generators, as a dict from library to state.

    The dict contains the generators of the CPU. If ``device`` is a GPU, the key "cuda" contains the state on this GPU.
    """
    name, keys, *rest = np.random.get_state()  # noqa: NPY002 (Detectron2's augmentations use the global generator)
    return {
        "python": random.getstate(),
        "numpy": (name, torch.from_numpy(keys.astype(np.int64)), *rest),
        "torch": torch.get_rng_state(),
        "cuda": torch.cuda.get_rng_state(device) if device is not None and device.type == "cuda" else None,
    }


def restore_generators(states: dict[str, Any]) -> None:
    """Set the random number generators of the CPU to ``states``, the dict that ``generator_states`` returned."""
    name, keys, *rest = states["numpy"]
    random.setstate(states["python"])
    np.random.set_state((name, keys.numpy().astype(np.uint32), *rest))  # noqa: NPY002 (see generator_states)
    torch.set_rng_state(states["torch"])
