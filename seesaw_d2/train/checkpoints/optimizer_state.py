"""Load the optimizer state of a checkpoint without changing the hyperparameters that the config sets."""

from typing import Any

import torch

from seesaw_d2.errors import WeightsError

_NOT_COMPARED = {"params", "lr", "initial_lr"}


def load_optimizer_state(optimizer: torch.optim.Optimizer, state: dict[str, Any], folder: str) -> None:
    """Load the buffers of an optimizer, such as momentum, but keep the hyperparameters that the config sets.

    PyTorch's ``load_state_dict`` would replace learning rate, momentum, weight decay and implementation of each
    parameter group by the values in the checkpoint. Changes of the config would then have no effect in a resumed run.

    The learning rate continues at the checkpoint's position in the schedule. It becomes lr * new / old, where lr is the
    learning rate in the checkpoint, and new and old are the base learning rates of the config and of the checkpoint. If
    new and old are equal, the learning rate is exactly lr.

    Args:
        optimizer: optimizer of the resumed run, built from its config.
        state: state dict of the optimizer, from the checkpoint.
        folder: OUTPUT_DIR, for messages.

    Raises:
        WeightsError: the state belongs to an optimizer with other parameters, or to another type of optimizer.
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
    """Raise WeightsError if the checkpoint contains the hyperparameters of another type of optimizer.

    The types differ if each side has hyperparameters that the other side lacks, such as "momentum" and "betas". If only
    one side has additional hyperparameters, another version of PyTorch may have saved the checkpoint.

    Args:
        own, loaded: parameter groups of the config's optimizer and of the checkpoint.
        folder: OUTPUT_DIR, for messages.
    """
    mine, theirs = (set().union(*groups) - _NOT_COMPARED for groups in (own, loaded))
    if mine - theirs and theirs - mine:
        raise WeightsError(
            f"{folder}: expected an optimizer state with the hyperparameters {', '.join(sorted(mine))}, found "
            f"{', '.join(sorted(theirs))} in the checkpoint. Resume with the optimizer of the interrupted run."
        )
