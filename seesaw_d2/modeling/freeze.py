"""Freeze the parameters and the batch normalization statistics of a part of a model."""

from collections.abc import Iterator, Sequence

from detectron2.modeling import Backbone
from torch import nn

from seesaw_d2.errors import ConfigError
from seesaw_d2.losses.base import ClassificationLoss
from seesaw_d2.utils.parameter_patterns import matches, select

_KEY = "MODEL.FREEZE"


def freeze(model: nn.Module, names: Sequence[str], exceptions: Sequence[str] = ()) -> nn.Module:
    """Freeze parameters and batch normalization statistics of a model in place.

    Call this function before creating the optimizer and DDP. Decoupled training (Kang et al., ICLR 2020; Seesaw Loss
    paper, Table 9) freezes all layers except the last layer of the classifier.

    A frozen parameter requires no gradient, so optimizers and DDP ignore the parameter. A frozen layer stays in
    evaluation mode even after ``model.train()``. Therefore dropout is inactive, and batch normalization does not update
    the running statistics. The reference (``freeze`` in github tztztztztz/eqlv2) does not change the mode of layers and
    therefore requires models with FrozenBatchNorm.

    Only layers without children and modules in backbones stay in evaluation mode. Other modules (meta-architecture,
    proposal generator, heads) must keep their mode, which selects between losses and predictions. Losses are never
    frozen, because training must update the statistics of the losses.

    Args:
        model: the model, which must not be wrapped by DDP.
        names: patterns of parameters and modules to freeze, as in ``utils.parameter_patterns.matches``. If empty, the
            model does not change.
        exceptions: patterns that exclude matches of ``names``. Parameters that were frozen before, for example by
            Detectron2's FREEZE_AT or ``LWSLinear``, stay frozen.

    Returns:
        the model.

    Raises:
        ConfigError: a pattern matches no parameter, ``exceptions`` is given without ``names``, or all parameters would
            be frozen.
    """
    if not names:
        if exceptions:
            raise ConfigError(
                f"{_KEY}.NAMES: expected at least one pattern with {_KEY}.EXCEPT {list(exceptions)}, found []. To "
                f'freeze all other parameters, set {_KEY}.NAMES to ["*"].'
            )
        return model
    parameters = dict(model.named_parameters())
    frozen = select(parameters, names, f"{_KEY}.NAMES") - select(parameters, exceptions, f"{_KEY}.EXCEPT")
    for name in frozen:
        parameters[name].requires_grad_(False)
    if not any(parameter.requires_grad for parameter in parameters.values()):
        raise ConfigError(
            f"{_KEY}: expected at least 1 trainable parameter, found 0 of {len(parameters)}. Add exceptions to "
            f"{_KEY}.EXCEPT."
        )
    for module in list(_frozen_layers(model, names, exceptions, frozen)):
        module.train = _StayInEval(module)  # type: ignore[method-assign]
        module.train()
    return model


class _StayInEval:
    """Replacement for the method ``train`` of a module, which keeps the module in evaluation mode.

    This is a class instead of a closure. With a closure, the copy of a model would still refer to the original module,
    and pickle would fail.
    """

    def __init__(self, module: nn.Module):
        self.module = module

    def __call__(self, mode: bool = True) -> nn.Module:
        return type(self.module).train(self.module, False)


def _frozen_layers(model, names, exceptions, frozen: set[str]) -> Iterator[nn.Module]:
    """Yield the modules of a model that must stay in evaluation mode, because they are frozen.

    These are layers without children and modules in backbones, but no losses. The name of the module matches a pattern
    in ``names`` and none in ``exceptions``, or all of its parameters are frozen.

    Args:
        model: the model.
        names, exceptions: patterns of names, as in ``freeze``.
        frozen: names of the frozen parameters.
    """
    in_backbone, in_loss = _inside(model, Backbone), _inside(model, ClassificationLoss)
    for name, module in model.named_modules():
        is_layer = id(module) in in_backbone or not any(module.children())
        if not name or not is_layer or id(module) in in_loss:
            continue
        own = {f"{name}.{parameter}" for parameter, _ in module.named_parameters()}
        by_name = matches(name, names) and not matches(name, exceptions)
        by_parameters = bool(own) and own <= frozen
        if (by_name or by_parameters) and not any(parameter.requires_grad for parameter in module.parameters()):
            yield module


def _inside(model: nn.Module, kind: type) -> set[int]:
    """Return the Python ids of all modules of the class ``kind`` in a model, and of all their submodules."""
    return {id(inner) for module in model.modules() if isinstance(module, kind) for inner in module.modules()}
