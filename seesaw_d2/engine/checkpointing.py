"""Loading weights, and saying what did not fit."""

import os
import zipfile

from detectron2.checkpoint import DetectionCheckpointer

from seesaw_d2.errors import WeightsError
from seesaw_d2.losses import ClassificationLoss


class SeesawCheckpointer(DetectionCheckpointer):
    """Detectron2's checkpointer that never leaves a parameter at its initial value without a word.

    Starting a training from weights that do not fit everywhere (a COCO model for another data set, a softmax
    classifier for a Seesaw head) is normal: those parameters keep their initial values, and a warning lists them.
    Evaluating or resuming with them is not: that raises ``WeightsError``.

    Args:
        strict: raise also in ``load(path, checkpointables=[])``.
    """

    def __init__(self, model, save_dir="", *, strict=False, **kwargs):
        super().__init__(model, save_dir, **kwargs)
        self.strict = strict

    def load(self, path, checkpointables=None):
        self._must_fit = self.strict or checkpointables is None
        self._path = path
        return super().load(path, checkpointables)

    def _log_incompatible_keys(self, incompatible) -> None:
        parameters = {name for name, _ in self.model.named_parameters()}
        wrong = [
            f"{name}: expected shape {tuple(model)}, found {tuple(found)}"
            for name, found, model in incompatible.incorrect_shapes
        ]
        missing = [f"{name}: not in the file" for name in incompatible.missing_keys if name in parameters]
        if wrong or missing:
            self._complain(wrong + missing)
        if incompatible.unexpected_keys:
            names = ", ".join(incompatible.unexpected_keys)
            self.logger.warning(f"{self._path}: not used by this model: {names}")

    def _complain(self, lines) -> None:
        listed = "\n  ".join(lines)
        hint = (
            "NUM_CLASSES, MODEL.ROI_BOX_HEAD.CLS_LOSS.NAME and .BACKGROUND decide the classifier's shape "
            f"(here: {self._classifier()})"
        )
        if self._must_fit:
            raise WeightsError(f"{self._path}: does not fit the model:\n  {listed}\n{hint}")
        self.logger.warning(
            f"{self._path}: {len(lines)} parameters do not fit the model and keep their initial values:\n  {listed}\n"
            f"{hint}"
        )

    def _classifier(self) -> str:
        loss = next((module for module in self.model.modules() if isinstance(module, ClassificationLoss)), None)
        if loss is None:
            return type(getattr(self.model, "roi_heads", self.model)).__name__
        return (
            f"{type(loss).__name__}, background {loss.background!r}: "
            f"{loss.num_logits} logits for {loss.num_classes} categories"
        )


def check_weights_file(path: str) -> None:
    """Raise WeightsError if a local weights file is missing or torn; URLs are left to their download.

    Only the archive's directory is read, which stands at a file's end: a file that was cut off has none.
    """
    if "://" in path:
        return
    if not os.path.isfile(path):
        raise WeightsError(f"MODEL.WEIGHTS: {path}: no such file")
    if path.endswith(".pth") and not zipfile.is_zipfile(path):
        with open(path, "rb") as file:
            magic = file.read(2)
        if magic != b"\x80\x02":  # PyTorch's format before 1.6
            raise WeightsError(f"MODEL.WEIGHTS: {path}: expected a PyTorch checkpoint, found a torn or other file")
