"""Training a part of a model: the rest is frozen, in its parameters and in its statistics."""

from collections.abc import Iterator, Sequence

from detectron2.modeling import Backbone
from torch import nn

from seesaw_d2.errors import ConfigError
from seesaw_d2.losses.base import ClassificationLoss
from seesaw_d2.utils.parameter_patterns import matches, select

_KEY = "MODEL.FREEZE"


def freeze(model: nn.Module, names: Sequence[str], exceptions: Sequence[str] = ()) -> nn.Module:
    """Freeze a model's parameters and statistics, in place; to be called before DDP and the optimizer see it.

    Decoupled training (Kang et al., ICLR 2020; Seesaw Loss paper, Table 9) freezes all but the last layer of
    the classifier. A frozen parameter requires no gradient: Detectron2's optimizers and DDP leave it out. A
    frozen layer stays in evaluation mode whatever ``model.train()`` says, so that batch normalization neither
    uses nor collects a batch's statistics and dropout lets everything through. The reference (eqlv2's
    ``freeze``) leaves the mode alone, which is enough for its frozen batch normalization only.

    Modules that decide by their mode between losses and predictions (the meta architecture, the proposal
    generator, the heads) keep theirs: the mode is held in layers without children and in backbones. Losses
    are never frozen: what they count is part of the training that goes on.

    Args:
        model: as built; not wrapped.
        names: patterns of what is frozen (``utils.names.matches``); nothing if empty.
        exceptions: patterns of what is not, although one of ``names`` matches it. It never thaws what is
            frozen otherwise (Detectron2's FREEZE_AT, the weights of ``LWSLinear``).

    Returns:
        the model.

    Raises:
        ConfigError: a pattern matches no parameter, exceptions without names, or nothing is left to train.
    """
    if not names:
        if exceptions:
            raise ConfigError(f'{_KEY}.EXCEPT: expected {_KEY}.NAMES beside it (["*"] freezes all else), found []')
        return model
    parameters = dict(model.named_parameters())
    frozen = select(parameters, names, f"{_KEY}.NAMES") - select(parameters, exceptions, f"{_KEY}.EXCEPT")
    for name in frozen:
        parameters[name].requires_grad_(False)
    if not any(parameter.requires_grad for parameter in parameters.values()):
        raise ConfigError(f"{_KEY}: expected something left to train, found all {len(parameters)} parameters frozen")
    for module in list(_frozen_layers(model, names, exceptions, frozen)):
        module.train = _StayInEval(module)  # type: ignore[method-assign]
        module.train()
    return model


class _StayInEval:
    """In place of a module's ``train``: evaluation mode, whatever is asked for.

    A class, so that a copied or unpickled module gets one of its own.
    """

    def __init__(self, module: nn.Module):
        self.module = module

    def __call__(self, mode: bool = True) -> nn.Module:
        return type(self.module).train(self.module, False)


def _frozen_layers(model, names, exceptions, frozen: set[str]) -> Iterator[nn.Module]:
    """The modules whose mode is held: frozen by name or by all their parameters, and nothing trained in them."""
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
    """The ids of the modules of a kind and of all in them."""
    return {id(inner) for module in model.modules() if isinstance(module, kind) for inner in module.modules()}
