"""Restore config values after defaults have replaced them."""

from detectron2.config import CfgNode


def restore(cfg: CfgNode, before: CfgNode) -> None:
    """Set each key of ``cfg`` that is also in ``before`` to its value in ``before``, in place. Other keys are kept."""
    for name, value in before.items():
        if isinstance(value, CfgNode) and isinstance(cfg.get(name), CfgNode):
            restore(cfg[name], value)
        else:
            cfg[name] = value
