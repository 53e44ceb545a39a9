"""Load the optimizer state of a checkpoint, and keep the hyperparameters of the config."""

from typing import Any

import torch

from seesaw_d2.errors import WeightsError

_NOT_COMPARED = {"params", "lr", "initial_lr"}


def load_optimizer_state(optimizer: torch.optim.Optimizer, state: dict[str, Any], folder: str) -> None:
    """Load the buffers of an optimizer (momentum) from a state dict, and keep the hyperparameters of its groups.

    PyTorch's ``load_state_dict`` would replace learning rate, momentum, weight decay and implementation of each group
    by the values in the checkpoint, so that changes of the config would have no effect in a resumed run. This function
    only keeps the checkpoint's position in the schedule: it multiplies the current learning rate of a group by the
    ratio of new and old base learning rate. If the base learning rate is unchanged, the current learning rate stays
    equal bit for bit.

    Args:
        optimizer: the optimizer that the config of the resumed run describes.
        state: result of ``optimizer.state_dict()`` in the checkpoint.
        folder: OUTPUT_DIR, for messages.

    Raises:
        WeightsError: the state belongs to other parameter groups or to another optimizer.
    """
    own = [{key: value for key, value in group.items() if key != "params"} for group in optimizer.param_groups]
    _check_hyperparameters(own, state["param_groups"], folder)
    try:
        optimizer.load_state_dict(state)
    except ValueError as error:
        raise WeightsError(
            f"{folder}: the optimizer state in the checkpoint does not fit the parameters that this config trains "
            f"({error}). Resume with the run's original values of MODEL.FREEZE and SOLVER. A warning above lists the "
            "config keys that changed."
        ) from error
    for group, values in zip(optimizer.param_groups, own, strict=True):
        base, before = values.get("initial_lr", values["lr"]), group.get("initial_lr", group["lr"])
        current = group["lr"] if base == before else group["lr"] * base / before if before else base
        group.update({**values, "initial_lr": base, "lr": current})


def _check_hyperparameters(own: list[dict], loaded: list[dict], folder: str) -> None:
    """Raise WeightsError if the hyperparameters in a checkpoint have the names of another optimizer's hyperparameters.

    Other versions of PyTorch may have more or fewer hyperparameters of the same optimizer.
    """
    mine, theirs = (set().union(*groups) - _NOT_COMPARED for groups in (own, loaded))
    if mine - theirs and theirs - mine:
        raise WeightsError(
            f"{folder}: expected an optimizer state with the hyperparameters {', '.join(sorted(mine))}, found "
            f"{', '.join(sorted(theirs))} in the checkpoint. Resume with the optimizer of the interrupted run."
        )
