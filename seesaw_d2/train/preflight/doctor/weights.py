"""Which parameters of the model will come from MODEL.WEIGHTS."""

import logging

from detectron2.config import CfgNode
from torch import nn

from seesaw_d2.train.checkpoints.checkpointer import SeesawCheckpointer
from seesaw_d2.train.preflight.categories import used_categories
from seesaw_d2.train.preflight.doctor.findings import Findings
from seesaw_d2.train.preflight.job_checks import check_weights
from seesaw_d2.utils.category_names import check_checkpoint
from seesaw_d2.utils.messages import first_few


class _Observer(SeesawCheckpointer):
    """Keeps what did not fit, and says nothing."""

    def __init__(self, model: nn.Module, **kwargs):
        super().__init__(model, **kwargs)
        self.logger = logging.Logger("silent")
        self.logger.addHandler(logging.NullHandler())
        self.incompatible = None

    def _log_incompatible_keys(self, incompatible) -> None:
        self.incompatible = incompatible
        super()._log_incompatible_keys(incompatible)


def examine_weights(cfg: CfgNode, model: nn.Module, findings: Findings) -> None:
    """Load MODEL.WEIGHTS into the model as a training would, and report what fits."""
    if not cfg.MODEL.WEIGHTS:
        findings.note("MODEL.WEIGHTS: none; every parameter starts from its initial value")
        return
    check_weights(cfg, eval_only=False, resume=False)
    categories = used_categories(cfg, "TRAIN")
    checkpointer = _Observer(model, left_out=cfg.MODEL.WEIGHTS_EXCEPT, categories=categories)
    checkpointer.load(cfg.MODEL.WEIGHTS, checkpointables=[])
    if warning := check_checkpoint(checkpointer.loaded_categories, categories, must_fit=False):
        findings.note(f"MODEL.WEIGHTS: {warning}")
    found = checkpointer.incompatible
    shapes = [name for name, *_ in found.incorrect_shapes]
    missing = [name for name in found.missing_keys if name not in shapes]  # fvcore counts those twice
    initial = [*missing, *shapes, *sorted(checkpointer.left_out)]
    total = len(model.state_dict())
    findings.ok(
        f"MODEL.WEIGHTS: {total - len(set(initial))} of {total} parameters and buffers come from {cfg.MODEL.WEIGHTS}"
    )
    for names, why in (
        (missing, "not in the file"),
        (shapes, "of another shape in the file"),
        (sorted(checkpointer.left_out), "left out by MODEL.WEIGHTS_EXCEPT"),
    ):
        if names:
            findings.note(f"keep their initial values, {why}: {first_few(names, limit=12)}")
    if found.unexpected_keys:
        findings.note(f"in the file alone: {first_few(found.unexpected_keys, limit=12)}")
