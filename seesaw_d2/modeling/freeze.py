"""Freezing the parameters and statistics of a part of a model."""

from collections.abc import Iterator, Sequence

from detectron2.modeling import Backbone
from torch import nn

from seesaw_d2.errors import ConfigError
from seesaw_d2.losses.base import ClassificationLoss
from seesaw_d2.utils.parameter_patterns import matches, select

_KEY = "MODEL.FREEZE"


def freeze(model: nn.Module, names: Sequence[str], exceptions: Sequence[str] = ()) -> nn.Module:
    """Freeze parameters and statistics of a model in place. Call it before DDP and the optimizer are created.

    Decoupled training (Kang et al., ICLR 2020; Seesaw Loss paper, Table 9) freezes everything except the last layer of
    the classifier. A frozen parameter requires no gradient, so that Detectron2's optimizers and DDP ignore it. A frozen
    layer stays in evaluation mode even after ``model.train()``, so that its batch normalization does not use or update
    batch statistics and its dropout is inactive. The reference (eqlv2's ``freeze``) does not change the mode, which
    suffices only for frozen batch normalization.

    Modules whose mode selects between losses and predictions (meta architecture, proposal generator, heads) are not
    kept in evaluation mode. Only layers without children and modules in backbones are. Losses are never frozen, because
    their statistics belong to the continued training.

    Args:
        model: the model, not wrapped.
        names: patterns of what to freeze (see ``utils.parameter_patterns.matches``). If empty, nothing is frozen.
        exceptions: patterns of what not to freeze although it matches ``names``. Parameters that are frozen otherwise
            stay frozen (Detectron2's FREEZE_AT, the weights of ``LWSLinear``).

    Returns:
        the model.

    Raises:
        ConfigError: a pattern matches no parameter, there are exceptions without names, or no parameter remains
            trainable.
    """
    if not names:
        if exceptions:
            raise ConfigError(
                f'{_KEY}.NAMES: expected patterns, because {_KEY}.EXCEPT is set (["*"] freezes the rest), found []'
            )
        return model
    parameters = dict(model.named_parameters())
    frozen = select(parameters, names, f"{_KEY}.NAMES") - select(parameters, exceptions, f"{_KEY}.EXCEPT")
    for name in frozen:
        parameters[name].requires_grad_(False)
    if not any(parameter.requires_grad for parameter in parameters.values()):
        raise ConfigError(f"{_KEY}: expected at least one trainable parameter, found all {len(parameters)} frozen")
    for module in list(_frozen_layers(model, names, exceptions, frozen)):
        module.train = _StayInEval(module)  # type: ignore[method-assign]
        module.train()
    return model


class _StayInEval:
    """Replacement for a module's ``train`` that keeps the module in evaluation mode.

    It is a class, so that a copied or unpickled module gets its own instance.
    """

    def __init__(self, module: nn.Module):
        self.module = module

    def __call__(self, mode: bool = True) -> nn.Module:
        return type(self.module).train(self.module, False)


def _frozen_layers(model, names, exceptions, frozen: set[str]) -> Iterator[nn.Module]:
    """Yield the modules to keep in evaluation mode: those frozen by name, or with only frozen parameters."""
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
    """Return the ids of all modules of a type and of their submodules."""
    return {id(inner) for module in model.modules() if isinstance(module, kind) for inner in module.modules()}
